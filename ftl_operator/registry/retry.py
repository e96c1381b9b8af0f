"""How registries are asked: who may be, with which authorization, how many at once, how often again.

Retried are failures that may pass within seconds (no connection, 408, 429, 5xx, a broken-off transfer), a few
times, with jittered and growing pauses; a Retry-After is honoured (RFC 9110 §10.2.3) up to the longest pause.
All attempts of an operation share one deadline. What is left after that is the caller's to retry, later.
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
    """What all users of registries in this process have in common. Safe for threads."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._transport = Transport(settings)
        self._tokens = TokenStore(self._transport)
        self._slots: dict[str, tuple[threading.BoundedSemaphore, int]] = {}
        """By registry, its slots and how many operations hold or await one: none of a registry at rest."""
        self._guard = threading.Lock()

    def run(
        self,
        repository: Repository,
        operation: str,
        attempt: Callable[[Deadline], T],
        size: Callable[[T], int] = lambda _: 0,
        transfer_bytes: int = 0,
    ) -> T:
        """Do one operation: within the registry's limit of connections, again while it may help, observed.

        Args:
            repository: What the operation is about.
            operation: Its name, for the observer.
            attempt: Does it once, within the deadline. Must not run another operation, or the limit of
                connections could block it.
            size: The bytes that a result moved, for the observer.
            transfer_bytes: The size of the blob that it moves, for which it gets more time.

        Raises:
            SpecError: If the settings do not allow the registry.
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
        """Send one request with the authorization that it needs, and give the answer, whatever its status.

        The first request to a registry goes without credentials; its challenge says what it wants, and the
        answer is kept for the next ones.
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
