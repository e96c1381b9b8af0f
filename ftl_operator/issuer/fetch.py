"""JSON documents of token issuers: one bounded GET each, over the operator's one way out (`exchange`).

A redirect is never followed: an issuer's documents are where it says they are. Messages show hosts and paths
of public documents, never a response's text.
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
    """Which issuers may be asked, and how. Times are seconds."""

    allowed: HostPatterns = EVERY_HOST
    """Hosts that may be asked. `*` does not reach private addresses: name the host."""
    plain_http: HostPatterns = NO_HOST
    """Hosts that are spoken to without TLS."""
    developing: bool = False
    """On a developer's own machine: private addresses may be asked, and loopback without TLS."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    silence: float = 5.0
    """The longest silence."""
    total: float = 15.0
    """The longest that asking one issuer may take in all: its metadata, wherever they are, and its keys."""
    look_up: Callable[[str, int], list[str]] = exchange.look_up
    """Addresses of a host; raises OSError."""


class NoDocumentError(IssuerError):
    """Something answers at a URL, and it is no JSON object.

    Args:
        message: The URL, and what it answers.
        may_pass: Whether it says that it may be otherwise soon.
    """

    def __init__(self, message: str, *, reason: Reason, field: str = "", may_pass: bool = False) -> None:
        super().__init__(message, reason=reason, field=field)
        self.may_pass = may_pass


class IssuerClient:
    """Asks token issuers. Safe for threads; every call blocks.

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
        """A URL as it is asked: the value that is checked here and then connected to.

        Raises:
            IssuerError: It is not usable, or not HTTPS where HTTP is not allowed (ISSUER_INVALID).
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
        """A URL of a spec, whose host must be allowed.

        Raises:
            IssuerError: As `url`, or its host is not allowed (ISSUER_NOT_ALLOWED).
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
            url: Where it is.
            deadline: When it must be there.
            field: The spec field that led here, for messages.

        Raises:
            NoDocumentError: Something else is at this URL.
            IssuerError: It cannot be had now (ISSUER_UNAVAILABLE), or may not be asked for
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
            # Not which address: names of the operator's network are no matter of whoever writes an FtlApp.
            text = f"{url.host}: {error.failure.value}; the operator's settings must name the host"
            return IssuerError(text, reason=Reason.ISSUER_NOT_ALLOWED, field=field)
        case Failure.TOO_LARGE | Failure.ENCODED | Failure.MALFORMED:
            return NoDocumentError(f"{url} is not usable: {error}", reason=Reason.ISSUER_INVALID, field=field)
        case _:
            return IssuerError(f"{url}: {error}", field=field)


def _parse(raw: bytes) -> object:
    """JSON as the gateway reads it: UTF-8, and no member twice; None for anything else."""
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
