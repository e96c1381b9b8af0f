"""The state of one running instance: its resources, its deadline, and waiting."""

import ctypes
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftl_operator.host.engine.interface import Trap
from ftl_operator.host.streams.logs import LineWriter
from ftl_operator.host.streams.waker import Waker

if TYPE_CHECKING:
    from ftl_operator.host.component import Component
    from ftl_operator.host.streams.pipe import Pipe

MAX_RESOURCES = 25_000
"""Handles that one instance may hold; they are the host's memory, not the guest's."""
MAX_KEPT = 64 << 20
"""Bytes of headers and addresses that one instance may hand over in all; they are the host's memory, too."""
ENTRY_BYTES = 64
"""What a header costs besides its name and value."""


class TimeLimitError(Trap):
    """The request used up its time."""


@dataclass(slots=True)
class Outcome:
    """What a guest made of `response-outparam`: a response's head and body, or an error code."""

    status: int = 0
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    body: "Pipe | None" = None
    error: Any = None


class GuestInstance:
    """One instance of a component while it handles one request."""

    __slots__ = (
        "_deferred",
        "_kept",
        "_next",
        "callees",
        "component",
        "context",
        "deadline",
        "depth",
        "failed",
        "failure",
        "fuel",
        "on_outcome",
        "out",
        "out_address",
        "outcome",
        "over",
        "resources",
        "stderr",
        "stdout",
        "waker",
        "watcher",
    )  # fmt: skip

    def __init__(self, component: "Component", deadline: float, depth: int = 0) -> None:
        self.component = component
        self.deadline = deadline
        """End of the request on the monotonic clock."""
        self.depth = depth
        self.context = 0
        """Address of the store's context."""
        self.out = ctypes.c_uint64()
        """Where functions of the C API leave a pointer."""
        self.out_address = ctypes.addressof(self.out)
        self.resources: dict[int, Any] = {}
        self._next = 0
        self._kept = 0
        self.failure: BaseException | None = None
        """What a host function raised; wasmtime carries only text through the guest."""
        self.waker = Waker()
        self.outcome: Outcome | None = None
        self.on_outcome: Callable[[], None] = lambda: self.defer(self.watcher.wake)
        self.fuel: list[int] = []
        """Instructions of each guest of one request, all in one list, as `callees` are."""
        self.callees: list[GuestInstance] = []
        self.over = False
        """The instance is gone, and nothing more of it will come."""
        self.watcher = Waker()
        """Whoever waits for the outcome, or for the end."""
        self._deferred: deque[Callable[[], None]] = deque()
        self.failed = ""
        """Why it failed, once it has ended."""
        self.stdout = LineWriter(component.id, component.log)
        self.stderr = LineWriter(component.id, component.log)

    def keep(self, resource: Any) -> int:
        """Give a resource a handle's number."""
        if len(self.resources) >= MAX_RESOURCES:
            raise Trap(f"more than {MAX_RESOURCES} open handles")
        self._next += 1
        self.resources[self._next] = resource
        return self._next

    def charge(self, size: int) -> None:
        """Count bytes that the host keeps for it. Raises Trap when they are too many."""
        self._kept += size
        if self._kept > MAX_KEPT:
            raise Trap(f"more than {MAX_KEPT >> 20} MiB of headers and addresses in one request")

    def wait(self, happened: Callable[[], bool], until: float | None = None) -> bool:
        """Wait for `happened()`, or until a time. Raises TimeLimitError at the request's deadline."""
        if happened():
            return True
        self.flush()
        end = self.deadline if until is None else min(until, self.deadline)
        if self.waker.wait(happened, end):
            return True
        if time.monotonic() >= self.deadline:
            raise TimeLimitError("the request's time is over")
        return False

    def defer(self, act: Callable[[], None]) -> None:
        """Wake or start another thread a little later: when this guest waits or ends, or at the next tick.

        A guest mostly writes a head and a body at once, and sends a request before it writes the request's
        body. Were the other thread awake after each part, the two would take the interpreter from each other.
        """
        self._deferred.append(act)

    def flush(self) -> None:
        """Do what is owed."""
        while self._deferred:
            try:
                act = self._deferred.popleft()
            except IndexError:
                return
            act()

    def finish(self, outcome: Outcome) -> None:
        """Take the guest's response, once."""
        if self.outcome is None:
            self.outcome = outcome
            self.on_outcome()

    def end(self) -> None:
        """Say that it is over, when every other trace of the run is done."""
        self.over = True
        self.flush()
        self.watcher.wake()

    def close(self) -> None:
        """The instance is gone: whoever still waits for one of its bodies gets an error."""
        for resource in list(self.resources.values()):
            resource.drop()
        self.resources.clear()
        self.stdout.close()
        self.stderr.close()
