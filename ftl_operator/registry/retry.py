"""The policy of requests to registries: allow-list, authorization, concurrency limit and retries.

Failures that may pass within seconds (no connection, 408, 429, 5xx, a broken-off transfer) are retried a few
times with growing, jittered pauses. Retry-After is honoured (RFC 9110 §10.2.3) up to the longest pause. All
attempts of an operation share one deadline. The caller may retry later.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from ftl_operator.errors import FtlError, Reason, SpecError
from ftl_operator.exchange import Deadline, Response
from ftl_operator.oci.reference import Repository
from ftl_operator.registry.bearer import TokenScope, TokenStore, unauthorized
from ftl_operator.registry.http import Call, RegistrySettings, TransientError, Transport

T = TypeVar("T")


class RequestPolicy:
    """The request policy of this process. Safe to use from several threads."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._transport = Transport(settings)
        self._tokens = TokenStore(self._transport)
        self._slots: dict[str, tuple[threading.BoundedSemaphore, int]] = {}
        """By registry: its slots, and how many operations hold or await one. An idle registry has no
        entry."""
        self._guard = threading.Lock()

    def run(
        self,
        repository: Repository,
        operation: str,
        attempt: Callable[[Deadline], T],
        size: Callable[[T], int] = lambda _: 0,
        transfer_bytes: int = 0,
    ) -> T:
        """Run one operation: within the registry's concurrency limit, with retries, and observed.

        Args:
            repository: The repository of the operation.
            operation: The operation's name, for the observer.
            attempt: Makes one attempt within the deadline. It must not run another operation, which could
                deadlock on the concurrency limit.
            size: Returns the bytes that a result transferred, for the observer.
            transfer_bytes: The size of the blob to transfer, which extends the deadline.

        Raises:
            SpecError: The settings do not allow the registry.
        """
        settings, registry = self.settings, repository.registry
        if not settings.allows(repository):
            raise SpecError(
                f"{repository}: the operator's settings do not allow this registry",
                reason=Reason.REGISTRY_NOT_ALLOWED,
            )
        deadline = settings.deadline(transfer_bytes)
        tried = 0
        while True:
            tried += 1
            try:
                with self._slot(repository, deadline):
                    result = attempt(deadline)
            except FtlError as error:
                pause = self._pause(error, tried, deadline)
                if pause is None:
                    settings.observe(registry, operation, error.reason, 0)
                    raise
            else:
                settings.observe(registry, operation, Reason.SUCCEEDED, size(result))
                return result
            time.sleep(pause)

    @contextlib.contextmanager
    def ask(self, call: Call, scope: TokenScope, deadline: Deadline, where: str) -> Iterator[Response]:
        """Send one request with the authorization that it needs, and yield the answer, whatever its status.

        The first request to a registry has no credentials. The registry's challenge says which authorization
        it wants, and that is cached for later requests.
        """
        authorization = self._tokens.kept(scope)
        for answered in (False, True):
            sent = replace(call, authorization=authorization if call.url.origin == call.home.origin else None)
            with self._transport.exchange(sent, deadline, where) as response:
                if response.status != 401:
                    yield response
                    return
                challenge = response.headers.get("WWW-Authenticate", "")
            self._tokens.forget(scope)
            if not answered:
                authorization = self._tokens.answer(challenge, scope, call.home, deadline, where)
        raise unauthorized(where, scope.login)

    @contextlib.contextmanager
    def _slot(self, repository: Repository, deadline: Deadline) -> Iterator[None]:
        registry = repository.registry
        with self._guard:
            slots, users = self._slots.get(
                registry, (threading.BoundedSemaphore(self.settings.connections), 0)
            )
            self._slots[registry] = (slots, users + 1)
        try:
            if not slots.acquire(timeout=max(0.0, deadline.at - time.monotonic())):
                raise TransientError(f"{repository}: other requests keep the registry busy")
            try:
                yield
            finally:
                slots.release()
        finally:
            with self._guard:
                slots, users = self._slots.pop(registry)
                if users > 1:
                    self._slots[registry] = (slots, users - 1)

    def _pause(self, error: FtlError, tried: int, deadline: Deadline) -> float | None:
        settings = self.settings
        if not isinstance(error, TransientError) or tried >= settings.attempts:
            return None
        if error.retry_after is not None and error.retry_after > settings.max_wait_seconds:
            return None
        grown = settings.backoff_seconds * 2.0 ** (tried - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        pause = min(max(grown, error.retry_after or 0.0), settings.max_wait_seconds)
        return pause if time.monotonic() + pause < deadline.at else None
