"""Schemas for validation in the gateway: without annotations. Pure.

The gateway reads a tool's schema on every call, and most of it is descriptions, which clients get from
`tools/list`. Annotations are removed only where JSON Schema 2020-12 and draft-07 have subschemas, so a
property that is called `description` stays, and so does every constant.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

ANNOTATIONS = frozenset(
    {"$comment", "default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"}
)
"""Keywords that never decide whether a value is valid (2020-12 validation §9, core §8.3)."""
_SCHEMAS = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LISTS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_MAPS = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)


def judged(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove the annotations of a schema; it accepts the same values as before.

    A reference may point anywhere, so a schema with one that may point into an annotation stays as it is.
    """
    if _leads_into_annotations(schema):
        return schema
    return _without_annotations(schema)


def _leads_into_annotations(value: object) -> bool:
    if isinstance(value, list):
        return any(_leads_into_annotations(item) for item in value)
    if not isinstance(value, Mapping):
        return False
    references = [value.get(name) for name in ("$ref", "$dynamicRef")]
    return any(
        isinstance(reference, str) and not ANNOTATIONS.isdisjoint(unquote(reference).split("/"))
        for reference in references
    ) or any(_leads_into_annotations(item) for item in value.values())


def _without_annotations(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: _member(name, value) for name, value in schema.items() if name not in ANNOTATIONS}


def _stripped(schema: object) -> object:
    return _without_annotations(schema) if isinstance(schema, Mapping) else schema


def _member(name: str, value: object) -> object:
    if name in _LISTS and isinstance(value, list):
        return [_stripped(item) for item in value]
    if name in _MAPS and isinstance(value, Mapping):
        return {key: _stripped(item) for key, item in value.items()}
    return _stripped(value) if name in _SCHEMAS else value
