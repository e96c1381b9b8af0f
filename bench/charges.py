"""What a host does for a component in one request, counted: calls of its functions, and bytes that cross."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ftl_operator.host.engine.interface import FUNCTIONS, Err, Ok
from ftl_operator.host.guest import GuestInstance

_ANSWERS = ("wasi:http/types", "[static]response-outparam.set")
_RESERVED = 1 << 30
"""Bytes; only a linear memory has so many reserved addresses behind it."""

Name = tuple[str, str]
"""A function of the host: its interface without version, and its name as WIT mangles it."""


@dataclass(slots=True)
class HostCalls:
    """The calls of one component since the last `clear`.

    Args:
        component: The component's id.
    """

    component: str
    names: list[Name] = field(default_factory=list)
    """In order."""
    bytes: int = 0
    """Of texts and bodies, in arguments and results."""
    by_interface: Counter[str] = field(default_factory=Counter)
    variables: dict[str, int] = field(default_factory=dict)
    """The variables that it read, and their bytes."""
    pages: int = 0
    """Pages of 4 KiB of its memory that it had written to when it set its answer."""

    def clear(self) -> None:
        """Forget everything."""
        self.names.clear()
        self.by_interface.clear()
        self.variables.clear()
        self.bytes = self.pages = 0

    def add(self, name: Name, arguments: tuple[object, ...], result: object) -> None:
        """Count one call."""
        self.names.append(name)
        self.by_interface[name[0]] += 1
        self.bytes += size_of(arguments) + size_of(result)
        if name == ("fermyon:spin/variables", "get"):
            self.variables[str(arguments[0])] = size_of(result)


def size_of(value: object) -> int:
    """The bytes of all texts and byte strings in a value of an interface."""
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case list() | tuple():
            return sum(map(size_of, value))
        case Ok() | Err():
            return size_of(value.value)
        case _:
            return 0


def written_pages() -> int:
    """Pages of 4 KiB that were written to in the largest linear memory of this process (Linux).

    wasmtime reserves addresses behind a memory, which tells it from everything else; its data comes from a
    file, of which a page becomes the memory's own when it is written to.
    """
    largest = (0, 0)
    size = dirty = end = 0
    for start, stop, rights, own in _mappings():
        if rights.startswith("rw") and (start == end or not size):
            size, dirty = size + stop - start, dirty + own
        elif rights.startswith("---") and start == end and size and stop - start > _RESERVED:
            largest = max(largest, (size, dirty))
            size = dirty = 0
        else:
            size, dirty = (stop - start, own) if rights.startswith("rw") else (0, 0)
        end = stop
    return largest[1]


def _mappings() -> Iterator[tuple[int, int, str, int]]:
    """Each mapping's start, end, rights, and pages of its own that were written to."""
    head = ("0-0", "----")
    with Path("/proc/self/smaps").open(encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if not words[0].endswith(":"):
                head = (words[0], words[1])
            elif words[0] == "Anonymous:":
                start, stop = (int(address, 16) for address in head[0].split("-"))
                yield start, stop, head[1], int(words[1]) // 4


@contextmanager
def recorded(component: str) -> Iterator[HostCalls]:
    """Count the calls of every component of this id that is linked inside the block, then and later.

    Args:
        component: The component's id.
    """
    calls = HostCalls(component)
    before = dict(FUNCTIONS)
    for name, function in before.items():
        FUNCTIONS[name] = _counting(calls, name, function)
    try:
        yield calls
    finally:
        FUNCTIONS.update(before)


def _counting(calls: HostCalls, name: Name, function: Callable[..., object]) -> Callable[..., object]:
    def counting(guest: GuestInstance, *arguments: object) -> object:
        result: object = None
        if guest.component.id == calls.component and name == _ANSWERS:
            calls.pages = written_pages()
        try:
            result = function(guest, *arguments)
        finally:
            if guest.component.id == calls.component:
                calls.add(name, arguments, result)
        return result

    return counting
