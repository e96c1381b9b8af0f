"""Executors that the operator makes, in namespaces that have none, and those that people made."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.api import Object
from e2e.cluster.control_plane import EXECUTOR, RUNTIME_CLASS, SPIN, Cluster
from e2e.cluster.operator import Operator
from e2e.cluster.registry import OPEN
from e2e.support.apps import App, tool
from e2e.support.artifacts import tool_component
from e2e.support.process import wait_until

Push = Callable[..., str]
SPIN_IMAGE = "registry.example/spinframework/spin:v4.1"


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """A namespace with nothing in it but the login of the tests' registry."""
    name = f"empty-{next(_numbers)}"
    cluster.namespace(name, spin=False)
    login = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "registry", "namespace": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": cluster.registry.pull_secret},
    }
    cluster.api.apply(login)
    yield name
    cluster.api.delete("v1", "Namespace", name)


_numbers = itertools.count(1)


@pytest.fixture
def create(operator: Operator) -> Iterator[Callable[..., None]]:
    """Install the operator so that it makes executors of a kind."""
    yield lambda kind, image="": operator.install(chart={"executors": {"create": kind, "image": image}})
    operator.install()


def executor(cluster: Cluster, namespace: str) -> Object:
    return cluster.api.get(SPIN, "SpinAppExecutor", EXECUTOR, namespace)


def weather(cluster: Cluster, namespace: str) -> Object:
    wasm = tool_component("forecast")
    return tool("weather", cluster.registry.push_tool(f"tools/{namespace}/weather", "1", wasm))


def written(found: Object) -> Object:
    """An executor without what spin-operator writes: a finalizer, a moment after an app has named it."""
    own = ("finalizers", "managedFields", "resourceVersion")
    metadata = {name: value for name, value in found["metadata"].items() if name not in own}
    return {**found, "metadata": metadata}


def test_an_executor_is_made_once_and_one_that_is_there_is_not_touched(
    cluster: Cluster,
    operator: Operator,
    empty: str,
    namespace: str,
    create: Callable[..., None],
) -> None:
    theirs = executor(cluster, namespace)
    app = App(cluster, empty, weather(cluster, empty)).apply()
    app.wait("Ready", "False", reason="ExecutorMissing")
    assert "executors.create" in app.condition("Ready")["message"]

    since = operator.mark()
    create("shim")
    app.wait(seconds=90)
    assert app.mcp.tools() == ["weather__forecast"]
    made = executor(cluster, empty)
    assert made["spec"]["deploymentConfig"]["runtimeClassName"] == RUNTIME_CLASS
    assert "ownerReferences" not in made["metadata"]

    beside = App(cluster, namespace, weather(cluster, namespace)).apply()
    beside.wait()
    app.delete()
    wait_until("everything of the app is gone", lambda: not app.owned(), 60)
    app.apply().wait()
    assert app.mcp.tools() == ["weather__forecast"]
    assert written(executor(cluster, empty)) == written(made)
    assert written(executor(cluster, namespace)) == written(theirs)
    wrote = [write for write in operator.writes(since) if "/spinappexecutors" in write]
    assert len(wrote) == 1, wrote
    assert wrote[0].startswith("create ")
    assert not operator.refused(since)


def test_spin_runs_in_an_ordinary_container_where_nodes_have_no_shim(
    cluster: Cluster, empty: str, create: Callable[..., None]
) -> None:
    create("container", SPIN_IMAGE)
    app = App(cluster, empty, weather(cluster, empty)).apply()

    def refused() -> bool:
        logs = [cluster.pod_log(empty, pod["metadata"]["name"]) for pod in app.pods()]
        return any("the registry answered 401" in log for log in logs)

    wait_until("Spin in a container, which knows no pull secret, is refused", refused, 90)
    app.wait("Ready", "False")

    repository = f"{cluster.registry.address}/{OPEN}/{empty}/{app.name}"
    app.spec["publish"] = {"repository": repository, "secretRef": {"name": "registry"}}
    app.apply().wait(seconds=90)
    assert app.mcp.tools() == ["weather__forecast"]
    assert app.container()["image"] == SPIN_IMAGE
    assert "startupProbe" in app.container()
    assert "runtimeClassName" not in app.deployment()["spec"]["template"]["spec"]
    assert app.is_true("Verified"), app.explain()
