"""Two tenants: eight hostile apps of one namespace do not delay a healthy app of another."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, tool
from e2e.support.process import wait_until
from tests.support.hostile import HOSTILE
from tests.support.raw_server import PAUSE, run_raw_server

Push = Callable[..., str]

MORE_SECONDS = 10.0
"""The factor by which the healthy app may take longer than alone."""
MEMORY_BYTES = 2 << 30
"""The chart's memory limit."""
ENDLESS_POLICY = """package mcp.authorization
import rego.v1
allow if count([1 | some x in numbers.range(1, 5000); some y in numbers.range(1, 5000); x == y]) > 0
"""

pytestmark = pytest.mark.usefixtures("operator")


def dripping(client: socket.socket) -> None:
    """Begin a TLS handshake that never ends."""
    client.recv(65536)
    client.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    waiting = threading.Event()
    while True:
        client.sendall(b"\x00")
        waiting.wait(PAUSE)


def without_end(kind: str, number: int) -> bytes:
    """A hostile component whose digest nobody has seen: one with a custom section of its own."""
    name = f"{kind}-{number}".encode()
    return HOSTILE[kind] + b"\x00" + bytes([len(name) + 1, len(name)]) + name


@contextmanager
def hostile_apps(cluster: Cluster, namespace: str) -> Iterator[list[App]]:
    """Eight of them, all at work, until the body ends."""
    cluster.namespace(namespace)
    with ExitStack() as stack:
        ports = [stack.enter_context(run_raw_server(dripping)) for _ in range(4)]
        bombs = itertools.count()

        def bomb(kind: str) -> str:
            number = next(bombs)
            wasm = without_end(kind, number)
            return cluster.registry.push_tool(f"tools/{namespace}/{kind}", str(number), wasm)

        def app(name: str, image: str, **spec: object) -> App:
            return App(cluster, namespace, tool("weather", image), name=name, **spec)

        def with_auth(**auth: object) -> dict[str, object]:
            return {"access": "custom", "auth": {"audiences": ["a"], "policy": {"rego": "package a"}, **auth}}

        test = {"name": "a", "input": "{}", "allow": True}
        policy = {"policy": {"rego": ENDLESS_POLICY}, "policyTests": [test]}
        good = bomb("loop")
        apps = [
            app("registry-0", f"127.0.0.1:{ports[0]}/weather:1"),
            app("registry-1", f"127.0.0.1:{ports[1]}/weather:1"),
            app("issuer-0", good, **with_auth(issuer=f"https://127.0.0.1:{ports[2]}", **policy)),
            app("issuer-1", good, **with_auth(issuer=f"https://127.0.0.1:{ports[3]}", **policy)),
            app("loop", bomb("loop")),
            app("memory", bomb("allocate")),
            app("policy-0", good, **with_auth(issuer="https://login.acme.dev", **policy)),
            app("changing", bomb("loop")),
        ]
        for each in apps:
            each.apply()
        ended = threading.Event()

        def change() -> None:
            while not ended.wait(1.0):
                apps[-1].spec["tools"] = [tool("weather", bomb("loop"))]
                apps[-1].apply()

        changing = threading.Thread(target=change, name="changing", daemon=True)
        changing.start()
        try:
            yield apps
        finally:
            ended.set()
            changing.join(30)
            cluster.api.delete("v1", "Namespace", namespace)


def test_hostile_apps_of_one_tenant_do_not_delay_another(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    def bring_up(name: str) -> float:
        """With a component that nobody has inspected yet."""
        image = push("weather", name, "forecast", version=f"{namespace}-{name}")
        start = time.monotonic()
        App(cluster, namespace, tool("weather", image), name=name).apply().wait(seconds=120)
        return time.monotonic() - start

    alone = max(bring_up(f"alone-{number}") for number in range(2))
    with hostile_apps(cluster, f"{namespace}-hostile") as apps:
        wait_until("the operator is at work on them", lambda: all(each.status() for each in apps), 120)
        among = max(bring_up(f"among-{number}") for number in range(4))
        print(f"{alone:.1f} s alone, {among:.1f} s among hostile apps")
        assert among < alone + MORE_SECONDS
        resident = next(
            float(line.split()[1])
            for line in operator.metrics().splitlines()
            if line.startswith("process_resident_memory_bytes ")
        )
        assert resident < MEMORY_BYTES
