"""Checks a tool's JSON Schema against its meta-schema; references must stay inside the schema. Pure.

Sources: the Model Context Protocol (2025-11-25 and later: the default dialect is 2020-12, a `$schema` may
name another, a network `$ref` is never fetched); JSON Schema 2020-12 and draft-07. Only the sandbox's child
uses this, for a gateway component that cannot check schemas itself.
"""

from collections.abc import Mapping
from typing import Any

import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema_specifications import REGISTRY as SPECIFICATIONS

_2020_12 = (Draft202012Validator, referencing.jsonschema.DRAFT202012)
_DIALECTS = {
    "json-schema.org/draft/2020-12/schema": _2020_12,
    "json-schema.org/draft-07/schema": (Draft7Validator, referencing.jsonschema.DRAFT7),
}
_DEFAULT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES = ("$ref", "$dynamicRef")


def _unhurried(metaschema: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Remove `uniqueItems` from a meta-schema, because it compares each item with each other one.

    60 KB of items would take minutes, and a duplicate name in `required` does no harm.
    """
    if isinstance(metaschema, list):
        return [_unhurried(item) for item in metaschema]
    if not isinstance(metaschema, Mapping):
        return metaschema
    return {
        name: _unhurried(value)
        for name, value in metaschema.items()
        if not (name == "uniqueItems" and value is True)
    }


_METASCHEMAS: referencing.Registry[Any] = referencing.Registry[Any]().with_resources(
    (uri, referencing.jsonschema.DRAFT202012.create_resource(_unhurried(SPECIFICATIONS.contents(uri))))
    for uri in SPECIFICATIONS
    if "2020-12" in uri
)


def refusal(schema: Mapping[str, Any]) -> str | None:
    """Why an object is not a JSON Schema of a known dialect; None if it is one. Patterns are not checked.

    Args:
        schema: Its size, depth and number of parts are bounded (see `tool`).
    """
    dialect = schema.get("$schema", _DEFAULT)
    known = _DIALECTS.get(_dialect(dialect))
    if known is None:
        return f"it is of the dialect {str(dialect)[:100]!r}; use 2020-12 or draft-07"
    validator, specification = known
    checker = validator(_unhurried(validator.META_SCHEMA), registry=_METASCHEMAS)
    error = next(checker.iter_errors(schema), None)
    if error is not None:
        return f"it is no JSON Schema: at {error.json_path[:200]}: {error.message[:200]}"
    return _unresolved(schema, specification)


def _dialect(uri: object) -> str:
    return str(uri).partition("://")[2].rstrip("#")


def _unresolved(schema: Mapping[str, Any], specification: referencing.Specification[Any]) -> str | None:
    root: referencing.Resource[Any] = specification.create_resource(schema)
    try:
        # Crawled once, so that no reference searches for anchors again. The registry has no retrieval
        # function, so it finds only what is inside the schema.
        uri = root.id() or ""
        resolver = referencing.Registry[Any]().with_resource(uri, root).crawl().resolver(uri)
    except (referencing.exceptions.CannotDetermineSpecification, ValueError, TypeError, AttributeError):
        return "it has an embedded schema of an unknown dialect"
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
