"""Runs slow jobs outside of the workers: inspections of components and checks of policies.

Every use of the sandbox goes through this pool, so the setting `inspectors` alone limits the number of
sandboxed children and thus the operator's memory. A job first fetches its data (it waits for a registry) and
then runs (it uses a core and memory). Each namespace has its own queue for both, and `fair_share` divides the
slots between namespaces. A reconcile waits for a job for a moment only; a later result queues the app again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from ftl_operator.api.names import NamespacedName
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import FtlError, WaitingError
from ftl_operator.fair_share import FairShare, Turn
from ftl_operator.ttl_cache import Outcome, TtlCache

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds a reconcile waits for a job before it frees its worker; a small component needs less."""
FETCHERS = 8
"""How many components are fetched at once."""
MAX_WAITING = 256
"""How many jobs of one namespace may wait at once; a further app is retried later."""
COME_BACK = 30.0
"""Seconds until that retry."""
DONE_SECONDS = 30.0
"""How long a success is kept for the apps that wait for it; the inspector's own cache keeps it longer."""
FAILED_SECONDS = 300.0
"""How long a permanent failure is kept: as long as a checked issuer or policy."""
PASSING_SECONDS = 5.0
"""How long a transient failure is kept, so that the apps that wait for it see it."""


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A job for the pool.

    Args:
        key: The app that needs it; its namespace is the tenant.
        subject: Identifies the job: jobs of one namespace with the same subject are one job.
        message: What the status says meanwhile, such as `weather is being inspected (2.0 MB)`.
        run: The work in the sandbox. May raise FtlError.
        fetch: Downloads beforehand what `run` needs. May raise FtlError or WaitingError.
    """

    key: NamespacedName
    subject: Hashable
    message: str
    run: Callable[[], T]
    fetch: Callable[[], object] | None = None


@dataclass(slots=True, eq=False)
class _Active:
    job: Job[Any]
    future: Future[Outcome[Any]] = field(default_factory=Future)
    apps: set[NamespacedName] = field(default_factory=set)
    """The apps to queue at the end: their reconciles have stopped waiting."""


class _Lane:
    """One kind of work: a queue per namespace, and threads that the namespaces share."""

    def __init__(self, name: str, slots: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._share = FairShare(slots, clock)
        self._threads = ThreadPoolExecutor(slots, name)
        self._queues: dict[str, deque[tuple[float, Callable[[], None]]]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def waiting(self, namespace: str) -> int:
        with self._lock:
            return len(self._queues.get(namespace, ()))

    def add(self, namespace: str, work: Callable[[], None]) -> None:
        with self._lock:
            self._queues.setdefault(namespace, deque()).append((self._clock(), work))
            self._start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._queues.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Start every job that has a slot. The caller holds the lock."""
        while not self._closed:
            ready = [namespace for namespace in self._queues if self._share.may_take(namespace)]
            if not ready:
                return
            first = min(ready, key=lambda name: self._share.rank(name, self._queues[name][0][0]))
            _, work = self._queues[first].popleft()
            if not self._queues[first]:
                del self._queues[first]
            self._threads.submit(self._work, work, self._share.take(first))

    def _work(self, work: Callable[[], None], turn: Turn) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._share.give_back(turn)
                self._start()


class InspectionPool:
    """Jobs that are under way, and recent results.

    Args:
        wake: Called with an app to reconcile again, and in how many seconds.
        inspectors: How many jobs run at once.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        wake: Callable[[NamespacedName, float], None],
        inspectors: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake = wake
        self._fetching = _Lane("fetch", FETCHERS, clock)
        self._running = _Lane("inspect", inspectors, clock)
        self._lock = threading.Lock()
        self._active: dict[Hashable, _Active] = {}
        self._outcomes: TtlCache[Any] = TtlCache(clock)

    def run(self, job: Job[T]) -> T:
        """Return the job's result; start the job if it is new, and wait for it for `PATIENCE` seconds.

        Raises:
            WaitingError: The job is under way; its end queues the app again.
            FtlError: The job failed, now or recently.
        """
        identity = (job.key.namespace, job.subject)
        known = self._outcomes.get(identity)
        if known is not None:
            return cast("T", known.result())
        with self._lock:
            active = self._active.get(identity)
            is_new = active is None
            if active is None:
                namespace, lanes = job.key.namespace, (self._fetching, self._running)
                if sum(lane.waiting(namespace) for lane in lanes) >= MAX_WAITING:
                    raise WaitingError("other components of the namespace are inspected first", COME_BACK)
                active = self._active[identity] = _Active(job)
        if is_new:
            metrics.INSPECTIONS.inc()
            self._begin(identity, active)
        wait([active.future], PATIENCE)
        with self._lock:
            if not active.future.done():
                active.apps.add(job.key)
                raise WaitingError(job.message)
        return cast("T", active.future.result().result())

    def close(self) -> None:
        """Start no further job."""
        self._fetching.close()
        self._running.close()

    def _begin(self, identity: Hashable, active: _Active) -> None:
        job, namespace = active.job, active.job.key.namespace

        def run() -> None:
            self._finish(identity, active, job.run)

        def fetch() -> None:
            try:
                if job.fetch is not None:
                    job.fetch()
            except BaseException as error:  # noqa: BLE001 - any error is the result of the job
                self._finish(identity, active, _raiser(error))
            else:
                self._running.add(namespace, run)

        lane = self._running if job.fetch is None else self._fetching
        lane.add(namespace, run if job.fetch is None else fetch)

    def _finish(self, identity: Hashable, active: _Active, run: Callable[[], Any]) -> None:
        outcome: Outcome[Any] | None = None
        failure: BaseException | None = None
        try:
            outcome = Outcome(run())
        except FtlError as error:
            outcome = Outcome(None, error)
        except BaseException as error:  # noqa: BLE001 - raised again in the reconciles that need the job
            failure = error
        if outcome is not None:
            self._remember(active.job.key.namespace, identity, outcome)
        metrics.INSPECTIONS.dec()
        with self._lock:
            del self._active[identity]
            if outcome is not None:
                active.future.set_result(outcome)
            else:
                active.future.set_exception(failure)
        delay = failure.seconds if isinstance(failure, WaitingError) else None
        for key in active.apps:
            self._wake(key, delay or 0.0)

    def _remember(self, tenant: str, identity: Hashable, outcome: Outcome[Any]) -> None:
        error = outcome.error
        if error is None:
            self._outcomes.put(tenant, identity, outcome.value, DONE_SECONDS)
        else:
            seconds = PASSING_SECONDS if error.retryable else FAILED_SECONDS
            self._outcomes.fail(tenant, identity, error, seconds, seconds)


def _raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
