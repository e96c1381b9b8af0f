"""One tenant beside another: whatever hostile apps of one namespace wait for, the other's app is served.

There are eight hostile apps, as many as workers, with real servers that drip for as long as a test runs; the
twin has the same apps with servers that answer.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import Cache
from ftl_operator.controller.circuit_breaker import CircuitBreakers
from ftl_operator.controller.inspection_pool import InspectionPool, Job
from ftl_operator.controller.observer import Observer
from ftl_operator.controller.probe import Probe
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import FtlError, IssuerError, WaitingError
from ftl_operator.exchange import Deadline, ExchangeError, ExchangeSettings, HttpClient, Request
from ftl_operator.hosts import parse_url
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.preflight import Preflight
from ftl_operator.registry.http import TransientError
from ftl_operator.settings import Settings
from ftl_operator.ttl_cache import TtlCache
from tests.attacks.table import Attack, check_refused, check_twin
from tests.auth.live_issuer import jwk
from tests.support.raw_server import PAUSE, Script, run_raw_server, saying
from tests.support.specs import ftlapp

WORKERS = 8
LONG = 300.0
"""Seconds that a dripping server may take: longer than any test runs, so that its end serves nobody."""
GOOD = NamespacedName("good", "app")
HOSTILE = tuple(NamespacedName("hostile", str(number)) for number in range(8))

Work = Callable[[NamespacedName, int], None]
"""What a look at an app waits for, given the port of the app's server. May raise WaitingError or FtlError."""


def answering(body: bytes) -> Script:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    return saying(head + body)


DRIPPING = saying(b"HTTP/1.1 200 OK\r\n", then=itertools.repeat(b"X-Drip: 1\r\n"), pause=PAUSE)
QUICK = answering(json.dumps({"keys": [jwk("RS256")]}).encode())


def served(work: Work, script: Script) -> set[NamespacedName]:
    """The apps that were served until the good one was served five times, and in the twin all others once."""
    queue, finished, enough = WorkQueue(workers=WORKERS), list[NamespacedName](), threading.Event()
    wanted = {GOOD} if script is DRIPPING else {GOOD, *HOSTILE}

    def run() -> None:
        while (key := queue.take()) is not None:
            try:
                work(key, ports[key])
                finished.append(key)
            except WaitingError as waiting:
                queue.add(key, min(waiting.seconds or 0.1, 0.5))
            except FtlError:
                queue.add(key, 0.5)
            finally:
                queue.release(key)
            if key == GOOD:
                queue.add(key, 0.05)
            if finished.count(GOOD) >= 5 and wanted <= set(finished):
                enough.set()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(WORKERS)]
    with ExitStack() as servers:
        ports = {key: servers.enter_context(run_raw_server(script)) for key in HOSTILE}
        ports[GOOD] = servers.enter_context(run_raw_server(QUICK))
        for key in (*HOSTILE, GOOD):
            queue.add(key)
        for thread in threads:
            thread.start()
        enough.wait(60)
        found = set(finished) if enough.is_set() else set()
        queue.close()
    for thread in threads:
        thread.join(30)
    return found


def app(key: NamespacedName, **fields: object) -> FtlApp:
    return FtlApp.parse(
        ftlapp(fields, {"namespace": key.namespace, "name": f"app-{key.name}", "uid": key.name})
    )


def fetch(port: int) -> None:
    """Whatever a server is asked for, at the pace of the server."""
    client = HttpClient(ExchangeSettings(may_be_private=lambda _: True, proxies={}, silence_seconds=LONG))
    try:
        client.fetch(Request("GET", parse_url(f"http://127.0.0.1:{port}/")), Deadline.after(LONG), 100_000)
    except ExchangeError as error:
        raise TransientError(str(error)) from None


def at_registries(script: Script) -> set[NamespacedName]:
    breakers = CircuitBreakers(4)

    def work(key: NamespacedName, port: int) -> None:
        with breakers.enter(key.namespace, f"127.0.0.1:{port}"):
            fetch(port)

    return served(work, script)


def at_one_registry(script: Script) -> set[NamespacedName]:
    """One host whose paths belong to several tenants."""
    breakers = CircuitBreakers(4)

    def work(key: NamespacedName, port: int) -> None:
        with breakers.enter(key.namespace, "shared.test"):
            fetch(port)

    return served(work, script)


def at_issuers(script: Script) -> set[NamespacedName]:
    """Every app names the same issuer, the hostile ones with addresses of keys of their own."""
    settings = IssuerSettings(developing=True, silence=LONG, total=LONG)
    preflight = Preflight(settings, lambda *_: b"", askers=WORKERS // 2)

    def work(key: NamespacedName, port: int) -> None:
        auth = {
            "issuer": "http://127.0.0.1:1",
            "jwksUri": f"http://127.0.0.1:{port}/keys",
            "audiences": ["https://tools.acme.dev/mcp"],
            "allowedSubjects": ["ann"],
        }
        preflight.authorize(app(key, access="private", auth=auth), lambda *_: "")

    return served(work, script)


def at_probes(script: Script) -> set[NamespacedName]:
    settings = Settings(workers=WORKERS, service_url="http://127.0.0.1:{name}")
    kube: Any = None
    observer = Observer(settings, kube, Cache(), Probe(LONG))

    def work(key: NamespacedName, port: int) -> None:
        document = app(key, access="private")
        metadata = document.metadata.model_copy(update={"name": str(port)})
        found = observer.verify(document.model_copy(update={"metadata": metadata}), None, [])
        assert found is not None
        if found.status != "True":
            raise IssuerError("not verified")

    return served(work, script)


def in_the_pool(
    job: Callable[[NamespacedName, int, object], Job[None]], script: Script
) -> set[NamespacedName]:
    pool, numbers = InspectionPool(lambda *_: None, 2), itertools.count()

    def work(key: NamespacedName, port: int) -> None:
        # Components and policies without end: each look at a hostile app brings another one.
        subject = next(numbers) if key != GOOD and script is DRIPPING else port
        pool.run(job(key, port, subject))

    try:
        return served(work, script)
    finally:
        pool.close()


def fetching(script: Script) -> set[NamespacedName]:
    return in_the_pool(lambda key, port, of: Job(key, of, "…", lambda: None, lambda: fetch(port)), script)


def running(script: Script) -> set[NamespacedName]:
    """What runs hangs, as a component or a policy does that uses up its time."""
    return in_the_pool(lambda key, port, of: Job(key, of, "…", lambda: fetch(port)), script)


def remembered(tenants: Iterable[str]) -> bool:
    """Whether a good issuer is still known after these tenants named a thousand others."""
    cache: TtlCache[int] = TtlCache(max_entries=1024)
    cache.put("good", "issuer", 1, LONG)
    for number, tenant in enumerate(itertools.islice(itertools.cycle(tenants), 4096)):
        cache.fail(tenant, number, IssuerError("no answer"), LONG, LONG)
    return cache.get("issuer") is not None


def good_is_served(found: set[NamespacedName]) -> bool:
    return GOOD in found


def all_are_served(found: set[NamespacedName]) -> bool:
    return found == {GOOD, *HOSTILE}


ROWS = [
    Attack("H3 eight registries that drip", at_registries, DRIPPING, good_is_served, QUICK, all_are_served),
    Attack(
        "H3 one registry with paths that drip",
        at_one_registry,
        DRIPPING,
        good_is_served,
        QUICK,
        all_are_served,
    ),
    Attack("H4 eight key sets that drip", at_issuers, DRIPPING, good_is_served, QUICK, all_are_served),
    Attack("H5 eight apps whose probes drip", at_probes, DRIPPING, good_is_served, QUICK, all_are_served),
    Attack("H7 endless components that drip", fetching, DRIPPING, good_is_served, QUICK, all_are_served),
    Attack(
        "H7 endless components and policies that hang",
        running,
        DRIPPING,
        good_is_served,
        QUICK,
        all_are_served,
    ),
    Attack(
        "H4 names that push a good issuer out of the cache", remembered, ["hostile"], bool, ["hostile", "b"]
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
