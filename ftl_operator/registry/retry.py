"""Talking to registries: who may be spoken to, with which authorization, how many at once, how often again.

Retried are failures that may pass within seconds (no connection, 408, 429, 5xx, a broken-off transfer), a few
times, with jittered and growing pauses; a Retry-After is honoured (RFC 9110 §10.2.3) up to the longest pause.
All else is the caller's to retry, later.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import requests

from ftl_operator.errors import FtlError, Reason, SpecError
from ftl_operator.oci.reference import Repository
from ftl_operator.registry.bearer import TokenScope, TokenStore, unauthorized
from ftl_operator.registry.docker_config import Credentials
from ftl_operator.registry.http import Call, Origin, RegistrySettings, TransientError, exchange

T = TypeVar("T")


class RequestPolicy:
    """What all users of registries in this process have in common. Safe for threads."""

    def __init__(self, session: requests.Session, settings: RegistrySettings) -> None:
        self._session = session
        self._settings = settings
        self._tokens = TokenStore(session, settings)
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._guard = threading.Lock()

    def run(
        self, repository: Repository, operation: str, attempt: Callable[[], T], size: Callable[[T], int]
    ) -> T:
        """Do one operation: within the registry's limit of connections, again while it may help, observed.

        Args:
            repository: What the operation is about.
            operation: Its name, for the observer.
            attempt: Does it once. Must not run another operation, or the limit of connections could block it.
            size: The bytes that a result moved, for the observer.

        Raises:
            SpecError: If the settings do not allow the registry.
        """
        settings, registry = self._settings, repository.registry
        if not settings.allows(repository):
            raise SpecError(
                f"{repository}: the operator's settings do not allow this registry",
                reason=Reason.REGISTRY_NOT_ALLOWED,
            )
        tried = 0
        while True:
            tried += 1
            try:
                with self._slot(registry):
                    result = attempt()
            except FtlError as error:
                pause = self._pause(error, tried)
                if pause is None:
                    settings.observe(registry, operation, error.reason, 0)
                    raise
            else:
                settings.observe(registry, operation, Reason.SUCCEEDED, size(result))
                return result
            time.sleep(pause)

    @contextlib.contextmanager
    def ask(
        self,
        call: Call,
        repository: Repository,
        credentials: Credentials,
        scopes: tuple[str, ...],
        where: str,
    ) -> Iterator[requests.Response]:
        """Send one request with the authorization that it needs, and give the answer, whatever its status.

        The first request to a registry goes without credentials; its challenge says what it wants, and the
        answer is kept for the next ones.
        """
        login = credentials.find(repository)
        access = TokenScope(repository.registry, login, scopes)
        authorization = self._tokens.kept(access)
        home = Origin.of_registry(repository.registry, self._settings)
        for answered in (False, True):
            sent = replace(call, authorization=authorization, home=home)
            with exchange(self._session, sent, self._settings, where) as response:
                if response.status_code != 401:
                    yield response
                    return
                challenge = response.headers.get("WWW-Authenticate", "")
            self._tokens.forget(access)
            if not answered:
                authorization = self._tokens.answer(challenge, access, where)
        raise unauthorized(where, login)

    def _slot(self, registry: str) -> threading.BoundedSemaphore:
        with self._guard:
            return self._slots.setdefault(registry, threading.BoundedSemaphore(self._settings.connections))

    def _pause(self, error: FtlError, tried: int) -> float | None:
        settings = self._settings
        if not isinstance(error, TransientError) or tried >= settings.attempts:
            return None
        if error.retry_after is not None and error.retry_after > settings.max_wait_seconds:
            return None
        grown = settings.backoff_seconds * 2.0 ** (tried - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        return min(max(grown, error.retry_after or 0.0), settings.max_wait_seconds)
