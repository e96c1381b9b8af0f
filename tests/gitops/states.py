"""Every kind of status that the operator can write, made by the operator's own pure function."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

from ftl_operator.api.conditions import PIPELINE, false, true, unknown
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.controller.status.conditions import next_status
from ftl_operator.controller.status.inputs import StatusInput
from ftl_operator.errors import (
    ClusterError,
    ComponentError,
    FtlError,
    IssuerError,
    Reason,
    RegistryError,
    SpecError,
)

NOW = datetime(2026, 7, 28, tzinfo=UTC)
GENERATION = 3
IMAGE = "registry.acme.dev/ftl/agents/hello@sha256:" + "0" * 64

ERRORS: tuple[FtlError | None, ...] = (
    None,
    SpecError("write something else", field="spec.tools[0].image"),
    ComponentError("it traps", reason=Reason.COMPONENT_FAILED),
    RegistryError("no answer"),
    RegistryError("refused", reason=Reason.REGISTRY_UNAUTHORIZED),
    IssuerError("no answer"),
    ClusterError("no such kind", reason=Reason.API_MISSING),
    ClusterError("a defect", reason=Reason.INTERNAL),
)


def rollout(desired: int, total: int, updated: int, available: int, *, seen: bool = True) -> Rollout:
    return Rollout(
        image=IMAGE,
        generation=2,
        observed_generation=2 if seen else 1,
        desired=desired,
        total=total,
        updated=updated,
        ready=available,
        available=available,
        is_available=available > 0,
        spec_digest="",
        message="",
    )


ROLLOUTS = {
    "no Deployment": None,
    "scaled to zero": rollout(0, 0, 0, 0),
    "starting": rollout(2, 1, 1, 0),
    "rolling": rollout(2, 3, 1, 2),
    "not seen": rollout(2, 2, 2, 2, seen=False),
    "complete": rollout(2, 2, 2, 2),
    "stopping": rollout(0, 1, 1, 1),
}
PROBES = {
    "not asked": None,
    "answers": true("2 tools", Reason.TOOLS_VERIFIED),
    "silent": false("'weather' does not answer", Reason.TOOLS_SILENT),
    "soon": unknown("not asked yet", Reason.NOT_VERIFIED),
}
STAGES = {
    "none": {},
    "all": {condition: true("done") for condition in PIPELINE},
}
RUNS = StatusInput(
    old=FtlAppStatus(),
    generation=GENERATION,
    now=NOW,
    stages=STAGES["all"],
    facts={"image": IMAGE},
    rollout=ROLLOUTS["complete"],
    probe=PROBES["answers"],
)
BEFORE = {
    "new": FtlAppStatus(),
    "ready": next_status(RUNS),
    "of the spec before": next_status(replace(RUNS, generation=GENERATION - 1)),
}


def objects() -> Iterator[dict[str, Any]]:
    """FtlApps in every combination, and those that the operator has not seen or whose spec it has not."""
    yield app({}, suspend=False)
    yield app(None, suspend=False)
    for old in BEFORE.values():
        yield app(old.document(), suspend=False, generation=GENERATION + 1)
    combined = product(
        BEFORE.values(),
        ERRORS,
        ("", "an inspection runs"),
        (False, True),
        ROLLOUTS.values(),
        PROBES.values(),
        STAGES.values(),
        ("", IMAGE),
        (True, False),
    )
    for old, error, waiting, suspended, seen, probe, stages, rolled_back, is_current in combined:
        given = StatusInput(
            old=old,
            generation=GENERATION,
            now=NOW,
            stages=stages,
            error=error,
            facts={"image": IMAGE} if stages else {},
            waiting=waiting,
            suspended=suspended,
            rollout=seen,
            probe=probe,
            rolled_back=rolled_back,
            is_current=is_current,
            cause="pod x: crashed",
        )
        yield app(next_status(given).document(), suspend=suspended)


def app(status: dict[str, Any] | None, *, suspend: bool, generation: int = GENERATION) -> dict[str, Any]:
    body: dict[str, Any] = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "hello", "namespace": "agents", "generation": generation},
        "spec": {"tools": [{"name": "weather", "image": "ghcr.io/acme/weather:1"}]},
    }
    if suspend:
        body["spec"]["suspend"] = True
    if status is not None:
        body["status"] = status
    return body


def distinct() -> list[dict[str, Any]]:
    """The objects that differ in what a health check can see: messages are all the same to it."""
    seen: dict[str, dict[str, Any]] = {}
    for item in objects():
        status = item.get("status") or {}
        shape = [(c["type"], c["status"], c["reason"]) for c in status.get("conditions", ())]
        key = repr(
            ("status" in item, status.get("observedGeneration"), item["metadata"], item["spec"], shape)
        )
        seen.setdefault(key, item)
    return list(seen.values())
