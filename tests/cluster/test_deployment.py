import pytest

from ftl_operator.api.names import SPEC_ANNOTATION
from ftl_operator.cluster.deployment import Rollout, rollout_of


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


@pytest.mark.parametrize(
    ("reason", "completed_at"),
    [("NewReplicaSetAvailable", "2026-01-01T00:00:00Z"), ("ReplicaSetUpdated", "")],
)
def test_when_a_rollout_completed_is_told_once_it_has(reason, completed_at):
    condition = {
        "type": "Progressing",
        "status": "True",
        "reason": reason,
        "lastUpdateTime": "2026-01-01T00:00:00Z",
    }
    assert rollout_of(deployment(status={"conditions": [condition]})).completed_at == completed_at


def test_a_quota_is_told():
    status = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
    assert rollout_of(deployment(status=status)).message == "exceeded quota"
