"""Links a component's imports: each is a function of the host, or one that traps with the import's name."""

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

from wasmtime import _ffi as ffi
from wasmtime import component as wc

from ftl_operator.host.engine import capi
from ftl_operator.host.engine.engine import Engine
from ftl_operator.host.engine.interface import FUNCTIONS, Err, Function, Ok, Trap, resource_id
from ftl_operator.host.engine.values import Lift, codec
from ftl_operator.host.guest import GuestInstance

GUESTS: dict[int, GuestInstance] = {}
"""Address of a store's context → its guest. Single operations of a dict are atomic."""


def flush() -> None:
    """Run the deferred actions of all guests, so that a long computation does not delay its readers."""
    for guest in list(GUESTS.values()):
        guest.flush()


Body = Callable[[GuestInstance, int, int], None]
_BODIES: dict[int, Body] = {}
_indexes = itertools.count(1)
_address = ctypes.c_void_p
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_size_t, _address, _address, _address, _address, _address, _address, _address
)
_DESTRUCTOR = ctypes.CFUNCTYPE(ctypes.c_size_t, _address, _address, ctypes.c_uint32)
_FINALIZER = ctypes.CFUNCTYPE(None, _address)
_error_new = ctypes.PyDLL(ffi.dll._name).wasmtime_error_new
_error_new.restype = ctypes.c_size_t
_error_new.argtypes = [ctypes.c_char_p]


def _call(index: int, context: int, _type: int, arguments: int, _n: int, results: int, _m: int) -> int:
    guest = GUESTS[context]
    try:
        _BODIES[index](guest, arguments, results)
    except BaseException as error:  # noqa: BLE001 - nothing may pass through wasm frames; `run` raises it again
        guest.failure = error
        return int(_error_new(str(error).encode() or b"host error"))
    return 0


def _drop(_index: int, context: int, rep: int) -> int:
    guest = GUESTS.get(context)
    resource = guest.resources.pop(rep, None) if guest else None
    if resource is not None:
        resource.drop()
    return 0


def _release(index: int) -> None:
    _BODIES.pop(index, None)


def _nothing(_index: int) -> None:
    pass


# The binding's types take pointer objects and ours take addresses, so the callbacks are cast once. They live
# as long as the module, because wasmtime keeps only their addresses.
_call_c, _drop_c, _release_c, _nothing_c = (
    _CALLBACK(_call),
    _DESTRUCTOR(_drop),
    _FINALIZER(_release),
    _FINALIZER(_nothing),
)
_FUNC = ctypes.cast(_call_c, ffi.wasmtime_component_func_callback_t)
_DTOR = ctypes.cast(_drop_c, ffi.wasmtime_component_resource_destructor_t)
_RELEASE = ctypes.cast(_release_c, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_NOTHING = ctypes.cast(_nothing_c, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def link(engine: Engine, component: wc.Component) -> wc.Linker:
    """Make a linker with exactly the imports of this component. Raises wasmtime.WasmtimeError."""
    linker = wc.Linker(engine.raw)
    with linker.root() as root:
        for name, extern in component.type.imports(engine.raw).items():
            item = extern.ty
            if isinstance(item, wc.ComponentInstanceType):
                with root.add_instance(name) as instance:
                    for member, inner in item.exports(engine.raw).items():
                        _define(instance, name, member, inner.ty)
            else:
                _define(root, "", name, item)
    return linker


def _define(instance: wc.LinkerInstance, interface: str, name: str, item: wc.ComponentItem) -> None:
    label = name.encode()
    name_c = ctypes.create_string_buffer(label)
    if isinstance(item, wc.ResourceType):
        kind = wc.ResourceType.host(resource_id(name))
        error = ffi.wasmtime_component_linker_instance_add_resource(
            instance.ptr(), name_c, len(label), kind.ptr(), _DTOR, None, _NOTHING
        )
    elif isinstance(item, wc.FuncType):
        index = next(_indexes)
        _BODIES[index] = _body(interface, name, item)
        error = ffi.wasmtime_component_linker_instance_add_func(
            instance.ptr(), name_c, len(label), _FUNC, index, _RELEASE
        )
    else:
        return
    capi.check(error)


def _body(interface: str, name: str, kind: wc.FuncType) -> Body:
    """Compile a function's type, so that a call runs only the conversions of this function."""
    function = FUNCTIONS.get((interface.partition("@")[0], name))
    if function is None:
        return _missing(f"{interface}#{name}" if interface else name)
    try:
        lifts = [(codec(ty)[0], index * capi.VAL_SIZE) for index, (_, ty) in enumerate(kind.params)]
        result = kind.result
        lower = codec(result)[1] if result is not None else None
    except TypeError as error:
        return _missing(f"{interface}#{name} ({error})")
    if isinstance(result, wc.ResultType):
        return _fallible(function, lifts, lower)

    def body(guest: GuestInstance, arguments: int, results: int) -> None:
        value = function(guest, *[lift(guest, arguments + offset) for lift, offset in lifts])
        if lower is not None:
            lower(guest, value, results)

    return body


def _fallible(function: Function, lifts: list[tuple[Lift, int]], lower: Any) -> Body:
    def body(guest: GuestInstance, arguments: int, results: int) -> None:
        values = [lift(guest, arguments + offset) for lift, offset in lifts]
        outcome: Ok | Err
        try:
            outcome = Ok(function(guest, *values))
        except Err as error:
            outcome = error
        lower(guest, outcome, results)

    return body


def _missing(name: str) -> Body:
    def body(_guest: GuestInstance, _arguments: int, _results: int) -> None:
        raise Trap(f"the component called {name}, which this host does not have")

    return body


__all__ = ["GUESTS", "link"]
