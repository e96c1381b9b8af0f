"""What a component is and which tools it says it has. Pure.

Sources: the Model Context Protocol's definition of a tool (2025-06-18 to 2026-07-28), FTL's tool contract
(`GET /` gives a JSON array of tool metadata). The metadata comes from a component that nobody here wrote:
everything is checked, and the one error is ComponentError, which names the tool and where it came from.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftl_operator.component.binary import Binary, Kind
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.reference import Digest

__all__ = ["Binary", "Component", "Kind", "Tool", "component_from", "parse_tools"]

MAX_METADATA_BYTES = 4 << 20
MAX_TOOLS = 512
MAX_DESCRIPTION = 16 * 1024
MAX_TITLE = 256
MAX_META_BYTES = 16 * 1024
MAX_ICONS = 16
MAX_ICON_SOURCE = 64 * 1024
"""Characters of an icon's source; a `data:` URI holds the whole image."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as its component describes it, checked. The mappings are never changed."""

    name: str
    title: str | None
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] | None = None
    icons: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] | None = None

    @property
    def read_only(self) -> bool:
        """Whether the component says that the tool changes nothing."""
        return bool(self.annotations and self.annotations.get("readOnlyHint") is True)

    def document(self) -> dict[str, Any]:
        """The tool as the protocol writes it; what is not there is left out."""
        optional = {
            "title": self.title,
            "outputSchema": self.output_schema,
            "annotations": self.annotations,
            "icons": list(self.icons) or None,
            "_meta": self.meta,
        }
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.input_schema,
            **{key: value for key, value in optional.items() if value is not None},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Tool":
        """The tool that `document` gave; for documents that were checked before."""
        return cls(
            document["name"],
            document.get("title"),
            document["description"],
            document["inputSchema"],
            document.get("outputSchema"),
            document.get("annotations"),
            tuple(document.get("icons", ())),
            document.get("_meta"),
        )


@dataclass(frozen=True, slots=True)
class Component:
    """A component and its tools; `tools` is None, with a reason, if it can only be asked at run time."""

    digest: Digest
    size: int
    binary: Binary
    tools: tuple[Tool, ...] | None
    dynamic_reason: str = ""


def component_from(
    layer: Descriptor, binary: Binary, answer: bytes | None, where: str, dynamic_reason: str = ""
) -> Component:
    """Join what was read of a component.

    Args:
        layer: Where its bytes are.
        binary: What they say.
        answer: What it answered when asked for its tools; None if it was not asked.
        where: The component and its reference, for messages.
        dynamic_reason: Why it was not asked.
    """
    tools = None if answer is None else parse_tools(answer, where)
    return Component(layer.digest, layer.size, binary, tools, dynamic_reason)


def parse_tools(raw: bytes, where: str) -> tuple[Tool, ...]:
    """Check and take over the tool metadata that a component gave.

    Args:
        raw: A JSON array of `{name, title?, description?, inputSchema, outputSchema?, annotations?, icons?,
        _meta?}`;
            null stands for absent, and other members are left out.
        where: The component and its reference, for messages.

    Raises:
        ComponentError: If anything breaks a rule of the protocol or a limit of this module.
    """
    if len(raw) > MAX_METADATA_BYTES:
        text = f"{where}: its tool metadata has {len(raw)} bytes, more than {MAX_METADATA_BYTES}"
        raise ComponentError(text, reason=Reason.TOO_LARGE)
    try:
        items = json.loads(raw, parse_constant=_refuse_constant)
        # A lone surrogate is JSON and not Unicode: it could not be written back.
        json.dumps(items, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        shown = raw[:80].decode(errors="replace")
        raise ComponentError(
            f"{where}: its answer to GET / is not a JSON array of tools; it begins with {shown!r}",
            reason=Reason.INVALID_TOOL,
        ) from None
    # Here and not on top: what a cached result needs has no schema to check, and the checker is slow to load.
    from ftl_operator.component.tool_schema import too_deep

    if not isinstance(items, list):
        raise _invalid(where, "its answer to GET / is not a JSON array of tools")
    if too_deep(items):
        raise _invalid(where, "its tool metadata nests too deeply")
    if len(items) > MAX_TOOLS:
        raise _invalid(where, f"it has {len(items)} tools, more than {MAX_TOOLS}")
    tools: dict[str, Tool] = {}
    for index, item in enumerate(items):
        tool = _tool(item, index, where)
        if tool.name in tools:
            text = f"{where}: it has two tools with the name {tool.name!r}"
            raise ComponentError(text, reason=Reason.DUPLICATE_TOOL)
        tools[tool.name] = tool
    return tuple(tools.values())


def _tool(item: object, index: int, where: str) -> Tool:
    from ftl_operator.component.tool_schema import refusal

    if not isinstance(item, dict):
        raise _invalid(where, f"tool {index + 1} of its metadata is not an object")
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        rule = "a name has 1 to 64 of the characters A-Z a-z 0-9 _ . -"
        raise _invalid(where, f"tool {index + 1} of its metadata has the name {str(name)[:80]!r}; {rule}")
    at = f"{where}, tool {name!r}"
    for key in ("inputSchema", "outputSchema"):
        given = item.get(key)
        why = refusal(given) if given is not None else "is missing" if key == "inputSchema" else None
        if why:
            raise _invalid(at, f"its {key} {why}")
    return Tool(
        name,
        _text(item, "title", MAX_TITLE, at),
        _text(item, "description", MAX_DESCRIPTION, at) or "",
        item["inputSchema"],
        item.get("outputSchema"),
        _annotations(item.get("annotations"), at),
        _icons(item.get("icons"), at),
        _meta(item.get("_meta"), at),
    )


def _text(item: Mapping[str, Any], key: str, limit: int, at: str) -> str | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(at, f"its {key} is not a text")
    if len(value) > limit:
        raise _invalid(at, f"its {key} has {len(value)} characters, more than {limit}")
    return value


def _annotations(value: object, at: str) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _invalid(at, "its annotations are not an object")
    _text(value, "title", MAX_TITLE, at)
    for hint in _HINTS:
        if not isinstance(value.get(hint), bool | None):
            raise _invalid(at, f"its annotation {hint} is neither true nor false")
    _bounded(value, "annotations", at)
    kept = {key: entry for key, entry in value.items() if entry is not None}
    return kept or None


def _icons(value: object, at: str) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ICONS:
        raise _invalid(at, f"its icons are not an array of at most {MAX_ICONS}")
    for icon in value:
        source = icon.get("src") if isinstance(icon, dict) else None
        if not isinstance(source, str) or not source.startswith(("https://", "data:")):
            raise _invalid(at, "an icon has no 'src' that is an https: or data: URI")
        if len(source) > MAX_ICON_SOURCE:
            raise _invalid(at, f"an icon's 'src' has more than {MAX_ICON_SOURCE} characters")
    return tuple({key: entry for key, entry in icon.items() if entry is not None} for icon in value)


def _meta(value: object, at: str) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _invalid(at, "its _meta is not an object")
    _bounded(value, "_meta", at)
    return value


def _bounded(value: Mapping[str, Any], what: str, at: str) -> None:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_META_BYTES:
        raise _invalid(at, f"its {what} have {size} bytes, more than {MAX_META_BYTES}")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _invalid(at: str, why: str) -> ComponentError:
    return ComponentError(f"{at}: {why}", reason=Reason.INVALID_TOOL)
