"""One bounded GET of a JSON object from a token issuer.

The address is looked up once, judged, and then connected to, so that a name cannot lead elsewhere a moment
later. A redirect is never followed: an issuer's documents are where it says they are. Messages show hosts and
paths of public documents, never a response's text.
"""

import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
import urllib3.exceptions
from urllib3.connectionpool import HTTPConnectionPool

from ftl_operator.errors import IssuerError, Reason
from ftl_operator.settings import host_allowed

MAX_DOCUMENT_BYTES = 256 * 1024
"""The largest document that is read; the gateway has the same limit for keys."""
CHUNK = 16 * 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """Which issuers may be asked, and how. Times are seconds."""

    allowed: tuple[str, ...] = ("*",)
    """Hosts, as `settings.allowed_issuers` has them. `*` does not reach private addresses: name the host."""
    plain_http: tuple[str, ...] = ()
    """Hosts with port that are spoken to without TLS."""
    developing: bool = False
    """On a developer's own machine: private addresses may be asked, and loopback without TLS."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    timeout: float = 5.0
    """The longest silence."""
    total: float = 10.0
    """The longest that one document may take in all."""
    look_up: Callable[[str, int], list[str]] = _look_up
    """Addresses of a host; raises OSError."""


def get_json(url: str, settings: IssuerSettings, field: str) -> dict[str, Any] | None:
    """Fetch a JSON object.

    Args:
        url: Where it is; HTTPS, or HTTP to a host for which the settings allow it.
        settings: What is allowed.
        field: The spec field that led here, for messages.

    Returns:
        The object, or None if there is none at this URL (404 or 410).

    Raises:
        IssuerError: It cannot be had now (ISSUER_UNAVAILABLE), breaks a rule (ISSUER_INVALID), or may not be
            asked for (ISSUER_NOT_ALLOWED).
    """
    parts = checked_url(url, settings, field)
    deadline = time.monotonic() + settings.total
    pool, target = _connect(parts, settings, field)
    try:
        response = pool.urlopen(
            "GET",
            target,
            headers={"Host": parts.netloc, "Accept": "application/json", "User-Agent": "ftl-operator"},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=settings.timeout, read=settings.timeout),
        )
        if response.status in (404, 410):
            return None
        if response.status != 200:
            redirected = 300 <= response.status < 400
            raise IssuerError(
                f"{url} answers {response.status}" + (", and no redirect is followed" if redirected else ""),
                reason=Reason.ISSUER_INVALID if redirected else Reason.ISSUER_UNAVAILABLE,
                field=field,
            )
        raw = _read(response, deadline, url, field)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise IssuerError(f"{url}: {_why(error)}", field=field) from None
    finally:
        pool.close()
    return _object(raw, url, field)


def checked_url(url: str, settings: IssuerSettings, field: str) -> SplitResult:
    """Take a URL apart. Raises IssuerError unless it is HTTPS, or HTTP where that is allowed."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise IssuerError(f"{url[:200]!r} is not a usable URL", reason=Reason.ISSUER_INVALID, field=field)
    plain = parts.netloc in settings.plain_http or (
        settings.developing and _is_loopback(parts.hostname or "")
    )
    if parts.scheme != "https" and not (parts.scheme == "http" and plain):
        raise IssuerError(f"{url[:200]} is not HTTPS", reason=Reason.ISSUER_INVALID, field=field)
    return parts


def _connect(parts: SplitResult, settings: IssuerSettings, field: str) -> tuple[HTTPConnectionPool, str]:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    context = _context(settings)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        # Whom the proxy may reach is the proxy's rule: the name is looked up there.
        manager = urllib3.ProxyManager(proxy, ssl_context=context)
        pool = manager.connection_from_host(host, port, parts.scheme)
        return pool, target if parts.scheme == "https" else parts.geturl()
    address = _address(host, port, parts.netloc, settings, field)
    if parts.scheme == "http":
        return HTTPConnectionPool(address, port), target
    return (
        urllib3.HTTPSConnectionPool(
            address, port, ssl_context=context, server_hostname=host, assert_hostname=host
        ),
        target,
    )


def _address(host: str, port: int, netloc: str, settings: IssuerSettings, field: str) -> str:
    try:
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in settings.look_up(host, port)]
    except (OSError, ValueError):
        addresses = []
    if not addresses:
        raise IssuerError(f"the name {host} cannot be resolved", field=field)
    named = tuple(pattern for pattern in settings.allowed if pattern != "*")
    trusted = settings.developing or netloc in settings.plain_http or host_allowed(netloc, named)
    for address in addresses:
        if not (trusted or _is_public(address)):
            raise IssuerError(
                f"{host} has the private address {address}; the operator's settings must name the host",
                reason=Reason.ISSUER_NOT_ALLOWED,
                field=field,
            )
    return str(addresses[0])


def _is_public(address: Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_global) and not mapped.is_multicast


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _context(settings: IssuerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file:
        try:
            context.load_verify_locations(settings.ca_file)
        except OSError as error:
            why = error.strerror or "it holds no certificate"
            raise IssuerError(f"the CA file {settings.ca_file} cannot be used: {why}") from error
    return context


def _read(response: urllib3.BaseHTTPResponse, deadline: float, url: str, field: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := response.read1(CHUNK):
        size += len(chunk)
        if size > MAX_DOCUMENT_BYTES:
            raise IssuerError(
                f"{url} sends more than {MAX_DOCUMENT_BYTES} bytes", reason=Reason.ISSUER_INVALID, field=field
            )
        if time.monotonic() > deadline:
            raise IssuerError(f"{url} does not answer in time", field=field)
        parts.append(chunk)
    return b"".join(parts)


def _object(raw: bytes, url: str, field: str) -> dict[str, Any]:
    try:
        value = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise IssuerError(f"{url} sends no JSON object", reason=Reason.ISSUER_INVALID, field=field)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    # The gateway refuses a document with a member twice, so it must not pass here.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _why(error: BaseException) -> str:
    match error:
        case urllib3.exceptions.SSLError() | ssl.SSLError():
            return "its certificate is not trusted, or it does not speak TLS"
        case urllib3.exceptions.ProxyError():
            return "the proxy does not let it through"
        case urllib3.exceptions.TimeoutError() | TimeoutError():
            return "no answer in time"
        case _:
            return "the connection fails"
