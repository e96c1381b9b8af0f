"""The components that the gateway is compared with, built from `bench/guests`."""

from dataclasses import dataclass
from pathlib import Path

from builds.targets import STORE, TARGETS

ROOT = Path(__file__).resolve().parents[1]
GATEWAY = ROOT / "ftl_operator" / "gateway.wasm"
LOGIN = ROOT / "ftl_operator" / "login.wasm"


@dataclass(frozen=True, slots=True)
class Guests:
    """Files of components: one that does nothing, one that only forwards, one with a hundred tools."""

    empty: Path
    forwarder: Path
    tool: Path


def build() -> Guests:
    """Build what changed since the last time, in the user's cache. Raises BuildError."""
    folder = STORE.build(TARGETS["bench-guests"])
    return Guests(folder / "empty.wasm", folder / "forwarder.wasm", folder / "tool.wasm")
