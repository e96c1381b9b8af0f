"""Spin's HTTP routes: exact, `/...`, `/:name`, private. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Route:
    """A public route of a component."""

    component: str
    path: str
    segments: tuple[str, ...]
    wildcard: bool


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the parts of its path that the wildcards matched."""

    component: str
    route: str
    rest: str = ""
    named: Mapping[str, str] = field(default_factory=dict)


def parse_route(component: str, route: Any) -> Route | None:
    """Parse a trigger's `route`; None for a private one."""
    if not isinstance(route, str):
        return None
    wildcard = route == "/..." or route.endswith("/...")
    base = route[: -len("/...")] if wildcard else route
    return Route(component, route, tuple(_split(base)), wildcard)


def match(routes: Sequence[Route], path: str) -> Match | None:
    """The most specific route: literal segments before named ones, longer before shorter wildcards."""
    parts = _split(path)
    found = [(route, named) for route in routes if (named := _fits(route, parts)) is not None]
    if not found:
        return None
    route, named = max(found, key=lambda pair: _rank(pair[0]))
    rest = (
        "/" + "/".join(parts[len(route.segments) :])
        if route.wildcard and len(parts) > len(route.segments)
        else ""
    )
    if route.wildcard and path.endswith("/") and len(parts) >= len(route.segments) and not rest.endswith("/"):
        rest += "/"
    return Match(route.component, route.path, rest, named)


def _split(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _fits(route: Route, parts: list[str]) -> dict[str, str] | None:
    if len(parts) < len(route.segments) or (len(parts) > len(route.segments) and not route.wildcard):
        return None
    named: dict[str, str] = {}
    for segment, part in zip(route.segments, parts, strict=False):
        if segment.startswith(":"):
            named[segment[1:]] = part
        elif segment != part:
            return None
    return named


def _rank(route: Route) -> tuple[tuple[bool, ...], bool]:
    return tuple(not segment.startswith(":") for segment in route.segments), not route.wildcard
