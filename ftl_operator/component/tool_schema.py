"""Whether a tool's JSON Schema is one: by its meta-schema, with references that stay inside it. Pure.

Sources: the Model Context Protocol (2025-11-25 and later: the default dialect is 2020-12, a `$schema` may
name another, a network `$ref` is never fetched); JSON Schema 2020-12 and draft-07. Schemas are input from
outside, so their size and depth are bounded before anything walks them recursively.
"""

import json
from collections.abc import Mapping
from typing import Any

import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError

MAX_SCHEMA_BYTES = 64 * 1024
MAX_DEPTH = 64

_2020_12 = (Draft202012Validator, referencing.jsonschema.DRAFT202012)
_DIALECTS = {
    "json-schema.org/draft/2020-12/schema": _2020_12,
    "json-schema.org/draft-07/schema": (Draft7Validator, referencing.jsonschema.DRAFT7),
}
_DEFAULT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES = ("$ref", "$dynamicRef")


def refusal(schema: object) -> str | None:
    """Why a value cannot be a tool's input or output schema; None if it can.

    Args:
        schema: A parsed JSON value, no deeper than `MAX_DEPTH` (see `too_deep`).
    """
    if not isinstance(schema, dict):
        return "is not an object"
    size = len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_SCHEMA_BYTES:
        return f"has {size} bytes, more than {MAX_SCHEMA_BYTES}"
    if schema.get("type") != "object":
        return 'must have "type": "object"'
    dialect = schema.get("$schema", _DEFAULT)
    known = _DIALECTS.get(_dialect(dialect))
    if known is None:
        return f"is of the dialect {str(dialect)[:100]!r}; use 2020-12 or draft-07"
    validator, specification = known
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        return f"is no JSON Schema: at {error.json_path[:200]}: {error.message[:200]}"
    return _unresolved(schema, specification)


def too_deep(value: object) -> bool:
    """Whether a parsed JSON value nests deeper than `MAX_DEPTH`."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return False
    return True


def _dialect(uri: object) -> str:
    return str(uri).partition("://")[2].rstrip("#")


def _unresolved(schema: Mapping[str, Any], specification: referencing.Specification[Any]) -> str | None:
    root: referencing.Resource[Any] = specification.create_resource(schema)
    # A registry without a retrieval function: what is not inside the schema does not exist.
    resolver = referencing.Registry[Any]().resolver_with_root(root)
    dialect = schema.get("$schema", _DEFAULT)
    pending = [(root, resolver)]
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        if not isinstance(contents, dict):
            continue
        if _dialect(contents.get("$schema", dialect)) != _dialect(dialect):
            return "has an embedded schema of another dialect"
        for keyword in _REFERENCES:
            target = contents.get(keyword)
            if not isinstance(target, str):
                continue
            try:
                resolver.lookup(target)
            except (referencing.exceptions.Unresolvable, ValueError, LookupError, TypeError):
                return f"has a {keyword} to {target[:200]!r}, which is not inside it (none is fetched)"
        try:
            pending += [(child, resolver.in_subresource(child)) for child in resource.subresources()]
        except (referencing.exceptions.CannotDetermineSpecification, ValueError, TypeError, AttributeError):
            return "has an embedded schema of an unknown dialect"
    return None
