"""Which hosts a component may call (`allowed_outbound_hosts`), by Spin's rules. Pure."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443, "postgres": 5432, "mysql": 3306, "redis": 6379, "mqtt": 1883}
CHAINING = ".spin.internal"
SELF_HOSTS = ("self", "self.alt")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HostRuleError(ValueError):
    """An entry of `allowed_outbound_hosts` is not one."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry, taken apart. `None` means any.

    Attributes:
        host: A name or address; with a leading dot any name below it; `self` the application itself.
        ports: First port and the one after the last.
    """

    scheme: str | None
    host: str | _Network | None
    ports: tuple[int, int] | None

    def allows(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a request may go there."""
        if self.scheme not in (None, scheme):
            return False
        actual = port if port is not None else PORTS.get(scheme)
        if self.ports is not None and (actual is None or not self.ports[0] <= actual < self.ports[1]):
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
    """Parse `scheme://host[:port]`. Raises HostRuleError with what is wrong."""
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
    suffix = host.startswith("*.")
    name = host[2:] if suffix else host
    if "*" in name:
        raise HostRuleError(f"{text!r}: '*' stands for a whole host or its first labels only")
    if not _is_name(name) or (suffix and _address(name) is not None):
        raise HostRuleError(f"{text!r}: {host!r} is not a host")
    return ("." if suffix else "") + normal_host(name)


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


def normal_host(host: str) -> str:
    """A host as it is compared: lower case, international names in their ASCII form."""
    if not host.isascii():
        host = host.encode("idna").decode()
    return host.lower()


@dataclass(frozen=True, slots=True)
class Target:
    """Where an outgoing request goes."""

    scheme: str
    host: str
    port: int | None

    @property
    def chained(self) -> str | None:
        """The component that `http://NAME.spin.internal` names."""
        name = self.host.removesuffix(CHAINING)
        return name if name != self.host and name and "." not in name else None


def parse_target(scheme: str, authority: str) -> Target | None:
    """Take an authority apart as it will be connected to; None if it is not one."""
    try:
        parts = urlsplit(f"{scheme}://{authority}")
        host, port = parts.hostname, parts.port
        if not host or parts.username is not None or parts.path or parts.query or parts.fragment:
            return None
        return Target(scheme, normal_host(host), port)
    except (ValueError, UnicodeError):
        return None


class AllowedHosts:
    """All entries of one component.

    Args:
        rules: Its entries.
        components: Ids of the application; `*.spin.internal` stands for exactly these.
    """

    def __init__(self, rules: Sequence[HostRule], components: Sequence[str]) -> None:
        self._rules = [expanded for rule in rules for expanded in _expand(rule, components)]

    def allows(self, target: Target) -> bool:
        """Whether the component may call it."""
        return any(rule.allows(target.scheme, target.host, target.port) for rule in self._rules)

    def allows_self(self) -> bool:
        """Whether the component may call its own application."""
        return any(rule.allows_self() for rule in self._rules)


def _expand(rule: HostRule, components: Sequence[str]) -> list[HostRule]:
    if rule.host != CHAINING:
        return [rule]
    return [HostRule(rule.scheme, component + CHAINING, rule.ports) for component in components]
