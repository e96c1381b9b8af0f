"""A sequence of reconciles of an app, through every change that can happen to it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from ftl_operator.api import kinds as api_kinds
from ftl_operator.api.conditions import PIPELINE, false, true, unknown
from ftl_operator.api.names import NamespacedName
from ftl_operator.api.status import ToolStatus
from ftl_operator.cluster.cache import Cache
from ftl_operator.controller import observer
from ftl_operator.controller.applier import Applier
from ftl_operator.controller.executors import Executors
from ftl_operator.controller.observer import Observer
from ftl_operator.controller.reconciler import Reconciler, Steps
from ftl_operator.controller.releaser import ReleasePlanner, ReleaseResult
from ftl_operator.controller.status.writer import StatusWriter
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import ComponentError, Reason, RegistryError, WaitingError
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference
from ftl_operator.settings import Settings
from tests.support.tiny_cluster import TinyCluster

KEY = NamespacedName("ns", "tools")
TOOLS = (ToolStatus(name="weather__forecast", component="weather", schema_digest="sha256:1"),)
SPEC = {"tools": [{"name": "weather", "image": "r.dev/weather:1"}], "access": "public"}


def image(number):
    return parse_reference(f"r.dev/apps/tools@sha256:{number:064d}")


class Versions(ReleasePlanner):
    """A planner whose releases the test decides: it says what to run, or raises."""

    def __init__(self, settings, cluster, cache):
        ensure_executor = Executors(settings, cluster, cache).ensure
        dependencies = SimpleNamespace(
            read=None, operator=None, ensure_executor=ensure_executor, make_secrets=lambda _: None
        )
        super().__init__(settings, cache, dependencies, None, None)
        self.number = 1
        self.error = None
        self.pods = "p1"
        self.releases = 0

    def pods_digest(self, app):
        return self.pods

    def release(self, app, status, stages):
        self.releases += 1
        if self.error is not None:
            raise self.error
        stages.keep({condition: true("fine") for condition in PIPELINE})
        release = Release(image(self.number), f"inputs-{self.number}", self.pods)
        return ReleaseResult(release, {"tools": TOOLS, "tool_count": 1})


class Asked:
    """Stands in for the probe."""

    def __init__(self):
        self.answer = true("it answers", Reason.TOOLS_VERIFIED)
        self.times = 0

    def ask(self, url, token, *, expected, is_public):
        assert expected == ["weather__forecast"]
        self.times += 1
        return self.answer


class World:
    """A cluster, an operator, and a clock to move."""

    def __init__(self, served=api_kinds.EVERY_API, **settings):
        self.now = 0.0
        cache = Cache()
        self.cluster = TinyCluster(cache, served)
        self.queue = WorkQueue(lambda: self.now, lambda: 1.0)
        self.settings = Settings(**settings)
        self.versions, self.asked = Versions(self.settings, self.cluster, cache), Asked()
        self.skew = timedelta()
        steps = Steps(
            self.versions,
            Applier(self.settings, self.cluster, cache),
            Observer(self.settings, self.cluster, cache, self.asked),
            StatusWriter(self.cluster, cache, "operator-0"),
        )
        self.reconciler = Reconciler(
            self.settings, cache, self.queue, steps, lambda: datetime.now(UTC) + self.skew
        )
        self.cluster.put(api_kinds.SPIN_APP_EXECUTOR, {}, "containerd-shim-spin")

    def look(self, times=1):
        for _ in range(times):
            self.reconciler.handle(KEY)

    def run(self, spec=None):
        """Bring an app up."""
        self.cluster.write_app(spec or SPEC)
        self.look()
        self.cluster.deploy()
        self.look()
        return self.cluster

    def wrote(self):
        done, self.cluster.writes = self.cluster.writes, []
        return done


@pytest.fixture
def world():
    return World()


def test_an_app_comes_up(world):
    cluster = world.run()
    assert cluster.condition("Ready") == ("True", "Succeeded")
    assert cluster.status["image"] == str(image(1))
    assert cluster.status["history"][0]["result"] == "Serving"
    assert cluster.events == [("Normal", "Published"), ("Normal", "ToolsVerified"), ("Normal", "Succeeded")]
    kinds = [entry for entry in world.wrote() if entry.startswith("apply")]
    assert kinds == [
        "apply ConfigMap/tools-mcp-client",
        "apply NetworkPolicy/tools",
        "apply CiliumNetworkPolicy/tools",
        "apply SpinApp/tools",
    ]


def test_looking_again_writes_nothing_asks_nobody_and_plans_nothing(world):
    world.run()
    world.wrote()
    releases, asked = world.versions.releases, world.asked.times
    world.look(5)
    assert world.wrote() == []
    assert (world.versions.releases, world.asked.times) == (releases, asked)


def test_a_reconcile_that_is_asked_for_is_answered_with_its_echo(world):
    cluster = world.run()
    world.wrote()
    cluster.write_app(SPEC, annotations={"ftl.tools/reconcile": "now"})
    releases = world.versions.releases
    world.look()
    assert world.versions.releases == releases + 1
    assert cluster.status["lastHandledReconcileAt"] == "now"
    assert world.wrote() == ["status FtlApp/tools"]


def test_what_is_not_desired_any_more_is_deleted(world):
    cluster = world.run(SPEC | {"runtime": {"replicas": 2}})
    assert (api_kinds.POD_DISRUPTION_BUDGET, "tools") in cluster.objects
    cluster.write_app(SPEC)
    world.look()
    assert (api_kinds.POD_DISRUPTION_BUDGET, "tools") not in cluster.objects


def test_a_changed_and_a_deleted_object_are_put_back(world):
    cluster = world.run()
    world.wrote()
    policy = cluster.objects[api_kinds.NETWORK_POLICY, "tools"]
    cluster.put(api_kinds.NETWORK_POLICY, policy | {"spec": {}})
    cluster.delete(
        api_kinds.CONFIG_MAP,
        "ns",
        "tools-mcp-client",
        cluster.objects[api_kinds.CONFIG_MAP, "tools-mcp-client"]["metadata"]["uid"],
    )
    world.wrote()
    world.look()
    assert world.wrote() == ["apply ConfigMap/tools-mcp-client", "apply NetworkPolicy/tools"]


def test_pods_that_a_deleted_spin_app_left_are_not_those_of_the_new_one(world):
    cluster = world.run()
    old = cluster.objects[api_kinds.SPIN_APP, "tools"]["metadata"]["uid"]
    cluster.delete(api_kinds.SPIN_APP, "ns", "tools", old)
    world.look()
    assert cluster.objects[api_kinds.SPIN_APP, "tools"]["metadata"]["uid"] != old
    # The Deployment says that all is well, and goes in a moment.
    assert cluster.condition("Ready") == ("False", "RollingOut")
    cluster.deploy()
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


def test_a_strangers_image_is_not_called_ready_until_it_is_gone(world):
    cluster = world.run()
    spin = cluster.objects[api_kinds.SPIN_APP, "tools"]
    cluster.put(api_kinds.SPIN_APP, {**spin, "spec": {**spin["spec"], "image": "ghcr.io/acme/other:1"}})
    cluster.deploy()
    world.look()
    assert cluster.objects[api_kinds.SPIN_APP, "tools"]["spec"]["image"] == str(image(1))
    assert cluster.condition("Ready") == ("False", "RollingOut")
    cluster.deploy()
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


def test_a_strangers_object_is_not_taken_over(world):
    world.cluster.put(api_kinds.SPIN_APP, {"spec": {"image": "other"}})
    world.cluster.write_app(SPEC)
    world.look()
    assert world.cluster.condition("Ready") == ("False", "Conflict")
    assert world.cluster.objects[api_kinds.SPIN_APP, "tools"]["spec"] == {"image": "other"}


def test_a_mistake_stalls_and_what_ran_goes_on(world):
    cluster = world.run()
    world.wrote()
    cluster.write_app({**SPEC, "tools": []})
    world.look()
    assert cluster.condition("Stalled") == ("True", "InvalidSpec")
    assert "tools" in cluster.message("Stalled")
    assert world.wrote() == ["status FtlApp/tools"]
    cluster.write_app(SPEC)
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


def test_a_component_that_cannot_be_used_stalls(world):
    world.versions.error = ComponentError("it traps", field="spec.tools[0].image")
    world.cluster.write_app(SPEC)
    world.look()
    assert world.cluster.condition("Stalled") == ("True", "InvalidComponent")
    assert not any(entry.startswith("apply") for entry in world.wrote())


def test_an_outage_leaves_what_runs_ready_and_repaired(world):
    cluster = world.run()
    world.versions.error = RegistryError("r.dev does not answer")
    world.versions.pods = "p1"
    cluster.write_app(SPEC, annotations={"ftl.tools/reconcile": "now"})
    world.look()
    assert cluster.condition("Ready") == ("True", "RegistryUnavailable")
    world.versions.error = None
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


def test_failures_are_tried_again_with_growing_delays(world):
    world.versions.error = RegistryError("r.dev does not answer")
    world.cluster.write_app(SPEC)
    delays = []
    for _ in range(4):
        before = world.now
        world.look()
        while world.queue.take(0) is None:
            world.now += 0.5
        world.queue.release(KEY)
        delays.append(world.now - before)
    assert delays == [1, 2, 4, 8]


def test_a_running_inspection_is_waited_for(world):
    world.versions.error = WaitingError("weather is being inspected (37.0 MB)")
    world.cluster.write_app(SPEC)
    world.look()
    assert world.cluster.condition("Reconciling") == ("True", "Progressing")
    assert "being inspected" in world.cluster.message()


def test_a_changed_secret_rolls_the_pods_and_asks_the_app_again(world):
    cluster = world.run()
    asked = world.asked.times
    world.versions.pods = "p2"
    world.look()
    assert cluster.objects[api_kinds.SPIN_APP, "tools"]["spec"]["podAnnotations"] == {
        "ftl.tools/sources": "p2"
    }
    assert cluster.condition("Ready") == ("False", "RollingOut")
    cluster.deploy()
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")
    assert world.asked.times == asked + 1


def test_a_silent_tool_is_named_and_asked_again(world):
    world.asked.answer = false("these components do not answer: weather: it traps", Reason.TOOLS_SILENT)
    cluster = world.run()
    assert cluster.condition("Verified") == cluster.condition("Ready") == ("False", "ToolsSilent")
    world.asked.answer = true("it answers", Reason.TOOLS_VERIFIED)
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


@pytest.mark.parametrize("how", ["pods", "tools"])
def test_a_version_that_is_not_ready_in_time_gives_way_to_the_last_good_one(world, how):
    cluster = world.run()
    world.versions.number = 2
    cluster.write_app({**SPEC, "description": "new"})
    world.look()
    cluster.deploy(ready=how == "tools")
    world.asked.answer = false("weather: it traps", Reason.TOOLS_SILENT)
    world.look()
    assert cluster.status["image"] == str(image(2))
    world.skew = timedelta(seconds=601)
    world.look()
    assert cluster.status["history"][0]["result"] == "RolledBack"
    world.asked.answer = true("it answers", Reason.TOOLS_VERIFIED)
    world.look()
    cluster.deploy()
    world.look()
    assert cluster.status["image"] == str(image(1))
    assert cluster.condition("Stalled") == ("True", "RolledBack")
    assert ("Warning", "RolledBack") in cluster.events
    world.wrote()
    world.look(3)
    assert world.wrote() == []
    world.versions.number = 3
    cluster.write_app({**SPEC, "description": "mended"})
    world.look()
    cluster.deploy()
    world.look()
    assert cluster.status["image"] == str(image(3))
    assert cluster.condition("Ready") == ("True", "Succeeded")


CRASHED_POD = {
    "metadata": {"name": "tools-1", "uid": "pod-1"},
    "spec": {"nodeName": "n1"},
    "status": {
        "containerStatuses": [
            {
                "name": "tools",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
            }
        ]
    },
}


def test_why_pods_fail_is_read_while_they_do_and_kept_when_a_rollback_deletes_them(world):
    cluster = world.run()
    world.look(3)
    assert cluster.reads == []
    world.versions.number = 2
    cluster.write_app({**SPEC, "description": "new"})
    world.look()
    cluster.deploy(ready=False)
    cluster.pod_list = [CRASHED_POD]
    cluster.log = "hunter2\nError: no such component\nError: exit status: 1\n"
    world.look()
    assert cluster.reads == ["events pod-1", "log tools-1/tools previous"]
    assert cluster.message().endswith(
        "pod tools-1 on node n1: CrashLoopBackOff: last exit code 1 (Error); its log ends with: "
        "Error: no such component"
    )
    world.skew = timedelta(seconds=601)
    world.look()
    assert "no such component" in cluster.status["history"][0]["message"]
    cluster.pod_list = []
    world.look()
    cluster.deploy()
    cluster.reads = []
    world.look()
    assert cluster.condition("Stalled") == ("True", "RolledBack")
    for condition in ("Ready", "Stalled"):
        assert "no such component" in cluster.message(condition)
    assert cluster.reads == []


@pytest.mark.parametrize("refused", [api_kinds.EVENT, api_kinds.POD])
def test_a_role_that_lacks_events_or_logs_costs_the_detail_only(world, refused):
    world.cluster.write_app(SPEC)
    world.look()
    world.cluster.deploy(ready=False)
    world.cluster.pod_list, world.cluster.refuses = [CRASHED_POD], {refused}
    world.look()
    assert world.cluster.condition("Ready") == ("False", "PodsFailing")
    assert "last exit code 1" in world.cluster.message()


def test_logs_are_not_read_where_the_setting_says_so():
    world = World(read_pod_logs=False)
    world.cluster.write_app(SPEC)
    world.look()
    world.cluster.deploy(ready=False)
    world.cluster.pod_list = [CRASHED_POD]
    world.look()
    assert world.cluster.reads == ["events pod-1"]


def test_a_first_version_that_never_gets_ready_stalls_with_its_cause_until_it_does(world):
    world.cluster.write_app(SPEC)
    world.look()
    world.cluster.deploy(ready=False)
    world.cluster.pod_list = [
        {
            "metadata": {"name": "tools-1"},
            "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
        }
    ]
    world.look()
    assert world.cluster.condition("Stalled") is None
    world.skew = timedelta(seconds=601)
    world.look(2)
    assert world.cluster.status["history"][0]["result"] == "RollingOut"
    assert world.cluster.condition("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert world.cluster.condition("Reconciling") is None
    assert "ErrImagePull" in world.cluster.message()
    assert ("Warning", "ProgressDeadlineExceeded") in world.cluster.events
    # It is still observed, and pods that do become ready end it.
    world.now += 61
    assert world.queue.take(0) == KEY
    world.queue.release(KEY)
    world.cluster.deploy()
    world.look()
    assert world.cluster.condition("Ready") == ("True", "Succeeded")
    assert world.cluster.condition("Stalled") is None


def test_suspending_takes_the_pods_away_and_resuming_brings_them_back(world):
    scaled = {
        **SPEC,
        "runtime": {
            "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "cpu": 50},
            "resources": {"requests": {"cpu": "10m"}},
        },
    }
    cluster = world.run(scaled)
    cluster.write_app({**scaled, "suspend": True})
    world.wrote()
    world.look()
    cluster.deploy(replicas=1)
    world.look(2)
    written = world.wrote()
    assert "delete HorizontalPodAutoscaler/tools" in written
    assert "scale Deployment/tools 0" in written
    assert cluster.condition("Ready") == ("True", "Suspended")
    releases = world.versions.releases
    world.look(2)
    assert world.wrote() == []
    assert world.versions.releases == releases

    cluster.write_app(scaled)
    world.look()
    written = world.wrote()
    assert written[0] == "scale Deployment/tools 2"
    assert "apply HorizontalPodAutoscaler/tools" in written
    cluster.deploy(replicas=2)
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


@pytest.mark.parametrize(
    "runtime",
    [
        {"replicas": 2},
        {
            "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "cpu": 50},
            "resources": {"requests": {"cpu": "10m"}},
        },
    ],
    ids=["replicas", "autoscaling"],
)
def test_a_resumed_app_is_not_ready_before_its_pods_are(world, runtime):
    cluster = world.run({**SPEC, "runtime": runtime})
    cluster.write_app({**SPEC, "runtime": runtime, "suspend": True})
    world.look()
    cluster.deploy(replicas=0)
    world.look()
    assert cluster.condition("Ready") == ("True", "Suspended")
    cluster.scaled_pods_are_ready = False
    cluster.write_app({**SPEC, "runtime": runtime})
    for _ in range(3):
        world.look()
        assert cluster.condition("Ready") == ("False", "RollingOut")
        assert cluster.message() == "0 of 2 pods are available"
    cluster.deploy(replicas=2)
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")


def test_an_app_that_does_not_answer_just_after_its_rollout_is_asked_again_before_that_is_told(
    world, monkeypatch
):
    # The clock is the machine's, which may be slow.
    monkeypatch.setattr(observer, "SETTLE_SECONDS", 3600.0)
    world.asked.answer = unknown("connection refused", Reason.NOT_VERIFIED)
    cluster = world.cluster
    cluster.write_app(SPEC)
    world.look()
    cluster.completed_at = datetime.now(UTC).isoformat()
    cluster.deploy()
    world.look(2)
    assert world.asked.times == 2
    assert cluster.condition("Verified") == ("Unknown", "Progressing")
    assert cluster.condition("Ready") == ("False", "Progressing")
    world.asked.answer = true("it answers", Reason.TOOLS_VERIFIED)
    world.look()
    assert cluster.condition("Ready") == ("True", "Succeeded")
    assert not any(reason == "NotVerified" for _, reason in cluster.events)


def test_an_app_that_cannot_be_reached_is_told_so_after_a_while_and_then_on(world):
    world.asked.answer = unknown("connection refused", Reason.NOT_VERIFIED)
    cluster = world.cluster
    cluster.completed_at = (datetime.now(UTC) - timedelta(seconds=20)).isoformat()
    world.run()
    assert cluster.condition("Verified") == ("Unknown", "NotVerified")
    assert cluster.condition("Ready") == ("True", "Succeeded")
    cluster.completed_at = datetime.now(UTC).isoformat()
    cluster.deploy()
    world.look()
    assert cluster.condition("Verified") == ("Unknown", "NotVerified")


def test_an_autoscaler_at_zero_is_left_alone(world):
    cluster = world.run(
        {**SPEC, "runtime": {"autoscaling": {"minReplicas": 0, "maxReplicas": 4, "scaler": "keda-http"}}}
    )
    world.wrote()
    cluster.deploy(replicas=0)
    world.look()
    assert cluster.condition("Ready") == ("True", "ScaledToZero")
    assert not any("scale" in entry for entry in world.wrote())


def test_the_url_names_the_interceptors_port_as_the_settings_have_it():
    scaling = {"minReplicas": 0, "maxReplicas": 4, "scaler": "keda-http"}
    cluster = World(interceptor_port=80).run({**SPEC, "runtime": {"autoscaling": scaling}})
    assert cluster.status["url"] == "http://tools-keda-http.ns.svc:80/mcp"
    assert cluster.objects[api_kinds.SERVICE, "tools-keda-http"]["spec"]["ports"][0]["port"] == 80


def test_a_missing_executor_is_told_and_nothing_applied(world):
    world.cluster.cache.observe_event(
        api_kinds.SPIN_APP_EXECUTOR,
        world.cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"],
        gone=True,
    )
    world.cluster.write_app(SPEC)
    world.look()
    assert world.cluster.condition("Ready") == ("False", "ExecutorMissing")
    assert not any(entry.startswith("apply") for entry in world.wrote())


MADE = {
    "shim": {"runtimeClassName": "wasmtime-spin-v2", "installDefaultCACerts": True},
    "container": {"spinImage": "r.dev/spin:4.1", "installDefaultCACerts": True},
}


@pytest.mark.parametrize("kind", MADE)
def test_a_missing_executor_is_made_once_and_stays(kind):
    world = World(executors_create=kind, executors_image="r.dev/spin:4.1")
    cluster = world.cluster
    there = cluster.objects.pop((api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"))
    cluster.cache.observe_event(api_kinds.SPIN_APP_EXECUTOR, there, gone=True)
    world.run()
    assert cluster.condition("Ready") == ("True", "Succeeded")
    made = cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"]
    assert made["spec"] == {"createDeployment": True, "deploymentConfig": MADE[kind]}
    assert "ownerReferences" not in made["metadata"], "it stays when the app goes"
    world.look(3)
    assert world.wrote().count("create SpinAppExecutor/containerd-shim-spin") == 1


HPA = {"runtime": {"autoscaling": {"minReplicas": 2, "maxReplicas": 3, "cpu": 70}}}
HPA["runtime"]["resources"] = {"requests": {"cpu": "1"}}


@pytest.mark.parametrize(("minutes", "scaled"), [(0, ["scale Deployment/tools 2"]), (3, [])])
def test_pods_that_another_scaler_took_away_come_back_for_one_that_cannot_start_them(world, minutes, scaled):
    """A HorizontalPodAutoscaler leaves zero alone; a person who sets zero later has meant it."""
    world.run({**SPEC, **HPA})
    made = world.cluster.objects[api_kinds.HORIZONTAL_POD_AUTOSCALER, "tools"]
    made["metadata"]["creationTimestamp"] = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    world.cluster.put(api_kinds.HORIZONTAL_POD_AUTOSCALER, made)
    world.look()
    world.wrote()
    world.cluster.deploy(replicas=0)
    world.look(2)
    assert [entry for entry in world.wrote() if entry.startswith("scale")] == scaled


def test_an_executor_that_is_there_is_not_touched():
    world = World(executors_create="container", executors_image="r.dev/spin:4.1")
    before = world.cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"]
    world.run()
    assert world.cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"] is before
    assert not any("SpinAppExecutor" in entry for entry in world.wrote())


def test_an_executor_that_somebody_makes_at_the_same_moment_is_taken():
    world = World(executors_create="shim")
    theirs = world.cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"]
    world.cluster.cache.observe_event(api_kinds.SPIN_APP_EXECUTOR, theirs, gone=True)
    world.run()
    assert world.cluster.objects[api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"] is theirs
    assert (api_kinds.SPIN_APP, "tools") in world.cluster.objects


def test_no_executor_is_made_for_a_suspended_app():
    world = World(executors_create="shim")
    there = world.cluster.objects.pop((api_kinds.SPIN_APP_EXECUTOR, "containerd-shim-spin"))
    world.cluster.cache.observe_event(api_kinds.SPIN_APP_EXECUTOR, there, gone=True)
    world.cluster.write_app({**SPEC, "suspend": True})
    world.look()
    assert not any("SpinAppExecutor" in entry for entry in world.wrote())


@pytest.mark.parametrize(
    ("spec", "api", "ready"),
    [
        ({"telemetry": {"serviceMonitor": True}}, api_kinds.SERVICE_MONITOR, ("True", "Succeeded")),
        (
            {"route": {"host": "a.dev", "gatewayRef": {"name": "g"}}},
            api_kinds.HTTP_ROUTE,
            ("False", "ApiMissing"),
        ),
    ],
)
def test_a_missing_api_is_told(spec, api, ready):
    cluster = World(api_kinds.EVERY_API - {api}).run({**SPEC, **spec})
    assert cluster.condition("Ready") == ready
    assert api.kind in cluster.message()
    assert (api_kinds.SPIN_APP, "tools") in cluster.objects


def test_only_so_many_apps_are_rolled_out_at_once_that_nobody_changed():
    world = World(max_rollouts=1)
    cluster = world.run()
    rolling = [{"image": "i", "generation": 1, "time": "2999-01-01T00:00:00Z", "result": "RollingOut"}]
    other = {"metadata": {"name": "other", "namespace": "ns", "uid": "u", "resourceVersion": "1"}}
    cluster.cache.observe_event(api_kinds.FTL_APP, other | {"status": {"history": rolling}})
    world.versions.number = 2
    cluster.write_app(SPEC, annotations={"ftl.tools/reconcile": "now"})
    world.wrote()
    world.look()
    assert cluster.status["image"] == str(image(1))
    assert cluster.condition("Ready") == ("True", "Succeeded")
    assert "waits" in cluster.message()
    assert world.wrote() == ["status FtlApp/tools"]
    cluster.cache.observe_event(api_kinds.FTL_APP, other, gone=True)
    world.look()
    assert cluster.status["image"] == str(image(2))


def test_a_spec_that_somebody_changed_waits_for_nobody():
    world = World(max_rollouts=1)
    cluster = world.run()
    rolling = [{"image": "i", "generation": 1, "time": "2999-01-01T00:00:00Z", "result": "RollingOut"}]
    other = {"metadata": {"name": "other", "namespace": "ns", "uid": "u", "resourceVersion": "1"}}
    cluster.cache.observe_event(api_kinds.FTL_APP, other | {"status": {"history": rolling}})
    world.versions.number = 2
    cluster.write_app({**SPEC, "description": "new"})
    world.look()
    assert cluster.status["image"] == str(image(2))


def test_an_app_that_changes_during_a_look_is_looked_at_again(world):
    cluster = world.cluster
    cluster.write_app(SPEC)
    real = world.versions.release

    def meanwhile(app, status, stages):
        cluster.write_app({**SPEC, "description": "changed meanwhile"})
        return real(app, status, stages)

    world.versions.release = meanwhile
    world.look()
    assert cluster.status == {}
    world.versions.release = real
    world.now += 5
    assert world.queue.take(0) == KEY
    world.look()
    assert cluster.status["observedGeneration"] == 2


def test_a_deleted_app_is_forgotten(world):
    cluster = world.run()
    world.wrote()
    cluster.cache.observe_event(api_kinds.FTL_APP, cluster.objects[api_kinds.FTL_APP, "tools"], gone=True)
    world.look()
    assert world.wrote() == []
    assert world.queue.take(0) is None


EXTERNAL = SPEC | {"runtime": {"executor": "external"}}
UP = {"type": "Available", "status": "True", "reason": "Scheduled", "message": "3 instances"}


@pytest.fixture
def external(world):
    """A world with an executor that makes no Deployment."""
    world.cluster.put(api_kinds.SPIN_APP_EXECUTOR, {"spec": {"createDeployment": False}}, "external")
    return world


def test_without_a_deployment_an_app_is_as_available_as_its_spin_app_says(external):
    cluster = external.cluster
    cluster.write_app(EXTERNAL)
    external.look()
    # spin-operator's webhook refuses these then.
    assert not {"deploymentAnnotations", "podAnnotations"} & set(
        cluster.objects[api_kinds.SPIN_APP, "tools"]["spec"]
    )
    # Nobody says anything yet, and the app answers through its Service.
    assert cluster.condition("Available") == ("Unknown", "NoDeployment")
    assert cluster.condition("Verified") == ("True", "ToolsVerified")
    assert cluster.condition("Ready") == ("True", "NoDeployment")
    assert cluster.report(conditions=[UP | {"status": "False", "message": "no node"}]) == [KEY]
    external.look()
    assert cluster.condition("Available") == ("False", "NoDeployment")
    assert "no node" in cluster.message("Available")
    assert cluster.condition("Ready") == ("False", "NoDeployment")
    assert cluster.condition("Reconciling") == ("True", "Progressing")
    assert cluster.report(conditions=[UP], readyReplicas=3) == [KEY]
    external.look()
    assert cluster.condition("Available") == ("True", "NoDeployment")
    assert cluster.condition("Ready") == ("True", "Succeeded")
    assert cluster.status["readyReplicas"] == 3
    assert cluster.status["history"][0]["result"] == "Serving"
    external.wrote()
    external.look(3)
    assert external.wrote() == []


def test_without_a_deployment_an_app_that_cannot_be_asked_is_ready_and_not_verified(external):
    external.asked.answer = unknown("the app could not be asked", Reason.NOT_VERIFIED)
    external.cluster.write_app(EXTERNAL)
    external.look()
    external.cluster.report(conditions=[UP])
    external.look()
    assert external.cluster.condition("Verified") == ("Unknown", "NotVerified")
    assert external.cluster.condition("Ready") == ("True", "Succeeded")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"suspend": True}, "spec.suspend"),
        ({"runtime": {"autoscaling": {"maxReplicas": 3, "cpu": 80}}}, "spec.runtime.autoscaling"),
        ({"runtime": {"podAnnotations": {"a": "b"}}}, "spec.runtime.podAnnotations"),
    ],
)
def test_what_needs_a_deployment_is_refused_without_one_and_granted_once_there_is_one(external, spec, field):
    cluster = external.cluster
    resources = {"resources": {"limits": {"cpu": "1"}}}
    runtime = {"runtime": {"executor": "external", **resources, **spec.get("runtime", {})}}
    cluster.write_app({**SPEC, **spec, **runtime})
    external.look()
    assert cluster.condition("Stalled") == ("True", "NoDeployment")
    assert cluster.message("Stalled").startswith(field)
    assert (api_kinds.SPIN_APP, "tools") not in cluster.objects
    assert cluster.put(api_kinds.SPIN_APP_EXECUTOR, {"spec": {"createDeployment": True}}, "external") == [KEY]
    external.look()
    assert cluster.condition("Stalled") is None


def test_a_version_that_its_spin_app_calls_unavailable_for_too_long_gives_way(external):
    cluster = external.cluster
    cluster.write_app(EXTERNAL)
    external.look()
    cluster.report(conditions=[UP | {"observedGeneration": 1}])
    external.look()
    assert cluster.status["history"][0]["result"] == "Serving"
    external.versions.number = 2
    cluster.write_app({**EXTERNAL, "description": "new"})
    external.look()
    assert cluster.condition("Ready") == ("False", "RollingOut")
    cluster.report(conditions=[UP | {"observedGeneration": 2, "status": "False", "message": "it traps"}])
    external.look()
    assert cluster.condition("Ready") == ("False", "NoDeployment")
    external.skew = timedelta(seconds=601)
    external.look(2)
    assert cluster.status["image"] == str(image(1))
    assert cluster.condition("Stalled") == ("True", "RolledBack")
    assert "it traps" in cluster.status["history"][0]["message"]


def test_an_app_whose_namespace_is_being_deleted_is_left_alone(world, caplog):
    cluster = world.run()
    world.wrote()
    events, errors = len(cluster.events), count_errors()
    cluster.is_terminating = True
    for api, name in [found for found in cluster.objects if found[0] in api_kinds.OWNED]:
        cluster.delete(api, "ns", name, cluster.objects[api, name]["metadata"]["uid"])
        world.wrote()
        world.look()
    assert cluster.refused == 1
    assert world.wrote() == []
    assert len(cluster.events) == events
    assert count_errors() == errors
    assert not caplog.records
    # Whatever becomes of the namespace, it is not forgotten, and an app that comes anew is looked at at once.
    world.now += 31
    assert world.queue.take(0) == KEY
    cluster.is_terminating = False
    del cluster.objects[api_kinds.FTL_APP, "tools"]
    cluster.write_app(SPEC)
    world.look()
    assert "apply SpinApp/tools" in world.wrote()


def test_an_event_that_is_refused_for_that_is_enough_to_know(world):
    world.cluster.is_terminating = True
    world.cluster.write_app({**SPEC, "tools": []})
    world.look(5)
    assert world.cluster.refused == 1


def count_errors():
    return sum(
        sample.value
        for metric in metrics.ERRORS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def test_a_defect_is_an_outcome_and_its_text_stays_in_the_log(world, caplog):
    world.versions.error = ZeroDivisionError("a secret in a traceback")
    world.cluster.write_app(SPEC)
    world.look()
    assert world.cluster.condition("Ready") == ("False", "InternalError")
    assert "secret" not in str(world.cluster.status)
    assert "ZeroDivisionError" in caplog.text
