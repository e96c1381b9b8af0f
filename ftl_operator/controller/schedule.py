"""When an app is looked at again."""

import random

from ftl_operator.api.app import FtlApp
from ftl_operator.controller.look import Look
from ftl_operator.controller.status import history
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.settings import Settings

SOON, SELDOM = 3.0, 60.0
"""Seconds to the next look while pods do not become ready, at first and in the end: no watch tells why."""
LONG_WAIT = 30.0
"""Seconds to the next look at what should have woken the app by itself."""


class Schedule:
    """Plans the next looks.

    Args:
        settings: The operator's settings.
        queue: Takes what was planned.
    """

    def __init__(self, settings: Settings, queue: WorkQueue) -> None:
        self._settings = settings
        self._queue = queue

    def plan(self, look: Look, app: FtlApp | None) -> str:
        """Say when to look again. Returns the metric's result."""
        key = look.key
        if look.delay is not None:
            self._queue.add(key, look.delay)
        if look.waiting is not None:
            seconds = look.waiting.seconds
            self._queue.add(key, LONG_WAIT if seconds is None else seconds)
            return "waiting"
        if look.error is not None and look.error.retryable:
            self._queue.retry(key, getattr(look.error, "retry_after", None) or 0.0)
            return "retry"
        verified = look.probe
        if verified is not None and verified.status != "True":
            self._queue.retry(key)
            return "retry"
        self._queue.succeeded(key)
        if look.running and not look.observed.is_complete and not look.observed.is_scaled_to_zero:
            since = history.elapsed(look.entries, look.running, look.now)
            self._queue.add(key, min(SELDOM, max(SOON, since / 3)))
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        self._queue.add(key, interval(app, self._settings) * spread)
        if look.error is not None:
            return "stalled"
        metrics.LAST_SUCCESS.set_to_current_time()
        return "done"


def interval(app: FtlApp | None, settings: Settings) -> float:
    """Seconds between two looks at an app without any change."""
    own = app.spec.interval_seconds if app is not None else None
    return own or settings.resync_seconds
