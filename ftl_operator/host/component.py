"""A component of an application: its grants, its compiled code, and the execution of one request."""

import ctypes
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as wc

from ftl_operator.errors import ComponentError
from ftl_operator.host.engine import capi
from ftl_operator.host.engine.engine import Code, Engine, ticks
from ftl_operator.host.engine.interface import Trap
from ftl_operator.host.engine.linker import GUESTS, link
from ftl_operator.host.engine.values import Lower, codec
from ftl_operator.host.guest import GuestInstance, Outcome, TimeLimitError
from ftl_operator.host.limits import Limits, limit_store
from ftl_operator.host.spin import (
    key_value,  # noqa: F401 - they declare functions
    sqlite,  # noqa: F401 - they declare functions
)
from ftl_operator.host.spin.allowed_hosts import AllowedHosts
from ftl_operator.host.spin.sqlite import Database
from ftl_operator.host.spin.store import Store
from ftl_operator.host.spin.variables import ComponentVariables
from ftl_operator.host.streams.logs import Log
from ftl_operator.host.wasi import (
    filesystem,  # noqa: F401 - they declare functions
    http,  # noqa: F401 - they declare functions
    sockets,  # noqa: F401 - they declare functions
)
from ftl_operator.host.wasi.cli import Exit
from ftl_operator.host.wasi.files import Directory
from ftl_operator.host.wasi.http_types import IncomingRequest, ResponseOutparam, Send
from ftl_operator.oci.reference import Digest

HANDLER = "wasi:http/incoming-handler"


def cause_of(message: str) -> str:
    """The cause in wasmtime's error text, without its backtrace."""
    trap = re.search(r"wasm trap: (.+)", message)
    if trap:
        return trap.group(1)
    text = message.rpartition("Caused by:")[2]
    return " ".join(text.split())[:500]


class GuestError(Exception):
    """A guest ended without a complete response; the text names the component and the cause, for the log."""


@dataclass(slots=True)
class _Code:
    component: wc.Component
    linker: wc.Linker
    handle: wc.ExportIndex
    lowers: list[Lower] = field(default_factory=list)
    """The converters of the handler's parameters; their types are known with the first instance."""


@dataclass(slots=True)
class Component:
    """A component with its grants."""

    id: str
    wasm: Path
    digest: Digest
    engine: Engine
    limits: Limits
    variables: ComponentVariables
    environment: Mapping[str, str]
    files: Directory | None
    stores: Mapping[str, Store]
    databases: Mapping[str, Database]
    allowed: AllowedHosts
    send: Send
    log: Log
    _code: _Code | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> _Code:
        """Compile and link, once. Raises GuestError if the component cannot serve."""
        with self._lock:
            if self._code is None:
                self._code = self._load()
            return self._code

    def _load(self) -> _Code:
        try:
            component = self.engine.load(self.wasm, self.digest)
            linker = link(self.engine, component)
        except (wasmtime.WasmtimeError, ComponentError, TypeError) as error:
            raise GuestError(f"component {self.id!r} cannot be loaded: {error}") from error
        names = component.type.exports(self.engine.raw)
        export = next((name for name in names if name.partition("@")[0] == HANDLER), None)
        instance = component.get_export_index(export) if export else None
        handle = component.get_export_index("handle", instance) if instance else None
        if handle is None:
            raise GuestError(
                f"component {self.id!r} does not export {HANDLER}@0.2 (it exports {', '.join(names)})"
            )
        return _Code(component, linker, handle)

    def run(self, guest: GuestInstance, request: IncomingRequest) -> None:
        """Handle a request from start to end in this thread. Afterwards the guest's outcome is always set.

        Raises:
            GuestError: The guest trapped, exceeded a limit, or set no response.
        """
        try:
            self._call(guest, request)
        except GuestError:
            raise
        except Exit as exit_:
            if exit_.code and guest.outcome is None:
                raise GuestError(f"component {self.id!r} ended with exit status {exit_.code}") from None
        except TimeLimitError:
            raise GuestError(f"component {self.id!r} {self._late()}") from None
        except Trap as trap:
            raise GuestError(f"component {self.id!r} was stopped: {trap}") from None
        except wasmtime.WasmtimeError as error:
            raise GuestError(f"component {self.id!r} {self._explain(guest, str(error))}") from None
        finally:
            guest.close()
            answered = guest.outcome is not None
            guest.finish(Outcome(error=("internal-error", None)))
        if not answered:
            raise GuestError(f"component {self.id!r} ended without a response")
        if guest.outcome is not None and guest.outcome.error is not None:
            raise GuestError(f"component {self.id!r} answered with the error {guest.outcome.error[0]}")

    def _explain(self, guest: GuestInstance, message: str) -> str:
        if time.monotonic() >= guest.deadline:
            return self._late()
        return f"trapped: {cause_of(message)}"

    def _late(self) -> str:
        return f"passed its time limit of {self.limits.time:g} s"

    def _call(self, guest: GuestInstance, request: IncomingRequest) -> None:
        code = self.prepare()
        with wasmtime.Store(self.engine.raw) as store:
            limit_store(store, self.limits.memory)
            store.set_epoch_deadline(ticks(guest.deadline - time.monotonic()))
            if self.engine.code is Code.METERED:
                store.set_fuel(_FUEL)
            guest.context = ctypes.addressof(store._context().contents)
            GUESTS[guest.context] = guest
            try:
                instance = code.linker.instantiate(store, code.component)
                function = instance.get_func(store, code.handle)
                if function is None:
                    raise GuestError(f"component {self.id!r}: {HANDLER} has no function 'handle'")
                _invoke(guest, store, function, code, request)
            except wasmtime.WasmtimeError:
                if guest.failure is not None:
                    raise guest.failure from None
                raise
            finally:
                if self.engine.code is Code.METERED:
                    guest.fuel.append(_FUEL - store.get_fuel())
                del GUESTS[guest.context]


_FUEL = 1 << 62
_func_call = ffi.wasmtime_component_func_call


def _invoke(
    guest: GuestInstance, store: wasmtime.Store, function: wc.Func, code: _Code, request: IncomingRequest
) -> None:
    if not code.lowers:
        code.lowers = [codec(ty)[1] for _, ty in function.type(store).params]
    arguments: tuple[Any, Any] = (request, ResponseOutparam())
    values = (ffi.wasmtime_component_val_t * 2)()
    start = ctypes.addressof(values)
    try:
        for index, (argument, lower) in enumerate(zip(arguments, code.lowers, strict=True)):
            lower(guest, argument, start + index * capi.VAL_SIZE)
        error = _func_call(ctypes.byref(function._func), store._context(), values, 2, None, 0)
    finally:
        for index in range(2):
            capi.val_delete(start + index * capi.VAL_SIZE)
    capi.check(error)
