"""Which tools clients see, and the texts from which the gateway answers without asking any tool. Pure.

The gateway's cost per request must not grow with the number of tools, so a list is baked as the finished
list and a call finds everything about its one tool in one variable:

| component variable | content |
|---|---|
| `tools_list` | the tools of all components, under their full names: `PREFIX` and `TOOL` |
| `tools_index` | parallel to it, what a filter needs: `component`, `tool`, `readOnly`, `scopes` |
| `tools_list_COMPONENT` | one component's tools, names without prefix |
| `tool_HEX` | one tool; HEX is `NAME__TOOL`, and its full name if that differs, in hexadecimal UTF-8 |
| `components` | each component's `id`, exposed `tools`, and whether it is `dynamic` |

A `tool_HEX` is three lines, so that nobody reads schemas to find out where they end: what every call needs,
the input schema, and the output schema or nothing. Schemas are without their annotations there.

A component that could not be asked (`dynamic`) has no tools in any list. The gateway asks it at run time and
knows nothing of the spec's filters, names and scopes then, so an entry with some is refused rather than half
obeyed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ftl_operator.api.tools import MAX_TOOL_NAME, ToolSpec
from ftl_operator.component.tool import Component, Tool
from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.gateway.call_schema import judged
from ftl_operator.pipeline.gateway.parameter_headers import bad_tool, parameter_headers

SEPARATOR = "__"
"""Between a component's name and a tool's. No component's name has an underscore, so it can be told apart."""
_MAX_NAMED = 20


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
        prefix: What stands before the name in the whole app's list; None for the component's name.
    """

    component: str
    tool: str
    name: str
    definition: Mapping[str, Any]
    scopes: tuple[str, ...]
    headers: Mapping[str, str]
    timeout_ms: int
    prefix: str | None = None

    @property
    def key(self) -> str:
        """The name that no other tool of the app can have, whatever the prefixes are."""
        return f"{self.component}{SEPARATOR}{self.name}"

    @property
    def full_name(self) -> str:
        """The name under which the whole app lists it."""
        return self.key if self.prefix is None else f"{self.prefix}{self.name}"

    @property
    def title(self) -> str:
        """Its title, or nothing."""
        return str(self.definition.get("title", ""))

    @property
    def read_only(self) -> bool:
        """Whether it says that it changes nothing."""
        annotations = self.definition.get("annotations") or {}
        return annotations.get("readOnlyHint") is True

    @property
    def schema_digest(self) -> Digest:
        """The digest of what a client is told about it; changes when its contract does."""
        return sha256(canonical({**self.definition, "name": self.full_name}).encode())


@dataclass(frozen=True, slots=True)
class ComponentTools:
    """A component of the app with its exposed tools; None if they are asked for at run time."""

    spec: ToolSpec
    tools: tuple[ExposedTool, ...] | None


def select_tools(spec: ToolSpec, field: str, component: Component, call_seconds: int) -> ComponentTools:
    """Apply `include`, `exclude`, `rename`, `prefix` and `scopes` to a component's tools.

    Args:
        spec: The entry of the spec.
        field: Its path, for messages.
        component: What was found in it.
        call_seconds: How long a call of one of its tools may take.

    Raises:
        SpecError: A pattern or name matches nothing, nothing is left, or a name is too long or there twice.
        ComponentError: A tool marks its parameters for headers against the protocol's rules.
    """
    if component.tools is None:
        _refuse_filters(spec, field, component.dynamic_reason)
        return ComponentTools(spec, None)
    if not component.tools:
        raise bad_tool(field, f"component {spec.name!r}", "it has no tools")
    names = [tool.name for tool in component.tools]
    _check_patterns(spec.include, names, f"{field}.include")
    _check_patterns(spec.exclude, names, f"{field}.exclude")
    renames = {rename.from_: rename for rename in spec.rename}
    for index, old in enumerate(renames):
        if old not in names:
            raise _no_match(old, names, f"{field}.rename[{index}].from")
    tools = []
    for tool in component.tools:
        if not (_matches(spec.include or ("*",), tool.name) and not _matches(spec.exclude, tool.name)):
            continue
        rename = renames.get(tool.name)
        name = rename.to if rename and rename.to else tool.name
        description = rename.description if rename and rename.description is not None else tool.description
        scopes = {scope for entry in spec.scopes if _matches(entry.tools, name) for scope in entry.require}
        tools.append(
            ExposedTool(
                component=spec.name,
                tool=tool.name,
                name=name,
                definition=_definition(tool, name, description, field),
                scopes=tuple(sorted(scopes)),
                headers=parameter_headers(spec.name, tool, field),
                timeout_ms=1000 * call_seconds,
                prefix=spec.prefix,
            )
        )
    _check_names(spec, field, tools)
    return ComponentTools(spec, tuple(tools))


def variables(listings: Sequence[ComponentTools]) -> dict[str, str]:
    """The gateway's component variables for these tools, by name. Raises SpecError if two have one name."""
    tools = [tool for listing in listings for tool in listing.tools or ()]
    _check_apart(listings)
    baked = {
        "tools_list": canonical([{**tool.definition, "name": tool.full_name} for tool in tools]),
        "tools_index": canonical([_index(tool) for tool in tools]),
        "components": canonical([_entry(listing) for listing in listings]),
    }
    for listing in listings:
        known = [tool.definition for tool in listing.tools or ()]
        baked[f"tools_list_{listing.spec.name.replace('-', '_')}"] = canonical(known)
    for tool in tools:
        for name in dict.fromkeys((tool.key, tool.full_name)):
            baked[f"tool_{name.encode().hex()}"] = _record(tool)
    return baked


def _definition(tool: Tool, name: str, description: str, field: str) -> dict[str, Any]:
    given = {**tool.document(), "name": name, "description": description}
    definition = {key: value for key, value in given.items() if key != "description" or value}
    try:
        canonical(definition)
    except ValueError:
        # A number such as 1e999 is JSON and not a number that anyone could write back.
        raise bad_tool(
            field, f"tool {tool.name!r}", "its metadata holds a number that is out of range"
        ) from None
    return definition


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
    output = tool.definition.get("outputSchema")
    lines = [canonical(call), canonical(judged(tool.definition["inputSchema"]))]
    # Canonical JSON has no line break of its own.
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
        if len(tool.full_name) > MAX_TOOL_NAME:
            raise SpecError(
                f"{tool.full_name!r} has {len(tool.full_name)} characters, and clients take {MAX_TOOL_NAME}; "
                "shorten the component's name or rename the tool",
                reason=Reason.INVALID_TOOL,
                field=field,
            )
    for index, entry in enumerate(spec.scopes):
        _check_patterns(entry.tools, list(seen), f"{field}.scopes[{index}].tools")


def _check_apart(listings: Sequence[ComponentTools]) -> None:
    """A full name may be anything with a prefix of one's own, so it may be another tool's, too."""
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


def _check_patterns(patterns: Sequence[str], names: Sequence[str], field: str) -> None:
    """A pattern that matches nothing is a slip, and one in `exclude` or `scopes` would open a tool to all."""
    for index, pattern in enumerate(patterns):
        if not any(_matches((pattern,), name) for name in names):
            raise _no_match(pattern, names, f"{field}[{index}]")


def _no_match(wanted: str, names: Sequence[str], field: str) -> SpecError:
    shown = ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
    return SpecError(f"{wanted!r} fits none of the component's tools: {shown or 'it has none'}", field=field)


def _matches(patterns: Iterable[str], name: str) -> bool:
    # Brackets have no meaning here, so they are the characters they are.
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)
