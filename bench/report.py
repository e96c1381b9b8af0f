"""Compares the measurements with the design's targets. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass

from bench.measure import Charge

MAX_GATEWAY_BYTES = 2_500_000
MAX_CALL_RATIO = 1.2
MAX_TOKEN_RATIO = 1.5
MAX_START_RATIO = 2.0
MAX_SPREAD = 0.02
"""By how much a call may cost more with one number of tools than with another and still be called equal."""
MAX_PER_BYTE = 2.0
"""Instructions for each further byte of a list: one call's copies of it, not a parser's work."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number.

    Args:
        name: What was measured.
        value: How much.
        unit: What it counts, or `µs`.
    """

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Target:
    """A target and whether it holds.

    Args:
        name: What it is about.
        limit: The highest value.
        value: The measured value.
        repeatable: Whether the value does not depend on the machine; only such a target fails a run.
    """

    name: str
    limit: float
    value: float
    repeatable: bool

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return self.value <= self.limit


def targets(figures: Sequence[Figure], counts: Sequence[int]) -> list[Target]:
    """Every target that the figures cover.

    Args:
        figures: What was measured, by the names that `names` of this module gives.
        counts: Numbers of tools that were measured, ascending.
    """
    value = {figure.name: figure.value for figure in figures}
    found = []
    # A longer list comes in pages, so its cost grows no further.
    whole = [count for count in counts if count <= _ONE_PAGE]
    lists = [(value[bytes_of_list(count)], value[figure_of(LIST, count, INSTRUCTIONS)]) for count in whole]
    (few_bytes, few_fuel), (many_bytes, many_fuel) = lists[0], lists[-1]
    per_byte = (many_fuel - few_fuel) / (many_bytes - few_bytes)
    found += [
        Target(
            f"a {case} costs the same with {counts[0]} and {counts[-1]} tools (spread)",
            MAX_SPREAD,
            max(_spread([value[figure_of(case, count, metric)] for count in counts]) for metric in METRICS),
            True,
        )
        for case in (CALL, TOKEN, PAGE)
    ]
    found += [
        Target("instructions for each further byte of a list", MAX_PER_BYTE, per_byte, True),
        Target("size of gateway.wasm, MB", MAX_GATEWAY_BYTES / 1e6, value[GATEWAY_BYTES] / 1e6, True),
    ]
    ratios = [
        ("instantiation: gateway / empty component", GATEWAY_START, EMPTY_START, MAX_START_RATIO),
        ("validated call / forwarded call", CALL_TIME, FORWARDED_TIME, MAX_CALL_RATIO),
        ("call with a known token / forwarded call", TOKEN_TIME, FORWARDED_TIME, MAX_TOKEN_RATIO),
    ]
    found += [
        Target(name, limit, value[above] / value[below], False)
        for name, above, below, limit in ratios
        if above in value
    ]
    return found


FORWARDED_TIME = "time: forwarded call"
CALL_TIME = "time: validated call"
TOKEN_TIME = "time: call with a known RS256 token"
GATEWAY_START = "time: instantiation of the gateway"
EMPTY_START = "time: instantiation of an empty component"
GATEWAY_BYTES = "size: gateway.wasm"


LIST, CALL, TOKEN, PAGE = "list", "call", "call with a known token", "login page"
KEY = "call with an API key"
"""The cases whose charge is counted."""
INSTRUCTIONS = "instructions"
METRICS = (INSTRUCTIONS, "host calls", "bytes carried", "pages written", "variables", "variables' bytes")
"""What is counted, in the order of the fields of `Charge`."""
_ONE_PAGE = 100


def figure_of(case: str, count: int, metric: str) -> str:
    """The name of a charge's figure."""
    return f"{case}, {count} tools: {metric}"


def charged(case: str, count: int, charge: Charge) -> list[Figure]:
    """A charge as figures."""
    return [
        Figure(figure_of(case, count, metric), value, metric)
        for metric, value in zip(METRICS, astuple(charge), strict=True)
    ]


def charge_table(charges: Mapping[tuple[str, int], Charge]) -> str:
    """Charges as a table in Markdown."""
    lines = [f"| per request | {' | '.join(METRICS)} |", "|---" * (len(METRICS) + 1) + "|"]
    for (case, count), charge in charges.items():
        name = f"{case}, {count:,} tool{'s' * (count > 1)}"
        lines.append(f"| {name} | {' | '.join(f'{value:,}' for value in astuple(charge))} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) - 1


def bytes_of_list(count: int) -> str:
    """The figure's name."""
    return f"size: list of {count} tools"


def table(figures: Sequence[Figure], found: Sequence[Target]) -> str:
    """Both as text for people."""
    width = max(len(name) for name in (*(row.name for row in figures), *(row.name for row in found)))
    lines = [f"{figure.name:<{width}}  {figure.value:>14,.0f} {figure.unit}" for figure in figures]
    lines += ["", f"{'target':<{width}}  {'measured':>14} {'at most':>8}"]
    for target in found:
        verdict = "holds" if target.holds else "MISSED" if target.repeatable else "missed (a time)"
        lines.append(f"{target.name:<{width}}  {target.value:>14.3f} {target.limit:>8} {verdict}")
    return "\n".join(lines)


def document(figures: Sequence[Figure], found: Sequence[Target]) -> dict[str, object]:
    """Both as data."""
    return {
        "figures": [asdict(figure) for figure in figures],
        "targets": [{**asdict(target), "holds": target.holds} for target in found],
    }
