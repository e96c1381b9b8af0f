"""Tools as people publish them: one that breaks a rule, and imports that no Spin has."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.tools import ToolSpec
from ftl_operator.cli.environment import GATEWAY_WASM
from ftl_operator.component.inspector import Inspector
from ftl_operator.component.tool import Component
from ftl_operator.errors import ComponentError, FtlError, Reason, SpecError
from ftl_operator.host.sandbox.parent import inspect_component
from ftl_operator.oci.descriptor import Artifact, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest, parse_reference
from ftl_operator.pipeline.findings import inspected_finding
from ftl_operator.pipeline.gateway.catalog import ComponentTools, select_tools
from ftl_operator.pipeline.resolve import resolve
from tests.support.hostile import answering

OBJECT = {"type": "object"}
GOOD = {"name": "good", "inputSchema": OBJECT}


def inspected(folder: Path, raw: bytes) -> Component:
    path = folder / "tool.wasm"
    path.write_bytes(raw)
    source = LocalArtifact(path, Descriptor("application/wasm", Digest("sha256:" + "0" * 64), len(raw)))
    examined = Inspector(folder, lambda wasm, _: inspect_component(wasm, GATEWAY_WASM), "1")
    return examined.inspect(source, "tool", lambda *_: path)


def listed(component: Component, **entry: Any) -> ComponentTools:
    spec = ToolSpec.model_validate({"name": "tool", "image": "r.io/tool:1", **entry})
    return select_tools(spec, "spec.tools[0]", component, 30)


def names(listing: ComponentTools) -> list[str]:
    return [tool.name for tool in listing.tools or ()]


SCHEMAS = [
    {**OBJECT, "$schema": "https://json-schema.org/draft/2019-09/schema"},
    {**OBJECT, "$schema": "http://json-schema.org/draft-06/schema#"},
    {**OBJECT, "$schema": ""},
    {**OBJECT, "$schema": "http://json-schema.org/schema#"},
    {**OBJECT, "$schema": "http://json-schema.org/draft-07/schema#", "properties": {
        "schema": {"$ref": "http://json-schema.org/draft-07/schema#"}}},
    {**OBJECT, "properties": {"a": {"type": "text"}}},
    {"type": "string"},
    True,
    None,
]  # fmt: skip
BAD = {
    **{f"schema {index}": {"name": "bad", "inputSchema": schema} for index, schema in enumerate(SCHEMAS)},
    "output schema": {"name": "bad", "inputSchema": OBJECT, "outputSchema": {"type": "array"}},
    "annotations": {"name": "bad", "inputSchema": OBJECT, "annotations": {"readOnlyHint": "yes"}},
    "title": {"name": "bad", "inputSchema": OBJECT, "title": 7},
    "description": {"name": "bad", "inputSchema": OBJECT, "description": "x" * 20_000},
    "icons": {"name": "bad", "inputSchema": OBJECT, "icons": [{"src": "http://acme.dev/i.png"}]},
    "meta": {"name": "bad", "inputSchema": OBJECT, "_meta": [1]},
    "surrogate": {"name": "bad", "inputSchema": OBJECT, "description": "\ud800"},
    "header mark": {"name": "bad", "inputSchema": {**OBJECT, "properties": {
        "a": {"type": "object", "x-mcp-header": "A"}}}},
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=[f"case-3-{name}" for name in BAD])
def test_a_tool_that_is_not_served_is_not_judged(tmp_path: Path, bad: dict[str, Any]) -> None:
    component = inspected(tmp_path, answering(json.dumps([GOOD, bad]).encode()))
    with pytest.raises(ComponentError) as caught:
        listed(component)
    assert caught.value.reason is Reason.INVALID_TOOL
    assert "'bad' of 'tool'" in str(caught.value)
    assert "spec.tools[0].exclude: ['bad']" in str(caught.value)
    assert names(listed(component, exclude=["bad"])) == ["good"]
    assert names(listed(component, include=["good"])) == ["good"]


def with_pattern(pattern: str) -> dict[str, Any]:
    return {**GOOD, "inputSchema": {**OBJECT, "properties": {"a": {"type": "string", "pattern": pattern}}}}


@pytest.mark.parametrize(
    "pattern",
    [r"^\p{L}+$", r"^\P{Lu}+$", r"^(?<year>\d{4})$", r"^[^]+$", r"^\u{1F600}$", r"^(?<=a|bc)d"],
    ids=lambda pattern: f"case-1-{pattern}",
)
def test_patterns_that_the_gateway_runs_are_taken_as_they_are(tmp_path: Path, pattern: str) -> None:
    (tool,) = inspected(tmp_path, answering(json.dumps([with_pattern(pattern)]).encode())).tools or ()
    assert (tool.fault, tool.warnings, tool.input_rules) == ("", (), None)


@pytest.mark.parametrize(
    ("pattern", "enforced", "warned"),
    [
        (r"(?i)^abc$", "^[aA][bB][cC]$", ""),
        (r"\A[a-z]+\Z", "^[a-z]+$", ""),
        (r"^(?P<y>\d{4})$", r"^(?<y>\d{4})$", ""),
        (r"^(a|b)\1$", None, "backreference"),
        ("^[[:alpha:]]+$", None, "POSIX class"),
    ],
    ids=lambda value: f"case-2-{value}",
)
def test_patterns_of_other_dialects_are_translated_or_told(
    tmp_path: Path, pattern: str, enforced: str | None, warned: str
) -> None:
    component = inspected(tmp_path, answering(json.dumps([with_pattern(pattern)]).encode()))
    (tool,) = component.tools or ()
    rules = tool.input_rules and tool.input_rules["properties"]["a"]["pattern"]
    assert (tool.fault, rules) == ("", enforced)
    assert all(warned in warning for warning in tool.warnings)
    assert bool(tool.warnings) is bool(warned)
    # Clients see the author's words, and the gateway enforces its own.
    (exposed,) = listed(component).tools or ()
    assert exposed.definition["inputSchema"] == with_pattern(pattern)["inputSchema"]
    assert exposed.rules[0]["properties"]["a"]["pattern"] == (enforced or pattern)
    app = FtlApp.parse(
        {
            "apiVersion": "ftl.tools/v1alpha1",
            "kind": "FtlApp",
            "metadata": {"name": "app"},
            "spec": {"access": "public", "tools": [{"name": "tool", "image": "r.io/tool:1"}]},
        }
    )
    layer = Descriptor("application/wasm", component.digest, component.size)
    artifact = Artifact(parse_reference("r.io/tool:1"), component.digest, layer, None)
    found = inspected_finding(resolve(app, {"r.io/tool:1": artifact}), {component.digest: component})
    assert found.status == "True"
    assert warned in found.message


def test_a_pattern_that_no_engine_takes_is_a_fault_of_its_tool(tmp_path: Path) -> None:
    raw = answering(json.dumps([GOOD, {**with_pattern("(a"), "name": "bad"}]).encode())
    component = inspected(tmp_path, raw)
    with pytest.raises(ComponentError, match=r"'bad' of 'tool'.*lacks a closing parenthesis.*exclude"):
        listed(component)
    assert names(listed(component, exclude=["bad"])) == ["good"]


@pytest.mark.parametrize(
    "bad",
    [{"name": 7, "inputSchema": OBJECT}, {"inputSchema": OBJECT}, 7, {"name": "x" * 500}, {"name": ""}],
    ids=lambda bad: f"case-3-{str(bad)[:12]}",
)
def test_a_tool_without_a_name_is_excluded_by_its_place(tmp_path: Path, bad: object) -> None:
    component = inspected(tmp_path, answering(json.dumps([GOOD, bad]).encode()))
    with pytest.raises(ComponentError, match=r"exclude: \['#2'\]"):
        listed(component)
    assert names(listed(component, exclude=["#2"])) == ["good"]
    assert names(listed(component, include=["good"])) == ["good"]


@pytest.mark.parametrize(
    "name", ["get weather", "x" * 70, "wetter/köln"], ids=lambda name: f"case-3-{name[:5]}"
)
def test_a_name_that_clients_do_not_take_is_renamed(tmp_path: Path, name: str) -> None:
    component = inspected(tmp_path, answering(json.dumps([GOOD, {**GOOD, "name": name}]).encode()))
    with pytest.raises(ComponentError, match=r"spec\.tools\[0\]\.rename"):
        listed(component)
    renamed = listed(component, rename=[{"from": name, "to": "weather"}])
    assert names(renamed) == ["good", "weather"]
    assert [tool.tool for tool in renamed.tools or ()] == ["good", name]
    assert names(listed(component, exclude=["#2"])) == ["good"]


@pytest.mark.parametrize("way", [{"exclude": ["#3"]}, {"exclude": ["same"]}, {"include": ["good", "#1"]}],
                         ids=["case-3-place", "case-3-both", "case-3-include"])  # fmt: skip
def test_one_of_two_with_the_same_name_is_excluded(tmp_path: Path, way: dict[str, Any]) -> None:
    same = {**GOOD, "name": "same"}
    component = inspected(tmp_path, answering(json.dumps([same, GOOD, same]).encode()))
    with pytest.raises(ComponentError, match=r"its #1 and its #3; exclude one with .*'#3'") as caught:
        listed(component)
    assert caught.value.reason is Reason.DUPLICATE_TOOL
    assert "good" in names(listed(component, **way))


def test_a_place_that_is_not_there_is_a_slip(tmp_path: Path) -> None:
    component = inspected(tmp_path, answering(json.dumps([GOOD]).encode()))
    with pytest.raises(SpecError, match="'#2' fits none"):
        listed(component, exclude=["#2"])


def test_no_name_reaches_a_message_as_it_is(tmp_path: Path) -> None:
    name = "a\x1b[31m\n\u202e" + "b" * 100
    component = inspected(tmp_path, answering(json.dumps([GOOD, {**GOOD, "name": name}]).encode()))
    for entry in ({}, {"exclude": ["c"]}, {"rename": [{"from": "c", "to": "d"}]}):
        with pytest.raises(FtlError) as caught:
            listed(component, **entry)
        assert str(caught.value).isprintable()


FUNCTION = '(import "{}" (instance (export "log" (func (param "text" string)))))'


@pytest.mark.parametrize(
    "name",
    ["wasi:logging/logging@0.1.0-a", "wasi:nn/graph@0.2.0-rc-2024-10-28", "wasi:tls/types@0.2.0-draft",
     "wasi:blobstore/container@0.2.0-draft", "wasi:keyvalue/watcher@0.2.0-draft2", "acme:db/store@1.0.0",
     "fermyon:spin/vector-store@2.0.0", "wasi:otel/tracing@0.2.0-rc.2"],
    ids=lambda name: f"case-12-{name}",
)  # fmt: skip
def test_an_import_that_no_spin_has_is_refused_by_the_inspection(tmp_path: Path, name: str) -> None:
    raw = answering(json.dumps([GOOD]).encode(), imports=FUNCTION.format(name))
    with pytest.raises(FtlError) as caught:
        inspected(tmp_path, raw)
    assert caught.value.reason is Reason.UNSUPPORTED_IMPORT
    assert f"it imports {name}, which neither Spin 3.6 nor Spin 4 has" in str(caught.value)


def test_a_plain_function_is_refused_too(tmp_path: Path) -> None:
    raw = answering(json.dumps([GOOD]).encode(), imports='(import "log" (func (param "text" string)))')
    with pytest.raises(ComponentError, match="it imports log, which neither"):
        inspected(tmp_path, raw)


@pytest.mark.parametrize(
    ("imports", "needs"),
    [
        (FUNCTION.format("wasi:config/store@0.2.0-draft-2024-09-27"), ""),
        (FUNCTION.format("fermyon:spin/variables@2.0.0"), ""),
        (FUNCTION.format("wasi:random/random@0.2.9"), ""),
        (FUNCTION.format("spin:key-value/key-value@3.0.0"), "Spin 4"),
        ('(import "acme:db/types@1.0.0" (instance (type $r (tuple u8)) (export "r" (type (eq $r)))))', ""),
    ],
    ids=["case-12-config", "case-12-variables", "case-12-newer", "case-12-spin-4", "case-12-types-only"],
)  # fmt: skip
def test_an_import_that_some_spin_has_passes(tmp_path: Path, imports: str, needs: str) -> None:
    component = inspected(tmp_path, answering(json.dumps([GOOD]).encode(), imports=imports))
    assert names(listed(component)) == ["good"]
    assert component.needs == needs
