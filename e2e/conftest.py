"""Fixtures: one cluster for the whole run, a namespace of its own for each test."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.process import HarnessError

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster. `E2E_FOLDER` keeps its files and logs in a folder of your choice."""
    folder = os.environ.get("E2E_FOLDER")
    cluster = Cluster(Path(folder) if folder else None)
    try:
        cluster.start()
    except HarnessError as error:
        pytest.exit(f"the end-to-end cluster does not start: {error}", returncode=3)
    yield cluster
    cluster.stop()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace with an executor and a pull secret, removed afterwards."""
    text = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = f"{text[:40].strip('-')}-{next(_numbers)}"
    cluster.namespace(name)
    yield name
    cluster.api.delete("v1", "Namespace", name)
