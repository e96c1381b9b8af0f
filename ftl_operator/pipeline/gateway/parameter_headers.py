"""Parameters that clients repeat in headers (Model Context Protocol 2026-07-28, `x-mcp-header`). Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftl_operator.component.tool import Tool
from ftl_operator.errors import ComponentError, Reason

HEADER_MARK = "x-mcp-header"
"""The keyword for a parameter that clients repeat in a header (Model Context Protocol 2026-07-28)."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


def parameter_headers(component: str, tool: Tool, field: str) -> dict[str, str]:
    """The header names of a tool, and the JSON pointers of the arguments that they repeat (RFC 6901).

    Args:
        component: The component's name, for messages.
        tool: The tool.
        field: The entry's path in the spec, for messages.

    Raises:
        ComponentError: The keywords break the protocol's rules.
    """
    headers: dict[str, str] = {}
    seen: set[str] = set()
    for pointer, schema in _parameters(tool.input_schema, ""):
        mark = schema.get(HEADER_MARK)
        if mark is None:
            continue
        where = f"tool {tool.name!r} of {component!r}, parameter {pointer}"
        if not isinstance(mark, str) or not _HEADER_NAME.fullmatch(mark):
            raise bad_tool(field, where, f"{HEADER_MARK} is not a header's name", tool.name)
        if schema.get("type") not in ("string", "number", "integer", "boolean"):
            raise bad_tool(
                field, where, f"{HEADER_MARK} is for strings, numbers and booleans only", tool.name
            )
        if mark.lower() in seen:
            raise bad_tool(field, where, f"{HEADER_MARK} {mark!r} appears twice", tool.name)
        seen.add(mark.lower())
        headers[f"Mcp-Param-{mark}"] = pointer
    return headers


def _parameters(schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every parameter below `properties` only, with its JSON pointer in the arguments (RFC 6901)."""
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(inner, Mapping):
            pointer = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            yield pointer, inner
            yield from _parameters(inner, pointer)


def bad_tool(field: str, where: str, why: str, excluded: str) -> ComponentError:
    """Make the error for an invalid tool. It says how to serve the others.

    Args:
        field: The entry's path in the spec.
        where: Names the tool and its component.
        why: What is wrong with it.
        excluded: The pattern that excludes it.
    """
    text = f"{where}: {why}; fix the component, or exclude the tool with {field}.exclude: [{excluded!r}]"
    return ComponentError(text, reason=Reason.INVALID_TOOL, field=f"{field}.image")
