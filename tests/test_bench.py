"""The bench's own arithmetic, its requests on the components without a gateway, and its manifest for Spin."""

import tomllib
from dataclasses import astuple, replace

import pytest

from bench import apps, guests, measure, report
from bench.__main__ import COUNTS, Bench
from bench.hosts import embedded, spin_manifest
from bench.measure import Charge
from bench.report import Figure
from bench.requests import UnusableAnswerError, check, direct
from ftl_operator.host import Request

CALLED = report.figure_of(report.CALL, 100, report.INSTRUCTIONS)
LISTED = report.figure_of(report.LIST, 100, report.INSTRUCTIONS)


def figures(**changed: float) -> list[Figure]:
    values = {
        **{
            report.figure_of(case, count, metric): 1_000
            for case in (report.LIST, report.CALL, report.TOKEN, report.PAGE)
            for count in (1, 100)
            for metric in report.METRICS
        },
        CALLED: 1_019,
        LISTED: 101_000,
        report.bytes_of_list(1): 1_000,
        report.bytes_of_list(100): 101_000,
        report.GATEWAY_BYTES: 2_000_000,
        report.GATEWAY_START: 30,
        report.EMPTY_START: 20,
        report.CALL_TIME: 110,
        report.FORWARDED_TIME: 100,
        report.TOKEN_TIME: 140,
    }
    return [Figure(name, value, "") for name, value in {**values, **changed}.items()]


def missed(**changed: float) -> list[str]:
    found = report.targets(figures(**changed), [1, 100])
    assert len(found) == 8
    assert all(target.name in report.table(figures(**changed), found) for target in found)
    return [target.name for target in found if not target.holds]


def test_targets_hold_and_miss() -> None:
    assert missed() == []
    assert missed(**{CALLED: 1_021}) == ["a call costs the same with 1 and 100 tools (spread)"]
    pages = report.figure_of(report.TOKEN, 1, "pages written")
    assert missed(**{pages: 970}) == [
        "a call with a known token costs the same with 1 and 100 tools (spread)"
    ]
    assert missed(**{LISTED: 500_000}) == ["instructions for each further byte of a list"]
    assert missed(**{report.GATEWAY_BYTES: 2_500_001}) == ["size of gateway.wasm, MB"]
    assert missed(**{report.CALL_TIME: 121}) == ["validated call / forwarded call"]


@pytest.fixture(scope="module")
def built() -> guests.Guests:
    return guests.build()


@pytest.mark.needs("bench-guests")
def test_forwarding_is_measured_with_its_tool(built: guests.Guests) -> None:
    app = apps.plain(built.forwarder, built.tool)
    first = measure.fuel(app, direct("forecast_07"))
    assert first == measure.fuel(app, direct("forecast_07")), "instructions repeat"
    front, together = first
    alone, _ = measure.fuel(apps.plain(built.tool), direct("forecast_07"))
    assert front < together
    assert alone > 10_000


@pytest.mark.needs("bench-guests")
def test_the_tool_is_one_that_the_operator_accepts(built: guests.Guests) -> None:
    with embedded(apps.plain(built.tool)) as ask:
        found = apps.inspect(built.tool, ask(Request("GET", "/", (("host", b"localhost"),))).body)
    assert found.tools is not None
    assert len(found.tools) == 100
    app = apps.gatewayed(built.forwarder, (built.tool, found), include="forecast_0?")
    manifest = tomllib.loads(spin_manifest(app))
    assert set(manifest["component"]) == {"gateway", "tools"}
    variables = {name: variable["default"] for name, variable in manifest["variables"].items()}
    assert variables == {
        name: variable.get("default", "") for name, variable in app.document["variables"].items()
    }
    assert manifest["trigger"]["http"][1]["route"] == {"private": True}


def test_an_answer_that_is_none_is_not_measured() -> None:
    with pytest.raises(UnusableAnswerError):
        check(direct("forecast_07"), 502, b"null")
    with pytest.raises(UnusableAnswerError):
        check(direct("forecast_07"), 200, b'{"content":[],"structuredContent":{"city":"Oslo"}}')


@pytest.fixture(scope="module")
def charges(built: guests.Guests) -> dict[tuple[str, int], Charge]:
    with embedded(apps.plain(built.tool)) as ask:
        found = apps.inspect(built.tool, ask(Request("GET", "/", (("host", b"localhost"),))).body)
    return Bench(built, guests.GATEWAY, found).charge()


@pytest.mark.needs("bench-guests")
@pytest.mark.parametrize("case", [report.CALL, report.TOKEN, report.KEY, report.PAGE])
def test_a_call_costs_the_same_with_any_number_of_tools(
    charges: dict[tuple[str, int], Charge], case: str
) -> None:
    for count in COUNTS:
        same = pytest.approx(astuple(charges[case, 1]), rel=report.MAX_SPREAD)
        assert astuple(charges[case, count]) == same, count


@pytest.mark.needs("bench-guests")
def test_a_call_with_an_api_key_costs_no_more_than_one_with_a_known_token(
    charges: dict[tuple[str, int], Charge],
) -> None:
    for count in COUNTS:
        # The keys are a variable of the application, so there are more variables; their bytes count.
        key, token = (
            astuple(replace(charges[case, count], variables=0)) for case in (report.KEY, report.TOKEN)
        )
        assert all(own <= other for own, other in zip(key, token, strict=True)), (count, key, token)


@pytest.mark.needs("bench-guests")
def test_no_variable_is_resolved_but_what_is_needed(charges: dict[tuple[str, int], Charge]) -> None:
    # The configuration, the tool's record, and the three keys that a pod may be told.
    assert charges[report.CALL, 1000].variables <= 5
    assert charges[report.CALL, 1000].variable_bytes < 2_000


@pytest.mark.needs("bench-guests")
def test_the_page_says_what_a_call_costs(charges: dict[tuple[str, int], Charge]) -> None:
    page = (guests.ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    wanted = report.charge_table(charges).splitlines()
    start = page.splitlines().index(wanted[0])
    shown = page.splitlines()[start : start + len(wanted)]
    assert _names(shown) == _names(wanted), report.charge_table(charges)
    for given, measured in zip(_numbers(shown), _numbers(wanted), strict=True):
        assert given == pytest.approx(measured, rel=report.MAX_SPREAD), report.charge_table(charges)


def _names(lines: list[str]) -> list[str]:
    return [line.split("|")[1].strip() for line in lines]


def _numbers(lines: list[str]) -> list[list[int]]:
    return [[int(cell.replace(",", "")) for cell in line.split("|")[2:-1]] for line in lines[2:]]


def test_the_gateway_is_small() -> None:
    assert guests.GATEWAY.stat().st_size <= report.MAX_GATEWAY_BYTES
