"""The status of an FtlApp from what happened and what was seen. Pure: the old status and the time come in.

Written for kstatus, so `kubectl wait`, Helm, Flux and Argo CD understand it: `observedGeneration` in the
status and in every condition, `Reconciling` and `Stalled` there only while they are true, `Ready` true only
when the cluster is as the spec wants it. An outage of a registry or an issuer is no reason to call a
running app not ready: its stage says what is wrong and `Ready` repeats the reason.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ftl_operator.api.conditions import (
    PIPELINE,
    ConditionState,
    ConditionType,
    false,
    finding,
    timestamp,
    true,
    unknown,
)
from ftl_operator.controller.status.inputs import Observed, Outcome
from ftl_operator.errors import Reason

_FOR_PEOPLE = (Reason.REFERENCE_NOT_FOUND, Reason.REGISTRY_UNAUTHORIZED, Reason.PUBLISH_FAILED)
"""Reasons that are tried again, for they may be mended elsewhere, but that will not pass by themselves."""

Json = dict[str, Any]

MESSAGE_LENGTH = 2000
"""How much of a message a condition shows; the log has all of it."""


def next_status(old: Mapping[str, Any], outcome: Outcome, observed: Observed, now: datetime) -> Json:
    """The status to write.

    Args:
        old: The status as it is; conditions that did not change keep their time.
        outcome: What this reconcile did.
        observed: What the cluster runs.
        now: The time of changes.
    """
    status: Json = {**old, **outcome.facts, "observedGeneration": outcome.generation}
    findings = _findings(old, outcome, observed)
    status["conditions"] = _conditions(old.get("conditions") or (), findings, outcome.generation, now)
    if observed.report is not None:
        status |= {"replicas": None, "readyReplicas": observed.report.ready}
    elif observed.rollout is not None:
        status["replicas"] = observed.rollout.total
        status["readyReplicas"] = observed.rollout.ready
    return {name: value for name, value in status.items() if value not in (None, "", [], {})}


def _findings(
    old: Mapping[str, Any], outcome: Outcome, observed: Observed
) -> dict[ConditionType, ConditionState]:
    findings = _pipeline(old, outcome)
    findings[ConditionType.AVAILABLE] = _available(outcome, observed)
    verified = _verified(old, outcome, observed)
    if verified is not None:
        findings[ConditionType.VERIFIED] = verified
    return findings | _summary(old, outcome, observed, findings)


def _pipeline(old: Mapping[str, Any], outcome: Outcome) -> dict[ConditionType, ConditionState]:
    findings: dict[ConditionType, ConditionState] = {}
    is_same_spec = old.get("observedGeneration") == outcome.generation
    for condition in PIPELINE:
        before = finding(old, condition)
        if condition in outcome.stages:
            findings[condition] = outcome.stages[condition]
        elif before and (is_same_spec or outcome.suspended):
            findings[condition] = before
        elif not outcome.suspended:
            findings[condition] = unknown("an earlier stage did not finish")
    return findings


def _available(outcome: Outcome, observed: Observed) -> ConditionState:
    rollout = observed.rollout
    if observed.report is not None:
        return ConditionState(observed.report.available, Reason.NO_DEPLOYMENT, str(observed.report))
    if outcome.suspended and (rollout is None or rollout.is_scaled_to_zero):
        return false("spec.suspend is true: no pod runs", Reason.SUSPENDED)
    if rollout is None:
        return false("there is no Deployment yet", Reason.PROGRESSING)
    if rollout.is_scaled_to_zero:
        return true("no pod runs because nothing asks for one", Reason.SCALED_TO_ZERO)
    counted = f"{rollout.available} of {rollout.desired} pods are available"
    if rollout.is_available and rollout.is_observed:
        # With old pods serving, a cause is about the new ones; `Ready` tells it.
        return true(counted, Reason.MINIMUM_AVAILABLE)
    cause = observed.cause or rollout.message
    return false(cause, Reason.PODS_FAILING) if cause else false(counted, Reason.ROLLING_OUT)


def _verified(old: Mapping[str, Any], outcome: Outcome, observed: Observed) -> ConditionState | None:
    if observed.probe is not None:
        return observed.probe
    image = outcome.facts.get("image", old.get("image"))
    before = finding(old, ConditionType.VERIFIED)
    if before is not None and image == old.get("image") and not outcome.rolls:
        return before
    return unknown("the running app was not asked yet") if image else None


def _summary(
    old: Mapping[str, Any],
    outcome: Outcome,
    observed: Observed,
    findings: Mapping[ConditionType, ConditionState],
) -> dict[ConditionType, ConditionState]:
    """`Ready`, and `Reconciling` or `Stalled` while they are true."""
    error = outcome.error
    state = _state(outcome, observed, findings)
    if error is not None and not error.retryable:
        return _stalled(str(error), error.reason)
    before = finding(old, ConditionType.READY)
    was_ready = before is not None and before.status == "True"
    serves = was_ready and state.status == "True" and old.get("observedGeneration") == outcome.generation
    if error is not None:
        if serves:
            return {ConditionType.READY: true(f"serving; {error}", error.reason)}
        if error.reason in _FOR_PEOPLE:
            return _stalled(str(error), error.reason)
        return _reconciling(false(str(error), error.reason), Reason.RETRYING)
    if observed.rolled_back:
        cause = f" ({observed.cause})" if observed.cause else ""
        return _stalled(
            f"{observed.rolled_back} did not become ready in {observed.deadline_seconds:.0f} s{cause}; "
            "the last good version serves until the spec or a tool changes",
            Reason.ROLLED_BACK,
        )
    if outcome.waiting and serves:
        return {ConditionType.READY: true(f"serving; {outcome.waiting}")}
    if outcome.waiting:
        return _reconciling(false(outcome.waiting, Reason.PROGRESSING), Reason.PROGRESSING)
    if state.status == "True":
        return {ConditionType.READY: state}
    return _reconciling(state, Reason.RETRYING if state.reason is Reason.TOOLS_SILENT else Reason.PROGRESSING)


def _stalled(message: str, reason: Reason) -> dict[ConditionType, ConditionState]:
    return {ConditionType.READY: false(message, reason), ConditionType.STALLED: true(message, reason)}


def _reconciling(ready: ConditionState, reason: Reason) -> dict[ConditionType, ConditionState]:
    return {ConditionType.READY: ready, ConditionType.RECONCILING: true(ready.message, reason)}


def _state(
    outcome: Outcome, observed: Observed, findings: Mapping[ConditionType, ConditionState]
) -> ConditionState:
    """Whether the cluster is as the spec wants it, errors and waiting aside."""
    available = findings[ConditionType.AVAILABLE]
    if outcome.suspended:
        if available.reason is Reason.SUSPENDED:
            return true("suspended, as spec.suspend asks; no pod runs", Reason.SUSPENDED)
        return false("the last pods are stopping", Reason.PROGRESSING)
    if available.status != "True" and not observed.may_serve:
        return false(available.message, available.reason)
    notes = "".join(f"; {note}" for note in outcome.notes)
    if available.reason is Reason.SCALED_TO_ZERO:
        return true(available.message + notes, available.reason)
    if not observed.is_out:
        cause = f": {observed.cause}" if observed.cause else ""
        return false(f"the new version is rolling out{cause}", Reason.ROLLING_OUT)
    verified = findings[ConditionType.VERIFIED] if ConditionType.VERIFIED in findings else unknown("")
    if verified.status == "False" or verified.reason is Reason.PROGRESSING:
        return false(verified.message, verified.reason)
    reason = available.reason if available.status != "True" else Reason.SUCCEEDED
    return true(available.message + notes, reason)


def _conditions(
    old: Sequence[Mapping[str, Any]],
    findings: Mapping[ConditionType, ConditionState],
    generation: int,
    now: datetime,
) -> list[Json]:
    before = {item["type"]: item for item in old}
    conditions = []
    for condition in ConditionType:
        found = findings.get(condition)
        if found is None:
            continue
        earlier = before.get(condition, {})
        changed = earlier.get("status") != found.status
        conditions.append(
            {
                "type": condition.value,
                "status": found.status,
                "reason": found.reason.value,
                "message": found.message[:MESSAGE_LENGTH],
                "observedGeneration": generation,
                "lastTransitionTime": timestamp(now) if changed else earlier["lastTransitionTime"],
            }
        )
    return conditions
