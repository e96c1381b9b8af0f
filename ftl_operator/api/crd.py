"""Makes the custom resource definition and the JSON Schema for editors from the models. Pure.

Source: Kubernetes' structural schemas (apiextensions.k8s.io/v1). A model that they cannot express is refused:
    no
union of types, no unknown fields, no text or list without a bound. The schema has no defaults, because the
API server would write them into objects, and GitOps tools would see a difference.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from ftl_operator.api.app import API_VERSION, GROUP, KIND, VERSION, FtlAppSpec
from ftl_operator.api.cel import RULES
from ftl_operator.api.status import FtlAppStatus

Schema = dict[str, Any]

PLURAL = "ftlapps"

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether it serves"),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0, "Why, as a word"),
    ("Access", "string", ".spec.access", 0, "Who may call"),
    ("Tools", "integer", ".status.toolCount", 0, "Tools that clients see"),
    ("Pods", "integer", ".status.replicas", 0, "Pods that serve"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Since when it is there"),
    ("URL", "string", ".status.url", 1, "The MCP endpoint"),
    ("Image", "string", ".status.image", 1, "The published application"),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1, "Why, in words"),
)

_KEPT = (
    "description",
    "type",
    "enum",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_DROPPED = ("title", "default", "additionalProperties", "propertyNames", "properties", "required", "items")


def definition() -> Schema:
    """The CustomResourceDefinition of FtlApp."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": text}
        for name, kind, path, priority, text in _COLUMNS
    ]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": object_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ftl"],
                "categories": ["all", "mcp"],
            },
            "versions": [version],
        },
    }


def object_schema() -> Schema:
    """The structural schema of an FtlApp, with its status."""
    return {
        "description": "A Model Context Protocol server made of WebAssembly components.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "The version of this schema.", "type": "string"},
            "kind": {"description": "FtlApp.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(FtlAppSpec),
            "status": structural(FtlAppStatus),
        },
        "x-kubernetes-validations": [_rule(rule, message) for rule, message in RULES[KIND]],
    }


def editor_schema() -> Schema:
    """The JSON Schema (draft 7) for editors. Closed objects let editors mark misspelled names."""
    metadata = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": KIND,
        "description": "A Model Context Protocol server made of WebAssembly components.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": metadata,
            "spec": _closed(structural(FtlAppSpec)),
            "status": {"type": "object"},
        },
    }


def structural(model: type[BaseModel]) -> Schema:
    """A model's structural schema.

    Raises:
        ValueError: The model has something that a structural schema cannot express, or that has no bound.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    definitions = document.pop("$defs", {})
    return _inline(document, definitions, model.__name__, model.__name__)


def _inline(node: Mapping[str, Any], definitions: Mapping[str, Any], at: str, name: str = "") -> Schema:
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        # The description of a field takes precedence over that of its type.
        node = {**definitions[name], **{key: value for key, value in node.items() if key != "$ref"}}
        return _inline(node, definitions, at, name)
    if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
        options = [option for option in node["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise ValueError(f"{at}: a union of types has no structural schema")
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _inline({**options[0], **rest}, definitions, at, name)
    unknown = set(node) - set(_KEPT) - set(_DROPPED) - {"anyOf"}
    if unknown:
        raise ValueError(f"{at}: {sorted(unknown)} has no place in a structural schema")
    schema: Schema = {key: node[key] for key in _KEPT if key in node}
    if "anyOf" in node:
        schema["anyOf"] = node["anyOf"]
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if "properties" in node:
        schema["properties"] = {
            key: _inline(value, definitions, f"{at}.{key}") for key, value in node["properties"].items()
        }
        if node.get("required"):
            schema["required"] = node["required"]
    elif isinstance(node.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _inline(node["additionalProperties"], definitions, f"{at}.*")
    if "items" in node:
        schema["items"] = _inline(node["items"], definitions, f"{at}[]")
        schema.setdefault("x-kubernetes-list-type", "atomic")
    _demand_bounds(schema, at)
    if name in RULES:
        schema["x-kubernetes-validations"] = [_rule(rule, message) for rule, message in RULES[name]]
    return schema


def _demand_bounds(schema: Schema, at: str) -> None:
    bound = {"string": "maxLength", "array": "maxItems"}.get(schema.get("type", ""))
    if "additionalProperties" in schema:
        bound = "maxProperties"
    if bound and bound not in schema and "enum" not in schema:
        raise ValueError(f"{at}: set {bound}, for rules are costed by it")


def _rule(rule: str, message: str) -> Schema:
    return {"rule": rule, "message": message}


def _closed(schema: Schema) -> Schema:
    """Convert a structural schema to plain JSON Schema with closed objects."""
    plain = dict(_plain_items(schema))
    if "properties" in schema:
        plain["additionalProperties"] = False
    return plain


def _plain_items(schema: Schema) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key.startswith("x-kubernetes-"):
            continue
        if key == "properties":
            yield key, {name: _closed(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            yield key, _closed(value)
        else:
            yield key, value
