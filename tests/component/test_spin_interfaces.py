"""Which imports some Spin links, by the names and versions of its linker."""

import pytest

from ftl_operator.component.spin_interfaces import INTERFACES, needed_spin, refusal, runs, spins_with

BOTH = tuple(INTERFACES)
NEW = ("Spin 4", "Spin 4.1")


@pytest.mark.parametrize(
    ("name", "spins"),
    [
        ("wasi:io/poll@0.2.0", BOTH),
        ("wasi:io/poll@0.2.99", BOTH),
        ("wasi:io/poll@0.2.0-rc-2023-11-10", BOTH),
        ("wasi:io/error@0.2.0-rc-2023-11-10", BOTH),
        ("wasi:io/error@0.2.0-rc-2023-10-18", ()),
        ("wasi:io/poll@0.2.0-rc-2023-12-05", ()),
        ("wasi:io/poll@0.1.0", ()),
        ("wasi:io/poll", ()),
        ("wasi:clocks/timezone@0.2.6", ()),
        ("wasi:http/outgoing-handler@0.2.4", BOTH),
        ("wasi:http/incoming-handler@0.2.4", ()),
        ("wasi:logging/logging@0.1.0-a", ()),
        ("wasi:logging/logging", ()),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", ()),
        ("wasi:tls/types@0.2.0-draft", ()),
        ("wasi:blobstore/blobstore@0.2.0-draft", ()),
        ("wasi:messaging/producer@0.2.0-draft", ()),
        ("wasi:otel/tracing@0.2.0-rc.2", ()),
        ("wasi:keyvalue/store@0.2.0-draft2", BOTH),
        ("wasi:keyvalue/store@0.2.0-draft", ()),
        ("wasi:keyvalue/watcher@0.2.0-draft2", ()),
        ("wasi:config/store@0.2.0-draft-2024-09-27", BOTH),
        ("wasi:config/store@0.2.0-rc.1", ()),
        ("wasi:config/runtime@0.2.0-draft", ()),
        ("wasi:cli/environment@0.3.0-rc-2026-01-06", ("Spin 3.6",)),
        ("wasi:cli/environment@0.3.0-rc-2026-03-15", NEW),
        ("wasi:cli/environment@0.3.0", ("Spin 4.1",)),
        ("wasi:http/types@0.3.1", ("Spin 4.1",)),
        ("wasi:http/types@0.3.0-rc-2025-09-16", ()),
        ("wasi:http/handler@0.3.0", ()),
        ("wasi:http/client@0.3.0-rc-2026-03-15", NEW),
        ("fermyon:spin/key-value", BOTH),
        ("fermyon:spin/key-value@2.0.0", BOTH),
        ("fermyon:spin/mqtt", ()),
        ("fermyon:spin/mqtt@2.0.0", BOTH),
        ("fermyon:spin/outbound-http", ()),
        ("spin:key-value/key-value@3.0.0", NEW),
        ("spin:sqlite/sqlite@3.0.0", BOTH),
        ("spin:postgres/postgres@4.1.0", BOTH),
        ("spin:postgres/postgres@5.0.0", ()),
        ("acme:db/store@1.0.0", ()),
        ("log", ()),
        ("", ()),
        ("wasi:io/poll@0.2.x", ()),
    ],
)
def test_an_import_is_linked_by_name_and_compatible_version(name: str, spins: tuple[str, ...]) -> None:
    assert spins_with(name) == spins


def test_what_no_spin_has_is_refused_by_name() -> None:
    assert refusal(("wasi:io/poll@0.2.0", "fermyon:spin/llm@2.0.0")) is None
    assert refusal(()) is None
    why = refusal(("wasi:io/poll@0.2.0", "wasi:logging/logging@0.1.0-a", "acme:db/store@1.0.0"))
    assert why is not None
    assert "wasi:logging/logging@0.1.0-a, acme:db/store@1.0.0, which neither Spin 3.6 nor Spin 4 has" in why
    many = refusal([f"acme:x{number}/y@1.0.0" for number in range(1000)])
    assert many is not None
    assert "and 995 more" in many
    assert len(many) < 500


def test_what_only_one_spin_has_is_told() -> None:
    old, new = "wasi:cli/exit@0.3.0-rc-2026-01-06", "spin:key-value/key-value@3.0.0"
    assert needed_spin(("wasi:io/poll@0.2.0", new)) == "Spin 4"
    assert needed_spin(("wasi:io/poll@0.2.0",)) == ""
    assert refusal((new,)) is None
    assert "no Spin has all of them" in (refusal((old, new)) or "")


@pytest.mark.parametrize(
    ("handler", "needs"),
    [
        ("wasi:http/handler@0.3.0", "Spin 4.1"),
        ("wasi:http/handler@0.3.2", "Spin 4.1"),
        ("wasi:http/handler@0.3.0-rc-2026-03-15", "Spin 4"),
        ("wasi:http/handler@0.3.0-rc-2026-01-06", "Spin 3.6"),
        ("wasi:http/incoming-handler@0.2.0", ""),
        ("fermyon:spin/inbound-http", ""),
    ],
)
def test_the_handler_decides_which_spin_a_component_needs(handler: str, needs: str) -> None:
    assert refusal((), (handler, "wasi:cli/run@0.2.0")) is None
    assert needed_spin(("wasi:io/poll@0.2.0",), (handler,)) == needs


@pytest.mark.parametrize("version", ["0.3.0-rc-2025-09-16", "0.4.0", ""])
def test_a_handler_that_no_spin_calls_is_refused(version: str) -> None:
    name = f"wasi:http/handler@{version}"
    assert f"it exports {name}, which neither" in (refusal((), (name,)) or "")
    old = "wasi:cli/exit@0.3.0-rc-2026-01-06"
    assert "no Spin has all of them" in (refusal((old,), ("wasi:http/handler@0.3.0",)) or "")


@pytest.mark.parametrize(
    ("needs", "version", "can"),
    [
        ("Spin 4.1", "4.1.0", True),
        ("Spin 4.1", "v4.10.2", True),
        ("Spin 4.1", "4.1.0-pre0", True),
        ("Spin 4.1", "5.0", True),
        ("Spin 4.1", "4.0.2", False),
        ("Spin 4.1", "3.6.3", False),
        ("Spin 4", "4.0.0", True),
        ("Spin 4", "3.6.3", False),
        ("Spin 3.6", "3.6.3", True),
        ("Spin 3.6", "4.1.0", False),
        ("Spin 4", "latest", False),
        ("Spin 4", "", False),
    ],
)
def test_which_versions_run_what_a_component_needs(needs: str, version: str, *, can: bool) -> None:
    assert runs(needs, version) is can
