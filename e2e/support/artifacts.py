"""Tools for the tests: versions of the one component in `e2e/tools`, made without a compiler."""

import functools
import json
from typing import Any

from e2e.cluster import binaries
from e2e.cluster.registry import SPIN_LAYER, WASM_LAYER, Registry, digest

MARKER = b"\x01ftl-e2e-template\x01"
SIZE = 8192

OBJECT_SCHEMA = {"type": "object", "properties": {}, "additionalProperties": True}


@functools.cache
def template() -> bytes:
    """The built component."""
    return (binaries.target("e2e-tool") / "template.wasm").read_bytes()


def tool_component(*names: str, version: str = "1", trap_when: str = "", **metadata: Any) -> bytes:
    """A component with these tools.

    Args:
        names: The tools' names.
        version: Given back by every call.
        trap_when: The name of a variable; while its value is `broken`, every request traps.
        metadata: Further fields of every tool's metadata.
    """
    tools = [
        {"name": name, "description": f"The tool {name}.", "inputSchema": OBJECT_SCHEMA, **metadata}
        for name in names
    ]
    description: dict[str, Any] = {"tools": tools, "version": version}
    if trap_when:
        description["trapWhen"] = trap_when
    text = json.dumps(description).encode()
    room = SIZE - len(MARKER)
    if len(text) > room:
        raise ValueError(f"the description has {len(text)} bytes; the buffer holds {room}")
    wasm = template()
    at = wasm.index(MARKER)
    assert wasm.find(MARKER, at + 1) < 0, "the marker must occur once"
    return wasm[:at] + MARKER + text.ljust(room) + wasm[at + SIZE :]


def push_spin_app(registry: Registry, repository: str, tag: str, wasm: bytes) -> str:
    """Push a Spin application of one component as `spin registry push` would; the digest-pinned reference."""
    locked = {
        "spin_lock_version": 1,
        "must_understand": [],
        "metadata": {
            "name": repository.rpartition("/")[2],
            "trigger": {"type": "http"},
            "triggers": {"http": {}},
        },
        "variables": {"units": {"default": "metric"}},
        "triggers": [
            {
                "id": "trigger-tool",
                "trigger_type": "http",
                "trigger_config": {"component": "tool", "route": "/..."},
            }
        ],
        "components": [
            {
                "id": "tool",
                "metadata": {},
                "source": {"content_type": "application/wasm", "digest": digest(wasm)},
                "config": {"units": "{{ units }}"},
            }
        ],
    }
    raw = json.dumps(locked).encode()
    config = {
        "architecture": "wasm",
        "os": "Wasip1",
        "config": {"Labels": {"com.fermyon.spin.lockedAppDigest": digest(raw)}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    pushed = registry.push(repository, tag, config, [(WASM_LAYER, wasm), (SPIN_LAYER, raw)])
    return f"{registry.address}/{repository}@{pushed}"
