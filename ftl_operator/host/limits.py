"""Limits of one request, and of one sandboxed child process."""

from dataclasses import dataclass

import wasmtime

MAX_MEMORIES = 32
"""The most linear memories in one store; a composed component has one for each of its parts."""
MAX_TABLES = 64
MAX_TABLE_ELEMENTS = 1 << 20
"""The most elements of a table, 8 bytes each. The interpreter of a Python component needs about ten
thousand."""
MAX_INSTANCES = 1000
"""The most core instances in one store. A Python component has one for each of its libraries."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request to one component. Sizes are in bytes, times in seconds."""

    time: float = 60.0
    """From the start of a request to the end of its response, including waiting."""
    memory: int = 1 << 30
    """The most bytes of each linear memory; `limit_store` limits their number."""
    request_body: int = 64 << 20
    """The longest request body; a longer one is refused with 413."""
    depth: int = 8
    """The deepest chain of components that call each other."""
    concurrency: int = 512
    """The most concurrent requests; a further one waits a second and is then refused with 503."""


BUSY = 0.8
"""A component that has computed for this part of its time limit has exceeded it itself, even on a busy
machine."""
COMPILER_THREADS = 2
"""How many threads compile in a child, so that its memory and time do not depend on a node's processors."""
PROCESS_BYTES = 256 << 20
"""The child's memory besides the component's: Python, wasmtime, code and its compilation.

Measured with wasmtime 50: Python and wasmtime 40 MB; compiling a Python component of 38 MB 430 MB at its
peak, before its memories exist; a component of 24 MB that is nothing but code 580 MB.
"""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of one child process that runs an untrusted component."""

    time: float = 60.0
    """The time from the start of the child to its answer, including compilation."""
    call_time: float = 10.0
    """The component's time, from instantiation to the end of its response."""
    memory: int = 512 << 20
    """The most bytes of each linear memory of the component."""
    process_memory: int = (512 << 20) + PROCESS_BYTES
    """All writable memory of the child: the component's memories, tables and code, and the interpreter."""
    output: int = 4 << 20
    """The longest response that is read."""

    @classmethod
    def of(cls, memory: int, call_time: float) -> "SandboxLimits":
        """Make the limits for a component that may use `memory` bytes and `call_time` seconds."""
        return cls(call_time=call_time, memory=memory, process_memory=memory + PROCESS_BYTES)


def limit_store(store: wasmtime.Store, memory: int) -> None:
    """Limit everything in this store that takes the host's memory.

    The C API has no limit for the sum of all memories, so their number is limited too. In the sandbox, the
    process's own limit applies to the sum (`SandboxLimits.process_memory`).
    """
    store.set_limits(
        memory_size=memory,
        table_elements=MAX_TABLE_ELEMENTS,
        instances=MAX_INSTANCES,
        tables=MAX_TABLES,
        memories=MAX_MEMORIES,
    )
