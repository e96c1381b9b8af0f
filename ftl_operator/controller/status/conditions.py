"""The next status of an FtlApp. Pure.

The status follows kstatus, so that `kubectl wait`, Helm, Flux and Argo CD understand it: the status and every
condition have `observedGeneration`, `Reconciling` and `Stalled` exist only while they are true, and `Ready`
is true only when the cluster is as the spec wants it. An outage of a registry or an issuer does not make a
running app unready: the condition of its stage has the error, and `Ready` repeats the reason.
"""

from collections.abc import Mapping
from datetime import datetime

from ftl_operator.api.conditions import (
    PIPELINE,
    ConditionState,
    ConditionType,
    false,
    timestamp,
    true,
    unknown,
)
from ftl_operator.api.status import Condition, FtlAppStatus
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.controller.status.inputs import StatusInput
from ftl_operator.errors import Reason, printable

_NEEDS_SOMEBODY = (Reason.REFERENCE_NOT_FOUND, Reason.REGISTRY_UNAUTHORIZED, Reason.PUBLISH_FAILED)
"""Errors that are retried because somebody may fix them elsewhere, but that do not pass by themselves."""

MESSAGE_LENGTH = 2000
"""How many characters of a message a condition shows; the log has the whole message."""


def next_status(given: StatusInput) -> FtlAppStatus:
    """Make the status to write."""
    facts = {
        **{name: getattr(given.old, name) for name in given.old.model_fields_set},
        **given.facts,
        "observed_generation": given.generation,
        "conditions": _conditions(given.old, _states(given), given.generation, given.now),
    }
    if given.report is not None:
        facts.pop("replicas", None)
        facts["ready_replicas"] = given.report.ready
    elif given.rollout is not None:
        facts |= {"replicas": given.rollout.total, "ready_replicas": given.rollout.ready}
    # All values come from validated models, so they are not validated again.
    return FtlAppStatus.model_construct(
        **{name: value for name, value in facts.items() if value not in (None, "", ())}
    )


def _states(given: StatusInput) -> dict[ConditionType, ConditionState]:
    states = _pipeline(given)
    states[ConditionType.AVAILABLE] = _available(given)
    verified = _verified(given)
    if verified is not None:
        states[ConditionType.VERIFIED] = verified
    return states | _summary(given, states)


def _pipeline(given: StatusInput) -> dict[ConditionType, ConditionState]:
    states: dict[ConditionType, ConditionState] = {}
    is_same_spec = given.old.observed_generation == given.generation
    for condition in PIPELINE:
        before = given.old.condition(condition)
        if condition in given.stages:
            states[condition] = given.stages[condition]
        elif before and (is_same_spec or given.suspended):
            states[condition] = before
        elif not given.suspended:
            states[condition] = unknown("an earlier stage did not finish")
    return states


def _available(given: StatusInput) -> ConditionState:
    rollout = given.rollout
    if given.report is not None:
        return ConditionState(given.report.available, Reason.NO_DEPLOYMENT, str(given.report))
    if given.suspended and (rollout is None or rollout.is_scaled_to_zero):
        return false("spec.suspend is true: no pod runs", Reason.SUSPENDED)
    if rollout is None:
        return false("there is no Deployment yet", Reason.PROGRESSING)
    if rollout.desired == 0:
        return _scaled_to_zero(rollout, suspended=given.suspended)
    counted = f"{rollout.available} of {rollout.desired} pods are available"
    # Kubernetes counts a Deployment without pods as available until its controller sees that it needs some.
    if rollout.is_available and rollout.is_observed and rollout.available:
        # The old pods serve, so a cause concerns the new ones, and `Ready` has it.
        return true(counted, Reason.MINIMUM_AVAILABLE)
    cause = given.cause or rollout.message
    return false(cause, Reason.PODS_FAILING) if cause else false(counted, Reason.ROLLING_OUT)


def _scaled_to_zero(rollout: Rollout, *, suspended: bool) -> ConditionState:
    if suspended:
        return false("spec.suspend is true: the last pods are stopping", Reason.PROGRESSING)
    if rollout.total:
        return true(f"nothing asks for a pod: the last {rollout.total} are stopping", Reason.SCALED_TO_ZERO)
    return true("no pod runs because nothing asks for one", Reason.SCALED_TO_ZERO)


def _verified(given: StatusInput) -> ConditionState | None:
    if given.probe is not None:
        return given.probe
    image = given.facts.get("image", given.old.image)
    before = given.old.condition(ConditionType.VERIFIED)
    if before is not None and image == given.old.image and not given.rolls:
        return before
    return unknown("the running app was not asked yet") if image else None


def _summary(
    given: StatusInput, states: Mapping[ConditionType, ConditionState]
) -> dict[ConditionType, ConditionState]:
    """`Ready`, and whichever of `Reconciling` and `Stalled` is true."""
    error = given.error
    state = _state(given, states)
    if error is not None and not error.retryable:
        return _stalled(str(error), error.reason)
    before = given.old.condition(ConditionType.READY)
    was_ready = before is not None and before.status == "True"
    serves = was_ready and state.status == "True" and given.old.observed_generation == given.generation
    if error is not None:
        if serves:
            return {ConditionType.READY: true(f"serving; {error}", error.reason)}
        if error.reason in _NEEDS_SOMEBODY:
            return _stalled(str(error), error.reason)
        return _reconciling(false(str(error), error.reason), Reason.RETRYING)
    if given.rolled_back:
        failure = f" ({given.failure})" if given.failure else ""
        role = "serves" if states[ConditionType.AVAILABLE].status == "True" else "is being brought back"
        return _stalled(
            f"{given.rolled_back} did not become ready{failure}; "
            f"the last good version {role} and stays until the spec or a tool changes",
            Reason.ROLLED_BACK,
        )
    if given.is_late and state.status != "True":
        cause = f": {given.cause or state.message}"
        return _stalled(
            f"not ready after {given.deadline_seconds:.0f} s, and there is no earlier version to go back to"
            f"{cause}",
            Reason.DEADLINE_EXCEEDED,
        )
    if given.waiting and serves:
        return {ConditionType.READY: true(f"serving; {given.waiting}")}
    if given.waiting:
        return _reconciling(false(given.waiting, Reason.PROGRESSING), Reason.PROGRESSING)
    if state.status == "True":
        return {ConditionType.READY: state}
    return _reconciling(state, Reason.RETRYING if state.reason is Reason.TOOLS_SILENT else Reason.PROGRESSING)


def _stalled(message: str, reason: Reason) -> dict[ConditionType, ConditionState]:
    return {ConditionType.READY: false(message, reason), ConditionType.STALLED: true(message, reason)}


def _reconciling(ready: ConditionState, reason: Reason) -> dict[ConditionType, ConditionState]:
    return {ConditionType.READY: ready, ConditionType.RECONCILING: true(ready.message, reason)}


def _state(given: StatusInput, states: Mapping[ConditionType, ConditionState]) -> ConditionState:
    """Whether the cluster is as the spec wants it, apart from errors and waiting."""
    available = states[ConditionType.AVAILABLE]
    if given.suspended:
        if available.reason is Reason.SUSPENDED:
            return true("suspended, as spec.suspend asks; no pod runs", Reason.SUSPENDED)
        return false("the last pods are stopping", Reason.PROGRESSING)
    if available.status != "True" and not given.may_serve:
        return false(available.message, available.reason)
    notes = "".join(f"; {note}" for note in given.notes)
    if available.reason is Reason.SCALED_TO_ZERO:
        return true(available.message + notes, available.reason)
    if not given.is_out:
        cause = f": {given.cause}" if given.cause else ""
        return false(f"the new version is rolling out{cause}", Reason.ROLLING_OUT)
    verified = states[ConditionType.VERIFIED] if ConditionType.VERIFIED in states else unknown("")
    if verified.status == "False" or verified.reason is Reason.PROGRESSING:
        return false(verified.message, verified.reason)
    reason = available.reason if available.status != "True" else Reason.SUCCEEDED
    return true(available.message + notes, reason)


def _conditions(
    old: FtlAppStatus, states: Mapping[ConditionType, ConditionState], generation: int, now: datetime
) -> tuple[Condition, ...]:
    before = {item.type: item for item in old.conditions}
    conditions = []
    for kind in ConditionType:
        state = states.get(kind)
        if state is None:
            continue
        earlier = before.get(kind)
        changed_at = timestamp(now)
        if earlier is not None and earlier.status == state.status:
            changed_at = earlier.last_transition_time
        conditions.append(
            Condition(
                type=kind,
                status=state.status,
                reason=state.reason,
                message=printable(state.message[:MESSAGE_LENGTH]),
                observed_generation=generation,
                last_transition_time=changed_at,
            )
        )
    return tuple(conditions)
