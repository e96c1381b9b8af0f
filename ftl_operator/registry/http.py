"""One HTTP request to a registry, with its limits: time, size, redirects; and what a status means.

Sources: OCI distribution specification 1.1, RFC 9110 (redirects §15.4, Retry-After §10.2.3). Messages never
show a URL, because a redirect's target may be a signed one, nor a response's text beyond a registered error
code.
"""

import contextlib
import email.utils
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.oci.reference import Repository
from ftl_operator.registry.docker_config import DOCKER_HUB, glob_matches
from ftl_operator.registry.session import CHUNK, UNTRUSTED, Deadlined, failure_text

Body = Callable[[], bytes | BinaryIO]
"""Opens a request's body; called again when the request is sent again."""

MAX_REDIRECTS = 5
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERROR_CODE = re.compile(r"[A-Z][A-Z_]{1,63}")


def _observe_nothing(registry: str, operation: str, outcome: str, size: int) -> None:
    del registry, operation, outcome, size


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How registries are spoken to. Times are seconds, sizes are bytes."""

    cache_dir: Path
    """Where blobs are kept."""
    cache_bytes: int = 2 << 30
    allowed: tuple[str, ...] = ("*",)
    """Patterns of registries, or of `registry/path`, in which `*` stands for anything."""
    plain_http: tuple[str, ...] = ()
    """Registries (host with port) that are spoken to without TLS."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    proxies: Mapping[str, str] | None = None
    """Proxies by scheme; None takes them from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""
    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    """The longest silence while an answer is awaited or read."""
    transfer_seconds: float = 600.0
    """The longest that one transfer may take in all, however steadily it drips."""
    attempts: int = 4
    backoff_seconds: float = 0.5
    """The first pause between attempts; it doubles, with jitter."""
    max_wait_seconds: float = 10.0
    """The longest pause; a registry that asks for a longer one is left alone; the error says how long."""
    connections: int = 4
    """Requests to one registry at once."""
    max_manifest_bytes: int = 4 << 20
    max_blob_bytes: int = 128 << 20
    observe: Callable[[str, str, str, int], None] = field(default=_observe_nothing, compare=False)
    """Called after every operation with the registry, the operation, `Succeeded` or a reason, and bytes."""

    def allows(self, repository: Repository) -> bool:
        """Whether the settings allow to speak to this repository's registry."""
        name = str(repository)
        return any(
            glob_matches(p, repository.registry) or glob_matches(p, name) or name.startswith(f"{p}/")
            for p in self.allowed
        )


class TransientError(RegistryError):
    """A failure that may pass within seconds: worth another attempt right here."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme with a host and a port: what a credential is bound to."""

    scheme: str
    netloc: str

    @classmethod
    def of_registry(cls, registry: str, settings: RegistrySettings) -> "Origin":
        """Where a registry's API is."""
        # Docker Hub's name in references is not the host of its API.
        netloc = "registry-1.docker.io" if registry in DOCKER_HUB else registry
        return cls("http" if registry in settings.plain_http else "https", netloc)

    @classmethod
    def of_url(cls, url: str) -> "Origin":
        """A URL's origin, without the port that its scheme implies; an empty one if the URL is not usable."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return cls("", "")
        if "@" in parts.netloc:
            return cls("", "")
        host = f"[{host}]" if ":" in host else host
        implied = {"http": 80, "https": 443}.get(parts.scheme)
        return cls(parts.scheme, host if port in (None, implied) else f"{host}:{port}")

    def is_allowed(self, settings: RegistrySettings) -> bool:
        """Whether requests may go there: HTTPS, or plain HTTP where the settings say so."""
        if self.scheme == "http":
            return self.netloc in settings.plain_http or f"{self.netloc}:80" in settings.plain_http
        return self.scheme == "https"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request: what is asked of which URL. `authorization` goes to `home` only, wherever the URL leads."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    authorization: str | None = field(default=None, repr=False)
    home: Origin | None = None


@contextlib.contextmanager
def exchange(
    session: requests.Session, call: Call, settings: RegistrySettings, where: str
) -> Iterator[requests.Response]:
    """Send a request, follow redirects of GET and HEAD, and give the answer, whatever its status.

    Raises:
        TransientError: If there is no answer: connection, TLS, timeout.
        RegistryError: If a redirect leads to plain HTTP, in circles, or nowhere.
    """
    url = call.url
    for _ in range(MAX_REDIRECTS + 1):
        origin = Origin.of_url(url)
        if not origin.is_allowed(settings):
            raise RegistryError(f"{where}: the registry leads to {origin}, which is not HTTPS")
        headers = dict(call.headers)
        if call.authorization and origin == call.home:
            headers["Authorization"] = call.authorization
        response = _send(session, call, url, headers, settings, where)
        location = response.headers.get("Location", "")
        if call.method not in ("GET", "HEAD") or response.status_code not in _REDIRECTS or not location:
            with contextlib.closing(response):
                yield response
            return
        response.close()
        url = join(url, location)
    raise RegistryError(f"{where}: the registry redirects more than {MAX_REDIRECTS} times")


def join(url: str, location: str) -> str:
    """A Location header's target; an empty text, which no request goes to, if it is not usable."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _send(
    session: requests.Session,
    call: Call,
    url: str,
    headers: Mapping[str, str],
    settings: RegistrySettings,
    where: str,
) -> requests.Response:
    body = call.body() if call.body else None
    try:
        return session.request(
            call.method,
            url,
            headers=headers,
            data=Deadlined(body, settings.transfer_seconds) if body and not isinstance(body, bytes) else body,
            stream=True,
            allow_redirects=False,
            timeout=(settings.connect_seconds, settings.read_seconds),
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        # Not chained: these exceptions' texts hold the URL.
        raise failure(where, error) from None
    finally:
        if body and not isinstance(body, bytes):
            body.close()


def chunks(response: requests.Response, settings: RegistrySettings, where: str) -> Iterator[bytes]:
    """The answer's body as it arrives, undecoded. Raises TransientError if it breaks off or takes long."""
    deadline = time.monotonic() + settings.transfer_seconds
    try:
        # read1 gives what has come; read and stream would wait for a full chunk however slowly it drips.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            if time.monotonic() > deadline:
                too_long = f"the transfer took longer than {settings.transfer_seconds:g} s"
                raise TransientError(f"{where}: {too_long}")
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise failure(where, error) from None


def read(response: requests.Response, limit: int, settings: RegistrySettings, where: str) -> bytes:
    """The answer's whole body. Raises ComponentError when it is longer than `limit` bytes."""
    body = bytearray()
    for chunk in chunks(response, settings, where):
        body += chunk
        if len(body) > limit:
            raise ComponentError(f"{where}: larger than {limit} bytes", reason=Reason.TOO_LARGE)
    return bytes(body)


def failure(where: str, error: Exception) -> RegistryError:
    """The error for a connection that failed; a certificate that is not trusted will not be in a second."""
    text = failure_text(error)
    kind = RegistryError if text.startswith(UNTRUSTED) else TransientError
    return kind(f"{where}: {text}")


def check(response: requests.Response, settings: RegistrySettings, where: str, *success: int) -> None:
    """Raise what an unexpected status means; `success` are the expected ones (default 200)."""
    status = response.status_code
    if status in (success or (200,)):
        return
    # A HEAD's answer has no body, and an error page may be long: its beginning has the code.
    code = _error_code(response, settings, where)
    text = f"{where}: the registry answers {status}{f' {code}' if code else ''}"
    wait = retry_after(response.headers.get("Retry-After"))
    if status in _TRANSIENT:
        raise TransientError(text, retry_after=wait)
    if status in (401, 403):
        raise RegistryError(f"{text}: access is denied", reason=Reason.REGISTRY_UNAUTHORIZED)
    if status == 404:
        raise RegistryError(f"{text}: there is no such thing", reason=Reason.REFERENCE_NOT_FOUND)
    raise RegistryError(text, retry_after=wait)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number of them or a date."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _error_code(response: requests.Response, settings: RegistrySettings, where: str) -> str:
    try:
        document: Any = json.loads(read(response, CHUNK, settings, where))
        code = document["errors"][0]["code"]
    except (ValueError, LookupError, TypeError, RecursionError, TransientError, ComponentError):
        return ""
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
