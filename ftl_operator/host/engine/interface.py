"""Declarations of the host's functions, and the numbers of its resource types in wasmtime."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

FUNCTIONS: dict[tuple[str, str], Function] = {}
"""(interface without version, function name as WIT mangles it) → function(guest, *arguments)."""

RESOURCES: dict[str, int] = {}
"""Resource name → the number that identifies it in wasmtime, the same in every interface."""

ALIASES = {"headers": "fields", "trailers": "fields", "io-error": "error"}
"""Names under which WIT re-exports a resource."""


class Trap(Exception):  # noqa: N818 - not an error of the host: it ends the guest
    """Ends the guest at once; the text goes to the host's log, never to a client."""


class Ok:
    """The ok case of a result inside a value; for a function's own result, return the value."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Err(Exception):  # noqa: N818 - named as WIT names it
    """The err case of a result."""

    def __init__(self, value: Any = None) -> None:
        super().__init__(value)
        self.value = value


class Resource:
    """An object of the host that guests hold by handle."""

    wit: ClassVar[str]
    wit_id: ClassVar[int]

    def __init_subclass__(cls) -> None:
        if "wit" in cls.__dict__:
            cls.wit_id = resource_id(cls.wit)

    def drop(self) -> None:
        """The guest dropped its handle."""


def resource_id(name: str) -> int:
    """The number of a resource, assigned at first use."""
    return RESOURCES.setdefault(ALIASES.get(name, name), len(RESOURCES) + 1)


class Interface:
    """A WIT interface of the host. `name` has no version, since later 0.2.x only add functions."""

    def __init__(self, name: str) -> None:
        self.name = name

    def function(self, *names: str) -> Callable[[F], F]:
        """Declare the decorated function under each of these names."""

        def declare(function: F) -> F:
            for name in names:
                FUNCTIONS[self.name, name] = function
            return function

        return declare
