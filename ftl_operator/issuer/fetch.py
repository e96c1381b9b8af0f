"""Fetches JSON documents of token issuers: one bounded GET each, through `exchange`.

Redirects are never followed, because an issuer's documents have fixed URLs. Messages show hosts and paths of
public documents, never a response's text.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftl_operator import exchange, hosts
from ftl_operator.errors import IssuerError, Reason
from ftl_operator.exchange import Deadline, ExchangeError, ExchangeSettings, Failure, HttpClient, Request
from ftl_operator.hosts import HostError, HostPatterns, HttpUrl, parse_url

MAX_DOCUMENT_BYTES = 256 * 1024
"""The largest document that is read; the gateway has the same limit for keys."""

EVERY_HOST, NO_HOST = HostPatterns.parse(("*",)), HostPatterns()

_MISSING = (404, 410)
_PASSING = (408, 429)


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """Which issuers are allowed, and how to reach them. Times are in seconds."""

    allowed: HostPatterns = EVERY_HOST
    """Allowed hosts. `*` does not allow private addresses; name such a host."""
    plain_http: HostPatterns = NO_HOST
    """Hosts without TLS."""
    developing: bool = False
    """Whether this is a developer's machine: private addresses are allowed, and loopback without TLS."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    silence: float = 5.0
    """The longest pause of the other side."""
    total: float = 15.0
    """The most time for one issuer in all: its metadata, at every possible URL, and its keys."""
    look_up: Callable[[str, int], list[str]] = exchange.look_up
    """Addresses of a host; raises OSError."""


class NoDocumentError(IssuerError):
    """A server answers at a URL, but not with a JSON object.

    Args:
        message: The URL and the answer.
        may_pass: Whether the status is a temporary one.
    """

    def __init__(self, message: str, *, reason: Reason, field: str = "", may_pass: bool = False) -> None:
        super().__init__(message, reason=reason, field=field)
        self.may_pass = may_pass


class IssuerClient:
    """Fetches documents of token issuers. Safe to use from several threads; every call blocks.

    Args:
        settings: What is allowed.

    Raises:
        IssuerError: The settings' CA file cannot be used.
    """

    def __init__(self, settings: IssuerSettings) -> None:
        self.settings = settings
        try:
            self._client = HttpClient(
                ExchangeSettings(
                    may_be_private=self._may_be_private,
                    ca_file=settings.ca_file,
                    connect_seconds=settings.silence,
                    silence_seconds=settings.silence,
                    idle_connections=0,
                    look_up=settings.look_up,
                )
            )
        except ValueError as error:
            raise IssuerError(str(error)) from None

    def url(self, text: str, field: str) -> HttpUrl:
        """Parse and check a URL. The request uses the same parsed value.

        Raises:
            IssuerError: It is invalid, or not HTTPS where HTTP is not allowed (ISSUER_INVALID).
        """
        try:
            url = parse_url(text)
        except HostError as error:
            raise IssuerError(
                f"{text[:200]!r} is not a usable URL: {error}", reason=Reason.ISSUER_INVALID, field=field
            ) from None
        plain = self.settings.plain_http.allow(url.host, url.port) or (
            self.settings.developing and hosts.is_loopback(url.host)
        )
        if url.scheme != "https" and not plain:
            raise IssuerError(f"{text[:200]} is not HTTPS", reason=Reason.ISSUER_INVALID, field=field)
        return url

    def allowed_url(self, text: str, field: str) -> HttpUrl:
        """Parse and check a URL from a spec; its host must be allowed.

        Raises:
            IssuerError: As for `url`, or the host is not allowed (ISSUER_NOT_ALLOWED).
        """
        url = self.url(text, field)
        if not self.settings.allowed.allow(url.host, url.port):
            raise IssuerError(
                f"the operator's settings do not allow the issuer {url.netloc}",
                reason=Reason.ISSUER_NOT_ALLOWED,
                field=field,
            )
        return url

    def get_object(self, url: HttpUrl, deadline: Deadline, field: str) -> dict[str, Any]:
        """Fetch a JSON object.

        Args:
            url: Its URL.
            deadline: The deadline.
            field: The field of the spec, for messages.

        Raises:
            NoDocumentError: The URL has no JSON object.
            IssuerError: There is no answer now (ISSUER_UNAVAILABLE), or the host is not allowed
                (ISSUER_NOT_ALLOWED).
        """
        request = Request("GET", url, {"Accept": "application/json"})
        try:
            with self._client.exchange(request, deadline) as response:
                _check_status(url, response.status, field)
                raw = response.read(MAX_DOCUMENT_BYTES)
        except ExchangeError as error:
            raise _failure(url, error, field) from None
        value = _parse(raw)
        if not isinstance(value, dict):
            raise NoDocumentError(f"{url} sends no JSON object", reason=Reason.ISSUER_INVALID, field=field)
        return value

    def _may_be_private(self, url: HttpUrl) -> bool:
        settings, place = self.settings, (url.host, url.port)
        return settings.developing or settings.plain_http.allow(*place) or settings.allowed.name(*place)


def _check_status(url: HttpUrl, status: int, field: str) -> None:
    if status == 200:
        return
    redirected = 300 <= status < 400
    answer = f"answers {status}" + (", and no redirect is followed" if redirected else "")
    is_final = redirected or status in _MISSING
    raise NoDocumentError(
        f"{url} {answer}",
        reason=Reason.ISSUER_INVALID if is_final else Reason.ISSUER_UNAVAILABLE,
        field=field,
        may_pass=status >= 500 or status in _PASSING,
    )


def _failure(url: HttpUrl, error: ExchangeError, field: str) -> IssuerError:
    match error.failure:
        case Failure.PRIVATE:
            # Without the address: an FtlApp's author must not learn about the operator's network.
            text = f"{url.host}: {error.failure.value}; the operator's settings must name the host"
            return IssuerError(text, reason=Reason.ISSUER_NOT_ALLOWED, field=field)
        case Failure.TOO_LARGE | Failure.ENCODED | Failure.MALFORMED:
            return NoDocumentError(f"{url} is not usable: {error}", reason=Reason.ISSUER_INVALID, field=field)
        case _:
            return IssuerError(f"{url}: {error}", field=field)


def _parse(raw: bytes) -> object:
    """Parse JSON as the gateway does: UTF-8, no duplicate members. Returns None for anything else."""
    try:
        return json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_number(text: str) -> None:
    raise ValueError(text)
