"""The hosts that a component may call (`allowed_outbound_hosts`), by Spin's rules. Pure."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ftl_operator.hosts import HostError, parse_authority

PORTS = {"http": 80, "https": 443, "postgres": 5432, "mysql": 3306, "redis": 6379, "mqtt": 1883}
CHAINING = ".spin.internal"
SELF = "self.alt"
"""The host of requests to the application itself; such requests may also have no host."""
SELF_HOSTS = ("self", SELF)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HostRuleError(ValueError):
    """An entry of `allowed_outbound_hosts` is invalid."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """A parsed entry. `None` means any.

    Attributes:
        host: A name or address; with a leading dot any name below it; `self` means the application itself.
        ports: The first port, and the one after the last.
    """

    scheme: str | None
    host: str | _Network | None
    ports: tuple[int, int] | None

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether a request may go there."""
        if self.scheme not in (None, scheme):
            return False
        if self.ports is not None and not self.ports[0] <= port < self.ports[1]:
            return False
        if self.host is None:
            return True
        if isinstance(self.host, str):
            return host.endswith(self.host) if self.host.startswith(".") else host == self.host != "self"
        address = _address(host)
        return address is not None and address.version == self.host.version and address in self.host

    def allows_self(self) -> bool:
        """Whether a request without a host may go to the application itself."""
        return self.scheme in (None, "http", "https") and self.host in (None, "self")


def parse_rule(text: str) -> HostRule:
    """Parse `scheme://host[:port]`. Raises HostRuleError that says what is wrong."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise HostRuleError(f"{text!r} has no scheme; write https://… or *://…")
    if scheme != "*" and not scheme.isalpha():
        raise HostRuleError(f"{text!r}: {scheme!r} is not a scheme (letters only, or '*')")
    host_text, port_text = _split_port(text, rest)
    ports = _ports(text, port_text, scheme)
    return HostRule(None if scheme == "*" else scheme, _host(text, host_text), ports)


def _split_port(text: str, rest: str) -> tuple[str, str]:
    head, colon, tail = rest.rpartition(":")
    if not colon or not tail:
        return (head if colon else rest), ""
    if rest.endswith(("]", "]/")) or _network(rest) is not None:
        return rest, ""
    port, slash, path = tail.partition("/")
    if slash and path:
        raise HostRuleError(f"{text!r} has a path; only scheme, host and port are allowed")
    return head, port


def _ports(text: str, port: str, scheme: str) -> tuple[int, int] | None:
    if port == "*":
        return None
    if not port:
        if scheme not in PORTS:
            raise HostRuleError(f"{text!r}: {scheme!r} has no default port; write one, or ':*'")
        return PORTS[scheme], PORTS[scheme] + 1
    first, dots, last = port.partition("..")
    numbers = [first, last] if dots else [first]
    if not all(re.fullmatch(r"[0-9]{1,5}", number) and int(number) < 1 << 16 for number in numbers):
        raise HostRuleError(f"{text!r}: {port!r} is not a port, a range like 8000..9000, or '*'")
    return int(first), int(last) if dots else int(first) + 1


def _host(text: str, host: str) -> str | _Network | None:
    host = host.strip()
    if host == "*":
        return None
    if host in SELF_HOSTS:
        return "self"
    network = _network(host.removeprefix("[").removesuffix("]") if host.startswith("[") else host)
    if network is not None:
        return network
    host = host.removesuffix("/")
    if "/" in host:
        raise HostRuleError(f"{text!r} has a path; only scheme, host and port are allowed")
    if host.lower().endswith(CHAINING) and host != host.lower():
        raise HostRuleError(f"{text!r}: components of the application are named in lower case")
    suffix = host.startswith("*.")
    name = host[2:] if suffix else host
    if "*" in name:
        raise HostRuleError(f"{text!r}: '*' stands for a whole host or its first labels only")
    if not _is_name(name) or (suffix and _address(name) is not None):
        raise HostRuleError(f"{text!r}: {host!r} is not a host")
    return ("." if suffix else "") + _normal_host(name)


def _is_name(name: str) -> bool:
    if name.startswith("["):
        return _address(name) is not None
    return bool(re.fullmatch(r"[^\s/?#\\@:<>^|%\[\]{}]+", name))


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _normal_host(host: str) -> str:
    """Convert a rule's host to lower case for comparison. Raises HostRuleError for a name that is not ASCII.

    International names need their ASCII form, because Python, Rust and browsers convert them differently
    (`straße`).
    """
    if not host.isascii():
        raise HostRuleError(f"{host!r} is not ASCII; write the name's form that begins with xn--")
    return host.lower()


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an outgoing request. It is parsed once; the checked value is connected to and sent.

    Attributes:
        scheme: `http` or `https`.
        host: A name in lower case, or an address; IPv6 without brackets.
        port: Always a number, the scheme's own by default.
        path: The path with query, beginning with `/`; or `*` for OPTIONS.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"

    @property
    def is_internal(self) -> bool:
        """Whether the host is in `spin.internal`, which is never resolved."""
        return f".{self.host}".endswith(CHAINING)

    @property
    def component(self) -> str:
        """The component that `http://NAME.spin.internal` names."""
        return self.host.removesuffix(CHAINING)

    @property
    def route_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]


def parse_path(path: str, method: str) -> str | None:
    """The request target for a path with query, or None: origin form, or `*` for OPTIONS (RFC 9112 §3.2)."""
    if path == "*":
        return path if method == "OPTIONS" else None
    path = f"/{path}" if path == "" or path.startswith("?") else path
    return path if _PATH.fullmatch(path) else None


def parse_target(scheme: str, authority: str, path: str = "/", method: str = "GET") -> Target | None:
    """Parse the parts of a request; None if they are invalid."""
    try:
        parsed = parse_authority(authority)
    except HostError:
        return None
    target = parse_path(path, method)
    if target is None or scheme not in ("http", "https"):
        return None
    return Target(scheme, parsed.host, PORTS[scheme] if parsed.port is None else parsed.port, target)


_PATH = re.compile(r"/[\x21\x22\x24-\x7e]*")


class AllowedHosts:
    """All entries of one component.

    Args:
        rules: Its entries.
    """

    def __init__(self, rules: Sequence[HostRule]) -> None:
        self._rules = tuple(rules)

    def allows(self, target: Target) -> bool:
        """Whether the component may call it.

        A component of the same application needs its exact name. Spin also accepts wildcards (`*` and
        `*.spin.internal`), with which a tool could call any other with identity headers of its choice.
        """
        return any(
            rule.allows(target.scheme, target.host, target.port)
            for rule in self._rules
            if not target.is_internal or rule.host == target.host
        )

    def allows_self(self) -> bool:
        """Whether the component may call its own application."""
        return any(rule.allows_self() for rule in self._rules)
