"""When an app is reconciled again. Pure."""

from dataclasses import dataclass

from ftl_operator.controller.choice import LONG_WAIT
from ftl_operator.errors import FtlError, WaitingError

SOON, SELDOM = 3.0, 60.0
"""Shortest and longest poll, in seconds, while pods are not ready: no watch shows why a pod is not ready."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """The next reconcile of an app.

    Args:
        result: The metric's label of this reconcile: `waiting`, `retry`, `stalled`, `done` or `unchanged`.
        after: Seconds to the next reconcile at the latest; None leaves it to the backoff or to an event.
        backoff: Whether the delay grows, because this reconcile failed.
        at_least: The shortest delay of the backoff.
    """

    result: str
    after: float | None = None
    backoff: bool = False
    at_least: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the backoff is reset."""
        return self.result in ("stalled", "done", "unchanged")


def requeue_after(
    *,
    waiting: WaitingError | None,
    error: FtlError | None,
    is_verified: bool,
    deadline_seconds: float | None,
    rolling_seconds: float | None,
    interval_seconds: float,
) -> Requeue:
    """Decide when to reconcile again.

    Args:
        waiting: What the app waits for.
        error: The error of the reconcile, if any.
        is_verified: False if this reconcile probed the app and the probe failed.
        deadline_seconds: Seconds until a rollout misses its deadline, or until the app can be probed.
        rolling_seconds: For how many seconds pods have not been ready; None if they are.
        interval_seconds: Seconds between two reconciles without any change.
    """
    if waiting is not None:
        seconds = LONG_WAIT if waiting.seconds is None else waiting.seconds
        return Requeue("waiting", _earliest(seconds, deadline_seconds))
    if error is not None and error.retryable:
        return Requeue("retry", deadline_seconds, backoff=True, at_least=error.retry_after or 0.0)
    if not is_verified:
        return Requeue("retry", deadline_seconds, backoff=True)
    polled = None if rolling_seconds is None else min(SELDOM, max(SOON, rolling_seconds / 3))
    after = _earliest(interval_seconds, deadline_seconds, polled)
    return Requeue("done" if error is None else "stalled", after)


def _earliest(*seconds: float | None) -> float:
    return min(given for given in seconds if given is not None)
