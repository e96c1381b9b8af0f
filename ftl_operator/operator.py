"""The running operator: watches that feed the view, an election, and workers that act while it is won."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import kopf

from ftl_operator import apis, handlers, metrics
from ftl_operator.controller import Controller
from ftl_operator.errors import ClusterError
from ftl_operator.health import HealthServer
from ftl_operator.kube import Kube
from ftl_operator.lease import Leadership
from ftl_operator.settings import Settings
from ftl_operator.view import View, version_of
from ftl_operator.workqueue import WorkQueue

SYNC_SECONDS = 0.2
"""How often a starting replica compares what it has seen with what there is."""
RELIST_SECONDS = 10.0
"""How long it waits for something before it asks whether that is still there."""
WATCHDOG_SECONDS = 60.0
"""How often a running one does, for its apps."""
STALLED_SECONDS = 150.0
"""How long a watch may miss a change before the liveness probe fails; kopf itself gives up a silent one
after 70.
"""

Place = tuple[str, str, int]
_log = logging.getLogger(__name__)


class Operator:
    """One replica.

    Args:
        settings: The operator's settings.
        kube: The cluster; its guard is this replica's leadership.
        view: Fed by the watches.
        queue: Fed by the watches.
        controller: Looks at apps.
        leadership: This replica's part in the election; None without one.
    """

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        view: View,
        queue: WorkQueue,
        controller: Controller,
        leadership: Leadership | None,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._view = view
        self._queue = queue
        self._controller = controller
        self._leadership = leadership
        self._stop = threading.Event()
        self._synced = threading.Event()
        self._heart = handlers.Heart()
        self._missed_since: float | None = None
        self._threads: list[threading.Thread] = []

    def run(self, kubeconfig: Path | None) -> None:
        """Run until a signal ends it."""
        metrics.WORKERS.set(self._settings.workers)
        metrics.QUEUE.set_function(self._queue.ready)
        metrics.count_apps(self._states)
        address = (self._settings.metrics_address, self._settings.metrics_port)
        health = HealthServer(address, metrics.REGISTRY, live=self._what_stalls, ready=self._what_is_missing)
        _log.info("metrics and probes are at port %d", health.port)
        for name, target in (("election", self._elect), ("sync", self._sync)):
            self._start(name, target)
        for number in range(self._settings.workers):
            self._start(f"worker-{number}", self._work)
        clusterwide = not self._settings.namespaces
        try:
            kopf.run(
                registry=handlers.registry_of(self._view, self._queue, self._heart, kubeconfig),
                settings=handlers.framework_settings(clusterwide=clusterwide),
                standalone=True,
                clusterwide=clusterwide,
                namespaces=self._settings.namespaces,
            )
        finally:
            self._stop.set()
            self._queue.close()
            for thread in self._threads:
                thread.join(timeout=10)
            health.stop()

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _may_act(self) -> bool:
        return self._synced.is_set() and self._kube.guard()

    def _elect(self) -> None:
        if self._leadership is None:
            self._lead(True)
            return
        self._leadership.run(self._stop, self._lead)

    def _lead(self, leads: bool) -> None:  # noqa: FBT001 - what the election says
        metrics.LEADER.set(leads)
        _log.info("this replica %s", "acts" if leads else "stands by")
        if leads:
            self._wake_all()

    def _wake_all(self) -> None:
        for key, _ in self._view.apps():
            self._queue.add(key)

    def _work(self) -> None:
        while not self._stop.is_set():
            if self._may_act():
                self._controller.work(lambda: self._stop.is_set() or not self._may_act())
            else:
                self._stop.wait(0.2)

    def _sync(self) -> None:
        """Wait until the first listings are complete: what is not seen yet must not be taken for missing."""
        for api in handlers.SELECTORS:
            awaited: list[Place] | None = None
            tried = time.monotonic()
            while not self._stop.is_set():
                try:
                    if awaited is None:
                        awaited, tried = self._places(api), time.monotonic()
                except ClusterError as error:
                    _log.warning("the listing of %s is not complete: %s", api.plural, error)
                else:
                    awaited = [place for place in awaited if not self._view.has_seen(api, *place)]
                    if not awaited:
                        break
                    if time.monotonic() - tried > RELIST_SECONDS:
                        # What was deleted between the two listings will never be seen.
                        awaited = None
                self._stop.wait(SYNC_SECONDS)
        self._synced.set()
        _log.info("%d apps seen", len(self._view.apps()))
        self._wake_all()
        self._watchdog()

    def _watchdog(self) -> None:
        """Ask now and then whether the watch of apps has missed something, as a silent watch would."""
        while not self._stop.wait(WATCHDOG_SECONDS):
            try:
                places = self._places(apis.FTL_APP)
            except ClusterError:
                # An API server that does not answer is no reason to restart.
                continue
            if all(self._view.has_seen(apis.FTL_APP, *place) for place in places):
                self._missed_since = None
            elif self._missed_since is None:
                self._missed_since = time.monotonic()

    def _places(self, api: apis.Api) -> list[Place]:
        """Namespace, name and version of every object of a kind that is watched."""
        listed = self._kube.list_metadata(api, self._settings.namespaces, *handlers.SELECTORS[api])
        return [
            (item["metadata"]["namespace"], item["metadata"]["name"], version_of(item)) for item in listed
        ]

    def _what_stalls(self) -> str:
        now = time.monotonic()
        if now - self._heart.beat > 60:
            return f"the event loop has not run for {now - self._heart.beat:.0f} s"
        if self._missed_since is not None and now - self._missed_since > STALLED_SECONDS:
            return f"the watch has missed a change for {now - self._missed_since:.0f} s"
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"these threads have ended: {', '.join(dead)}" if dead else ""

    def _what_is_missing(self) -> str:
        return "" if self._synced.is_set() else "the first listing is not complete"

    def _states(self) -> list[tuple[tuple[tuple[str, str, str], ...], int]]:
        return [(seen.conditions, seen.tool_count) for _, seen in self._view.apps()]
