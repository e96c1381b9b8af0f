"""FtlApps on real nodes: faults end converged, conditions name the kubelet's cause, no call is lost."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

from e2e.cluster.api import Object
from e2e.support.apps import FTL, App, Traffic
from e2e.support.process import wait_until
from proof.kubelet.cluster import KubeletCluster
from proof.kubelet.conftest import Figure, ImageOperator, push

NewApp = Callable[..., App]
TOOL = "weather__forecast"


@contextlib.contextmanager
def undisturbed(app: App) -> Iterator[Traffic]:
    """A healthy app that is called all the time; no call may fail."""
    with Traffic(app, TOOL) as traffic:
        yield traffic
    traffic.check()


def told(app: App, *words: str, seconds: float = 120) -> Object:
    """Wait until Ready is not true and its message has all the words."""

    def there() -> Object | None:
        ready = app.condition("Ready")
        text = ready.get("message", "").lower() + ready.get("reason", "").lower()
        return ready if ready.get("status") != "True" and all(word in text for word in words) else None

    try:
        found: Object = wait_until(f"{app.name} is told {words}", there, seconds)  # type: ignore[assignment]
    except Exception as error:
        raise AssertionError(f"{error}\n{app.explain()}") from error
    return found


def test_an_app_is_ready_verified_and_answers(new_app: NewApp, figure: Figure) -> None:
    started = time.monotonic()
    app = new_app().apply()
    app.wait(seconds=180)
    app.wait("Verified", seconds=60)
    figure("seconds from apply to Ready and Verified", f"{time.monotonic() - started:.1f}")
    assert app.mcp.tools() == [TOOL]
    assert app.mcp.call("weather__forecast")["version"] == "1"
    assert app.container()["args"][0] == "up"


def test_a_roll_and_a_rotated_secret_lose_no_call(
    cluster: KubeletCluster, namespace: str, new_app: NewApp, figure: Figure
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "weather", "namespace": namespace},
        "stringData": {"key": "first"},
    }
    cluster.api.apply(secret, "kubectl")
    variable = {"name": "key", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "key"}}}
    app = new_app(runtime={"replicas": 2}, variables=[variable]).apply()
    app.wait(seconds=180)
    with Traffic(app, TOOL) as traffic:
        app.spec["tools"][0]["image"] = push(cluster, namespace, "2")
        app.apply()
        wait_until("the new version answers", lambda: traffic.versions[-1] == "2", 180)
        wait_until("the old pods are gone", lambda: len(app.pods()) == 2, 120)
        app.wait(seconds=120)
        before = app.lasting_pods()
        secret["stringData"] = {"key": "second"}
        cluster.api.apply(secret, "kubectl")
        wait_until(
            "the Secret's pods are the only ones",
            lambda: not before & {pod["metadata"]["uid"] for pod in app.pods()} and len(app.pods()) == 2,
            240,
        )
        app.wait(seconds=120)
    traffic.check()
    figure(
        "calls during a roll and a Secret's rotation, failed ones",
        f"{traffic.answers}, {len(traffic.failures)}",
    )


def test_an_eviction_is_made_good_for(cluster: KubeletCluster, new_app: NewApp) -> None:
    app = new_app(runtime={"replicas": 2}).apply()
    app.wait(seconds=180)
    with undisturbed(app):
        pod = app.pods()[0]["metadata"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod["name"], "namespace": pod["namespace"]},
        }
        path = cluster.api.path("v1", "Pod", pod["name"], pod["namespace"])
        cluster.api.request("POST", f"{path}/eviction", eviction)
        wait_until("another pod stands for it", lambda: pod["uid"] not in app.lasting_pods(), 60)
        wait_until("two pods run again", lambda: len(app.lasting_pods()) == 2 and app.is_true("Ready"), 180)


def test_an_image_that_cannot_be_pulled_is_told_and_then_pulled(
    cluster: KubeletCluster, namespace: str, new_app: NewApp
) -> None:
    healthy = new_app("healthy").apply()
    healthy.wait(seconds=180)
    wrong = {
        "apiVersion": "core.spinkube.dev/v1alpha1",
        "kind": "SpinAppExecutor",
        "metadata": {"name": "wrong", "namespace": namespace},
        "spec": {
            "createDeployment": True,
            "deploymentConfig": {"spinImage": f"{cluster.registry.address}/open/nothing:1"},
        },
    }
    cluster.api.apply(wrong)
    app = new_app(runtime={"executor": "wrong"})
    with undisturbed(healthy):
        app.apply()
        told(app, "nothing:1")
        assert not app.is_true("Available"), app.explain()
        wrong["spec"]["deploymentConfig"]["spinImage"] = cluster.spin_image
        cluster.api.apply(wrong)
        # spin-operator looks at an executor when it looks at an app.
        app.spec["runtime"]["podLabels"] = {"again": "yes"}
        app.apply().wait(seconds=180)
    assert app.mcp.tools() == [TOOL]


def test_a_pod_that_needs_more_memory_than_it_may_have_is_told(new_app: NewApp) -> None:
    healthy = new_app("healthy").apply()
    healthy.wait(seconds=180)
    small = {"requests": {"memory": "16Mi"}, "limits": {"memory": "24Mi"}}
    app = new_app(runtime={"resources": small})
    with undisturbed(healthy):
        app.apply()
        told(app, "memory")
        del app.spec["runtime"]["resources"]
        app.apply().wait(seconds=180)
    assert app.mcp.tools() == [TOOL]


def test_the_operators_pod_killed_is_no_ones_loss(
    cluster: KubeletCluster, operator: ImageOperator, new_app: NewApp, namespace: str
) -> None:
    app = new_app().apply()
    app.wait(seconds=180)
    with undisturbed(app) as traffic:
        app.spec["tools"][0]["image"] = push(cluster, namespace, "2")
        app.apply()
        killed = operator.leader()
        restarts = cluster.container("ftl-system", killed)[1]["restartCount"]
        operator.kill()
        wait_until(
            "the kubelet starts its container again",
            lambda: cluster.container("ftl-system", killed)[1]["restartCount"] > restarts,
            60,
        )
        wait_until("the new version answers", lambda: traffic.versions[-1] == "2", 180)
        app.wait(seconds=120)


def test_a_node_whose_programs_start_again_disturbs_nobody(
    cluster: KubeletCluster, new_app: NewApp, figure: Figure
) -> None:
    app = new_app(runtime={"replicas": 2}).apply()
    app.wait(seconds=180)
    uids = app.lasting_pods()
    with undisturbed(app) as traffic:
        for node in cluster.nodes:
            node.restart()
            since = cluster.api.get("v1", "Node", node.name)["status"]["conditions"][0]["lastHeartbeatTime"]
            wait_until(
                f"{node.name} beats again",
                lambda node=node, since=since: (
                    cluster.api.get("v1", "Node", node.name)["status"]["conditions"][0]["lastHeartbeatTime"]
                    > since
                    and cluster.node_condition(node) == "True"
                ),
                120,
            )
        app.wait(seconds=120)
    assert app.lasting_pods() == uids
    figure("calls while each node's kubelet and containerd were killed and started", traffic.answers)


def test_a_node_that_is_gone_is_told_and_left(cluster: KubeletCluster, new_app: NewApp) -> None:
    app = new_app(runtime={"replicas": 2}).apply()
    app.wait(seconds=180)
    gone = cluster.nodes[1]
    # A node that is only asleep: what runs there runs on, and nobody can tell.
    gone.kubelet.signal(signal.SIGSTOP)
    try:
        wait_until("the cluster misses the node", lambda: cluster.node_condition(gone) == "Unknown", 90)

        def elsewhere() -> bool:
            lasting = [pod for pod in app.pods() if "deletionTimestamp" not in pod["metadata"]]
            return len(lasting) == 2 and all(pod["spec"].get("nodeName") != gone.name for pod in lasting)

        wait_until("its pods are made anew elsewhere", elsewhere, 120)
        app.wait(seconds=180)
        with undisturbed(app):
            app.nudge()
    finally:
        gone.kubelet.signal(signal.SIGCONT)
    wait_until("the node is back", lambda: cluster.node_condition(gone) == "True", 90)
    wait_until("and its old pods are gone", lambda: len(app.pods()) == 2, 120)
    app.wait(seconds=120)


def test_a_probe_that_fails_is_told_and_its_container_started_again(
    cluster: KubeletCluster, new_app: NewApp
) -> None:
    healthy = new_app("healthy").apply()
    healthy.wait(seconds=180)
    app = new_app(
        "hangs", runtime={"checks": {"liveness": {"periodSeconds": 1, "failureThreshold": 2}}}
    ).apply()
    app.wait(seconds=180)
    with undisturbed(healthy):
        (pod,) = app.pods()
        node, status = cluster.container(app.namespace, pod["metadata"]["name"])
        identity = status["containerID"].rpartition("/")[2]
        node.ctr("tasks", "kill", "--signal", "SIGSTOP", identity)
        told(app, "probe")
        wait_until(
            "the kubelet starts the container again",
            lambda: cluster.container(app.namespace, pod["metadata"]["name"])[1]["restartCount"] > 0,
            120,
        )
        app.wait(seconds=180)
    assert app.mcp.tools() == [TOOL]


def test_images_that_were_removed_from_the_nodes_are_pulled_again(
    cluster: KubeletCluster, new_app: NewApp
) -> None:
    """As the kubelet's garbage collection removes them, which looks every five minutes."""
    app = new_app().apply()
    app.wait(seconds=180)
    image = cluster.spin_image
    with undisturbed(app):
        for node in cluster.nodes:
            node.ctr("images", "remove", image)
        before = app.lasting_pods()
        app.spec["runtime"]["replicas"] = 2
        app.apply()
        wait_until("another pod runs", lambda: len(app.lasting_pods()) == 2, 60)
        wait_until("and is ready", lambda: app.deployment()["status"].get("readyReplicas") == 2, 180)
    assert before <= app.lasting_pods()


def test_an_app_sleeps_and_wakes_and_is_ready_only_with_a_pod(new_app: NewApp) -> None:
    app = new_app(runtime={"replicas": 3}).apply()
    app.wait(seconds=240)
    app.spec["suspend"] = True
    app.apply()
    wait_until("no pod is left", lambda: not app.pods(), 120)
    app.wait(reason="Suspended")
    seen: list[str] = []
    app.spec["suspend"] = False
    app.apply()

    def ready() -> bool:
        condition = app.condition("Ready")
        if condition.get("status") == "True":
            seen.append(f"{condition['reason']} {app.deployment()['status'].get('readyReplicas', 0)}")
        return bool(seen)

    wait_until("Ready", ready, 180)
    assert not seen[0].endswith(" 0"), seen
    assert "ScaledToZero" not in seen[0]


def test_everything_is_gone_after_deletion(new_app: NewApp, cluster: KubeletCluster) -> None:
    app = new_app().apply()
    app.wait(seconds=180)
    app.delete()
    wait_until("everything of the app is gone", lambda: not app.owned(), 120)
    assert cluster.api.find(FTL, "FtlApp", app.name, app.namespace) is None
