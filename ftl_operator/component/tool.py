"""Components and the metadata of their tools. Pure.

Sources: the Model Context Protocol's definition of a tool (2025-06-18 to 2026-07-28), FTL's tool contract
(`GET /` returns a JSON array of tool metadata). The metadata is untrusted, so `parse_tools` runs in the
sandbox's child and checks everything. A tool that breaks a rule has a `fault`, which stops an app only if the
app serves the tool. Anything that is not a list of tools is a ComponentError.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.spin_interfaces import requirement
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.oci.reference import Digest

__all__ = ["Binary", "Component", "Kind", "SchemaVerdict", "Tool", "judge_schemas", "parse_tools"]

MAX_METADATA_BYTES = 4 << 20
MAX_TOOLS = 512
MAX_RAW_NAME = 128
"""The most characters of a component's own name for a tool; clients see at most 64
(`spec.tools[i].rename`)."""
MAX_DESCRIPTION = 16 * 1024
MAX_TITLE = 256
MAX_META_BYTES = 16 * 1024
MAX_ICONS = 16
MAX_ICON_SOURCE = 64 * 1024
"""The most characters of an icon's source; a `data:` URI contains the whole image."""
MAX_SCHEMA_BYTES = 64 * 1024
MAX_SUBSCHEMAS = 4096
"""The most JSON objects and arrays within one schema."""
MAX_ALL_SUBSCHEMAS = 50_000
"""The same for the schemas of all tools of a component; checking that many takes some seconds."""
MAX_DEPTH = 64
"""The deepest nesting of one tool's metadata."""
MAX_WARNINGS = 8
"""How many warnings about one schema are kept."""
MAX_WARNING = 300
"""The most characters of a warning or error about a schema."""

CLIENT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names that clients accept. A component's own name may differ if the app renames the tool."""
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@dataclass(frozen=True, slots=True)
class Tool:
    """A checked tool, as its component describes it. The mappings are never changed.

    Args:
        name: The component's own name for it, by which it is called; `#N` for the Nth tool if its
            name is not usable.
        title: For people.
        description: For models; empty if there is none.
        input_schema: The schema of its arguments for clients; empty if the tool has a fault.
        output_schema: The same for its structured result.
        annotations: Hints about what it does.
        icons: Images of it.
        meta: Its `_meta`.
        fault: Why it cannot be served; empty if it can.
        warnings: Parts of its schemas that cannot be enforced.
        input_rules: The schema that the gateway enforces, if it differs from `input_schema`.
        output_rules: The same for `output_schema`.
    """

    name: str
    title: str | None
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] | None = None
    icons: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] | None = None
    fault: str = ""
    warnings: tuple[str, ...] = ()
    input_rules: Mapping[str, Any] | None = None
    output_rules: Mapping[str, Any] | None = None

    @property
    def read_only(self) -> bool:
        """Whether the component says that the tool is read-only."""
        return bool(self.annotations and self.annotations.get("readOnlyHint") is True)

    def document(self) -> dict[str, Any]:
        """The tool in the protocol's JSON form, without absent members."""
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

    def record(self) -> dict[str, Any]:
        """The tool with the inspection's results, for the cache."""
        found = {
            "fault": self.fault or None,
            "warnings": list(self.warnings) or None,
            "inputRules": self.input_rules,
            "outputRules": self.output_rules,
        }
        return {"tool": self.document(), **{key: value for key, value in found.items() if value is not None}}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Tool":
        """The inverse of `record`.

        Raises:
            LookupError, TypeError, AttributeError: The record is malformed.
        """
        document = record["tool"]
        return cls(
            document["name"],
            document.get("title"),
            document["description"],
            document["inputSchema"],
            document.get("outputSchema"),
            document.get("annotations"),
            tuple(document.get("icons", ())),
            document.get("_meta"),
            record.get("fault", ""),
            tuple(record.get("warnings", ())),
            record.get("inputRules"),
            record.get("outputRules"),
        )


@dataclass(frozen=True, slots=True)
class Component:
    """A component and its tools; `tools` is None, with a reason, if it can only be asked at run time.

    `needs` is the oldest Spin that runs it, such as `Spin 4`; empty if Spin 3.6 and all later ones do.
    `packaged` says that its tools are those of the catalog that is packaged with it, since it cannot be
    asked; `catalog_note` says why, or that the catalog differs from what it says of itself, which counts.
    """

    digest: Digest
    size: int
    binary: Binary
    tools: tuple[Tool, ...] | None
    dynamic_reason: str = ""
    needs: str = ""
    catalog_note: str = ""
    packaged: bool = False

    @property
    def spin_needed(self) -> str:
        """Which Spin it needs and why, such as `Spin 4.1 or newer (it is built for WASI 0.3)`."""
        is_new = self.binary.kind is Kind.WASI_0_3
        why = "it is built for WASI 0.3" if is_new else "no other Spin has all of its imports"
        return f"{requirement(self.needs)} ({why})"

    @property
    def spin_advice(self) -> str:
        """What to do if the cluster has another version of Spin."""
        build = (
            "build it for WASI 0.2" if self.binary.kind is Kind.WASI_0_3 else "build it without those imports"
        )
        return (
            f"{build}, or let spec.runtime.executor name a SpinAppExecutor whose deploymentConfig.spinImage "
            f"has {requirement(self.needs)}"
        )


@dataclass(frozen=True, slots=True)
class SchemaVerdict:
    """The result of the gateway's engine for one schema.

    Args:
        error: Why the schema is not usable; empty if it is.
        warnings: Keywords that the engine cannot enforce, or that do not mean what they seem to.
        rules: The schema that the engine enforces, if it differs from the given one.
    """

    error: str = ""
    warnings: tuple[str, ...] = ()
    rules: Mapping[str, Any] | None = None


def parse_tools(raw: bytes, origin: str = "its answer to GET /") -> tuple[Tool, ...]:
    """Parse and check a component's tool metadata, except what only the gateway's engine can check.

    Args:
        raw: A JSON array of `{name, title?, description?, inputSchema, outputSchema?, annotations?, icons?,
            _meta?}`; null counts as absent, and other members are dropped.
        origin: Its source, for messages.

    Returns:
        One tool per item, in order. An item that breaks a rule of the protocol or a limit of this module has
        a fault, and its invalid parts are dropped.

    Raises:
        ComponentError: It is not a JSON array, or it is too large.
    """
    if len(raw) > MAX_METADATA_BYTES:
        text = f"{origin} has {len(raw)} bytes of tool metadata, more than {MAX_METADATA_BYTES}"
        raise ComponentError(text, reason=Reason.TOO_LARGE)
    try:
        items = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        shown = raw[:80].decode(errors="replace")
        raise ComponentError(
            f"{origin} is not a JSON array of tools; it begins with {shown!r}",
            reason=Reason.INVALID_TOOL,
        ) from None
    if not isinstance(items, list):
        raise ComponentError(f"{origin} is not a JSON array of tools", reason=Reason.INVALID_TOOL)
    if len(items) > MAX_TOOLS:
        text = f"it has {len(items)} tools, more than {MAX_TOOLS}"
        raise ComponentError(text, reason=Reason.TOO_LARGE)
    tools, parts = [], 0
    for position, item in enumerate(items, 1):
        tool = _tool(item, position)
        parts += _parts(tool.input_schema) + _parts(tool.output_schema)
        if parts > MAX_ALL_SUBSCHEMAS and not tool.fault:
            why = f"its schemas and those before it have more than {MAX_ALL_SUBSCHEMAS} objects and arrays"
            tool = _faulty(tool.name, why)
        tools.append(tool)
    return tuple(tools)


def judge_schemas(
    tools: Sequence[Tool], judge: Callable[[Sequence[Mapping[str, Any]]], Sequence[SchemaVerdict]]
) -> tuple[Tool, ...]:
    """Add the gateway engine's results about the tools' schemas.

    Args:
        tools: The result of `parse_tools`.
        judge: Returns a verdict for each schema, in order. It is called at most once, with at least one
            schema.
    """
    schemas = [
        schema
        for tool in tools
        if not tool.fault
        for schema in (tool.input_schema, tool.output_schema)
        if schema is not None
    ]
    if not schemas:
        return tuple(tools)
    verdicts = iter(judge(schemas))
    return tuple(tool if tool.fault else _judged(tool, verdicts) for tool in tools)


def _judged(tool: Tool, verdicts: Iterator[SchemaVerdict]) -> Tool:
    first = next(verdicts)
    second = next(verdicts) if tool.output_schema is not None else SchemaVerdict()
    named = (("inputSchema", first), ("outputSchema", second))
    faults = [f"its {name} is not usable: {verdict.error}" for name, verdict in named if verdict.error]
    if faults:
        return _faulty(tool.name, faults[0])
    warnings = [f"{name}: {text}" for name, verdict in named for text in verdict.warnings]
    return replace(tool, warnings=tuple(warnings), input_rules=first.rules, output_rules=second.rules)


def _faulty(name: str, fault: str) -> Tool:
    return Tool(name, None, "", {}, fault=fault)


class _FaultError(Exception):
    """A rule that one tool breaks."""


def _tool(item: object, position: int) -> Tool:
    name = f"#{position}"
    if not isinstance(item, dict):
        return _faulty(name, "it is not an object")
    try:
        name = _name_of(item)
        _check_depth(item)
        _check_text(item)
        _check_schema(item.get("inputSchema"), "inputSchema", required=True)
        _check_schema(item.get("outputSchema"), "outputSchema", required=False)
        return Tool(
            name,
            _text(item, "title", MAX_TITLE),
            _text(item, "description", MAX_DESCRIPTION) or "",
            item["inputSchema"],
            item.get("outputSchema"),
            _annotations(item.get("annotations")),
            _icons(item.get("icons")),
            _meta(item.get("_meta")),
        )
    except _FaultError as fault:
        return _faulty(name, str(fault))


def _name_of(item: Mapping[str, Any]) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise _FaultError("it has no name that is a text")
    if len(name) > MAX_RAW_NAME:
        raise _FaultError(f"its name has {len(name)} characters, more than {MAX_RAW_NAME}: {name[:40]!r}…")
    _check_text({"name": name})
    return name


def _check_text(item: Mapping[str, Any]) -> None:
    """Refuse valid JSON that cannot be written again: a lone surrogate, or 1e999."""
    try:
        json.dumps(item, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise _FaultError("its metadata holds text that is not Unicode (a lone surrogate)") from None
    except ValueError:
        raise _FaultError("its metadata holds a number that is out of range") from None


def _check_schema(schema: object, key: str, *, required: bool) -> None:
    """Check the protocol's rules and the limits; the engine checks the rest (`judge_schemas`)."""
    if schema is None and required:
        raise _FaultError(f"its {key} is missing")
    if schema is None:
        return
    if not isinstance(schema, dict):
        raise _FaultError(f"its {key} is not an object")
    size = len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_SCHEMA_BYTES:
        raise _FaultError(f"its {key} has {size} bytes, more than {MAX_SCHEMA_BYTES}")
    if schema.get("type") != "object":
        raise _FaultError(f'its {key} must have "type": "object"')
    parts = _parts(schema)
    if parts > MAX_SUBSCHEMAS:
        raise _FaultError(f"its {key} has {parts} objects and arrays, more than {MAX_SUBSCHEMAS}")


def _parts(schema: object) -> int:
    count, level = 0, [schema]
    while level:
        count += len(level)
        level = [child for item in level for child in _inner(item)]
    return count


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _inner(item)]
        if not level:
            return
    raise _FaultError(f"its metadata nests deeper than {MAX_DEPTH}")


def _inner(item: object) -> list[object]:
    values = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [value for value in values if isinstance(value, dict | list)]


def _text(item: Mapping[str, Any], key: str, limit: int) -> str | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _FaultError(f"its {key} is not a text")
    if len(value) > limit:
        raise _FaultError(f"its {key} has {len(value)} characters, more than {limit}")
    return value


def _annotations(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _FaultError("its annotations are not an object")
    _text(value, "title", MAX_TITLE)
    for hint in _HINTS:
        if not isinstance(value.get(hint), bool | None):
            raise _FaultError(f"its annotation {hint} is neither true nor false")
    _bounded(value, "annotations")
    kept = {key: entry for key, entry in value.items() if entry is not None}
    return kept or None


def _icons(value: object) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ICONS:
        raise _FaultError(f"its icons are not an array of at most {MAX_ICONS}")
    for icon in value:
        source = icon.get("src") if isinstance(icon, dict) else None
        if not isinstance(source, str) or not source.startswith(("https://", "data:")):
            raise _FaultError("an icon has no 'src' that is an https: or data: URI")
        if len(source) > MAX_ICON_SOURCE:
            raise _FaultError(f"an icon's 'src' has more than {MAX_ICON_SOURCE} characters")
    return tuple({key: entry for key, entry in icon.items() if entry is not None} for icon in value)


def _meta(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _FaultError("its _meta is not an object")
    _bounded(value, "_meta")
    return value


def _bounded(value: Mapping[str, Any], what: str) -> None:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_META_BYTES:
        raise _FaultError(f"its {what} have {size} bytes, more than {MAX_META_BYTES}")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
