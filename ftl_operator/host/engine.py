"""The wasmtime engine and its cache of compiled components."""

import hashlib
import os
import tempfile
import threading
import time
import weakref
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import component as wc

TICK = 0.02
"""Seconds between two looks at running guests' deadlines."""


def cache_directory() -> Path:
    """Where compiled components lie. Its bytes are trusted as code, so nobody else may write there."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "ftl-operator" / "compiled" / version("wasmtime")


class Engine:
    """A wasmtime engine with epochs ticking, and compiled components kept on disk.

    Args:
        fuel: Meter the instructions of guests; such code is slower and compiled separately.
        cache: Directory of compiled components; None compiles anew each time.
    """

    def __init__(self, *, fuel: bool = False, cache: Path | None = None) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        config.consume_fuel = fuel
        config.wasm_component_model = True
        self.fuel = fuel
        self.raw = wasmtime.Engine(config)
        self._cache = cache
        threading.Thread(target=_tick, args=(weakref.ref(self.raw),), name="epoch", daemon=True).start()

    def load(self, wasm: Path, digest: str | None = None) -> wc.Component:
        """Compile a component, or take it from the cache. Raises wasmtime.WasmtimeError for other bytes."""
        digest = digest or "sha256:" + hashlib.sha256(wasm.read_bytes()).hexdigest()
        if self._cache is None:
            return wc.Component(self.raw, wasm.read_bytes())
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._cache.stat().st_uid != os.getuid() or self._cache.stat().st_mode & 0o022:
            raise PermissionError(
                f"{self._cache} can be written by others, so its code is not run; remove it"
            )
        entry = self._cache / f"{digest.replace(':', '-')}{'-fuel' if self.fuel else ''}.cwasm"
        if entry.exists():
            try:
                return wc.Component.deserialize_file(self.raw, str(entry))
            except wasmtime.WasmtimeError:
                entry.unlink(missing_ok=True)
        compiled = wc.Component(self.raw, wasm.read_bytes())
        with tempfile.NamedTemporaryFile(dir=self._cache, delete=False) as file:
            file.write(compiled.serialize())
        Path(file.name).rename(entry)
        return compiled


def ticks(seconds: float) -> int:
    """An epoch deadline no earlier than `seconds` from now."""
    return int(seconds / TICK) + 2


def _tick(engine: "weakref.ref[wasmtime.Engine]") -> None:
    while (raw := engine()) is not None:
        raw.increment_epoch()
        del raw
        time.sleep(TICK)
