"""The bench's own arithmetic, its requests on the components without a gateway, and its manifest for Spin."""

import tomllib

import pytest

from bench import apps, guests, measure, report
from bench.hosts import embedded, spin_manifest
from bench.report import Figure
from bench.requests import UnusableAnswerError, call, check, direct
from ftl_operator.host import Request


def figures(**changed: float) -> list[Figure]:
    values = {
        report.fuel_of_call(1): 100_000,
        report.fuel_of_call(100): 104_000,
        report.fuel_of_list(1): 50_000,
        report.fuel_of_list(100): 150_000,
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
    assert len(found) == 6
    assert all(target.name in report.table(figures(**changed), found) for target in found)
    return [target.name for target in found if not target.holds]


def test_targets_hold_and_miss() -> None:
    assert missed() == []
    assert missed(**{report.fuel_of_call(100): 106_000}) == [
        "a call costs the same with 1 and 100 tools (spread)"
    ]
    assert missed(**{report.fuel_of_list(100): 500_000}) == ["instructions for each further byte of a list"]
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


@pytest.mark.needs("bench-guests")
def test_a_call_through_the_gateway_costs_the_same_with_many_tools(built: guests.Guests) -> None:
    with embedded(apps.plain(built.tool)) as ask:
        found = apps.inspect(built.tool, ask(Request("GET", "/", (("host", b"localhost"),))).body)
    costs = []
    for include in ("forecast_07", "*"):
        app = apps.gatewayed(guests.GATEWAY, (built.tool, found), include=include)
        front, _ = measure.fuel(app, call(f"{apps.TOOLS}__forecast_07"))
        costs.append(front)
    assert max(costs) <= min(costs) * (1 + report.MAX_SPREAD)
    assert guests.GATEWAY.stat().st_size <= report.MAX_GATEWAY_BYTES
