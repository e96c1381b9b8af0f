"""The committed gateway on the embedded host, without tools: for what it decides before any tool is asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftl_operator.cli.workspace import GATEWAY_WASM
from ftl_operator.host import Code, HostApp, Request, Response
from ftl_operator.host.engine.engine import digest_of

UID = "5b8c1f6e-0d3a-4f7e-9a51-6f0c2d4e8b17"
KEY = "9f86d081884c7d659a2feaa0c55ad015"
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@dataclass(frozen=True)
class Place:
    """A gateway: its seal, what it is composed of, and whether a tool may write where it does."""

    seal: str = f"{UID}:{KEY}"
    app: str = "sha256:composed"
    shared: bool = True
    variables: dict[str, str] = field(default_factory=dict)


@contextmanager
def running(
    place: Place,
    auth: dict[str, Any],
    state: Path,
    log: Callable[[str, str], None] = lambda *_: None,
    code: Code = Code.FAST,
) -> Iterator[HostApp]:
    """Run the gateway while the body runs.

    Args:
        place: Its seal and its variables.
        auth: The object `auth` of its configuration.
        state: The folder of its key-value store.
        log: Told each line that it logs.
        code: How it is compiled.
    """
    config = {"name": "demo", "version": "1", "app": place.app, "storeShared": place.shared, "auth": auth}
    texts = {"gateway_config": json.dumps(config), "store_seal": place.seal, "components": "[]"}
    texts |= place.variables
    outbound = [auth["jwksUri"].rpartition("/")[0]] if "jwksUri" in auth else []
    locked = {
        "spin_lock_version": 1,
        "variables": {},
        "triggers": [
            {
                "id": "http",
                "trigger_type": "http",
                "trigger_config": {"component": "gateway", "route": "/..."},
            }
        ],
        "components": [
            {
                "id": "gateway",
                "metadata": {"key_value_stores": ["default"], "allowed_outbound_hosts": outbound},
                "source": {"content_type": "application/wasm", "digest": digest_of(GATEWAY_WASM)},
                "config": texts,
            }
        ],
    }
    app = HostApp(locked, lambda _: GATEWAY_WASM, state_dir=state, log=log, code=code)
    app.prepare()
    try:
        yield app
    finally:
        app.close()


def ping(app: HostApp, *headers: tuple[str, bytes]) -> Response:
    """The answer to a `ping` with these headers."""
    return app.handle(Request("POST", "/mcp", (*headers, ("content-type", b"application/json")), PING))


def status_of(app: HostApp, *headers: tuple[str, bytes]) -> int:
    """The status of the answer to a `ping` with these headers."""
    return ping(app, *headers).status
