"""The wasmtime engine and its cache of compiled components."""

import contextlib
import hashlib
import os
import platform
import threading
import time
import weakref
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import _bindings as bindings
from wasmtime import component as wc

from ftl_operator.disk_cache import evict, write_file
from ftl_operator.oci.reference import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.02
"""Seconds between two checks of running guests' deadlines."""


_WINCH = 2
"""WASMTIME_STRATEGY_WINCH of wasmtime/config.h."""


class Code(StrEnum):
    """How a component is compiled; the cache has separate entries for each."""

    FAST = "fast"
    """Optimized."""
    METERED = "metered"
    """Optimized, and counts instructions, which costs time."""
    ONCE = "once"
    """Compiled in a quarter of the time, for a component that is called once; as FAST except on x86_64."""


MAX_CACHE_BYTES = 2 << 30
"""The size of the cache; the least recently used code is removed first. A Python component has 150 MB of
code."""


def cache_directory() -> Path:
    """The default folder of compiled components."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "ftl-operator" / "compiled"


class Engine:
    """A wasmtime engine with a running epoch clock and a cache of compiled components on disk.

    Args:
        code: How components are compiled.
        cache: The folder for compiled components, for every version of wasmtime; None disables the cache. Its
            bytes are executed as code, so nobody else may write there.
        max_bytes: The size of the folder.
    """

    def __init__(
        self, code: Code = Code.FAST, cache: Path | None = None, max_bytes: int = MAX_CACHE_BYTES
    ) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        config.consume_fuel = code is Code.METERED
        # WASI 0.2 needs no concurrent calls, and wasmtime 50's support for them traps ("deferred host scope
        # has no call context") when a host function takes two borrowed resources, as `poll` and `splice` do.
        bindings.wasmtime_config_concurrency_support_set(config.ptr(), False)
        if code is Code.ONCE and platform.machine() in ("x86_64", "AMD64"):
            # wasmtime-py's setter lacks the baseline compiler, which is complete on x86_64 only.
            bindings.wasmtime_config_strategy_set(config.ptr(), _WINCH)
        self.code = code
        self.raw = wasmtime.Engine(config)
        self._root = cache
        self._cache = None if cache is None else cache / f"wasmtime-{version('wasmtime')}"
        self._max_bytes = max_bytes
        self.on_tick: list[Callable[[], None]] = []
        """Called at each tick, from its thread."""
        threading.Thread(target=_tick, args=(weakref.ref(self),), name="epoch", daemon=True).start()

    def load(self, wasm: Path, digest: Digest | None = None) -> wc.Component:
        """Compile a component, or take it from the cache.

        Args:
            wasm: Its file.
            digest: Its digest, if it is known.

        Raises:
            wasmtime.WasmtimeError: wasmtime cannot run the component.
            ComponentError: It is a core module that cannot become a component.
            PermissionError: Others may write to the cache.
        """
        if self._cache is None:
            return wc.Component(self.raw, _component(wasm))
        try:
            self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            # Without a writable cache, every start has to compile; nothing else changes.
            return wc.Component(self.raw, _component(wasm))
        status = self._cache.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(f"others may write to {self._cache}, so its code is not run; remove it")
        entry = self._cache / f"{(digest or digest_of(wasm)).replace(':', '-')}.{self.code}"
        if entry.exists():
            try:
                kept = wc.Component.deserialize_file(self.raw, str(entry))
                with contextlib.suppress(OSError):
                    os.utime(entry)
                return kept  # noqa: TRY300 - only the reading is tried
            except wasmtime.WasmtimeError:
                # Code for another processor, or a truncated file: compile again.
                entry.unlink(missing_ok=True)
        compiled = wc.Component(self.raw, _component(wasm))
        self._keep(entry, compiled.serialize())
        return compiled

    def _keep(self, entry: Path, code: bytes | bytearray) -> None:
        # If the disk is full or read-only, the next start has to compile.
        with contextlib.suppress(OSError):
            write_file(entry, code)
            evict(self._root or entry.parent, self._max_bytes)


def _component(wasm: Path) -> bytes:
    """Read a component; a core module is converted to one, as Spin does when it loads it."""
    # Imported here because the sandbox imports this module for its own engine.
    from ftl_operator.host.sandbox.componentize import componentize, is_core_module

    binary = wasm.read_bytes()
    return componentize(binary) if is_core_module(binary) else binary


def digest_of(wasm: Path) -> Digest:
    """The digest of a file."""
    with wasm.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


def ticks(seconds: float) -> int:
    """The number of ticks for a deadline at least `seconds` from now."""
    return int(seconds / TICK) + 2


def _tick(reference: "weakref.ref[Engine]") -> None:
    while (engine := reference()) is not None:
        engine.raw.increment_epoch()
        for call in engine.on_tick:
            call()
        del engine
        time.sleep(TICK)
