"""Spin's variables: application variables with defaults, and a component's templates over them. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")


class VariableError(Exception):
    """A variable cannot be read.

    Attributes:
        case: The case of `fermyon:spin/variables.error`.
    """

    def __init__(self, case: str, message: str) -> None:
        super().__init__(message)
        self.case = case


def application_variables(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str | None]:
    """The value of each application variable: the given value, else its default, else None.

    Raises:
        ValueError: A value is given for a variable that the application does not declare.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ValueError(f"the application declares no variable named {', '.join(unknown)}")
    return {name: given.get(name, spec.get("default")) for name, spec in declared.items()}


def expand(template: str, values: Mapping[str, str | None]) -> str:
    """Fill in `{{ name }}`, as Spin does (`crates/expressions`, `Template::new` and `resolve_template`).

    Everything else is literal, including closing braces. A value is inserted unchanged, including braces.

    Raises:
        VariableError: An expression has no end, the variable does not exist, or it has no value.
    """
    return "".join(value if literal is None else literal for literal, value in _parts(template, values))


def check_template(template: str, values: Mapping[str, str | None]) -> None:
    """Check a template as Spin does when it loads an application. Raises VariableError."""
    for literal, name in _split(template):
        if literal is None and name not in values:
            raise VariableError("undefined", f"no application variable {name!r}")


def check_name(name: str) -> None:
    """Raise VariableError if the text is not a valid variable name."""
    if not _NAME.fullmatch(name):
        raise VariableError("invalid-name", f"{name!r} is not a variable name")


def _parts(template: str, values: Mapping[str, str | None]) -> Iterator[tuple[str | None, str]]:
    for literal, name in _split(template):
        if literal is not None:
            yield literal, ""
            continue
        if name not in values:
            raise VariableError("undefined", f"no application variable {name!r}")
        value = values[name]
        if value is None:
            raise VariableError("provider", f"the variable {name!r} has no value and no default")
        yield None, value


def _split(template: str) -> Iterator[tuple[str | None, str]]:
    """Split a template into its parts: a literal, or None and the name in an expression."""
    rest = template
    while rest:
        literal, opening, rest = rest.partition("{{")
        if literal:
            yield literal, ""
        if opening:
            name, closing, rest = rest.partition("}}")
            if not closing:
                raise VariableError("undefined", "a template has two opening braces that are not closed")
            yield None, name.strip()


class ComponentVariables:
    """One component's variables: its `config` of the locked app, over the application's values."""

    def __init__(self, templates: Mapping[str, str], values: Mapping[str, str | None]) -> None:
        self._templates = templates
        self._values = values
        self._known: dict[str, str] = {}

    def get(self, name: str) -> str:
        """The value of a component variable. Raises VariableError."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._find(name)
        return known

    def _find(self, name: str) -> str:
        check_name(name)
        if name not in self._templates:
            raise VariableError("undefined", f"no variable {name!r}")
        return expand(self._templates[name], self._values)

    def all(self) -> list[tuple[str, str]]:
        """All variables with their values. Raises VariableError."""
        return [(name, self.get(name)) for name in sorted(self._templates)]
