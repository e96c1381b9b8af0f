"""The running operator: watches that fill the cache, the leader election, and workers that run as leader."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import kopf
from kopf._core.engines.peering import Identity

from ftl_operator.api import kinds
from ftl_operator.cluster.cache import Cache, version_of
from ftl_operator.cluster.client import WRITE_SECONDS, Kube
from ftl_operator.cluster.leader_election import LeaderElection
from ftl_operator.controller import watches
from ftl_operator.controller.reconciler import Reconciler
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.telemetry.health import HealthServer
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import ClusterError
from ftl_operator.settings import Settings

SYNC_SECONDS = 0.2
"""How often a starting replica checks whether its cache has every listed object."""
RELIST_SECONDS = 10.0
"""How long it waits for a listed object before it lists again, since the object may be deleted."""
WATCHDOG_SECONDS = 60.0
"""How often a running replica checks the same for its apps."""
STALLED_SECONDS = 150.0
"""How long a watch may miss a change before the liveness probe fails. kopf itself gives up a silent watch
after 70 seconds."""

HANDOVER_SECONDS = 0.5
"""How long reconciles may still take once the replica is told to end. The next replica writes what they have
not written."""

END_SECONDS = 8.0
"""How long the process waits for its threads when it ends. A Lease that was not released lasts longer, so all
writes have ended before another replica begins."""

Place = tuple[str, str, int]
_log = logging.getLogger(__name__)


class Operator:
    """One replica.

    Args:
        settings: The operator's settings; their `identity` is set. kopf gets it too, because its default
            needs a user name, which an arbitrary uid in a container does not have.
        kube: The cluster; its write gate is open while this replica leads.
        cache: Filled by the watches.
        queue: Filled by the watches.
        reconciler: Reconciles apps.
        election: The leader election; None if this is the only replica.
    """

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        cache: Cache,
        queue: WorkQueue,
        reconciler: Reconciler,
        election: LeaderElection | None,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self._reconciler = reconciler
        self._election = election
        self._stop = threading.Event()
        self._synced = threading.Event()
        self._heartbeat = watches.EventLoopHeartbeat()
        self._missed_since: float | None = None
        self._threads: list[threading.Thread] = []
        self._workers: list[threading.Thread] = []

    def run(self, kubeconfig: Path | None) -> None:
        """Run until a signal ends it."""
        metrics.WORKERS.set(self._settings.workers)
        metrics.QUEUE.set_function(self._queue.ready)
        metrics.count_apps(self._states)
        address = (self._settings.metrics_address, self._settings.metrics_port)
        health = HealthServer(address, metrics.REGISTRY, live=self._liveness, ready=self._readiness)
        _log.info("metrics and probes are at port %d", health.port)
        try:
            asyncio.run(self._listen(kubeconfig))
        finally:
            self._stop.set()
            self._queue.close()
            _join(self._threads, END_SECONDS)
            health.stop()

    async def _listen(self, kubeconfig: Path | None) -> None:
        """Run the watches, the election, the first sync and the workers, until a signal comes."""
        clusterwide = not self._settings.namespaces
        ended = asyncio.Event()
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=watches.registry_of(self._cache, self._queue, self._heartbeat, kubeconfig),
            settings=watches.framework_settings(clusterwide=clusterwide),
            standalone=True,
            clusterwide=clusterwide,
            namespaces=self._settings.namespaces,
            identity=Identity(self._settings.identity),
            stop_flag=ended,
        )

        def end(number: signal.Signals) -> None:
            # The Lease is released at once; kopf takes seconds to end.
            _log.info("%s: this replica ends", number.name)
            self._stop.set()
            self._queue.close()
            ended.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            # Replaces kopf's handler.
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        for name, target in (("election", self._run_election), ("sync", self._sync)):
            self._start(name, target)
        self._workers = [self._start(f"worker-{n}", self._work) for n in range(self._settings.workers)]
        await kopf.run_tasks(tasks, ignored=others)

    def _start(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _may_act(self) -> bool:
        return self._synced.is_set() and self._kube.write_gate.is_open()

    def _run_election(self) -> None:
        if self._election is not None:
            self._election.run(self._stop, self._on_leading_changed, self._drain)
            return
        self._on_leading_changed(True)
        self._stop.wait()
        self._drain()

    def _drain(self) -> bool:
        """Stop the workers and close the write gate. Returns whether every write has ended."""
        _join(self._workers, HANDOVER_SECONDS)
        return self._kube.write_gate.close(WRITE_SECONDS)

    def _on_leading_changed(self, leads: bool) -> None:  # noqa: FBT001 - the election's callback
        metrics.LEADER.set(leads)
        _log.info("this replica is %s", "the leader" if leads else "a standby")
        if leads:
            self._wake_all()

    def _wake_all(self) -> None:
        for key, _ in self._cache.apps():
            self._queue.add(key)

    def _work(self) -> None:
        while not self._stop.is_set():
            if self._may_act():
                self._reconciler.work(lambda: self._stop.is_set() or not self._may_act())
            else:
                self._stop.wait(0.2)

    def _sync(self) -> None:
        """Wait until the cache has every listed object, so that none counts as missing."""
        for api in watches.SELECTORS:
            awaited: list[Place] | None = None
            tried = time.monotonic()
            while not self._stop.is_set():
                try:
                    if awaited is None:
                        awaited, tried = self._places(api), time.monotonic()
                except ClusterError as error:
                    _log.warning("the listing of %s is not complete: %s", api.plural, error)
                else:
                    awaited = [place for place in awaited if not self._cache.has_seen(api, *place)]
                    if not awaited:
                        break
                    if time.monotonic() - tried > RELIST_SECONDS:
                        # An object that was deleted after the listing never reaches the cache.
                        awaited = None
                self._stop.wait(SYNC_SECONDS)
        self._synced.set()
        _log.info("%d apps seen", len(self._cache.apps()))
        self._wake_all()
        self._watchdog()

    def _watchdog(self) -> None:
        """Check periodically whether the watch of apps has missed a change, as a silent watch does."""
        while not self._stop.wait(WATCHDOG_SECONDS):
            try:
                places = self._places(kinds.FTL_APP)
            except ClusterError:
                # A restart does not help if the API server does not answer.
                continue
            if all(self._cache.has_seen(kinds.FTL_APP, *place) for place in places):
                self._missed_since = None
            elif self._missed_since is None:
                self._missed_since = time.monotonic()

    def _places(self, api: kinds.Api) -> list[Place]:
        """List namespace, name and version of every watched object of a kind."""
        listed = self._kube.list_metadata(api, self._settings.namespaces, *watches.SELECTORS[api])
        return [
            (item["metadata"]["namespace"], item["metadata"]["name"], version_of(item)) for item in listed
        ]

    def _liveness(self) -> str:
        if self._stop.is_set():
            return ""
        now = time.monotonic()
        if now - self._heartbeat.beat > 60:
            return f"the event loop has not run for {now - self._heartbeat.beat:.0f} s"
        if self._missed_since is not None and now - self._missed_since > STALLED_SECONDS:
            return f"the watch has missed a change for {now - self._missed_since:.0f} s"
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"these threads have ended: {', '.join(dead)}" if dead else ""

    def _readiness(self) -> str:
        return "" if self._synced.is_set() else "the first listing is not complete"

    def _states(self) -> list[tuple[tuple[tuple[str, str, str], ...], int]]:
        return [(seen.conditions, seen.tool_count) for _, seen in self._cache.apps()]


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait until all threads have ended, for at most `seconds` in all."""
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
