"""Hosts in URLs, references and allow-lists: parsed once, compared by one rule. Pure.

Every list of hosts in the settings has the same grammar. A connection is opened to the same parsed value that
was compared with the list. Sources: RFC 3986 §3.2 (authority), RFC 1123 §2.1 (names), RFC 5952 (text of IPv6
addresses), WHATWG URL §3.5 (a host whose last label is a number is an IPv4 address or invalid).

Internationalized names are refused: two libraries that map `ß` differently would check one host and connect
to another. Their ASCII form (`xn--…`) is allowed.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import urldefrag, urljoin, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_LENGTH = 8192
"""The longest URL; a redirect to a signed URL has about two thousand characters."""

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
# Metadata services of clouds (Azure, Oracle) at addresses that Python counts as public.
_METADATA = (ipaddress.IPv4Network("168.63.129.16/32"), ipaddress.IPv4Network("192.0.0.0/24"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostError(ValueError):
    """A host, an authority, a URL or a pattern that is not usable. The message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Authority:
    """A host and its explicit port, if there is one.

    Args:
        host: A name in lower case without a dot at the end, an IPv4 address, or an IPv6 address without
            brackets in its short form.
        port: 1 to 65535, or None.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A URL for a request. This value is both checked and connected to.

    Args:
        scheme: `http` or `https`.
        host: As in `Authority`.
        port: The port, also where the scheme implies it.
        target: Path and query; begins with `/`.
    """

    scheme: str
    host: str
    port: int
    target: str = "/"

    @property
    def netloc(self) -> str:
        """Host and port as in the `Host` header: without the scheme's default port."""
        return str(Authority(self.host, None if self.port == DEFAULT_PORTS[self.scheme] else self.port))

    @property
    def origin(self) -> str:
        """Scheme, host and port. Credentials are bound to it, and messages show it."""
        return f"{self.scheme}://{self.netloc}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    def with_target(self, target: str) -> "HttpUrl":
        """The same server with another path and query."""
        return replace(self, target=target)

    def join(self, location: str) -> "HttpUrl":
        """The URL of a `Location` header, without its fragment. Raises HostError."""
        try:
            return parse_url(urldefrag(urljoin(str(self), location)).url)
        except HostError:
            raise
        except ValueError:
            raise HostError("it is not a URL") from None


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One entry of an allow-list.

    Args:
        host: The host; for a wildcard the suffix, such as `.acme.dev`; empty for every host.
        port: The port, or None for every port.
        wildcard: Whether `host` is a suffix.
    """

    host: str
    port: int | None = None
    wildcard: bool = False

    def matches(self, host: str, port: int) -> bool:
        """Whether the pattern matches a parsed host and port."""
        if self.port not in (None, port):
            return False
        return host.endswith(self.host) if self.wildcard else host == self.host


@dataclass(frozen=True, slots=True)
class HostPatterns:
    """An allow-list of hosts."""

    patterns: tuple[HostPattern, ...] = ()

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> "HostPatterns":
        """Parse a list: `host`, `host:port`, `*.suffix`, `*.suffix:port`, or `*`. Raises HostError."""
        return cls(tuple(parse_pattern(text) for text in texts))

    def allow(self, host: str, port: int) -> bool:
        """Whether any entry matches the host (as in `Authority`) and port."""
        return any(pattern.matches(host, port) for pattern in self.patterns)

    def name(self, host: str, port: int) -> bool:
        """Whether an entry other than `*` matches: the list names this host or its domain."""
        return any(pattern.host and pattern.matches(host, port) for pattern in self.patterns)


def parse_pattern(text: str) -> HostPattern:
    """Parse one entry of an allow-list.

    A pattern without a port allows every port. `*.acme.dev` matches every name below `acme.dev`, at any
    depth, but not `acme.dev` itself. A wildcard matches names only, not addresses.

    Raises:
        HostError: The text is none of these; a `*` elsewhere, a scheme or a path is not allowed.
    """
    if text == "*":
        return HostPattern("", None, wildcard=True)
    try:
        authority = parse_authority(text.removeprefix("*."))
    except HostError as error:
        raise _no_pattern(text, str(error)) from None
    if not text.startswith("*."):
        return HostPattern(authority.host, authority.port)
    if ":" in authority.host or _is_number(authority.host):
        raise _no_pattern(text, "a wildcard stands for names, not for addresses")
    return HostPattern(f".{authority.host}", authority.port, wildcard=True)


def _no_pattern(text: str, why: str) -> HostError:
    return HostError(
        f"{text[:100]!r} is not a pattern of hosts ({why}); "
        "write a host with an optional port, '*.suffix', or '*'"
    )


def parse_authority(text: str) -> Authority:
    """Parse `host`, `host:port`, `[v6]` or `[v6]:port`; userinfo is refused. Raises HostError."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise HostError("its brackets are not an IPv6 address's")
        return Authority(_ipv6(host), _port(rest[1:]) if rest else None)
    host, colon, port = text.partition(":")
    return Authority(_name(host), _port(port) if colon else None)


def parse_url(text: str) -> HttpUrl:
    """Parse an absolute `http` or `https` URL without userinfo and fragment. Raises HostError."""
    if len(text) > MAX_URL_LENGTH:
        raise HostError(f"it is longer than {MAX_URL_LENGTH} characters")
    # Checked before parsing, because urlsplit drops tabs and line breaks and other parsers do not.
    if _UNPRINTABLE.search(text) or "\\" in text:
        raise HostError("a URL is printable ASCII without spaces and backslashes")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise HostError("it is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise HostError("it is not an absolute http or https URL")
    if parts.fragment or text.endswith("#"):
        raise HostError("it has a fragment")
    # An empty port means the scheme's default (RFC 3986 §3.2.3).
    authority = parse_authority(parts.netloc.removesuffix(":"))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return HttpUrl(parts.scheme, authority.host, authority.port or DEFAULT_PORTS[parts.scheme], target)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public Internet.

    For an IPv6 address that embeds an IPv4 address (mapped, NAT64, 6to4, Teredo), the IPv4 address decides.
    """
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
        if address.is_site_local:
            # Deprecated (RFC 3879) and still in use; Python counts it as public.
            return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and not any(address in network for network in _METADATA)
    )


def is_loopback(host: str) -> bool:
    """Whether a parsed host is this machine: `localhost`, a name below it (RFC 6761), or its address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address.teredo[1] if address.teredo else None


def _name(text: str) -> str:
    if not text.isascii():
        raise HostError("a host is ASCII; write an international name in its xn-- form")
    host = text.lower().removesuffix(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise HostError("its host is neither a name nor an address")
    if _is_number(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise HostError("its host ends in a number and is not an IPv4 address") from None
    return host


def _is_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise HostError("its brackets do not hold an IPv6 address") from None
    if address.scope_id is not None:
        raise HostError("its IPv6 address has a zone, which is an interface of this machine")
    return str(address)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise HostError("its port is not a number from 1 to 65535")
    return int(text)
