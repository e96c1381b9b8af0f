"""The host's pure parts: routes, variables, stores, lines."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.errors import SpecError
from ftl_operator.host import HostApp
from ftl_operator.host.spin.routes import match, parse_route
from ftl_operator.host.spin.store import Store
from ftl_operator.host.spin.variables import ComponentVariables, VariableError, expand
from ftl_operator.host.streams.logs import MAX_LINE, LineWriter

ROUTES = [
    ("all", "/..."),
    ("exact", "/a"),
    ("deep", "/a/b/..."),
    ("named", "/user/:id"),
    ("both", "/user/me"),
]


@pytest.mark.parametrize(
    ("path", "component", "rest", "named"),
    [
        ("/", "all", "/", {}),
        ("/x/y", "all", "/x/y", {}),
        ("/x/", "all", "/x/", {}),
        ("/a", "exact", "", {}),
        ("/a/", "exact", "", {}),
        ("/a/c", "all", "/a/c", {}),
        ("/a/b", "deep", "", {}),
        ("/a/b/c/d", "deep", "/c/d", {}),
        ("/user/7", "named", "", {"id": "7"}),
        ("/user/me", "both", "", {}),
    ],
)
def test_the_most_specific_route_takes_a_path(
    path: str, component: str, rest: str, named: dict[str, str]
) -> None:
    routes = [route for name, text in ROUTES if (route := parse_route(name, text))]
    found = match(routes, path)
    assert found is not None
    assert (found.component, found.rest, dict(found.named)) == (component, rest, named)


def test_private_routes_are_no_routes() -> None:
    assert parse_route("tool", {"private": True}) is None
    assert match([], "/") is None


@given(st.text())
def test_a_value_is_never_a_template(value: str) -> None:
    assert expand("a {{ x }} b", {"x": value}) == f"a {value} b"
    assert ComponentVariables({"v": "{{x}}"}, {"x": value}).get("v") == value


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("", "invalid-name"),
        ("A", "invalid-name"),
        ("a__b", "invalid-name"),
        ("a_", "invalid-name"),
        ("missing", "undefined"),
        ("unset", "provider"),
        ("wrong", "undefined"),
    ],
)
def test_variables_that_cannot_be_read(name: str, case: str) -> None:
    variables = ComponentVariables({"unset": "{{ token }}", "wrong": "{{ nothing }}"}, {"token": None})
    with pytest.raises(VariableError) as caught:
        variables.get(name)
    assert caught.value.case == case


@pytest.mark.parametrize("text", ["", "}}", "{ {", "a } } b", '{"a":{"b":{}}}', "{\\u007b x }}", "}}{"])
def test_what_is_no_template_is_a_literal(text: str) -> None:
    assert expand(text, {}) == text
    assert ComponentVariables({"v": text}, {}).get("v") == text


@pytest.mark.parametrize(
    ("name", "template", "said"),
    [
        ("v", "{{ nothing }}", "no application variable 'nothing'"),
        ("v", "a {{ x }} {{ x", "not closed"),
        ("v", "{{{ x }}", "no application variable '{ x'"),
        ("v", "{{}}", "no application variable ''"),
        ("V", "literal", "not a variable name"),
        ("a__b", "literal", "not a variable name"),
    ],
)
def test_an_application_that_spin_does_not_load_is_refused(name: str, template: str, said: str) -> None:
    document = {
        "spin_lock_version": 1,
        "variables": {"x": {"default": "1"}},
        "components": [
            {
                "id": "it",
                "source": {"content_type": "application/wasm", "digest": f"sha256:{'0' * 64}"},
                "config": {name: template},
            }
        ],
    }
    with pytest.raises(SpecError, match=re.escape(said)):
        HostApp(document, Path, log=lambda *_: None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=20))), st.sampled_from("abc"))
def test_a_store_holds_what_a_dict_would(pairs: list[tuple[str, bytes]], removed: str) -> None:
    store = Store(None)
    store.set(pairs)
    store.delete([removed])
    expected = {key: value for key, value in dict(pairs).items() if key != removed}
    assert store.keys() == sorted(expected)
    assert {key: store.get(key) for key in expected} == expected
    store.close()


def test_increment_refuses_what_is_no_integer(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.set([("text", b"abc"), ("most", (2**63 - 1).to_bytes(8, "little"))])
    assert store.increment("new", -3) == -3
    with pytest.raises(ValueError, match="not an integer"):
        store.increment("text", 1)
    with pytest.raises(ValueError, match="does not fit"):
        store.increment("most", 1)
    store.close()


def test_swap_writes_only_over_what_was_seen() -> None:
    store = Store(None)
    assert store.swap("k", None, b"1")
    assert not store.swap("k", None, b"2")
    assert store.swap("k", b"1", b"3")
    assert store.get("k") == b"3"
    store.close()


@given(st.lists(st.binary(max_size=30)))
def test_lines_do_not_depend_on_how_they_were_cut(parts: list[bytes]) -> None:
    lines: list[str] = []
    writer = LineWriter("c", lambda _, line: lines.append(line))
    for part in parts:
        writer.write(part)
    writer.close()
    whole = b"".join(parts)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert lines == [line.rstrip(b"\r").decode(errors="replace") for line in expected]


def test_endless_output_is_cut() -> None:
    lines: list[str] = []
    writer = LineWriter("c", lambda _, line: lines.append(line))
    for _ in range(200):
        writer.write(b"x" * 100_000)
    writer.close()
    assert all(len(line) <= MAX_LINE for line in lines)
    assert "the rest is dropped" in lines[-1]
    assert sum(map(len, lines)) < 6 << 20
