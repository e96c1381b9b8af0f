"""Selects the tools that clients see, and makes the texts from which the gateway lists and calls them. Pure.

The gateway's cost per request must not grow with the number of tools. So a list is baked as finished JSON,
and a call finds everything about its tool in one variable:

| component variable | content |
|---|---|
| `tools_list` | the tools of all components, under their full names: `PREFIX` and `TOOL` |
| `tools_index` | for each tool of it what a filter needs: `component`, `tool`, `readOnly`, `scopes` |
| `tools_list_COMPONENT` | one component's tools, names without prefix |
| `…_at_N` | the page of such a list that begins with tool N, if the list has several |
| `tool_HEX` | one tool; HEX is `NAME__TOOL`, and its full name if that differs, in hexadecimal UTF-8 |
| `components` | each component's `id`, exposed `tools`, and whether it is `dynamic` |

A `tool_HEX` has three lines, so that the gateway need not parse a schema to find its end: what every call
needs, the input schema, and the output schema or nothing. These schemas have no annotations.

A component that cannot be inspected (`dynamic`) has no tools in any list. The gateway asks it for its tools
at run time and does not know the spec's filters, names and scopes. So an entry with any of them is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ftl_operator.api.tools import MAX_TOOL_NAME, ToolSpec
from ftl_operator.component.tool import CLIENT_NAME, Component, Tool
from ftl_operator.errors import ComponentError, Reason, SpecError
from ftl_operator.oci.digest import canonical
from ftl_operator.pipeline.gateway.call_schema import judged
from ftl_operator.pipeline.gateway.parameter_headers import bad_tool, parameter_headers

SEPARATOR = "__"
"""Separates a component's name from a tool's. No component's name has an underscore, so it is unambiguous."""
_MAX_NAMED = 20
PAGE_BYTES = (256 << 10) - 2
"""The largest page of a list, in bytes without the brackets; the gateway has the same limit."""


@dataclass(frozen=True, slots=True)
class ExposedTool:
    """A tool as clients see it.

    Args:
        component: The component's name.
        tool: The component's own name for it.
        name: The name that clients see, without the component's prefix.
        definition: The tool as `tools/list` shows it at the component's own path.
        scopes: The scopes that a call needs besides the app's, sorted.
        headers: Header names and the JSON pointers of the arguments that they repeat.
        timeout_ms: How long a call may take, in milliseconds.
        rules: The input and output schema that the gateway enforces; None for no output schema.
        prefix: The prefix of the name in the whole app's list; None for the component's name.
    """

    component: str
    tool: str
    name: str
    definition: Mapping[str, Any]
    scopes: tuple[str, ...]
    headers: Mapping[str, str]
    timeout_ms: int
    rules: tuple[Mapping[str, Any], Mapping[str, Any] | None]
    prefix: str | None = None

    @property
    def key(self) -> str:
        """A name that is unique in the app, whatever the prefixes are."""
        return f"{self.component}{SEPARATOR}{self.name}"

    @property
    def full_name(self) -> str:
        """The name in the whole app's list."""
        return self.key if self.prefix is None else f"{self.prefix}{self.name}"

    @property
    def title(self) -> str:
        """Its title; empty if it has none."""
        return str(self.definition.get("title", ""))

    @property
    def read_only(self) -> bool:
        """Whether its annotations say that it is read-only."""
        annotations = self.definition.get("annotations") or {}
        return annotations.get("readOnlyHint") is True


@dataclass(frozen=True, slots=True)
class ComponentTools:
    """A component of the app with its exposed tools; None if they are known only at run time."""

    spec: ToolSpec
    tools: tuple[ExposedTool, ...] | None


def select_tools(spec: ToolSpec, field: str, component: Component, call_seconds: int) -> ComponentTools:
    """Apply `include`, `exclude`, `rename`, `prefix` and `scopes` to a component's tools.

    Args:
        spec: The entry of the spec.
        field: Its path, for messages.
        component: The inspected component.
        call_seconds: How long a call of one of its tools may take.

    Raises:
        SpecError: A pattern or name matches nothing, no tool is left, or a name is too long or not unique.
        ComponentError: A selected tool is invalid, or the component has no tools.
    """
    if component.tools is None:
        _refuse_filters(spec, field, component.dynamic_reason)
        return ComponentTools(spec, None)
    if not component.tools:
        text = f"component {spec.name!r}: it has no tools"
        raise ComponentError(text, reason=Reason.INVALID_TOOL, field=f"{field}.image")
    renames = {rename.from_: rename for rename in spec.rename}
    tools = []
    for tool in served_tools(spec, field, component):
        rename = renames.get(tool.name)
        name = rename.to if rename and rename.to else tool.name
        description = rename.description if rename and rename.description is not None else tool.description
        scopes = {scope for entry in spec.scopes if _matches(entry.tools, name) for scope in entry.require}
        tools.append(
            ExposedTool(
                component=spec.name,
                tool=tool.name,
                name=name,
                definition=_definition(tool, name, description),
                rules=_rules(tool),
                scopes=tuple(sorted(scopes)),
                headers=parameter_headers(spec.name, tool, field),
                timeout_ms=1000 * call_seconds,
                prefix=spec.prefix,
            )
        )
    _check_names(spec, field, tools)
    return ComponentTools(spec, tuple(tools))


def served_tools(spec: ToolSpec, field: str, component: Component) -> tuple[Tool, ...]:
    """The tools of a component that `include` and `exclude` select; the others are not checked.

    A pattern may also be a tool's position in the component's list, such as `#2`, because a tool without a
    usable name, or one of two with the same name, cannot be named otherwise.

    Args:
        spec: The entry of the spec.
        field: Its path, for messages.
        component: The inspected component; its tools are known.

    Raises:
        SpecError: A pattern or a name in `rename` matches nothing, or two tools have the same name.
        ComponentError: A selected tool is invalid.
    """
    tools = component.tools or ()
    names = [tool.name for tool in tools]
    known = [*names, *(_place(index) for index in range(len(tools)))]
    _check_patterns(spec.include, names, known, f"{field}.include")
    _check_patterns(spec.exclude, names, known, f"{field}.exclude")
    for index, rename in enumerate(spec.rename):
        if rename.from_ not in names:
            raise _no_match(rename.from_, names, f"{field}.rename[{index}].from")
    served: dict[str, int] = {}
    for index, tool in enumerate(tools):
        aliases = (tool.name, _place(index))
        if not (_matches_any(spec.include or ("*",), aliases) and not _matches_any(spec.exclude, aliases)):
            continue
        if tool.fault:
            raise bad_tool(field, f"tool {tool.name!r} of {spec.name!r}", tool.fault, tool.name)
        if tool.name in served:
            first, second = _place(served[tool.name]), _place(index)
            raise ComponentError(
                f"{spec.name!r} has two tools with the name {tool.name!r}, its {first} and its {second}; "
                f"exclude one with {field}.exclude: [{second!r}]",
                reason=Reason.DUPLICATE_TOOL,
                field=f"{field}.image",
            )
        served[tool.name] = index
    return tuple(tools[index] for index in served.values())


def variables(listings: Sequence[ComponentTools]) -> dict[str, str]:
    """The gateway's variables for these tools. Raises SpecError if two tools have the same full name."""
    tools = [tool for listing in listings for tool in listing.tools or ()]
    _check_apart(listings)
    baked = {
        **_pages("tools_list", [{**tool.definition, "name": tool.full_name} for tool in tools]),
        "tools_index": canonical([_index(tool) for tool in tools]),
        "components": canonical([_entry(listing) for listing in listings]),
    }
    for listing in listings:
        known = [tool.definition for tool in listing.tools or ()]
        baked |= _pages(f"tools_list_{listing.spec.name.replace('-', '_')}", known)
    for tool in tools:
        for name in dict.fromkeys((tool.key, tool.full_name)):
            baked[f"tool_{name.encode().hex()}"] = _record(tool)
    return baked


def _pages(name: str, tools: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Split a list into pages: a line of JSON and, except on the last page, a line with the next start."""
    pages: list[tuple[int, list[str]]] = [(0, [])]
    size = 0
    for index, text in enumerate(map(canonical, tools)):
        length = len(text.encode()) + 1
        if pages[-1][1] and size + length > PAGE_BYTES:
            pages.append((index, []))
            size = 0
        pages[-1][1].append(text)
        size += length
    following = [f"\n{start}" for start, _ in pages[1:]] + [""]
    return {
        f"{name}_at_{start}" if start else name: f"[{','.join(items)}]{after}"
        for (start, items), after in zip(pages, following, strict=True)
    }


def _definition(tool: Tool, name: str, description: str) -> dict[str, Any]:
    given = {**tool.document(), "name": name, "description": description}
    return {key: value for key, value in given.items() if key != "description" or value}


def _rules(tool: Tool) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    given = tool.input_schema if tool.input_rules is None else tool.input_rules
    return given, tool.output_schema if tool.output_rules is None else tool.output_rules


def _index(tool: ExposedTool) -> dict[str, Any]:
    return {
        "component": tool.component,
        "tool": tool.name,
        "readOnly": tool.read_only,
        "scopes": list(tool.scopes),
    }


def _record(tool: ExposedTool) -> str:
    listed = {} if tool.full_name == tool.key else {"listed": tool.full_name}
    call = {
        **listed,
        "component": tool.component,
        "tool": tool.tool,
        "name": tool.name,
        "readOnly": tool.read_only,
        "scopes": list(tool.scopes),
        "timeoutMs": tool.timeout_ms,
        "headers": dict(tool.headers),
    }
    given, output = tool.rules
    lines = [canonical(call), canonical(judged(given))]
    # Canonical JSON has no line breaks.
    return "\n".join([*lines, "" if output is None else canonical(judged(output))])


def _entry(listing: ComponentTools) -> dict[str, Any]:
    names = [tool.name for tool in listing.tools or ()]
    return {"id": listing.spec.name, "tools": names, "dynamic": listing.tools is None}


def _refuse_filters(spec: ToolSpec, field: str, reason: str) -> None:
    for name in ("include", "exclude", "rename", "prefix", "scopes"):
        if getattr(spec, name) not in ((), None):
            raise SpecError(
                f"the component's tools are only known at run time ({reason}), so {name} cannot be applied; "
                "remove it, or use a component that can be asked before",
                reason=Reason.DYNAMIC_TOOLS,
                field=f"{field}.{name}",
            )


def _check_names(spec: ToolSpec, field: str, tools: Sequence[ExposedTool]) -> None:
    if not tools:
        raise SpecError("include and exclude leave none of the component's tools", field=field)
    seen: dict[str, str] = {}
    for tool in tools:
        if tool.name in seen:
            raise SpecError(
                f"{seen[tool.name]!r} and {tool.tool!r} would both be {tool.full_name!r}; rename one of them",
                reason=Reason.DUPLICATE_TOOL,
                field=f"{field}.rename" if spec.rename else field,
            )
        seen[tool.name] = tool.tool
        if not CLIENT_NAME.fullmatch(tool.name):
            raise bad_tool(
                field,
                f"tool {tool.tool!r} of {spec.name!r}",
                "a name that clients take has 1 to 64 of the characters A-Z a-z 0-9 _ . -; give it another "
                f"one with {field}.rename",
                tool.tool,
            )
        if len(tool.full_name) > MAX_TOOL_NAME:
            raise SpecError(
                f"{tool.full_name!r} has {len(tool.full_name)} characters, and clients take {MAX_TOOL_NAME}; "
                "shorten the component's name or rename the tool",
                reason=Reason.INVALID_TOOL,
                field=field,
            )
    for index, entry in enumerate(spec.scopes):
        _check_patterns(entry.tools, list(seen), list(seen), f"{field}.scopes[{index}].tools")


def _check_apart(listings: Sequence[ComponentTools]) -> None:
    """Refuse two tools with the same full name, which own prefixes make possible."""
    seen: dict[str, ExposedTool] = {}
    for index, listing in enumerate(listings):
        for tool in listing.tools or ():
            for name in dict.fromkeys((tool.key, tool.full_name)):
                other = seen.setdefault(name, tool)
                if other is not tool:
                    raise SpecError(
                        f"{other.tool!r} of {other.component!r} and {tool.tool!r} of {tool.component!r} "
                        f"would both be {name!r}; give one of them another prefix or another name",
                        reason=Reason.DUPLICATE_TOOL,
                        field=f"spec.tools[{index}]",
                    )


def _check_patterns(patterns: Sequence[str], names: Sequence[str], known: Sequence[str], field: str) -> None:
    """Refuse a pattern that matches nothing: a typing error in `exclude` or `scopes` would expose a tool."""
    for index, pattern in enumerate(patterns):
        if not any(_matches((pattern,), name) for name in known):
            raise _no_match(pattern, names, f"{field}[{index}]")


def _place(index: int) -> str:
    """The pattern for a tool's position in the component's list."""
    return f"#{index + 1}"


def _matches_any(patterns: Iterable[str], names: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return any(_matches(patterns, name) for name in names)


def _no_match(wanted: str, names: Sequence[str], field: str) -> SpecError:
    shown = ", ".join(
        name if CLIENT_NAME.fullmatch(name) else repr(name[:80]) for name in names[:_MAX_NAMED]
    ) + (", …" if len(names) > _MAX_NAMED else "")
    return SpecError(f"{wanted!r} fits none of the component's tools: {shown or 'it has none'}", field=field)


def _matches(patterns: Iterable[str], name: str) -> bool:
    # Brackets have no special meaning in these patterns, so they are escaped.
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)
