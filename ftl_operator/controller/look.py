"""What is known in one look at one app, as it becomes known."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ftl_operator.api.conditions import ConditionState
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import CachedApp
from ftl_operator.cluster.client import TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError
from ftl_operator.controller.observer import Seen
from ftl_operator.controller.releaser import ReleaseResult
from ftl_operator.controller.status.history import Version
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import FtlError, WaitingError
from ftl_operator.pipeline.plan import Stages

Json = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CachedRelease:
    """What the last look found to run; good while the app is the same and until it is time to look anew."""

    of: tuple[str, int, str]
    pods: str
    released: ReleaseResult
    until: float


@dataclass(slots=True)
class Look:
    """One look.

    Args:
        key: The app.
        seen: The app as the watch had it.
        body: The same, read.
        steps: Enters the stages and keeps what they found.
        now: The time of the look.
        facts: Fields of the status that are known now.
        entries: `status.history` as it becomes.
        running: The image that was applied; empty if nothing was.
        wanted: The version that the spec asks for; another one runs after a rollback.
        applied: Whether anything in the cluster was changed, the status aside.
        rolls: Whether the SpinApp was changed.
        notes: What a reader of `Ready` should know besides.
        waiting: What the look waits for.
        error: What stopped it.
        probe: What the running app said.
        observed: What was seen of it.
        memo: What the next looks may go by.
        delay: Seconds after which to look again at the latest.
    """

    key: NamespacedName
    seen: CachedApp
    body: Json
    steps: Stages
    now: datetime
    facts: Json = field(default_factory=dict)
    entries: list[Json] = field(default_factory=list)
    running: str = ""
    wanted: Version | None = None
    applied: bool = False
    rolls: bool = False
    notes: list[str] = field(default_factory=list)
    waiting: WaitingError | None = None
    error: FtlError | None = None
    probe: ConditionState | None = None
    observed: Seen = field(default_factory=lambda: Seen(None, False, ""))
    memo: CachedRelease | None = None
    delay: float | None = None

    @property
    def status(self) -> Json:
        """The status as it was."""
        return dict(self.body.get("status") or {})

    @property
    def named(self) -> dict[str, Any]:
        """What a log line says about which app it is about. `name` is taken by logging itself."""
        return {"namespace": self.key.namespace, "app": self.key.name, "generation": self.seen.generation}


def measured(key: NamespacedName, seen: CachedApp) -> Callable[[str, float, FtlError | None], None]:
    """Measures stages, and logs what stops one."""

    def observe(stage: str, seconds: float, error: FtlError | None) -> None:
        metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        if error is not None and not isinstance(error, (NotLeaderError, TerminatingError)):
            metrics.ERRORS.labels(stage, error.reason).inc()
            named = {"namespace": key.namespace, "app": key.name, "generation": seen.generation}
            _log.warning("%s: %s", stage, error, extra={**named, "stage": stage, "reason": error.reason})

    return observe
