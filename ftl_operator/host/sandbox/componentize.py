"""Converts core modules to components, as Spin does when it loads them.

FTL's Rust and Go toolchains publish core modules (WASI preview 1) with the type of their world. The
`wit-component` crate converts them. It is compiled to WebAssembly (`gateway_component/componentize`) and runs
in the sandbox, so that no native code parses bytes from a registry.
"""

from pathlib import Path

from ftl_operator.errors import ComponentError
from ftl_operator.host.sandbox.parent import run_command

COMPONENTIZER = Path(__file__).parents[2] / "componentize.wasm"

_CORE_MODULE = b"\0asm\x01\0\0\0"
"""The first bytes of a core module (WebAssembly core specification, "Modules"); a component has another
layer."""


def is_core_module(binary: bytes) -> bool:
    """Whether some bytes begin like a core module."""
    return binary[:8] == _CORE_MODULE


def componentize(core: bytes) -> bytes:
    """Convert a core module with component-type metadata to a component.

    Raises:
        ComponentError: It has no usable metadata, or exceeds the sandbox's limits.
    """
    try:
        return run_command(COMPONENTIZER, core)
    except ComponentError as error:
        message = f"the core module cannot become a component: {error.message}"
        raise ComponentError(message, reason=error.reason) from error
