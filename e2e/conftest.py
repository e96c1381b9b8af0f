"""Fixtures: one cluster for each of pytest-xdist's workers, a namespace of its own for each test.

`make e2e` starts the workers in network namespaces of their own. Tests of one file share a worker.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.artifacts import tool_component
from e2e.support.process import HarnessError
from tests.support.skips import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The worker's cluster. `E2E_FOLDER` keeps its files and logs in a folder of your choice."""
    folder = os.environ.get("E2E_FOLDER")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    cluster = Cluster(Path(folder) / worker if folder else None)
    try:
        cluster.start()
    except HarnessError as error:
        pytest.exit(f"the end-to-end cluster does not start: {error}", returncode=3)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Operator:
    """ftl-operator, installed once; what a test changes about it, it puts back."""
    return Operator(cluster).install()


@pytest.fixture
def push(cluster: Cluster, namespace: str) -> Callable[..., str]:
    """Push a version of a tool: `push("weather", "1", "forecast", …)` gives its reference by tag."""

    def push_tool(repository: str, tag: str, *names: str, **options: Any) -> str:
        wasm = tool_component(*names, version=options.pop("version", tag), **options)
        return cluster.registry.push_tool(f"tools/{namespace}/{repository}", tag, wasm)

    return push_tool


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace with an executor and a pull secret, removed afterwards."""
    text = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = f"{text[:40].strip('-')}-{next(_numbers)}"
    cluster.namespace(name)
    yield name
    cluster.api.delete("v1", "Namespace", name)
