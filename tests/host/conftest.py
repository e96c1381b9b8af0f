"""Applications of the test guests on the embedded host."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builds import built_wasm
from ftl_operator.host import Code, HostApp, Limits, Request, Response


@dataclass
class Running:
    """A running application, and what its components logged."""

    app: HostApp
    lines: list[tuple[str, str]] = field(default_factory=list)

    def get(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        response = self.open(target, method, body, **headers)
        return response.status, response.read()

    def open(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Response:
        pairs = tuple((name.replace("_", "-"), value.encode()) for name, value in headers.items())
        return self.app.handle(Request(method, target, pairs, body))

    @property
    def text(self) -> str:
        return "\n".join(f"[{component}] {line}" for component, line in self.lines)


def digest_of(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def component(name: str, wasm: Path, **entry: Any) -> dict[str, Any]:
    metadata = {
        key: entry.pop(key)
        for key in ("allowed_outbound_hosts", "key_value_stores", "databases")
        if key in entry
    }
    source = {"content_type": "application/wasm", "digest": digest_of(wasm)}
    return {"id": name, "metadata": metadata, "source": source, **entry}


@pytest.fixture(scope="session")
def guests() -> Path:
    return built_wasm("guests")


Start = Callable[..., Running]


@pytest.fixture
def start(guests: Path) -> Iterator[Start]:
    """`start({"front": {grants…}, "back": {}}, limits=…)`: `front` is public, the others are private."""
    running: list[Running] = []

    def begin(
        components: dict[str, dict[str, Any]] | None = None,
        *,
        declared: dict[str, Any] | None = None,
        limits: Limits | None = None,
        code: Code = Code.FAST,
        wasm: dict[str, Path] | None = None,
        **options: Any,
    ) -> Running:
        components = components or {"front": {}}
        files = {name: (wasm or {}).get(name, guests) for name in components}
        blobs = {digest_of(path): path for path in files.values()} | options.pop("blobs", {})
        document = {
            "spin_lock_version": 1,
            "variables": declared or {},
            "triggers": [
                {
                    "id": f"trigger-{name}",
                    "trigger_type": "http",
                    "trigger_config": {
                        "component": name,
                        "route": "/..." if name == "front" else {"private": True},
                    },
                }
                for name in components
            ],
            "components": [component(name, files[name], **dict(entry)) for name, entry in components.items()],
        }
        document = options.pop("edit", lambda made: made)(document)
        lines: list[tuple[str, str]] = []
        app = HostApp(
            document,
            blobs.__getitem__,
            limits=limits or Limits(time=120),
            log=lambda name, line: lines.append((name, line)),
            code=code,
            **options,
        )
        running.append(Running(app, lines))
        return running[-1]

    yield begin
    for one in running:
        one.app.close()
