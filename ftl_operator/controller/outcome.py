"""The results of one reconcile, and what follows from them: history, status, requeue. Pure."""

from dataclasses import dataclass
from typing import Any

from ftl_operator.api.conditions import ConditionType
from ftl_operator.cluster.cache import Snapshot
from ftl_operator.controller.applier import Applied
from ftl_operator.controller.choice import Choice
from ftl_operator.controller.observer import Observation
from ftl_operator.controller.releaser import Planned
from ftl_operator.controller.requeue import Requeue, requeue_after
from ftl_operator.controller.status import history
from ftl_operator.controller.status.history import History
from ftl_operator.controller.status.inputs import StatusInput
from ftl_operator.errors import FtlError, WaitingError
from ftl_operator.manifests.deployment import component_bytes, memory_notes


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an app's rollout.

    Args:
        history: The app's versions for the next status.
        seconds_left: Seconds until the rollout misses its deadline; 0 if it just did and is rolled back; None
            without a deadline.
        failed: The image that just missed its deadline, if there is a version to roll back to.
        is_late: Whether the rollout missed its deadline and there is no such version.
    """

    history: History
    seconds_left: float | None = None
    failed: str = ""
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of all steps of one reconcile.

    Args:
        snapshot: The app at the start of the reconcile.
        planned: The planned release.
        choice: The release that was chosen.
        applied: The changes in the cluster.
        observed: The observed state.
        url: The URL of the app's MCP endpoint; empty if the spec cannot be read.
        deadline_seconds: How many seconds a rollout may take.
        history_limit: How many versions the status keeps.
    """

    snapshot: Snapshot
    planned: Planned
    choice: Choice
    applied: Applied
    observed: Observation
    url: str
    deadline_seconds: float
    history_limit: int

    @property
    def error(self) -> FtlError | None:
        """The error that ended the reconcile, or that keeps the app from what its spec asks for."""
        return self.applied.error or self.planned.error or self.applied.vital_error

    @property
    def waiting(self) -> WaitingError | None:
        """What the app waits for."""
        return self.planned.waiting or self.choice.waiting

    @property
    def is_suspended(self) -> bool:
        """Whether the spec asks for no pods."""
        return self.planned.app is not None and self.planned.app.spec.suspend

    @property
    def is_applied(self) -> bool:
        """Whether the chosen release was applied."""
        return self.choice.release is not None and self.applied.error is None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the message of `Ready`."""
        if self.planned.app is None or not self.is_applied:
            return ()
        facts = self.planned.result.facts if self.planned.result is not None else {}
        size = component_bytes(facts.get("components") or self.snapshot.status.components)
        return (*self.applied.notes, *memory_notes(self.planned.app, size))


def progress_of(outcome: Outcome) -> Progress:
    """Update the history: mark the version that serves, and the one that missed its deadline."""
    versions = _applied_history(outcome)
    image, seen, now = outcome.choice.image, outcome.observed, outcome.snapshot.now
    if outcome.is_suspended or not image or not seen.is_there or seen.waiting is not None:
        return Progress(versions)
    if seen.is_complete and not seen.is_scaled_to_zero:
        verified = seen.probe or outcome.snapshot.status.condition(ConditionType.VERIFIED)
        if verified is not None and verified.status != "False":
            return Progress(history.serving(versions, image))
    left = history.seconds_left(versions, image, outcome.deadline_seconds, now)
    if left is None or seen.is_scaled_to_zero:
        return Progress(versions)
    if left > 0:
        return Progress(versions, max(left, 0.1))
    cause = seen.cause or (seen.probe.message if seen.probe else "its pods did not become ready")
    failed = history.failed(versions, image, f"not ready in {outcome.deadline_seconds:.0f} s: {cause}")
    if failed is None:
        return Progress(versions, is_late=True)
    return Progress(failed, 0.0, failed=image)


def status_input(outcome: Outcome, progress: Progress) -> StatusInput:
    """Collect what the next status is made from."""
    snapshot, planned, observed = outcome.snapshot, outcome.planned, outcome.observed
    return StatusInput(
        old=snapshot.status,
        generation=snapshot.app.generation,
        now=snapshot.now,
        stages=planned.stages,
        error=outcome.error,
        facts=_facts(outcome, progress),
        waiting=outcome.waiting.message if outcome.waiting is not None else "",
        suspended=outcome.is_suspended,
        rolls=outcome.applied.rolls,
        notes=outcome.notes,
        rollout=observed.rollout,
        is_current=observed.is_current,
        cause=observed.cause,
        report=observed.report,
        probe=observed.probe,
        rolled_back=outcome.choice.rolled_back,
        failure=history.failure(progress.history, outcome.choice.rolled_back),
        is_late=progress.is_late,
        deadline_seconds=outcome.deadline_seconds,
    )


def requeue_of(outcome: Outcome, progress: Progress, interval_seconds: float) -> Requeue:
    """Decide when to reconcile the app again."""
    choice, observed = outcome.choice, outcome.observed
    waits_for_pods = choice.image and not observed.is_complete and not observed.is_scaled_to_zero
    asked_later = observed.waiting.seconds if observed.waiting is not None else None
    return requeue_after(
        waiting=outcome.waiting,
        error=outcome.error,
        is_verified=observed.probe is None or observed.probe.status == "True",
        deadline_seconds=progress.seconds_left if asked_later is None else asked_later,
        rolling_seconds=history.elapsed(progress.history, choice.image, outcome.snapshot.now)
        if waits_for_pods
        else None,
        interval_seconds=interval_seconds,
    )


def _applied_history(outcome: Outcome) -> History:
    versions, now = outcome.snapshot.status.history, outcome.snapshot.now
    wanted = outcome.choice.wanted
    if wanted is None or not outcome.is_applied or outcome.is_suspended:
        return versions
    if outcome.applied.resumed:
        versions = history.restarted(versions, now)
    versions = history.applied(versions, outcome.choice.image, wanted, now)
    return history.trimmed(versions, outcome.history_limit)


def _facts(outcome: Outcome, progress: Progress) -> dict[str, Any]:
    """The fields of `FtlAppStatus` that this reconcile determines."""
    snapshot, planned, choice = outcome.snapshot, outcome.planned, outcome.choice
    facts: dict[str, Any] = {
        "last_handled_reconcile_at": snapshot.app.trigger,
        "history": progress.history,
    }
    if planned.app is None or choice.waiting is not None:
        # The status shows a planned release only once it runs.
        return facts
    facts |= {"url": outcome.url, "spin_app": planned.app.metadata.name}
    if planned.result is not None:
        facts |= planned.result.facts
    if outcome.is_applied:
        facts["image"] = choice.image
    return facts
