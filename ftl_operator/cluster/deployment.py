"""Reads the state of a rollout from a Deployment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftl_operator.api.names import DIGEST_ANNOTATION, SPEC_ANNOTATION
from ftl_operator.api.scheduling import CONTAINER_FIELDS, POD_FIELDS


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of a Deployment's rollout."""

    image: str
    generation: int
    observed_generation: int
    desired: int
    total: int
    updated: int
    ready: int
    available: int
    is_available: bool
    spec_digest: str
    """The digest of the SpinApp's spec that it was made from; an annotation."""
    message: str
    """The Deployment controller's message while pods cannot be created (quota, admission)."""
    owner: str = ""
    """The uid of the SpinApp that owns it."""
    uid: str = ""
    """The Deployment's uid."""
    applied_digest: str = ""
    """The digest of the operator's part that was applied last; an annotation."""
    completed_at: str = ""
    """When its controller saw the last rollout complete; empty if one is under way."""
    pod: Mapping[str, Any] = field(default_factory=dict)
    """The pod template's fields that the operator sets; those of the container are under `container`."""

    @property
    def is_observed(self) -> bool:
        """Whether the status is about the current template."""
        return self.observed_generation >= self.generation

    @property
    def is_out(self) -> bool:
        """Whether every existing pod runs the current template."""
        return self.is_observed and self.updated >= self.desired and self.total <= self.updated

    @property
    def is_complete(self) -> bool:
        """Whether all pods run the current template and are available, as `kubectl rollout status` says."""
        return self.is_out and self.available >= self.desired

    @property
    def is_scaled_to_zero(self) -> bool:
        """Whether zero pods are desired and none is left."""
        return self.is_observed and self.desired == 0 and self.total == 0


def rollout_of(deployment: Mapping[str, Any]) -> Rollout:
    """Read a Deployment. The API server omits zeros in the status."""
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    template = spec.get("template", {}).get("spec", {})
    containers = template.get("containers") or [{}]
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    failure = conditions.get("ReplicaFailure", {})
    progress = conditions.get("Progressing", {})
    is_out = progress.get("reason") == "NewReplicaSetAvailable"
    owners = deployment["metadata"].get("ownerReferences") or ()
    image = str(containers[0].get("image", ""))
    arguments = containers[0].get("args") or []
    if "-f" in arguments[:-1]:
        # An executor with `spinImage` runs Spin itself as the container and names the artifact in its
        # arguments.
        image = str(arguments[arguments.index("-f") + 1])
    return Rollout(
        image=image,
        generation=int(deployment["metadata"].get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        desired=int(spec.get("replicas", 1)),
        total=int(status.get("replicas", 0)),
        updated=int(status.get("updatedReplicas", 0)),
        ready=int(status.get("readyReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        is_available=conditions.get("Available", {}).get("status") == "True",
        spec_digest=str((deployment["metadata"].get("annotations") or {}).get(SPEC_ANNOTATION, "")),
        message=str(failure.get("message", "")) if failure.get("status") == "True" else "",
        owner=next((item["uid"] for item in owners if item.get("kind") == "SpinApp"), ""),
        uid=str(deployment["metadata"].get("uid", "")),
        applied_digest=str((deployment["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION, "")),
        completed_at=str(progress.get("lastUpdateTime", "")) if is_out else "",
        pod=_chosen(template, POD_FIELDS)
        | ({"container": container} if (container := _chosen(containers[0], CONTAINER_FIELDS)) else {}),
    )


def _chosen(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
