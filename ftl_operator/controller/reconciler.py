"""Reconciles apps: plan the release, choose, apply, observe, write the status.

Level-based: a reconcile looks at the present state, never at the event that caused it. It writes the status
even when a step fails, and it tells the queue when to reconcile again. Every step takes values and returns
one.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import Cache, Snapshot
from ftl_operator.cluster.client import ConflictError, NotFoundError, TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError
from ftl_operator.controller.applier import Applied, Applier
from ftl_operator.controller.choice import LONG_WAIT, Choice, choose, rollouts_since
from ftl_operator.controller.observer import Observation, Observer
from ftl_operator.controller.outcome import Outcome, Progress, progress_of, requeue_of, status_input
from ftl_operator.controller.releaser import Planned, ReleasePlanner, interval_seconds, observe_stage
from ftl_operator.controller.requeue import Requeue
from ftl_operator.controller.status.conditions import next_status
from ftl_operator.controller.status.writer import StatusWriter
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import COME_BACK, ClusterError, FtlError, Reason
from ftl_operator.manifests.all import endpoint
from ftl_operator.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a reconcile that use the network.

    Args:
        releases: Plans what an app should run.
        applier: Applies its objects.
        observer: Observes what it runs.
        status: Writes its status.
    """

    releases: ReleasePlanner
    applier: Applier
    observer: Observer
    status: StatusWriter


class Reconciler:
    """Reconciles apps. Safe to use from several threads, each with another app.

    Args:
        settings: The operator's settings.
        cache: The watched objects.
        queue: Which apps to reconcile.
        steps: The steps that use the network.
        clock: The time of day.
    """

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        queue: WorkQueue,
        steps: Steps,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._queue = queue
        self._releases = steps.releases
        self._applier = steps.applier
        self._observer = steps.observer
        self._status = steps.status
        self._clock = clock
        self._terminating: dict[NamespacedName, tuple[str, float]] = {}

    def work(self, stopped: Callable[[], bool]) -> None:
        """Take apps from the queue and reconcile them, until `stopped`."""
        while not stopped():
            key = self._queue.take(timeout=1.0)
            if key is None:
                continue
            metrics.WORKERS_BUSY.inc()
            try:
                self.handle(key)
            except Exception:  # noqa: BLE001 - a defect must not end a worker
                _log.exception("a reconcile failed", extra={"namespace": key.namespace, "app": key.name})
                self._queue.retry(key)
            finally:
                metrics.WORKERS_BUSY.dec()
                self._queue.release(key)

    def handle(self, key: NamespacedName) -> None:
        """Reconcile one app, and queue its next reconcile."""
        snapshot = self._cache.snapshot(key, self._clock())
        if snapshot is None:
            # The cluster deletes the app's objects: each has an owner reference, and none has a finalizer.
            self._releases.forget(key)
            self._terminating.pop(key, None)
            self._queue.forget(key)
            return
        if self._namespace_terminating(snapshot):
            return
        started = time.perf_counter()
        try:
            requeue = self.reconcile(snapshot)
        except (NotLeaderError, NotFoundError):
            # Another replica leads, or the app is gone. A watch event follows in both cases.
            return
        except TerminatingError:
            # The app is deleted too. Until then every deleted object of its would queue it again.
            self._terminating[key] = (snapshot.app.uid, time.monotonic() + LONG_WAIT)
            self._queue.add(key, LONG_WAIT)
            return
        except ConflictError:
            # The app changed during the reconcile; the next one reads it anew.
            self._queue.add(key, COME_BACK)
            return
        except FtlError as error:
            _log.warning("the status was not written: %s", error, extra=snapshot.log_fields)
            self._queue.retry(key)
            return
        self._requeue(key, requeue)
        metrics.RECONCILE_SECONDS.observe(time.perf_counter() - started)
        metrics.RECONCILES.labels(requeue.result).inc()

    def reconcile(self, snapshot: Snapshot) -> Requeue:
        """Bring the cluster to the state that one app asks for, and write the app's status.

        Raises:
            ClusterError: The status was not written.
            NotLeaderError: Another replica leads.
            TerminatingError: The app's namespace is being deleted.
        """
        planned = self._plan(snapshot)
        choice = self._choose(snapshot, planned)
        applied = self._apply(snapshot, planned, choice)
        observed = self._observe(snapshot, planned, choice, applied)
        outcome = self._outcome(snapshot, planned, choice, applied, observed)
        progress = progress_of(outcome)
        self._log_rollback(snapshot, progress)
        wrote = self._status.write(snapshot, next_status(status_input(outcome, progress)))
        if choice.waiting is None:
            # After the status: a later reconcile writes only what changed since the remembered release.
            self._releases.remember(snapshot.key, planned)
        requeue = requeue_of(outcome, progress, interval_seconds(planned.app, self._settings))
        is_unchanged = requeue.result == "done" and not wrote and not applied.written
        return replace(requeue, result="unchanged") if is_unchanged else requeue

    def _plan(self, snapshot: Snapshot) -> Planned:
        try:
            return self._releases.plan(snapshot)
        except NotLeaderError:
            raise
        except Exception:  # noqa: BLE001 - a defect is an error like any other: the status reports it
            return Planned(error=_defect(snapshot))

    def _choose(self, snapshot: Snapshot, planned: Planned) -> Choice:
        begun = rollouts_since(snapshot, self._deadline_seconds(planned.app))
        return choose(
            snapshot,
            planned,
            rollouts=lambda: self._cache.rollouts(begun),
            max_rollouts=self._settings.max_rollouts,
        )

    def _apply(self, snapshot: Snapshot, planned: Planned, choice: Choice) -> Applied:
        if planned.app is None or choice.release is None:
            return Applied()
        with _measured(snapshot, "apply") as stage:
            try:
                applied = self._applier.apply(snapshot, planned.app, choice.release)
            except (NotLeaderError, TerminatingError):
                raise
            except Exception:  # noqa: BLE001 - the same
                applied = Applied(error=_defect(snapshot))
            stage.error = applied.error
        if applied.written:
            fields = {**snapshot.log_fields, "stage": "apply"}
            _log.info("applied %s", ", ".join(applied.written), extra=fields)
        return applied

    def _observe(self, snapshot: Snapshot, planned: Planned, choice: Choice, applied: Applied) -> Observation:
        tools = planned.result.facts.get("tools") if planned.result is not None else None
        expected = [tool.name for tool in tools or snapshot.status.tools]
        with _measured(snapshot, "observe"):
            return self._observer.observe(snapshot, planned.app, choice, is_new=applied.rolls, tools=expected)

    def _outcome(
        self, snapshot: Snapshot, planned: Planned, choice: Choice, applied: Applied, observed: Observation
    ) -> Outcome:
        return Outcome(
            snapshot,
            planned,
            choice,
            applied,
            observed,
            url=endpoint(planned.app, self._settings) if planned.app is not None else "",
            deadline_seconds=self._deadline_seconds(planned.app),
            history_limit=self._settings.history_limit,
        )

    def _deadline_seconds(self, app: FtlApp | None) -> float:
        own = app.spec.runtime.progress_deadline_seconds if app is not None else None
        return own or self._settings.progress_deadline_seconds

    def _namespace_terminating(self, snapshot: Snapshot) -> bool:
        """Whether the API server said a moment ago that the app's namespace is being deleted."""
        uid, until = self._terminating.get(snapshot.key, ("", 0.0))
        left = until - time.monotonic()
        if uid != snapshot.app.uid or left <= 0:
            self._terminating.pop(snapshot.key, None)
            return False
        self._queue.add(snapshot.key, left)
        return True

    def _requeue(self, key: NamespacedName, requeue: Requeue) -> None:
        if requeue.succeeded:
            self._queue.succeeded(key)
        if requeue.after is not None:
            self._queue.add(key, requeue.after)
        if requeue.backoff:
            self._queue.retry(key, requeue.at_least)
        if requeue.result in ("done", "unchanged"):
            metrics.LAST_SUCCESS.set_to_current_time()

    @staticmethod
    def _log_rollback(snapshot: Snapshot, progress: Progress) -> None:
        if progress.failed:
            metrics.ROLLBACKS.inc()
            text = "%s is rolled back to the last good version"
            _log.warning(text, progress.failed, extra=snapshot.log_fields)


@dataclass(slots=True)
class _Stage:
    """A stage that is being measured; the body of the `with` sets its error."""

    error: FtlError | None = None


@contextmanager
def _measured(snapshot: Snapshot, name: str) -> Iterator[_Stage]:
    """Measure a stage that follows planning, and log its error."""
    stage, started = _Stage(), time.perf_counter()
    try:
        yield stage
    finally:
        observe_stage(snapshot)(name, time.perf_counter() - started, stage.error)


def _defect(snapshot: Snapshot) -> FtlError:
    _log.exception("a defect of the operator", extra=snapshot.log_fields)
    return ClusterError("a defect of the operator; its log tells more", reason=Reason.INTERNAL)
