"""Whether a tool's JSON Schema is one: by its meta-schema, with references that stay inside it. Pure.

Sources: the Model Context Protocol (2025-11-25 and later: the default dialect is 2020-12, a `$schema` may
name another, a network `$ref` is never fetched); JSON Schema 2020-12 and draft-07. Only the sandbox's child
uses this, for a gateway component that does not judge schemas itself.
"""

from collections.abc import Mapping
from typing import Any

import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError

_2020_12 = (Draft202012Validator, referencing.jsonschema.DRAFT202012)
_DIALECTS = {
    "json-schema.org/draft/2020-12/schema": _2020_12,
    "json-schema.org/draft-07/schema": (Draft7Validator, referencing.jsonschema.DRAFT7),
}
_DEFAULT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES = ("$ref", "$dynamicRef")


def refusal(schema: Mapping[str, Any]) -> str | None:
    """Why an object is no JSON Schema of a known dialect; None if it is one.

    Args:
        schema: Its size and depth are bounded (see `inspect`).
    """
    dialect = schema.get("$schema", _DEFAULT)
    known = _DIALECTS.get(_dialect(dialect))
    if known is None:
        return f"it is of the dialect {str(dialect)[:100]!r}; use 2020-12 or draft-07"
    validator, specification = known
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        return f"it is no JSON Schema: at {error.json_path[:200]}: {error.message[:200]}"
    return _unresolved(schema, specification)


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
            return "it has an embedded schema of another dialect"
        for keyword in _REFERENCES:
            target = contents.get(keyword)
            if not isinstance(target, str):
                continue
            try:
                resolver.lookup(target)
            except (referencing.exceptions.Unresolvable, ValueError, LookupError, TypeError):
                return f"it has a {keyword} to {target[:200]!r}, which is not inside it (none is fetched)"
        try:
            pending += [(child, resolver.in_subresource(child)) for child in resource.subresources()]
        except (referencing.exceptions.CannotDetermineSpecification, ValueError, TypeError, AttributeError):
            return "it has an embedded schema of an unknown dialect"
    return None
