"""Schemas without annotations: keywords that decide are kept, and every annotation is removed."""

from typing import Any

import pytest

from ftl_operator.pipeline.gateway.call_schema import judged

NOTE = {"description": "d", "title": "t", "examples": [1], "default": 1, "$comment": "c", "deprecated": True}


@pytest.mark.parametrize(
    "place",
    [
        lambda schema: schema,
        lambda schema: {"properties": {"description": schema, "title": schema}},
        lambda schema: {"$defs": {"default": schema}, "patternProperties": {"^x": schema}},
        lambda schema: {"items": schema, "contains": schema, "not": schema},
        lambda schema: {"items": [schema, schema], "additionalItems": schema},
        lambda schema: {"prefixItems": [schema], "anyOf": [schema, True], "oneOf": [schema]},
        lambda schema: {"if": schema, "then": schema, "else": schema},
        lambda schema: {"dependencies": {"a": schema, "b": ["a"]}, "additionalProperties": schema},
        lambda schema: {"allOf": [{"propertyNames": schema}], "unevaluatedProperties": False},
    ],
)
def test_annotations_go_wherever_schemas_are(place: Any) -> None:
    schema = {"type": "string", "maxLength": 3}
    assert judged(place({**NOTE, **schema})) == place(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"const": {"description": "d"}, "enum": [{"title": "t"}, ["default"]]},
        {"required": ["description"], "dependentRequired": {"title": ["default"]}},
        {"x-own": {"description": "d"}, "$ref": "#/x-own"},
        {"properties": 5, "items": "x", "anyOf": {"description": "d"}},
        {"description": "d", "default": {"type": "string"}, "properties": {"a": {"$ref": "#/default"}}},
        {"title": "t", "examples": [{}], "anyOf": [{"$ref": "#/%65xamples/0"}]},
    ],
)
def test_what_decides_or_is_led_to_stays(schema: dict[str, Any]) -> None:
    assert judged(schema) == schema
