"""The chart under the real helm and API server: install, test, upgrade, uninstall, take up again."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster.binaries import ROOT
from e2e.cluster.control_plane import SYSTEM_NAMESPACE, Cluster
from e2e.cluster.operator import CHART, NAME, Operator
from e2e.support.apps import App, tool
from e2e.support.process import wait_until

Push = Callable[..., str]
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "ftlapps.ftl.tools")


@pytest.fixture
def since(operator: Operator) -> int:
    """A place in the audit log, from before the test's app was made."""
    return operator.mark()


@pytest.fixture
def app(cluster: Cluster, since: int, namespace: str, push: Push) -> Iterator[App]:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast")))
    app.apply().wait()
    yield app
    app.delete()


def test_helm_test_passes_and_every_request_is_allowed(
    cluster: Cluster, operator: Operator, since: int, app: App
) -> None:
    told = cluster.helm("test", NAME, "--namespace", SYSTEM_NAMESPACE, "--timeout", "60s")
    assert "Phase:          Succeeded" in told
    assert operator.refused(since) == []


def test_an_upgrade_from_the_chart_before_brings_the_crd_along_and_rolls_no_app(
    cluster: Cluster, operator: Operator, app: App, tmp_path: Path
) -> None:
    before = _older_chart(tmp_path)
    values = str(cluster.folder / "operator-values.yaml")
    where = ("--namespace", SYSTEM_NAMESPACE, "--values", values)
    cluster.helm("upgrade", NAME, str(before), *where)
    operator.scale(1)
    assert "Message" not in _columns(cluster)
    pods, image, mark = app.lasting_pods(), app.status()["image"], operator.mark()

    operator.install()
    assert "Message" in _columns(cluster)
    app.nudge()
    app.wait()
    assert (app.lasting_pods(), app.status()["image"]) == (pods, image)
    assert operator.changes(mark, app.namespace) == []
    told = yaml.safe_load(cluster.helm("history", NAME, "--namespace", SYSTEM_NAMESPACE, "--output", "yaml"))
    assert [entry["chart"] for entry in told[-2:]] == ["ftl-operator-0.0.9", "ftl-operator-0.1.0"]


def test_an_uninstalled_operator_leaves_the_apps_serving_and_is_taken_up_again(
    cluster: Cluster, operator: Operator, app: App
) -> None:
    pods = app.lasting_pods()
    cluster.helm("uninstall", NAME, "--namespace", SYSTEM_NAMESPACE, "--wait")
    try:
        assert cluster.api.get(*CRD)
        assert app.mcp.tools() == ["weather__forecast"]
        assert cluster.api.find("apps/v1", "Deployment", NAME, SYSTEM_NAMESPACE) is None
    finally:
        mark = operator.mark()
        operator.install()
    app.nudge()
    app.wait()
    assert app.lasting_pods() == pods
    assert operator.changes(mark, app.namespace) == []


def test_for_one_namespace_a_role_there_is_enough(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    operator.scale(0)
    values = {**operator.values(), "namespaces": [namespace], "crds": {"enabled": False}}
    path = cluster.folder / "scoped-values.yaml"
    path.write_text(yaml.safe_dump({**values, "rbac": {"aggregate": False}}))
    mark = operator.mark()
    try:
        cluster.helm("install", "scoped", str(CHART), "--namespace", SYSTEM_NAMESPACE, "--values", str(path))
        assert not [
            role
            for role in cluster.api.list("rbac.authorization.k8s.io/v1", "ClusterRole")
            if role["metadata"]["name"].startswith("scoped")
        ]
        app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast")))
        app.apply().wait(seconds=180)
        assert app.mcp.tools() == ["weather__forecast"]
        app.delete()
        wait_until("what the app owned is gone", lambda: not app.owned(), 60)
        assert operator.refused(mark) == []
    finally:
        cluster.helm("uninstall", "scoped", "--namespace", SYSTEM_NAMESPACE, "--wait", "--ignore-not-found")
        operator.scale(1)


def test_nodes_may_pull_by_another_name_than_the_operator_pushes_to(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    """The chart's registry in the cluster needs `localhost:NODEPORT` on nodes."""
    nodes_name = cluster.registry.address.replace("127.0.0.1", "localhost")
    login = json.loads(cluster.registry.pull_secret)["auths"][cluster.registry.address]
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "nodes", "namespace": namespace},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps({"auths": {nodes_name: login}})},
        }
    )
    tools = tool("weather", push("weather", "1", "forecast"))
    secrets = [{"name": "registry"}, {"name": "nodes"}]
    app = App(cluster, namespace, tools, imagePullSecrets=secrets)
    try:
        operator.install(FTL_PULL_REPOSITORY=f"{nodes_name}/apps")
        app.apply().wait(seconds=180)
        published = app.status()["image"]
        assert published.startswith(f"{cluster.registry.address}/apps/")
        assert app.spin_app()["spec"]["image"] == published.replace("127.0.0.1", "localhost")
        assert app.mcp.tools() == ["weather__forecast"]

        app.spec["suspend"] = True
        app.apply().wait(reason="Suspended")
        assert app.status()["image"] == published
    finally:
        app.delete()
        operator.install()


def test_the_api_server_takes_every_object(cluster: Cluster) -> None:
    served = ("agents-of-chart", "billing-of-chart")
    for name in served:
        cluster.namespace(name, spin=False)
    every = ("--values", str(CHART / "ci" / "all-values.yaml"), "--set", f"namespaces={{{','.join(served)}}}")
    every += ("--set", f"keda.interceptor.namespace={served[1]},quotas.namespaces={{{served[0]}}}")
    for values in ((), every):
        rendered = cluster.helm(
            *("template", "other", str(CHART), "--namespace", served[0], "--kube-version", "1.34.0"), *values
        )
        told = cluster.kubectl(
            *("apply", "--dry-run=server", "--server-side", "--force-conflicts", "--validate=strict"),
            *("--filename", "-"),
            stdin=rendered,
        )
        assert "deployment.apps" in told
    for name in served:
        cluster.api.delete("v1", "Namespace", name)


def _columns(cluster: Cluster) -> list[str]:
    (version,) = cluster.api.get(*CRD)["spec"]["versions"]
    return [column["name"] for column in version["additionalPrinterColumns"]]


def _older_chart(folder: Path) -> Path:
    """A chart of an earlier version: its CRD lacks a column, its Deployment a variable."""
    older = folder / NAME
    shutil.copytree(CHART, older)
    chart = yaml.safe_load((older / "Chart.yaml").read_text())
    (older / "Chart.yaml").write_text(yaml.safe_dump({**chart, "version": "0.0.9"}))
    crd = yaml.safe_load((ROOT / "crds" / "ftlapps.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    version["additionalPrinterColumns"] = [
        column for column in version["additionalPrinterColumns"] if column["name"] != "Message"
    ]
    (older / "files" / "ftlapps.yaml").write_text(yaml.safe_dump(crd))
    deployment = older / "templates" / "deployment.yaml"
    lines = deployment.read_text().splitlines(keepends=True)
    deployment.write_text("".join(line for line in lines if "FTL_CACHE_MAX_BYTES" not in line))
    assert subprocess.run(
        ["diff", "-q", deployment, CHART / "templates" / "deployment.yaml"], check=False
    ).returncode
    return older
