"""One look at one app: gather, decide, apply, observe, and say in the status what came of it.

Level-based: a look never asks what happened, only what is. Whatever ends a look, its status is written, and
the queue is told when to look again.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ftl_operator.api.app import FtlApp
from ftl_operator.api.conditions import ConditionType, finding, timestamp
from ftl_operator.api.names import INPUTS_ANNOTATION, SOURCES_ANNOTATION, NamespacedName
from ftl_operator.cluster.cache import Cache, CachedApp
from ftl_operator.cluster.client import ConflictError, Kube, NotFoundError, TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError
from ftl_operator.controller.applier import Applier
from ftl_operator.controller.look import CachedRelease, Look, measured
from ftl_operator.controller.observer import Observer
from ftl_operator.controller.releaser import ReleasePlanner, ReleaseResult
from ftl_operator.controller.schedule import LONG_WAIT, Schedule, interval
from ftl_operator.controller.status import history
from ftl_operator.controller.status.history import Version
from ftl_operator.controller.status.writer import StatusWriter, deadline
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import COME_BACK, ClusterError, FtlError, Reason, WaitingError
from ftl_operator.manifests.all import Manifests, endpoint, manifests
from ftl_operator.manifests.deployment import component_bytes, memory_notes
from ftl_operator.manifests.external import without_deployment
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference
from ftl_operator.pipeline.plan import Stages
from ftl_operator.settings import Settings

Json = dict[str, Any]
_log = logging.getLogger(__name__)


class Controller:
    """Looks at apps.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        view: What was seen of it.
        queue: Which apps to look at.
        releaser: Finds what an app should run.
        observer: Sees what it runs.
    """

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        view: Cache,
        queue: WorkQueue,
        releaser: ReleasePlanner,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._view = view
        self._queue = queue
        self._releaser = releaser
        self._observer = observer
        self._applier = Applier(kube, view, settings.max_rollouts)
        self._reporter = StatusWriter(settings, kube, view)
        self._schedule = Schedule(settings, queue)
        self._memos: dict[NamespacedName, CachedRelease] = {}
        self._left_alone: dict[NamespacedName, tuple[str, float]] = {}

    def work(self, stopped: Callable[[], bool]) -> None:
        """Take apps from the queue and look at them, until `stopped`."""
        while not stopped():
            key = self._queue.take(timeout=1.0)
            if key is None:
                continue
            metrics.WORKERS_BUSY.inc()
            try:
                self.look(key)
            except Exception:  # noqa: BLE001 - no defect may end a worker
                _log.exception("a look failed", extra={"namespace": key.namespace, "app": key.name})
                self._queue.retry(key)
            finally:
                metrics.WORKERS_BUSY.dec()
                self._queue.release(key)

    def look(self, key: NamespacedName) -> None:
        """Look at one app."""
        seen = self._view.app(key)
        if seen is None or seen.deleting:
            # The cluster deletes what it owned: every object has an owner reference, and none a finalizer.
            self._memos.pop(key, None)
            self._left_alone.pop(key, None)
            self._queue.forget(key)
            return
        if self._is_left_alone(key, seen):
            return
        started = time.perf_counter()
        body = seen.read()
        look = Look(key, seen, body, Stages(measured(key, seen)), datetime.now(UTC))
        look.entries = list(look.status.get("history") or ())
        try:
            result = self._run(look)
        except (NotLeaderError, NotFoundError):
            # Somebody else acts, or the app is gone; the watch will tell.
            return
        except TerminatingError:
            # The app goes too, and everything that goes before it would wake it.
            self._left_alone[key] = (seen.uid, time.monotonic() + LONG_WAIT)
            self._queue.add(key, LONG_WAIT)
            return
        except ConflictError:
            # The app changed while it was looked at: the next look sees it as it is.
            self._queue.add(key, COME_BACK)
            return
        except FtlError as error:
            _log.warning("the status was not written: %s", error, extra=look.named)
            self._queue.retry(key)
            return
        metrics.RECONCILE_SECONDS.observe(time.perf_counter() - started)
        metrics.RECONCILES.labels(result).inc()

    def _is_left_alone(self, key: NamespacedName, seen: CachedApp) -> bool:
        """Whether the app's namespace was being deleted a moment ago, by the API server's own word."""
        uid, until = self._left_alone.get(key, ("", 0.0))
        left = until - time.monotonic()
        if uid != seen.uid or left <= 0:
            self._left_alone.pop(key, None)
            return False
        self._queue.add(key, left)
        return True

    def _run(self, look: Look) -> str:
        """Do what can be done; what stops it becomes a part of the status. Returns the metric's result."""
        app: FtlApp | None = None
        try:
            app = FtlApp.parse(look.body)
            look.facts = {"url": endpoint(app, self._settings), "spinApp": app.metadata.name}
            self._bring(look, app)
        except WaitingError as waiting:
            look.waiting = waiting
        except (NotLeaderError, TerminatingError):
            raise
        except FtlError as error:
            look.error = error
        except Exception:  # noqa: BLE001 - a defect is an outcome like any other, and reported
            _log.exception("a defect of the operator", extra=look.named)
            look.error = ClusterError("a defect of the operator; its log tells more", reason=Reason.INTERNAL)
        self._observe(look, app)
        wrote = self._reporter.write(look, app)
        if look.memo is not None:
            # Only now: what was found must be in the status before it may be left out of a look.
            self._memos[look.key] = look.memo
        result = self._schedule.plan(look, app)
        return "unchanged" if result == "done" and not wrote and not look.applied else result

    def _bring(self, look: Look, app: FtlApp) -> None:
        """Find what the app should run, and have the cluster run it."""
        live = self._applier.live_spin_app(look.key, look.seen.uid)
        self._applier.check_executor(app)
        released = _suspended(live, self._settings) if app.spec.suspend else self._release(look, app)
        if released is None:
            return
        look.facts |= released.facts
        look.wanted = Version(str(released.release.image), released.release.inputs, look.seen.generation)
        look.running = (
            history.chosen(look.entries, look.wanted) if not app.spec.suspend else look.wanted.image
        )
        self._wait_for_a_turn(look, app, live)
        release = replace(released.release, image=parse_reference(look.running))
        desired = manifests(app, release, self._settings, self._kube.serves())
        if not self._applier.makes_deployment(app):
            desired = without_deployment(desired)
        with look.steps.enter("apply"):
            resumed = self._applier.scale(app, live)
            written = self._applier.apply(app, desired)
        if written:
            _log.info("applied %s", ", ".join(written), extra={**look.named, "stage": "apply"})
        look.applied = bool(written)
        look.rolls = f"SpinApp/{look.key.name}" in written
        look.facts["image"] = look.running
        if not app.spec.suspend:
            entries = history.restarted(look.entries, look.now) if resumed else look.entries
            entries = history.applied(entries, look.running, look.wanted, look.now)
            look.entries = history.trimmed(entries, self._settings.history_limit)
        self._note_missing(look, desired)
        look.notes += memory_notes(app, component_bytes(look.status | look.facts))

    def _release(self, look: Look, app: FtlApp) -> ReleaseResult | None:
        of = (look.seen.uid, look.seen.generation, look.seen.trigger)
        memo = self._memos.get(look.key)
        known = memo if memo is not None and memo.of == of else None
        try:
            pods = self._releaser.pods_digest(app)
            if known is not None and known.pods == pods and time.monotonic() < known.until:
                return known.released
            released = self._releaser.release(app, look.status, look.steps)
        except WaitingError as waiting:
            look.waiting = waiting
        except FtlError as error:
            if not error.retryable:
                raise
            look.error = error
        else:
            until = time.monotonic() + interval(app, self._settings) * 0.9
            look.memo = CachedRelease(of, pods, replace(released, facts={}), until)
            return released
        # Through an outage the last release is kept up; nothing newer is known than what runs.
        return known.released if known is not None else None

    def _wait_for_a_turn(self, look: Look, app: FtlApp, live: Json | None) -> None:
        """Let only so many apps be rolled out at once that nobody changed.

        Raises:
            WaitingError: There are that many already.
        """
        status = look.status
        changed = status.get("observedGeneration") != look.seen.generation or live is None
        if changed or look.seen.rolling_since or look.running == status.get("image"):
            return
        begun = look.now - timedelta(seconds=deadline(app, self._settings))
        if self._view.rollouts(timestamp(begun)) >= self._settings.max_rollouts:
            # What was planned is not told before it runs, and planned again then.
            look.running, look.wanted, look.facts, look.memo = "", None, {}, None
            raise WaitingError("a new version waits until other apps are rolled out", LONG_WAIT)

    def _note_missing(self, look: Look, desired: Manifests) -> None:
        for missing in desired.missing:
            if missing.is_vital and look.error is None:
                look.error = missing.error()
            elif not missing.is_vital:
                look.notes.append(str(missing))

    def _observe(self, look: Look, app: FtlApp | None) -> None:
        live = self._applier.live_spin_app(look.key, look.seen.uid)
        with look.steps.enter("observe"):
            look.observed = self._observer.see(look.key, live or {})
        if app is None or app.spec.suspend or not look.running or not look.observed.is_there:
            return
        if not look.observed.is_complete or look.observed.is_scaled_to_zero:
            self._go_back_if_late(look, app)
            return
        tools = look.facts.get("tools") or look.status.get("tools") or ()
        asked = look.status if look.status.get("image") == look.running and not look.rolls else {}
        try:
            look.probe = self._observer.ask(app, asked, [tool["name"] for tool in tools])
        except WaitingError as waiting:
            look.delay = waiting.seconds
            return
        verified = look.probe or finding(look.status, ConditionType.VERIFIED)
        if verified is not None and verified.status != "False":
            look.entries = history.serving(look.entries, look.running)
        else:
            self._go_back_if_late(look, app)

    def _go_back_if_late(self, look: Look, app: FtlApp) -> None:
        allowed = deadline(app, self._settings)
        left = history.seconds_left(look.entries, look.running, allowed, look.now)
        if left is None or look.observed.is_scaled_to_zero:
            return
        look.delay = max(left, 0.1)
        if left > 0:
            return
        cause = look.observed.cause or (look.probe.message if look.probe else "its pods did not become ready")
        entries = history.failed(look.entries, look.running, f"not ready in {allowed:.0f} s: {cause}")
        if entries is not None:
            look.entries = entries
            look.delay = 0.0
            metrics.ROLLBACKS.inc()
            _log.warning("%s goes back to the last good version", look.running, extra=look.named)


def _suspended(live: Json | None, settings: Settings) -> ReleaseResult | None:
    """What a suspended app goes on having, with no pods: just what it had."""
    if live is None:
        return None
    spec = live["spec"]
    annotations = live["metadata"].get("annotations") or {}
    return ReleaseResult(
        Release(
            settings.as_published(parse_reference(spec["image"])),
            annotations.get(INPUTS_ANNOTATION, ""),
            (spec.get("podAnnotations") or {}).get(SOURCES_ANNOTATION, ""),
        )
    )
