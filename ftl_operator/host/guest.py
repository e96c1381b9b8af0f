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
"""The most handles of one instance; they take the host's memory, not the guest's."""
MAX_KEPT = 64 << 20
"""The most bytes of headers and addresses from one instance in all; they take the host's memory, too."""
ENTRY_BYTES = 64
"""The bytes that a header counts besides its name and value."""


class TimeLimitError(Trap):
    """The request exceeded its time limit."""


@dataclass(slots=True)
class Outcome:
    """What a guest set in `response-outparam`: a response's head and body, or an error code."""

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
        """The deadline of the request on the monotonic clock."""
        self.depth = depth
        self.context = 0
        """Address of the store's context."""
        self.out = ctypes.c_uint64()
        """Where functions of the C API write a pointer."""
        self.out_address = ctypes.addressof(self.out)
        self.resources: dict[int, Any] = {}
        self._next = 0
        self._kept = 0
        self.failure: BaseException | None = None
        """The error that a host function raised; wasmtime passes only its text through the guest."""
        self.waker = Waker()
        self.outcome: Outcome | None = None
        self.on_outcome: Callable[[], None] = lambda: self.defer(self.watcher.wake)
        self.fuel: list[int] = []
        """The instructions of each guest of one request; all guests share the list, like `callees`."""
        self.callees: list[GuestInstance] = []
        self.over = False
        """Whether the instance has ended."""
        self.watcher = Waker()
        """Wakes the thread that waits for the outcome or the end."""
        self._deferred: deque[Callable[[], None]] = deque()
        self.failed = ""
        """Why it failed; set when it has ended."""
        self.stdout = LineWriter(component.id, component.log)
        self.stderr = LineWriter(component.id, component.log)

    def keep(self, resource: Any) -> int:
        """Store a resource and return its handle."""
        if len(self.resources) >= MAX_RESOURCES:
            raise Trap(f"more than {MAX_RESOURCES} open handles")
        self._next += 1
        self.resources[self._next] = resource
        return self._next

    def charge(self, size: int) -> None:
        """Count bytes that the host keeps for this guest. Raises Trap if there are too many."""
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
        """Wake or start another thread later: when this guest waits or ends, or at the next tick.

        A guest usually writes a head and a body together, and sends a request before its body. If the other
        thread woke after each part, the two threads would compete for the interpreter lock.
        """
        self._deferred.append(act)

    def flush(self) -> None:
        """Run the deferred actions."""
        while self._deferred:
            try:
                act = self._deferred.popleft()
            except IndexError:
                return
            act()

    def finish(self, outcome: Outcome) -> None:
        """Set the guest's response, once."""
        if self.outcome is None:
            self.outcome = outcome
            self.on_outcome()

    def end(self) -> None:
        """Mark the instance as ended. Call it last."""
        self.over = True
        self.flush()
        self.watcher.wake()

    def close(self) -> None:
        """Fail the bodies that are still open: their readers and writers get an error."""
        for resource in list(self.resources.values()):
            resource.drop()
        self.resources.clear()
        self.stdout.close()
        self.stderr.close()
