"""The destinations that an app's pods connect to, derived from the outbound hosts in the spec. Pure.

Source: Spin's `allowed_outbound_hosts`, `scheme://host[:port]` with `*`, ranges of ports (`8000..8010`),
`self` and `*.sub.domain`.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "postgres": 5432, "mysql": 3306, "redis": 6379, "mqtt": 1883}
"""The default ports of Spin's schemes."""

_URL_PORTS = {**DEFAULT_PORTS, "rediss": 6379, "postgresql": 5432, "libsql": 443, "wss": 443}

EVERY_PORT = (1, 65535)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A destination.

    Args:
        host: A host name, `*.suffix`, `*`, or a range of addresses in CIDR form.
        ports: The first and the last port.
        is_address: Whether `host` is a range of addresses.
    """

    host: str
    ports: tuple[int, int]
    is_address: bool


def parse_outbound(pattern: str) -> Target | None:
    """Parse one outbound host of a tool; None for hosts within the pod (other tools, `self`)."""
    scheme, _, rest = pattern.partition("://")
    host, port = _split(rest)
    if host == "self" or host.endswith(".spin.internal"):
        return None
    if not port:
        implied = DEFAULT_PORTS.get(scheme)
        ports = (implied, implied) if implied else EVERY_PORT
    elif port == "*":
        ports = EVERY_PORT
    else:
        first, _, last = port.partition("..")
        ports = (int(first), int(last or first))
    return _target(host, ports)


def parse_url(url: str) -> Target | None:
    """The destination of a URL; None if it names none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _URL_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return _target(host, (port, port) if port else EVERY_PORT) if host else None


def targets_of(patterns: Iterable[str], urls: Iterable[str]) -> list[Target]:
    """The distinct destinations of outbound hosts and URLs, sorted."""
    found = {*map(parse_outbound, patterns), *map(parse_url, urls)}
    return sorted(target for target in found if target is not None)


def _split(rest: str) -> tuple[str, str]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        return host, port.removeprefix(":")
    if rest.count(":") > 1:
        # A range of IPv6 addresses; it cannot have a port.
        return rest, ""
    host, _, port = rest.partition(":")
    return host, port


def _target(host: str, ports: tuple[int, int]) -> Target:
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return Target(host.lower(), ports, is_address=False)
    return Target(str(network), ports, is_address=True)
