"""What one request, and one sandboxed child process, may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request to one component. Sizes are bytes, times are seconds."""

    time: float = 60.0
    """From the start of a request to the end of its response, waiting included."""
    memory: int = 1 << 30
    """All linear memories of one instance together grow no further than this each."""
    request_body: int = 64 << 20
    """A longer request body is refused with 413."""
    depth: int = 8
    """Components that call components that call components: no deeper than this."""
    concurrency: int = 512
    """Requests that run at once; further ones wait a second and are then refused with 503."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of one child process that runs a component which nobody trusts yet."""

    time: float = 60.0
    """Wall clock from the start of the child to its answer, compiling included."""
    call_time: float = 10.0
    """The component's own time, from instantiation to the end of its response."""
    memory: int = 512 << 20
    """Linear memory of the component."""
    process_memory: int = 8 << 30
    """Address space beyond the reservations for linear memories, which need no memory themselves."""
    output: int = 4 << 20
    """The longest response that is read."""
