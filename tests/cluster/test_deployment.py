from datetime import UTC, datetime

import pytest

from ftl_operator.api.names import SPEC_ANNOTATION
from ftl_operator.cluster.deployment import Rollout, pod_cause, rollout_of

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def deployment(spec=None, status=None, generation=3):
    return {
        "metadata": {"name": "a", "generation": generation, "annotations": {SPEC_ANNOTATION: "5d41"}},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [{"image": "r.dev/a@sha256:1", "command": ["/"]}]}},
            **(spec or {}),
        },
        "status": status or {},
    }


DONE = {
    "observedGeneration": 3,
    "replicas": 2,
    "updatedReplicas": 2,
    "readyReplicas": 2,
    "availableReplicas": 2,
    "conditions": [{"type": "Available", "status": "True"}],
}


def test_a_finished_rollout():
    rollout = rollout_of(deployment(status=DONE))
    assert rollout == Rollout("r.dev/a@sha256:1", 3, 3, 2, 2, 2, 2, 2, True, "5d41", "")
    assert rollout.is_complete
    assert not rollout.is_scaled_to_zero


@pytest.mark.parametrize(
    "change",
    [
        {"observedGeneration": 2},
        {"updatedReplicas": 1},
        {"replicas": 3},
        {"availableReplicas": 1},
    ],
)
def test_an_unfinished_rollout(change):
    assert not rollout_of(deployment(status=DONE | change)).is_complete


def test_nothing_known_yet_is_not_finished():
    rollout = rollout_of(deployment())
    assert not rollout.is_complete
    assert not rollout.is_available


def test_scaled_to_zero():
    rollout = rollout_of(deployment({"replicas": 0}, {"observedGeneration": 3}))
    assert rollout.is_scaled_to_zero
    assert rollout.is_complete


def test_an_executor_with_spin_in_a_container_names_the_artifact_in_its_arguments():
    container = {
        "image": "ghcr.io/spin:3.6",
        "args": ["up", "--listen", "0.0.0.0:80", "-f", "r.dev/a@sha256:2"],
    }
    rollout = rollout_of(deployment({"template": {"spec": {"containers": [container]}}}))
    assert rollout.image == "r.dev/a@sha256:2"


def test_a_quota_is_told():
    status = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
    assert rollout_of(deployment(status=status)).message == "exceeded quota"


def pod(name, created="2026-01-01T00:00:00Z", **status):
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def container(**state):
    return {"containerStatuses": [state]}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"phase": "Pending"}, ""),
        (container(state={"waiting": {"reason": "ContainerCreating"}}), ""),
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
        (
            container(state={"running": {"startedAt": "2026-01-01T00:00:00Z"}}, started=True, ready=False),
            "pod a: it runs, but its readiness probe fails",
        ),
        (container(state={"running": {"startedAt": "2026-01-01T00:00:50Z"}}, started=True, ready=False), ""),
        ({"phase": "Failed", "reason": "Evicted", "message": "memory"}, "pod a: Evicted: memory"),
        (container(state={"running": {}}, started=True, ready=True), ""),
    ],
)
def test_pods_tell_their_cause(status, cause):
    assert pod_cause([pod("a", **status)], NOW) == cause


def test_the_newest_pod_with_a_cause_speaks():
    old = pod("old", "2026-01-01T00:00:00Z", phase="Failed", reason="Evicted")
    new = pod("new", "2026-01-02T00:00:00Z", phase="Failed", reason="NodeLost")
    quiet = pod("quiet", "2026-01-03T00:00:00Z", phase="Running")
    assert pod_cause([old, new, quiet], NOW) == "pod new: NodeLost"


def test_a_container_that_still_compiles_is_told_from_one_that_fails():
    started = {"startedAt": "2026-01-01T00:00:00Z"}
    status = {"ready": False, "started": False, "state": {"running": started}}
    pod = {"metadata": {"name": "a"}, "status": {"containerStatuses": [status]}}
    later = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert "startup probe" in pod_cause([pod], later)
    status["started"] = True
    assert "readiness probe" in pod_cause([pod], later)
