"""`python -m bench`: measure, print a table or JSON, and fail if a repeatable target is missed."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import apps, guests, login, measure, report
from bench.apps import App
from bench.hosts import Ask, embedded, spin
from bench.measure import Charge
from bench.report import Figure
from bench.requests import LEGACY, call, direct, listing
from bench.tokens import ALGORITHMS, KEYS_ALONE, Issuer
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.names import API_KEYS
from ftl_operator.cli.api_keys import key_line, new_key
from ftl_operator.component.tool import Component
from ftl_operator.host import Request

COUNTS = {1: ("forecast_07", 1), 10: ("forecast_0?", 1), 100: ("*", 1), 1000: ("*", 10)}
"""Numbers of tools: the pattern that exposes so many of the component's hundred, and how often it is used."""
TOOL = "forecast_07"
NAME = f"{apps.TOOLS}__{TOOL}"
RS256 = "RS256"


def main() -> int:
    """Run everything. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--host", choices=("embedded", "spin"), default="embedded", help="what times are taken on"
    )
    parser.add_argument(
        "--acknowledge",
        choices=("delayed", "at-once"),
        default="delayed",
        help="how the client of --host spin acknowledges packets; most clients delay that",
    )
    parser.add_argument("--rounds", type=int, default=200, help="timed requests of each case")
    parser.add_argument("--gateway", type=Path, default=guests.GATEWAY, help="another gateway.wasm")
    parser.add_argument(
        "--repeatable", action="store_true", help="measure only what repeats: instructions and sizes"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    built = guests.build()
    bench = Bench(built, options.gateway, _inspected(built.tool))
    host = partial(spin, at_once=options.acknowledge == "at-once") if options.host == "spin" else embedded
    figures = [*bench.charges(), *bench.fuel(), *bench.sizes()]
    if not options.repeatable:
        figures += bench.times(host, options.rounds)
    found = report.targets(figures, sorted(COUNTS))
    if options.json:
        json.dump(report.document(figures, found), sys.stdout, indent=2)
        print()
    else:
        print(report.table(figures, found))
        if options.host == "spin" and not options.repeatable:
            print(f"\nAll cases took turns; the client's acknowledgements were {options.acknowledge}.")
    return 0 if all(target.holds for target in found if target.repeatable) else 1


def _inspected(tool: Path) -> Component:
    with embedded(apps.plain(tool)) as ask:
        return apps.inspect(tool, ask(Request("GET", "/", (("host", b"localhost"),))).body)


class Bench:
    """The cases over one set of files.

    Args:
        built: The components to compare with.
        gateway: The gateway's file.
        tool: What was found in the tool component.
    """

    def __init__(self, built: guests.Guests, gateway: Path, tool: Component) -> None:
        self._files = built
        self._gateway = gateway
        self._tool = (built.tool, tool)

    def charges(self) -> Iterator[Figure]:
        """What a fast host charges for: the same in every run."""
        for (case, count), charge in self.charge().items():
            yield from report.charged(case, count, charge)

    def charge(self) -> dict[tuple[str, int], Charge]:
        """What each case costs with each number of tools."""
        issuer = Issuer.new(RS256)
        spec, checked, variables = login.auth()
        key = new_key()
        found: dict[tuple[str, int], Charge] = {}
        for count in COUNTS:
            app, private = self._app(count), self._app(count, auth=issuer.auth)
            keyed = replace(
                self._app(count, auth=KEYS_ALONE), variables={API_KEYS: str(key_line(key, "bench"))}
            )
            cases = {
                report.LIST: (app, listing()),
                report.CALL: (app, call(NAME)),
                report.TOKEN: (private, call(NAME, token=issuer.token())),
                report.KEY: (keyed, call(NAME, token=key)),
            }
            found |= {(name, count): measure.charge(*case) for name, case in cases.items()}
            with_login = self._app(count, auth=(spec, checked), login=(guests.LOGIN, variables))
            found[report.PAGE, count] = measure.charge(with_login, login.sign_in_page, "login")
        return found

    def fuel(self) -> Iterator[Figure]:
        """Instructions of what the gateway is compared with."""
        forwarded, _ = measure.fuel(self._forwarder(), direct(TOOL))
        tool, _ = measure.fuel(apps.plain(self._files.tool), direct(TOOL))
        yield _instructions("fuel: the tool itself", tool)
        yield _instructions("fuel: forwarder", forwarded)
        yield _instructions(
            "fuel: gateway, call without validation",
            measure.fuel(self._app(10, validate=False), call(NAME))[0],
        )
        yield _instructions(
            "fuel: gateway, validated call of 2025-11-25",
            measure.fuel(self._app(10), call(NAME, version=LEGACY))[0],
        )

    def sizes(self) -> Iterator[Figure]:
        """Bytes of components and answers."""
        yield Figure(report.GATEWAY_BYTES, self._gateway.stat().st_size, "bytes")
        yield Figure("size: empty component", self._files.empty.stat().st_size, "bytes")
        for count in COUNTS:
            yield Figure(report.bytes_of_list(count), measure.size(self._app(count), listing()), "bytes")

    def times(self, host: Callable[[App], AbstractContextManager[Ask]], rounds: int) -> Iterator[Figure]:
        """Medians, comparable with each other only."""
        # Microseconds each, so only many of them give a median that repeats.
        files = {"gateway": self._gateway, "empty": self._files.empty}
        started = measure.instantiation(files, 10 * rounds)
        yield _time(report.EMPTY_START, started["empty"])
        yield _time(report.GATEWAY_START, started["gateway"])
        plain = [call(NAME)]
        cases: dict[str, tuple[App, list[Request]]] = {
            "time: the tool itself": (apps.plain(self._files.tool), [direct(TOOL)]),
            report.FORWARDED_TIME: (self._forwarder(), [direct(TOOL)]),
            "time: call without validation": (self._app(10, validate=False), plain),
            report.CALL_TIME: (self._app(10), plain),
            **{f"time: list of {count} tools": (self._app(count), [listing()]) for count in COUNTS},
        }
        for algorithm in ALGORITHMS:
            issuer = Issuer.new(algorithm)
            app = self._app(10, auth=issuer.auth)
            fresh = [call(NAME, token=issuer.token(number)) for number in range(measure.WARM_UP + rounds)]
            cases[f"time: call with a new {algorithm} token"] = (app, fresh)
            cases[f"time: call with a known {algorithm} token"] = (app, [call(NAME, token=issuer.token())])
        for name, seconds in measure.times(cases, host, rounds).items():
            yield _time(name, seconds)

    def _forwarder(self) -> App:
        return apps.plain(self._files.forwarder, self._files.tool)

    def _app(
        self,
        count: int,
        *,
        validate: bool = True,
        auth: tuple[Mapping[str, Any], GatewayAuth] | None = None,
        login: tuple[Path, Mapping[str, str]] | None = None,
    ) -> App:
        include, components = COUNTS[count]
        return apps.gatewayed(
            self._gateway,
            self._tool,
            include=include,
            components=components,
            validate=validate,
            auth=auth,
            login=login,
        )


def _instructions(name: str, value: int) -> Figure:
    return Figure(name, value, "instructions")


def _time(name: str, seconds: float) -> Figure:
    return Figure(name, seconds * 1e6, "µs")


if __name__ == "__main__":
    sys.exit(main())
