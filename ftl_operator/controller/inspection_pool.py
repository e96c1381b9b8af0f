"""Inspects components beside the workers: compiling one can take a minute, and no other app waits for it.

A look at an app asks for each of its components; one that is known is there at once, and one that is not is
inspected in the background, once however many apps wait, and wakes them when it is done.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ftl_operator.api.names import NamespacedName
from ftl_operator.component.tool import Component
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import FtlError, WaitingError
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.reference import Digest

PATIENCE = 1.0
"""Seconds a look waits for an inspection before it lets go of its worker; a small component needs less."""
THREADS = 8
"""How many components are fetched or inspected at once. How many run at once is the sandbox's limit."""


class InspectionPool:
    """Inspections that are under way.

    Args:
        wake: Called with an app to look at again.
    """

    def __init__(self, wake: Callable[[NamespacedName], None]) -> None:
        self._wake = wake
        self._pool = ThreadPoolExecutor(THREADS, "inspect")
        self._lock = threading.Lock()
        self._running: dict[Digest, Future[Component]] = {}
        self._waiting: dict[Digest, set[NamespacedName]] = {}

    def inspect(
        self, layer: Descriptor, where: str, key: NamespacedName, run: Callable[[], Component]
    ) -> Component:
        """The component, if it is known soon.

        Args:
            layer: The component's layer.
            where: Names it in messages.
            key: The app that asks.
            run: Inspects it.

        Raises:
            WaitingError: It is being inspected; `key` is woken when that is done.
            FtlError: The inspection failed.
        """
        digest = layer.digest
        with self._lock:
            future = self._running.get(digest)
            is_new = future is None
            if future is None:
                future = self._running[digest] = self._pool.submit(run)
            self._waiting.setdefault(digest, set()).add(key)
        if is_new:
            metrics.INSPECTIONS.inc()
            future.add_done_callback(lambda _: self._done(digest))
        try:
            return future.result(PATIENCE)
        except (FtlError, WaitingError):
            self._forget(digest, key)
            raise
        except TimeoutError:
            raise WaitingError(f"{where} is being inspected ({layer.size / 1_000_000:.1f} MB)") from None

    def close(self) -> None:
        """Start nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _forget(self, digest: Digest, key: NamespacedName) -> None:
        with self._lock:
            self._waiting.get(digest, set()).discard(key)

    def _done(self, digest: Digest) -> None:
        metrics.INSPECTIONS.dec()
        with self._lock:
            waiting = self._waiting.pop(digest, set())
            # A failure is kept until the apps that wait for it have seen it; a success is in the cache.
            failed = isinstance(self._running[digest].exception(), FtlError)
            if not failed:
                del self._running[digest]
        if failed:
            threading.Timer(PATIENCE * 5, self._drop, (digest,)).start()
        for key in waiting:
            self._wake(key)

    def _drop(self, digest: Digest) -> None:
        with self._lock:
            self._running.pop(digest, None)
