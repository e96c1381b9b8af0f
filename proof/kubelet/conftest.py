"""The cluster with real nodes, once for the run, with the operator as its chart installs it."""

import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import binaries
from e2e.cluster.operator import Operator
from e2e.cluster.registry import OPEN
from e2e.support.apps import App, tool
from e2e.support.artifacts import tool_component
from e2e.support.process import HarnessError
from proof.kubelet.cluster import EXECUTOR, KubeletCluster, version

Figure = Callable[[str, object], None]
_numbers = itertools.count(1)


class ImageOperator(Operator):
    """The operator's release, whose pods run the image."""

    cluster: KubeletCluster

    def values(self) -> dict[str, Any]:
        repository, _, tag = self.cluster.operator_image.rpartition(":")
        host = self.cluster.registry.address.partition(":")[0]
        base = super().values()
        return {
            **base,
            "image": {"repository": repository, "tag": tag},
            "publish": {**base["publish"], "repository": f"{self.cluster.registry.address}/{OPEN}"},
            "allowedRegistries": ["*", host],
            "gatewaySecrets": {"create": True},
        }


@pytest.fixture(scope="session")
def cluster(image: Path, figure: Figure) -> Iterator[KubeletCluster]:
    """The cluster; `E2E_FOLDER` keeps its files and logs in a folder of your choice."""
    if Path("/run/sysctl").is_dir() is False:
        pytest.fail("run these tests by proof/kubelet/alone: make proof")
    given = os.environ.get("E2E_FOLDER")
    folder = Path(given or tempfile.mkdtemp(prefix="ftl-proof-"))
    cluster = KubeletCluster(folder, image / "image.tar")
    started = time.monotonic()
    try:
        cluster.start()
    except HarnessError as error:
        pytest.exit(f"the cluster does not start: {error}", returncode=3)
    figure("seconds until both nodes were Ready", f"{time.monotonic() - started:.0f}")
    figure("kubelet", version(str(binaries.target("kubelet") / "kubelet"), "--version"))
    figure("kube-apiserver", version(str(cluster.bin / "kube-apiserver"), "--version"))
    figure("containerd", version("/usr/bin/containerd", "--version"))
    figure("spin-operator", binaries.spin_operator_version())
    yield cluster
    cluster.stop()
    if not given:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def operator(cluster: KubeletCluster, figure: Figure) -> ImageOperator:
    """ftl-operator's image, installed by the chart."""
    started = time.monotonic()
    operator = ImageOperator(cluster)
    operator.install()
    figure("seconds for the chart's installation, until one leads", f"{time.monotonic() - started:.0f}")
    return operator


@pytest.fixture
def namespace(
    cluster: KubeletCluster, operator: ImageOperator, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A namespace with an executor and a pull secret, removed afterwards."""
    text = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = cluster.namespace(f"{text[:40].strip('-')}-{next(_numbers)}")
    yield name
    cluster.api.delete("v1", "Namespace", name)


@pytest.fixture
def new_app(cluster: KubeletCluster, namespace: str) -> Callable[..., App]:
    """Make an FtlApp with the tool `weather`; its calls answer a version: `new_app("tools", version="1")`."""

    def make(name: str = "tools", version: str = "1", **spec: Any) -> App:
        reference = push(cluster, namespace, version)
        variables = spec.pop("variables", [])
        runtime = {"executor": EXECUTOR, **spec.pop("runtime", {})}
        entry = tool("weather", reference, variables=variables) if variables else tool("weather", reference)
        return App(cluster, namespace, entry, name=name, runtime=runtime, **spec)

    return make


def push(cluster: KubeletCluster, namespace: str, version: str, **options: Any) -> str:
    """Push a version of the tool; its reference."""
    wasm = tool_component("forecast", version=version, **options)
    return cluster.registry.push_tool(f"tools/{namespace}/weather", version, wasm)
