from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_app import application, inspected

from builds import built_wasm
from ftl_operator.component.tool import Component
from ftl_operator.host import HostApp, Server, serve


@pytest.fixture(scope="session")
def conformance_tool() -> Path:
    """The component with the suite's tools."""
    return built_wasm("conformance_tool")


@pytest.fixture(scope="session")
def component(conformance_tool: Path) -> Component:
    return inspected(conformance_tool)


@pytest.fixture(scope="session")
def lines() -> list[tuple[str, str]]:
    """What components of `app` printed."""
    return []


@pytest.fixture(scope="session")
def app(conformance_tool: Path, component: Component, lines: list[tuple[str, str]]) -> Iterator[HostApp]:
    """Two components with the same tools: `suite` has the suite's, `faults` those that misbehave."""
    suite = {"name": "suite", "include": ["test_*", "json_schema_2020_12_tool"]}
    faults = {
        "name": "faults",
        "exclude": ["test_*", "json_schema_2020_12_tool", "echo"],
        "timeoutSeconds": 1,
        "rename": [{"from": "trap", "to": "crash"}],
    }
    notes = {"name": "more", "include": ["echo", "structured"]}
    running = application(
        conformance_tool,
        component,
        [suite, faults, notes],
        spec={"gateway": {"maxResponseBytes": 1 << 20}},
        log=lambda name, line: lines.append((name, line)),
    )
    running.prepare()
    yield running
    running.close()


@pytest.fixture(scope="session")
def server(app: HostApp) -> Iterator[Server]:
    with serve(app, port=0) as server:
        yield server
