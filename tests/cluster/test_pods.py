"""Why pods do not become ready, from documents as kubelets, the scheduler and the node controller write them.

The texts of events are those of Kubernetes (`pkg/kubelet/events`, `pkg/kubelet/prober`,
`pkg/controller/util/node`) and containerd; those of logs are Spin's (spinframework/spin#959, #1662, #2969).
"""

from datetime import UTC, datetime

import pytest

from ftl_operator.cluster.pods import Crash, crash, failing_pods, has_events, last_words, pod_cause

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"


def pod(name="a", created=CREATED, node=None, **status):
    spec = {"nodeName": node} if node else {}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": spec, "status": status}


def container(**state):
    return {"containerStatuses": [{"name": "tools", **state}]}


def event(reason, note, at="2026-01-01T00:00:40Z", kind="Warning"):
    """An event of a kubelet, which writes `v1`, as `events.k8s.io/v1` gives it."""
    return {
        "metadata": {"name": f"a.{abs(hash(note)):x}", "creationTimestamp": CREATED},
        "type": kind,
        "reason": reason,
        "note": note,
        "eventTime": None,
        "deprecatedFirstTimestamp": CREATED,
        "deprecatedLastTimestamp": at,
        "deprecatedCount": 4,
        "deprecatedSource": {"component": "kubelet", "host": "n1"},
    }


def scheduler_event(reason, note, at="2026-01-01T00:00:40.123456Z"):
    """An event of the scheduler, which writes `events.k8s.io/v1` itself."""
    return {
        "type": "Warning",
        "reason": reason,
        "note": note,
        "eventTime": at,
        "deprecatedLastTimestamp": None,
    }


CREATING = container(state={"waiting": {"reason": "ContainerCreating"}})
RUNNING = container(state={"running": {"startedAt": CREATED}}, started=True, ready=False)
STARTING = container(state={"running": {"startedAt": CREATED}}, started=False, ready=False)
KILLED = container(
    state={"running": {"startedAt": "2026-01-01T00:00:55Z"}},
    lastState={"terminated": {"exitCode": 137, "reason": "Error"}},
    started=False,
    ready=False,
)
CRASHED = container(
    state={
        "waiting": {
            "reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container=tools pod=a_ns(9f3)",
        }
    },
    lastState={"terminated": {"exitCode": 1, "reason": "Error"}},
    ready=False,
)
NOT_READY = {
    "type": "Ready",
    "status": "False",
    "reason": "ContainersNotReady",
    "message": "containers with unready status: [tools]",
}
LOST = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "False"}],
    **container(state={"running": {"startedAt": CREATED}}, started=True, ready=True),
}
SANDBOX = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
    'no runtime for "spin" is configured'
)
UNLINKED = """\
Serving http://0.0.0.0:80
Logging component stdio to ".spin/logs/"

Error: Failed to instantiate component 'weather'

Caused by:
   0: component imports instance `acme:gpu/x@1.0.0`, but a matching implementation was not found in the linker
   1: instance export `run` has the wrong type
Error: exit status: 1
"""


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"phase": "Pending"}, ""),
        (CREATING, ""),
        ({"conditions": [NOT_READY], **CREATING}, ""),
        ({"conditions": [NOT_READY]}, ""),
        (
            container(state={"waiting": {"reason": "ErrImagePull", "message": "not\n found"}}),
            "pod a: ErrImagePull: not found",
        ),
        (
            container(
                state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            ),
            "pod a: CrashLoopBackOff: back-off: last exit code 137 (OOMKilled)",
        ),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available",
                    }
                ]
            },
            "pod a: Unschedulable: 0/3 nodes are available",
        ),
        (RUNNING, "pod a: it runs, but its readiness probe fails"),
        (
            STARTING,
            "pod a: it runs, but its startup probe has not succeeded yet: Spin compiles the components",
        ),
        (container(state={"running": {"startedAt": "2026-01-01T00:00:50Z"}}, started=True, ready=False), ""),
        ({"phase": "Failed", "reason": "Evicted", "message": "memory"}, "pod a: Evicted: memory"),
        (container(state={"running": {}}, started=True, ready=True), ""),
    ],
)
def test_the_status_of_a_pod_tells_its_cause(status, cause):
    assert pod_cause(pod(**status), NOW) == cause


@pytest.mark.parametrize(
    ("status", "events", "cause"),
    [
        pytest.param(
            CREATING,
            [
                event("Scheduled", "Successfully assigned ns/a to n1", CREATED, "Normal"),
                event("FailedCreatePodSandBox", f"(combined from similar events): {SANDBOX}"),
            ],
            f"FailedCreatePodSandBox: {SANDBOX}",
            id="no-runtime-handler",
        ),
        pytest.param(
            CREATING,
            [
                event(
                    "FailedMount", 'MountVolume.SetUp failed for volume "keys" : secret "api-keys" not found'
                )
            ],
            'FailedMount: MountVolume.SetUp failed for volume "keys" : secret "api-keys" not found',
            id="missing-secret",
        ),
        pytest.param(
            {"phase": "Pending"},
            [
                event(
                    "FailedMount", 'MountVolume.SetUp failed for volume "c" : configmap "settings" not found'
                )
            ],
            'FailedMount: MountVolume.SetUp failed for volume "c" : configmap "settings" not found',
            id="missing-config-map",
        ),
        pytest.param(
            CREATING,
            [
                event("FailedMount", "failed to sync configmap cache: timed out", "2026-01-01T00:00:01Z"),
                event("Pulling", 'Pulling image "r.dev/a@sha256:1"', "2026-01-01T00:00:01Z", "Normal"),
            ],
            "",
            id="a-mount-that-succeeded-later",
        ),
        pytest.param(
            CREATING,
            [
                scheduler_event("FailedScheduling", "0/1 nodes are available: 1 Too many pods."),
                event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (r)"),
                event("DNSConfigForming", "Nameserver limits were exceeded"),
            ],
            "",
            id="warnings-that-hinder-nothing",
        ),
        pytest.param(
            RUNNING,
            [
                event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
                event("Unhealthy", "Liveness probe failed: other", "2026-01-01T00:00:45Z"),
            ],
            "it runs, but its readiness probe fails: HTTP probe failed with statuscode: 503",
            id="readiness",
        ),
        pytest.param(
            STARTING,
            [event("Unhealthy", 'Startup probe failed: Get "http://10.0.0.1:80/": connection refused')],
            "it runs, but its startup probe has not succeeded yet: Spin compiles the components: "
            'Get "http://10.0.0.1:80/": connection refused',
            id="startup",
        ),
        pytest.param(
            KILLED,
            [
                event("Unhealthy", "Liveness probe failed: context deadline exceeded"),
                event("Killing", "Container tools failed liveness probe, will be restarted", kind="Normal"),
            ],
            "last exit code 137 (Error); killed because its liveness probe failed: context deadline exceeded",
            id="liveness-kill",
        ),
        pytest.param(
            KILLED,
            [event("Killing", "Stopping container tools", kind="Normal")],
            "last exit code 137 (Error)",
            id="killed-by-somebody-else",
        ),
        pytest.param(
            LOST,
            [event("NodeNotReady", "Node is not ready")],
            "NodeNotReady: Node is not ready",
            id="node-gone",
        ),
        pytest.param(
            container(
                state={
                    "waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "r.dev/a"'}
                }
            ),
            [
                event("Failed", 'Failed to pull image "r.dev/a": 401 Unauthorized'),
                event(
                    "FailedToRetrieveImagePullSecret",
                    "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may "
                    "not succeed.",
                ),
            ],
            'ImagePullBackOff: Back-off pulling image "r.dev/a"; Unable to retrieve some image pull secrets '
            "(regcred); attempting to pull the image may not succeed.; "
            'Failed to pull image "r.dev/a": 401 Unauthorized',
            id="missing-pull-secret",
        ),
    ],
)
def test_events_tell_what_the_status_does_not(status, events, cause):
    told = f"pod a on node n1: {cause}" if cause else ""
    assert pod_cause(pod(node="n1", **status), NOW, events) == told


@pytest.mark.parametrize(
    ("log", "words"),
    [
        pytest.param(
            UNLINKED,
            "Error: Failed to instantiate component 'weather' Caused by: 0: component imports instance "
            "`acme:gpu/x@1.0.0`, but a matching implementation was not found in the linker 1: instance "
            "export `run` has the wrong type",
            id="cannot-link",
        ),
        pytest.param("\x1b[31;1mError: \x1b[0mno such file\n", "Error: no such file", id="coloured"),
        pytest.param(
            "exec /usr/local/bin/spin: exec format error", "exec /usr/local/bin/spin: exec format error"
        ),
        pytest.param("Error: token=hunter2\nbye\n", "", id="a-tools-own-error"),
        pytest.param("password: hunter2\n", "", id="what-a-tool-prints"),
        pytest.param(
            "Error: token=hunter2\nretrying\nError: out of disk\n",
            "Error: out of disk",
            id="a-tool-then-spin",
        ),
        pytest.param("", "", id="nothing"),
    ],
)
def test_of_a_log_only_the_last_words_of_spin_are_told(log, words):
    assert last_words(log) == words


def test_a_crash_is_told_with_what_spin_said_in_bounded_printable_text():
    told = pod_cause(pod(**CRASHED), NOW, log=UNLINKED)
    assert (
        "last exit code 1 (Error); its log ends with: Error: Failed to instantiate component 'weather'"
        in told
    )
    long = pod_cause(pod(**CRASHED), NOW, log="Error: https://u:hunter2@r.dev \x00" + "x" * 9000)
    assert "hunter2" not in long
    assert long.isprintable()
    assert len(long) < 600


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (CRASHED, Crash("tools", is_previous=True)),
        (container(state={"terminated": {"exitCode": 101}}), Crash("tools", is_previous=False)),
        (KILLED, None),
        (container(state={"terminated": {"exitCode": 1, "message": "it said why"}}), None),
        (container(state={"terminated": {"exitCode": 0, "reason": "Completed"}}), None),
        (RUNNING, None),
    ],
)
def test_only_a_container_that_ended_by_itself_has_last_words(status, found):
    assert crash(pod(**status)) == found


def test_events_are_of_use_while_a_node_has_the_pod():
    assert has_events(pod(node="n1", **CREATING))
    assert not has_events(pod(phase="Pending"))
    assert not has_events(pod(node="n1", phase="Failed", reason="Evicted"))


def test_of_the_pods_that_fail_the_newest_comes_first():
    old = pod("old", "2026-01-01T00:00:00Z", phase="Failed", reason="Evicted")
    new = pod("new", "2026-01-01T00:00:30Z", **CREATING)
    fresh = pod("fresh", "2026-01-01T00:00:58Z", **CREATING)
    crashed = pod("crashed", "2026-01-01T00:00:59Z", **CRASHED)
    assert [item["metadata"]["name"] for item in failing_pods([old, new, fresh, crashed], NOW)] == [
        "crashed",
        "new",
        "old",
    ]


def test_ready_pods_and_those_that_go_have_no_say():
    restarted = pod(conditions=[{"type": "Ready", "status": "True"}], **KILLED)
    going = pod(**CRASHED)
    going["metadata"]["deletionTimestamp"] = CREATED
    assert failing_pods([restarted, going], NOW) == []


def test_a_sidecar_that_is_ready_and_an_init_container_that_is_done_are_no_cause():
    done = {"name": "init", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "ready": False}
    sidecar = {
        "name": "mesh",
        "state": {"running": {"startedAt": CREATED}},
        "ready": True,
        "lastState": {"terminated": {"exitCode": 1}},
    }
    status = {"initContainerStatuses": [done], "containerStatuses": [sidecar]}
    assert pod_cause(pod(**status), NOW) == ""
    failed = {"name": "init", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}
    assert pod_cause(pod(initContainerStatuses=[failed]), NOW) == "pod a: last exit code 2 (Error)"
