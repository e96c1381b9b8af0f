"""One request to a registry: its redirects, its deadline, and the meaning of its status.

Sources: OCI distribution specification 1.1, RFC 9110 (redirects §15.4, Retry-After §10.2.3). Messages never
show a URL, because a redirect's target may be a signed one, nor a response's text beyond a registered error
code. In the operator they do not tell why a connection failed either: an FtlApp's author chooses the host and
the port, and must not learn which ports of the cluster are open. The log has the cause.
"""

import contextlib
import email.utils
import functools
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.exchange import (
    Deadline,
    ExchangeError,
    ExchangeSettings,
    Failure,
    HttpClient,
    Request,
    Response,
    look_up,
)
from ftl_operator.hosts import DEFAULT_PORTS, HostError, HostPatterns, HttpUrl, parse_authority
from ftl_operator.oci.reference import Repository
from ftl_operator.registry.docker_config import DOCKER_HUB

Body = Callable[[], bytes | BinaryIO]
"""Opens a request's body; called for every attempt."""

MAX_REDIRECTS = 5
MAX_RETRY_AFTER = 3600.0
"""The longest Retry-After that is honoured, in seconds; a wrong date could mean years."""
WELL_KNOWN = (
    # Docker Hub
    "auth.docker.io",
    "production.cloudflare.docker.com",
    "*.r2.cloudflarestorage.com",
    # GitHub
    "pkg-containers.githubusercontent.com",
    # GitLab
    "gitlab.com",
    "cdn.registry.gitlab-static.net",
    # Quay
    "*.quay.io",
    # Amazon
    "*.amazonaws.com",
    "*.amazonaws.com.cn",
    "*.cloudfront.net",
    # Google, and registry.k8s.io
    "storage.googleapis.com",
    "*.pkg.dev",
    # Microsoft
    "*.blob.core.windows.net",
    "*.azurecr.io",
    "*.data.mcr.microsoft.com",
    # DigitalOcean
    "api.digitalocean.com",
    "*.digitaloceanspaces.com",
)
"""Token servers and storage of public registries. Their addresses must be public."""

_CAUSES = {
    Failure.UNRESOLVED: "the registry's name cannot be resolved",
    Failure.UNREACHABLE: "the registry does not accept connections",
    Failure.UNTRUSTED: "the registry's certificate is not trusted",
    Failure.NO_TLS: "the registry does not speak TLS; if it is plain HTTP, name it with --plain-http",
    Failure.PROXY: "the registry cannot be reached through the proxy",
    Failure.TOO_LATE: "the registry does not answer in time",
    Failure.BROKEN: "the registry's answer breaks off",
    Failure.MALFORMED: "the registry's answer is not HTTP",
}
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERROR_CODE = re.compile(r"[A-Z][A-Z_]{1,63}")
_WRITING = ("PUT", "PATCH")
_MAX_ERROR_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


def _observe_nothing(registry: str, operation: str, outcome: str, size: int) -> None:
    del registry, operation, outcome, size


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How to reach registries. Times are in seconds, sizes in bytes."""

    cache_dir: Path
    """Where blobs are kept."""
    cache_bytes: int = 2 << 30
    allowed: tuple[str, ...] = ("*",)
    """Patterns of registries (see `hosts`). `*` does not allow private addresses; name such a host as
    well."""
    redirects: tuple[str, ...] = ()
    """Patterns of hosts that registries may refer to, besides themselves, `allowed` and the well-known
    ones."""
    own: tuple[str, ...] = ()
    """Registries that the operator's own settings name; they may have private addresses."""
    plain_http: tuple[str, ...] = ()
    """Registries (host with port) without TLS."""
    developing: bool = False
    """Whether this is a developer's machine: private addresses are allowed, and messages say why a connection
    failed."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    proxies: Mapping[str, str] | None = None
    """Proxies by scheme; None takes them from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""
    connect_seconds: float = 5.0
    """How long one address may take to accept a connection."""
    exchange_seconds: float = 30.0
    """How long one operation may take in all: the wait for a slot, redirects, the token server, retries."""
    transfer_seconds: float = 600.0
    """The most time for an operation that transfers a blob, whose time grows with its size."""
    silence_seconds: float = 15.0
    """The longest pause within a transfer."""
    slowest_bytes: int = 64 * 1024
    """The least average rate of a transfer in bytes a second, from half a minute after its start."""
    attempts: int = 4
    backoff_seconds: float = 0.5
    """The first pause between attempts; it doubles, with jitter."""
    max_wait_seconds: float = 10.0
    """The longest pause between attempts. If a registry asks for a longer one, the operation fails."""
    connections: int = 4
    """Concurrent requests to one registry."""
    max_manifest_bytes: int = 4 << 20
    max_blob_bytes: int = 128 << 20
    look_up: Callable[[str, int], list[str]] = look_up
    """Addresses of a host; raises OSError."""
    observe: Callable[[str, str, str, int], None] = field(default=_observe_nothing, compare=False)
    """Called after every operation with the registry, the operation, `Succeeded` or a reason, and the
    bytes."""

    def allows(self, repository: Repository) -> bool:
        """Whether the settings allow this repository's registry."""
        url = self.api(repository.registry)
        written = parse_authority(repository.registry)
        # Docker Hub's name in references is not the host of its API; the name is what counts.
        return _patterns(self.allowed).allow(written.host, url.port)

    def api(self, registry: str) -> HttpUrl:
        """The URL of a registry's API."""
        host = "registry-1.docker.io" if registry in DOCKER_HUB else registry
        authority = parse_authority(host)
        scheme = "http" if self.is_plain(authority.host, authority.port or 80) else "https"
        return HttpUrl(scheme, authority.host, authority.port or DEFAULT_PORTS[scheme], "/v2/")

    def is_plain(self, host: str, port: int) -> bool:
        """Whether a host uses no TLS at this port."""
        return (host, port) in _plain(self.plain_http)

    def may_be_private(self, url: HttpUrl) -> bool:
        """Whether a host may have a private address: only if the settings name it, other than by `*`."""
        named = _patterns(self.allowed + self.redirects + self.own)
        return self.developing or self.is_plain(url.host, url.port) or named.name(url.host, url.port)

    def may_lead(self, home: HttpUrl, url: HttpUrl, *, writing: bool) -> bool:
        """Whether a registry may refer to a host: by a redirect, as token server, or as an upload's location.

        Args:
            home: The registry's API.
            url: The target.
            writing: Whether an upload's bytes would go there. For these the entry `*` does not count.
        """
        if url.scheme == "http" and not self.is_plain(url.host, url.port):
            return False
        place = (url.host, url.port)
        if url.host == home.host or _patterns(self.redirects).allow(*place):
            return True
        if writing:
            return _patterns(self.allowed).name(*place)
        return _patterns(WELL_KNOWN + self.allowed).allow(*place)

    def deadline(self, transfer_bytes: int = 0) -> Deadline:
        """The deadline of an operation that begins now and transfers `transfer_bytes`."""
        seconds = self.exchange_seconds + transfer_bytes / self.slowest_bytes
        return Deadline.after(min(seconds, max(self.exchange_seconds, self.transfer_seconds)))


@functools.lru_cache(maxsize=64)
def _patterns(texts: tuple[str, ...]) -> HostPatterns:
    return HostPatterns.parse(texts)


@functools.lru_cache(maxsize=64)
def _plain(texts: tuple[str, ...]) -> frozenset[tuple[str, int]]:
    authorities = [parse_authority(text) for text in texts]
    return frozenset((authority.host, authority.port or 80) for authority in authorities)


class TransientError(RegistryError):
    """A failure that may pass within seconds, so that the operation is tried again at once."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request for `Transport`.

    Args:
        method: In capitals.
        url: The first URL.
        home: The API of the registry that named the URL.
        headers: Without the authorization.
        body: Opens the body.
        authorization: Is sent to the origin of `url` only, not to redirects elsewhere.
    """

    method: str
    url: HttpUrl
    home: HttpUrl
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    authorization: str | None = field(default=None, repr=False)


class Transport:
    """Sends requests to registries. Safe to use from several threads.

    Raises:
        RegistryError: The CA file cannot be used.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        try:
            self._client = HttpClient(
                ExchangeSettings(
                    may_be_private=settings.may_be_private,
                    ca_file=settings.ca_file,
                    proxies=settings.proxies,
                    connect_seconds=settings.connect_seconds,
                    silence_seconds=settings.silence_seconds,
                    slowest_bytes=settings.slowest_bytes,
                    idle_connections=settings.connections,
                    look_up=settings.look_up,
                )
            )
        except ValueError as error:
            raise RegistryError(str(error)) from error

    @contextlib.contextmanager
    def exchange(self, call: Call, deadline: Deadline, where: str) -> Iterator[Response]:
        """Send a request, follow redirects of GET and HEAD, and yield the answer, whatever its status.

        Raises:
            TransientError: There is no answer: connection, TLS, timeout.
            RegistryError: The settings do not allow a redirect, it is invalid, or there are too many.
        """
        url = call.url
        for _ in range(MAX_REDIRECTS + 1):
            if not self._settings.may_lead(call.home, url, writing=call.method in _WRITING):
                why = "is not HTTPS" if url.scheme == "http" else "the operator's settings do not allow"
                text = f"{where}: the registry leads to {url.origin}, which {why}"
                raise RegistryError(text, reason=Reason.REGISTRY_NOT_ALLOWED)
            headers = dict(call.headers)
            if call.authorization and url.origin == call.url.origin:
                headers["Authorization"] = call.authorization
            with contextlib.ExitStack() as stack:
                response = self._send(stack, call, url, headers, deadline, where)
                location = response.headers.get("Location", "")
                if call.method not in ("GET", "HEAD") or response.status not in _REDIRECTS or not location:
                    yield response
                    return
            url = follow(url, location, where)
        raise RegistryError(f"{where}: the registry redirects more than {MAX_REDIRECTS} times")

    def _send(
        self,
        stack: contextlib.ExitStack,
        call: Call,
        url: HttpUrl,
        headers: Mapping[str, str],
        deadline: Deadline,
        where: str,
    ) -> Response:
        body = call.body() if call.body else None
        if body is not None and not isinstance(body, bytes):
            stack.enter_context(contextlib.closing(body))
        try:
            request = Request(call.method, url, headers, body)
            return stack.enter_context(self._client.exchange(request, deadline))
        except ExchangeError as error:
            _log.info("%s: no answer of %s: %s", where, url.origin, error)
            raise self._no_answer(where, error) from None

    def _no_answer(self, where: str, error: ExchangeError) -> RegistryError:
        if self._settings.developing:
            text = _CAUSES.get(error.failure, "the registry's answer is not usable") + (
                f" ({error.detail})" if error.detail else ""
            )
            passing = error.failure not in (Failure.UNTRUSTED, Failure.NO_TLS)
            return (TransientError if passing else RegistryError)(f"{where}: {text}")
        if error.failure in (Failure.PRIVATE, Failure.UNRESOLVED):
            return RegistryError(
                f"{where}: the registry's name leads to no public address; private ones are asked only where "
                "the operator's settings name the host"
            )
        if error.failure is Failure.PROXY:
            return TransientError(f"{where}: the registry cannot be reached through the proxy")
        return TransientError(
            f"{where}: the registry cannot be reached, does not answer in time, or does not speak HTTPS with "
            "a certificate that is trusted here; the operator's log says which"
        )


def follow(url: HttpUrl, location: str, where: str) -> HttpUrl:
    """The target of a `Location` header. Raises RegistryError if it is invalid."""
    try:
        return url.join(location)
    except HostError as error:
        raise RegistryError(f"{where}: the registry refers to an unusable URL: {error}") from None


def chunks(response: Response, limit: int, where: str) -> Iterator[bytes]:
    """The answer's body as it arrives.

    Raises:
        TransientError: The body breaks off or takes too long.
        ComponentError: The body is longer than `limit` bytes.
    """
    try:
        yield from response.chunks(limit)
    except ExchangeError as error:
        if error.failure is Failure.TOO_LARGE:
            raise ComponentError(f"{where}: larger than {limit} bytes", reason=Reason.TOO_LARGE) from None
        if error.failure is Failure.ENCODED:
            raise RegistryError(
                f"{where}: the registry encodes its answer although the request did not allow it"
            ) from None
        late = error.failure is Failure.TOO_LATE
        text = "the transfer takes too long" if late else "the answer broke off"
        raise TransientError(f"{where}: {text}") from None


def read(response: Response, limit: int, where: str) -> bytes:
    """The answer's whole body. Raises as `chunks` does."""
    return b"".join(chunks(response, limit, where))


def check(response: Response, where: str, *success: int) -> None:
    """Raise the error of an unexpected status; `success` are the expected ones (default 200)."""
    if response.status in (success or (200,)):
        return
    try:
        # Only the beginning, which has the error code: an error page may be long.
        body = response.read(_MAX_ERROR_BYTES)
    except ExchangeError:
        body = b""
    raise refusal(response.status, response.headers, body, where)


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> RegistryError:
    """The error of an unexpected status."""
    code = _error_code(body)
    text = f"{where}: the registry answers {status}{f' {code}' if code else ''}"
    wait = retry_after(headers.get("Retry-After"))
    if status in _TRANSIENT:
        return TransientError(text, retry_after=wait)
    if status in (401, 403):
        return RegistryError(f"{text}: access is denied", reason=Reason.REGISTRY_UNAUTHORIZED)
    if status == 404:
        return RegistryError(f"{text}: it does not exist", reason=Reason.REFERENCE_NOT_FOUND)
    return RegistryError(text, retry_after=wait)


def retry_after(value: str | None) -> float | None:
    """The seconds of a Retry-After header, which has a number or a date; at most `MAX_RETRY_AFTER`."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value.strip()[:9]), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return min(max(0.0, moment.timestamp() - time.time()), MAX_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def _error_code(body: bytes) -> str:
    try:
        document: Any = json.loads(body)
        code = document["errors"][0]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
