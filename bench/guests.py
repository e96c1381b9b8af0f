"""The components that the gateway is compared with, built from `bench/guests`."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GATEWAY = ROOT / "ftl_operator" / "gateway.wasm"


@dataclass(frozen=True, slots=True)
class Guests:
    """Files of components: one that does nothing, one that only forwards, one with a hundred tools."""

    empty: Path
    forwarder: Path
    tool: Path


def build() -> Guests:
    """Build what changed since the last time, in the user's cache. Raises subprocess.CalledProcessError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "target-bench")
    subprocess.run(
        [ROOT / "scripts" / "wasm-cargo", "build", "--release", "--locked", "--quiet"],
        cwd=ROOT / "bench" / "guests",
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    built = target / "wasm32-wasip2" / "release"
    return Guests(built / "empty.wasm", built / "forwarder.wasm", built / "tool.wasm")
