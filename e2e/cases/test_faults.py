"""What breaks: the registry, the operator, its leader, the API server, a new version. And what must not.

After each fault desired and actual are equal, nothing was pushed twice, and an app that served still does.
"""

import json
import select
import socket
import time
from collections.abc import Callable

import pytest

from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, Traffic, tool
from e2e.support.process import wait_until

Push = Callable[..., str]

STAGES = ("resolve", "inspect", "publish", "manifest")

pytestmark = pytest.mark.usefixtures("operator")


def settled(cluster: Cluster, operator: Operator, app: App) -> None:
    """The app is as its spec says, and another look at it changes nothing."""
    app.wait(seconds=120)
    assert app.spin_app()["spec"]["image"] == app.status()["image"]
    template = app.deployment()["spec"]["template"]["spec"]["containers"][0]
    assert template["image"] == app.status()["image"]
    since = operator.mark()
    app.nudge()
    assert not operator.changes(since, app.namespace)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_fails_and_then_works(
    cluster: Cluster, operator: Operator, namespace: str, push: Push, stage: str
) -> None:
    # A component that no test before has had, or the operator would not ask for its bytes.
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast", version=namespace)))
    with cluster.registry.failing(stage) as happened:
        app.apply()
        wait_until(f"the registry fails at {stage}", happened.is_set)
        wait_until(
            "the condition says so",
            lambda: (
                "registry" in app.condition("Ready").get("message", "").lower()
                or "503" in app.condition("Ready").get("message", "")
            ),
        )
        assert app.is_true("Reconciling"), app.explain()
        assert not app.condition("Stalled")
        assert not app.pods()
    settled(cluster, operator, app)
    assert app.mcp.tools() == ["weather__forecast"]
    assert len(cluster.registry.pushed(app.repository)) == 1


def test_a_registry_that_is_down_leaves_a_running_app_ready(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    with Traffic(app, "weather__forecast") as traffic:
        with cluster.registry.down():
            app.nudge()
            ready = app.wait()
            assert ready["reason"].startswith("Registry"), app.explain()
            assert not app.is_true("Resolved")
            new = App(cluster, namespace, tool("weather", app.spec["tools"][0]["image"]), name="new")
            new.apply().wait("Ready", "False")
        new.wait(seconds=120)
        wait_until("the reason is gone", lambda: app.condition("Ready").get("reason") == "Succeeded", 120)
    traffic.check()
    settled(cluster, operator, app)


def test_dead_registries_do_not_delay_the_others(cluster: Cluster, namespace: str, push: Push) -> None:
    """Of the worst kind, which takes connections and is silent, and with more apps than there are workers."""
    weather = push("weather", "1", "forecast")

    def bring_up(name: str) -> float:
        start = time.monotonic()
        App(cluster, namespace, tool("weather", weather), name=name).apply().wait(seconds=90)
        return time.monotonic() - start

    alone = bring_up("alone")
    silent = [socket.create_server(("127.0.0.1", 0), backlog=256) for _ in range(10)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in silent]
    dead = [
        App(cluster, namespace, tool("weather", f"{addresses[n % 10]}/weather:1"), name=f"dead-{n}").apply()
        for n in range(40)
    ]
    # Half of the room for registries that have not answered is one namespace's share.
    wait_until("the operator waits for some", lambda: len(select.select(silent, [], [], 0)[0]) >= 2)
    # All the time: some are asked for the first time, others again.
    among = max(bring_up(f"among-{n}") for n in range(4))
    assert among < alone + 5, f"{among:.1f} s among dead registries, {alone:.1f} s without"
    for other in dead[:3]:
        # One that waits for its turn says so meanwhile.
        wait_until(
            "it is told",
            lambda app=other: app.condition("Ready").get("reason", "").startswith("Registry"),
            300,
        )
    for other in dead:
        other.delete()
    for server in silent:
        server.close()


@pytest.mark.parametrize("stage", STAGES)
def test_the_operator_is_killed_in_a_stage(
    cluster: Cluster, operator: Operator, namespace: str, push: Push, stage: str
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast", version=namespace)))
    with cluster.registry.holding(stage) as arrived:
        app.apply()
        wait_until(f"the operator is in the stage {stage}", arrived.is_set)
        operator.kill()
    settled(cluster, operator, app)
    assert app.mcp.tools() == ["weather__forecast"]
    assert len(cluster.registry.pushed(app.repository)) == 1


@pytest.mark.parametrize("kind", ["SpinApp", "Deployment", "Pod"])
def test_the_operator_is_killed_once_something_exists(
    cluster: Cluster, operator: Operator, namespace: str, push: Push, kind: str
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    wait_until(
        f"a {kind} exists",
        lambda: any(owned.startswith(f"{kind}/") for owned in app.owned()),
        60,
        every=0.02,
    )
    operator.kill()
    settled(cluster, operator, app)
    assert len(cluster.registry.pushed(app.repository)) == 1


def test_the_operator_is_killed_while_a_running_app_changes(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    with Traffic(app, "weather__forecast") as traffic:
        app.spec["tools"][0]["image"] = push("weather", "2", "forecast")
        with cluster.registry.holding("manifest") as arrived:
            app.apply()
            wait_until("the new version is being published", arrived.is_set)
            operator.kill()
        settled(cluster, operator, app)
        wait_until("the new version answers", lambda: traffic.versions[-1] == "2")
    traffic.check()
    assert len(cluster.registry.pushed(app.repository)) == 2


def test_nothing_is_rolled_or_pushed_when_the_operator_restarts(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    wait_until("the operator's part is there", lambda: "startupProbe" in app.container(), 30)
    app.roll_out()
    pods = app.lasting_pods()
    since, seen = operator.mark(), len(cluster.registry.seen)
    operator.kill()
    app.nudge()
    assert app.lasting_pods() == pods
    assert not operator.changes(since, namespace)
    asked = [s for s in cluster.registry.seen[seen:] if namespace in s.path]
    assert all(s.method == "HEAD" for s in asked), asked


def test_the_second_replica_takes_over_when_the_leader_is_killed(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    operator.scale(2)
    try:
        app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
        app.wait()
        leader = operator.leader()
        with Traffic(app, "weather__forecast") as traffic:
            start = time.monotonic()
            # Its pod is deleted at once too, so that it cannot simply come back as the leader.
            operator.kill()
            cluster.api.delete("v1", "Pod", leader, "ftl-system", gracePeriodSeconds=0)
            wait_until("another replica leads", lambda: operator.leader() not in ("", leader), 30)
            new = App(cluster, namespace, tool("weather", app.spec["tools"][0]["image"]), name="new")
            new.apply()
            wait_until("it acts", lambda: new.status().get("observedGeneration"), 30)
            took = time.monotonic() - start
            new.wait()
        traffic.check()
        assert took < 20, f"failover took {took:.1f} s"
        settled(cluster, operator, app)
    finally:
        operator.scale(1)


def test_a_leader_that_is_told_to_end_hands_over_in_about_a_second(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    weather = push("weather", "1", "forecast")
    operator.scale(2)
    try:
        leader = operator.leader()
        # It has work when the signal comes.
        apps = [App(cluster, namespace, tool("weather", weather), name=f"app-{n}").apply() for n in range(5)]
        start = time.monotonic()
        # As in a rolling update of the operator: SIGTERM, and its grace period.
        cluster.api.delete("v1", "Pod", leader, "ftl-system")
        wait_until("another replica leads", lambda: operator.leader() not in ("", leader), 30, every=0.02)
        took = time.monotonic() - start
        for app in apps:
            app.wait(seconds=90)
    finally:
        operator.scale(1)
    assert took < 3, f"the handover took {took:.1f} s"
    for app in apps:
        assert len(cluster.registry.pushed(app.repository)) == 1


def test_the_api_server_is_restarted(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    with Traffic(app, "weather__forecast") as traffic:
        cluster.restart_apiserver()
        app.spec["tools"].append(tool("units", push("units", "1", "convert")))
        app.apply().wait(seconds=120)
        assert app.mcp.tools() == ["weather__forecast", "units__convert"]
    traffic.check()
    settled(cluster, operator, app)


def test_a_broken_version_is_rolled_back_while_the_old_one_serves(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    good = push("weather", "1", "forecast")
    broken = push("weather", "2", "forecast", trap_when="mode")
    app = App(
        cluster,
        namespace,
        tool("weather", good, variables=[{"name": "mode", "value": "broken"}]),
        runtime={
            "progressDeadlineSeconds": 15,
            "checks": {"readiness": {"periodSeconds": 1, "failureThreshold": 1}},
        },
    ).apply()
    app.wait()
    last_good = app.status()["image"]
    with Traffic(app, "weather__forecast") as traffic:
        app.spec["tools"][0]["image"] = broken
        app.apply()
        stalled = app.wait("Stalled", reason="RolledBack", seconds=90)
        assert app.condition("Ready")["status"] == "False"
        bad = next(e["image"] for e in app.status()["history"] if e["image"] != last_good)
        assert bad.rpartition("@")[2] in stalled["message"]
        wait_until("the last good version runs", lambda: app.spin_app()["spec"]["image"] == last_good, 60)
        wait_until("no other pod is left", lambda: len(app.pods()) == 1, 60)
        operator.kill()
        app.nudge()
        assert app.spin_app()["spec"]["image"] == last_good, "it stays until the spec or an input changes"

        assert set(traffic.versions) == {"1"}, "the broken version never answers"

        app.spec["tools"][0]["image"] = push("weather", "3", "forecast")
        app.apply().roll_out()
        # While one version replaces another, the Service spreads over both; from here on there is one.
        assert traffic.since(time.monotonic()) == {"3"}
    traffic.check()
    assert set(traffic.versions) == {"1", "3"}
    assert traffic.versions[0] == "1"
    assert not app.condition("Stalled")


def test_a_namespace_that_is_deleted_is_left_alone(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    weather = tool("weather", push("weather", "1", "forecast"))
    apps = [App(cluster, namespace, weather, name=f"app-{n}").apply() for n in range(5)]
    for app in apps:
        app.wait()
    since, told = operator.mark(), len(operator.log())
    cluster.api.delete("v1", "Namespace", namespace)
    wait_until("the namespace is gone", lambda: cluster.api.find("v1", "Namespace", namespace) is None, 120)
    refused = [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in operator.requests(since)
        if f"/namespaces/{namespace}/" in entry["requestURI"] and entry["responseStatus"]["code"] == 403
    ]
    # The first refusal is how it learns of the deletion.
    assert len(refused) <= len(apps), refused
    complaints = [
        line
        for line in operator.log()[told:].splitlines()
        if namespace in line and json.loads(line)["level"] != "info"
    ]
    assert not complaints


def test_a_foreign_object_is_not_taken_over(cluster: Cluster, namespace: str, push: Push) -> None:
    foreign = {
        "apiVersion": "core.spinkube.dev/v1alpha1",
        "kind": "SpinApp",
        "metadata": {"name": "tools", "namespace": namespace},
        "spec": {"image": "ghcr.io/acme/other:1", "executor": "containerd-shim-spin", "replicas": 1},
    }
    cluster.api.apply(foreign, "somebody")
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait("Ready", "False", reason="Conflict")
    assert app.spin_app()["spec"]["image"] == "ghcr.io/acme/other:1"
    cluster.api.delete("core.spinkube.dev/v1alpha1", "SpinApp", "tools", namespace)
    app.wait(seconds=120)


def test_a_missing_executor_is_told_and_then_found(cluster: Cluster, namespace: str, push: Push) -> None:
    executor = ("core.spinkube.dev/v1alpha1", "SpinAppExecutor", "containerd-shim-spin", namespace)
    cluster.api.delete(*executor)
    # spin-operator's finalizer keeps it for a moment, and longer once an app uses it.
    wait_until("the executor is gone", lambda: cluster.api.find(*executor) is None)
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait("Ready", "False", reason="ExecutorMissing")
    cluster.namespace(namespace)
    app.wait(seconds=120)


def test_what_somebody_else_changed_or_deleted_is_put_back(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    uid = app.spin_app()["metadata"]["uid"]
    cluster.api.delete("core.spinkube.dev/v1alpha1", "SpinApp", app.name, namespace)
    wait_until("a new SpinApp", lambda: app.spin_app()["metadata"]["uid"] != uid, 60)
    # From here on its status is about that one, and not about the Deployment that the old one left.
    app.nudge()
    settled(cluster, operator, app)
    cluster.api.merge(app.spin_app(), {"spec": {"image": "ghcr.io/acme/other:1"}})
    wait_until("its image is put back", lambda: app.spin_app()["spec"]["image"] == app.status()["image"])
    app.nudge()
    settled(cluster, operator, app)
