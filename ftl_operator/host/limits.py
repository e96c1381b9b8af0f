"""What one request, and one sandboxed child process, may use."""

from dataclasses import dataclass

import wasmtime

MAX_MEMORIES = 32
"""Linear memories of all instances in one store; a component that is composed of others has one for each."""
MAX_TABLES = 64
MAX_TABLE_ELEMENTS = 1 << 20
"""Of each table; 8 bytes each. The interpreter of a Python component needs some ten thousand."""
MAX_INSTANCES = 1000
"""Core instances in one store. A Python component has one for each of its libraries."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request to one component. Sizes are bytes, times are seconds."""

    time: float = 60.0
    """From the start of a request to the end of its response, waiting included."""
    memory: int = 1 << 30
    """Each linear memory of an instance grows no further than this; `limit_store` bounds how many there
    are."""
    request_body: int = 64 << 20
    """A longer request body is refused with 413."""
    depth: int = 8
    """Components that call components that call components: no deeper than this."""
    concurrency: int = 512
    """Requests that run at once; further ones wait a second and are then refused with 503."""


BUSY = 0.8
"""Who computes for this part of its time limit has used it up itself, on a machine however busy."""
COMPILER_THREADS = 2
"""How many threads compile in a child: its memory and time do not depend on how many processors a node
has."""
PROCESS_BYTES = 256 << 20
"""What the child takes beside the component's memory: Python, wasmtime, code and its compilation.

Measured with wasmtime 50: Python and wasmtime 40 MB; compiling a Python component of 38 MB 430 MB at its
peak, before its memories exist; a component of 24 MB that is nothing but code 580 MB.
"""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of one child process that runs a component which nobody trusts yet."""

    time: float = 60.0
    """Wall clock from the start of the child to its answer, compiling included."""
    call_time: float = 10.0
    """The component's own time, from instantiation to the end of its response."""
    memory: int = 512 << 20
    """Each linear memory of the component."""
    process_memory: int = (512 << 20) + PROCESS_BYTES
    """All writable memory of the child: all memories and tables of the component, its code, the
    interpreter."""
    output: int = 4 << 20
    """The longest response that is read."""

    @classmethod
    def of(cls, memory: int, call_time: float) -> "SandboxLimits":
        """Limits for a component that may use so many bytes and seconds; the child needs more besides."""
        return cls(call_time=call_time, memory=memory, process_memory=memory + PROCESS_BYTES)


def limit_store(store: wasmtime.Store, memory: int) -> None:
    """Bound everything that an instance in this store can take of the host's memory.

    The C API has no limit for the sum of all memories, so their number is bounded too; in the sandbox, the
    process's own limit holds for the sum (`SandboxLimits.process_memory`).
    """
    store.set_limits(
        memory_size=memory,
        table_elements=MAX_TABLE_ELEMENTS,
        instances=MAX_INSTANCES,
        tables=MAX_TABLES,
        memories=MAX_MEMORIES,
    )
