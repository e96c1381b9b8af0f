"""Parsing a component's description of its tools, and the audit of its imports."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftl_operator.api.tools import ToolSpec
from ftl_operator.component import tool as component_tool
from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.capabilities import Severity, audit
from ftl_operator.component.tool import Component, SchemaVerdict, Tool, judge_schemas, parse_tools
from ftl_operator.component.tool_schema import refusal
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.oci.reference import Digest

OBJECT = {"type": "object"}


def tool(**more: object) -> dict[str, object]:
    return {"name": "forecast", "description": "Says how it will be", "inputSchema": OBJECT, **more}


def judge(schemas: Sequence[Mapping[str, Any]]) -> list[SchemaVerdict]:
    return [SchemaVerdict(refusal(schema) or "") for schema in schemas]


def parse(*tools: object) -> tuple[Tool, ...]:
    found = judge_schemas(parse_tools(json.dumps(list(tools)).encode()), judge)
    assert tuple(Tool.from_record(json.loads(json.dumps(each.record()))) for each in found) == found
    return found


def fault(given: object) -> str:
    """Why the second of three tools cannot be served; the others can."""
    first, bad, last = parse(tool(name="first"), given, tool(name="last"))
    assert (first.fault, last.fault) == ("", "")
    assert (bad.input_schema, bad.description, bad.meta) == ({}, "", None)
    return bad.fault


def test_a_full_tool_is_taken_over_as_it_is() -> None:
    full = tool(
        title="Forecast",
        inputSchema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}, "day": {"$ref": "#day"}},
            "required": ["city"],
            "$defs": {"city": {"type": "string"}, "day": {"$anchor": "day", "type": "integer"}},
        },
        outputSchema={"type": "object", "properties": {"text": {"type": "string"}}},
        annotations={"readOnlyHint": True, "title": "Forecast"},
        icons=[{"src": "https://acme.dev/i.png", "mimeType": "image/png", "sizes": ["48x48"]}],
        _meta={"acme/owner": "weather"},
    )
    (parsed,) = parse(full)
    assert parsed.document() == full
    assert parsed.read_only


def test_null_is_absent_and_unknown_members_are_left_out() -> None:
    absent = dict.fromkeys(("title", "description", "outputSchema", "annotations", "icons", "_meta"))
    (parsed,) = parse(tool(**absent, execution={"taskSupport": "required"}))
    assert parsed == Tool("forecast", None, "", OBJECT)
    assert parsed.document() == {"name": "forecast", "description": "", "inputSchema": OBJECT}
    assert not parsed.read_only


def test_the_components_own_order_is_kept_and_none_are_tools_too() -> None:
    names = ["zeta", "Alpha", "a.b-c_1"]
    assert [parsed.name for parsed in parse(*(tool(name=name) for name in names))] == names
    assert parse() == ()


@pytest.mark.parametrize("name", ["", "a" * 129, 7, None, ["a"], {"a": 1}, "\ud800", True])
def test_a_tool_without_a_usable_name_has_its_place_for_one(name: object) -> None:
    _, bad = parse(tool(), tool(name=name))
    assert bad.name == "#2"
    assert "name" in bad.fault or "surrogate" in bad.fault
    assert len(bad.fault) < 200


@pytest.mark.parametrize("name", ["a" * 64, "a" * 128, "a b", "a/b", "ä", "a\n"])
def test_what_clients_take_for_a_name_is_judged_once_the_app_may_have_given_another(name: str) -> None:
    assert (parse(tool(name=name))[0].name, parse(tool(name=name))[0].fault) == (name, "")


def test_a_name_that_is_there_twice_is_no_fault_as_long_as_one_is_served() -> None:
    assert [(each.name, each.fault) for each in parse(tool(), tool())] == [("forecast", "")] * 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a JSON array"),
        (b"<html>Not found</html>", "begins with '<html>Not found</html>'"),
        (b"\xff\xfe", "not a JSON array"),
        (b"{}", "not a JSON array of tools"),
        (b"null", "not a JSON array of tools"),
        (b"[NaN]", "not a JSON array"),
        (b"[" * 200_000, "not a JSON array"),
        (b"[" + b"9" * 10_000 + b"]", "not a JSON array"),
        (b" " * (component_tool.MAX_METADATA_BYTES + 1), "more than"),
        (b"[" + b"{}," * 600 + b"{}]", "601 tools, more than 512"),
    ],
)
def test_what_is_no_list_of_tools_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ComponentError, match=message) as caught:
        parse_tools(raw)
    assert caught.value.reason in (Reason.INVALID_TOOL, Reason.TOO_LARGE)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"title": 7}, "its title is not a text"),
        ({"title": "x" * 257}, "title has 257 characters, more than 256"),
        ({"description": ["x"]}, "its description is not a text"),
        ({"description": "x" * 20_000}, "description has 20000 characters"),
        ({"annotations": []}, "annotations are not an object"),
        ({"annotations": {"readOnlyHint": "yes"}}, "readOnlyHint is neither true nor false"),
        ({"annotations": {"readOnlyHint": 1}}, "readOnlyHint is neither true nor false"),
        ({"annotations": {"title": 7}}, "title is not a text"),
        ({"annotations": {"x": "y" * 20_000}}, "annotations have"),
        ({"icons": {}}, "icons are not an array"),
        ({"icons": [{}] * 17}, "icons are not an array of at most 16"),
        ({"icons": [{"src": "http://acme.dev/i.png"}]}, "an icon has no 'src'"),
        ({"icons": [{"src": "javascript:alert(1)"}]}, "an icon has no 'src'"),
        ({"icons": ["https://acme.dev"]}, "an icon has no 'src'"),
        ({"icons": [{"src": "data:" + "x" * 70_000}]}, "more than 65536 characters"),
        ({"_meta": 7}, "_meta is not an object"),
        ({"_meta": {"x": "y" * 20_000}}, "_meta have"),
    ],
)
def test_every_member_has_its_rule(more: dict[str, object], message: str) -> None:
    assert message in fault(tool(**more))
    assert parse(tool(**more))[0].name == "forecast"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (None, "inputSchema is missing"),
        (True, "inputSchema is not an object"),
        ([], "inputSchema is not an object"),
        ({}, 'must have "type": "object"'),
        ({"type": "string"}, 'must have "type": "object"'),
        ({"type": ["object", "null"]}, 'must have "type": "object"'),
        ({**OBJECT, "properties": []}, "is not usable: it is no JSON Schema: at $.properties"),
        (
            {**OBJECT, "properties": {"a": {"type": "text"}}},
            "is not usable: it is no JSON Schema: at $.properties.a.type",
        ),
        ({**OBJECT, "required": "a"}, "is not usable: it is no JSON Schema: at $.required"),
        ({**OBJECT, "minProperties": -1}, "is not usable: it is no JSON Schema"),
        (
            {**OBJECT, "$schema": "http://json-schema.org/draft-04/schema#"},
            "dialect 'http://json-schema.org/draft-04",
        ),
        ({**OBJECT, "$schema": 7}, "dialect '7'"),
        (
            {**OBJECT, "properties": {"a": {"$ref": "https://acme.dev/a.json"}}},
            "$ref to 'https://acme.dev/a.json'",
        ),
        ({**OBJECT, "properties": {"a": {"$ref": "other.json#/a"}}}, "$ref to 'other.json#/a'"),
        ({**OBJECT, "properties": {"a": {"$ref": "#/$defs/absent"}}}, "$ref to '#/$defs/absent'"),
        ({**OBJECT, "properties": {"a": {"$ref": "#absent"}}}, "$ref to '#absent'"),
        ({**OBJECT, "properties": {"a": {"$dynamicRef": "https://acme.dev/a"}}}, "$dynamicRef to"),
        ({**OBJECT, "allOf": [{"if": {"$ref": "file:///etc/passwd"}}]}, "$ref to 'file:///etc/passwd'"),
        (
            {**OBJECT, "properties": {"a": {"$schema": "https://x.dev/d", "$id": "https://x.dev/a"}}},
            "dialect",
        ),
        ({**OBJECT, "description": "x" * 70_000}, "bytes, more than 65536"),
    ],
)
def test_an_input_schema_is_an_object_schema(schema: object, message: str) -> None:
    assert message in fault(tool(inputSchema=schema))


def test_an_output_schema_has_the_same_rules() -> None:
    assert "outputSchema must have" in fault(tool(outputSchema={"type": "string"}))
    assert "outputSchema is not usable: it is no JSON Schema" in fault(
        tool(outputSchema={**OBJECT, "required": 1})
    )


@pytest.mark.parametrize(
    "schema",
    [
        {**OBJECT, "$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}},
         "properties": {"a": {"$ref": "#/definitions/a"}}, "dependencies": {"a": ["b"]}},
        {**OBJECT, "$schema": "https://json-schema.org/draft/2020-12/schema#"},
        {**OBJECT, "properties": {"a": {"const": {"$ref": "https://acme.dev"}}}},
        {**OBJECT, "properties": {"a": {"default": {"$ref": "x"}, "enum": [{"$ref": "y"}]}}},
        {**OBJECT, "properties": {"$ref": {"type": "string"}}},
        {**OBJECT, "properties": {"self": {"$ref": "#"}}},
        {**OBJECT, "$id": "https://acme.dev/s", "properties": {"a": {"$ref": "/s#/$defs/b"}},
         "$defs": {"b": True}},
        {**OBJECT, "$defs": {"b": {"$id": "b", "$defs": {"c": {}}, "$ref": "#/$defs/c"}}, "$id": "https://acme.dev/"},
        {**OBJECT, "properties": {"a": True, "b": False}, "additionalProperties": False},
        {**OBJECT, "properties": {"a~/b": {}, "c": {"$ref": "#/properties/a~0~1b"}}},
    ],
)  # fmt: skip
def test_schemas_that_stay_inside_themselves_are_taken(schema: dict[str, object]) -> None:
    assert parse(tool(inputSchema=schema))[0].input_schema == schema


def test_a_tool_that_nests_deeply_is_one_bad_tool() -> None:
    schema: dict[str, object] = {"type": "object"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "nests deeper than 64" in fault(tool(inputSchema=schema))
    assert "nests deeper than 64" in fault(tool(**{"x-unknown": schema}))


def test_json_that_nests_without_end_is_no_list_of_tools() -> None:
    raw = '{"type":"object","properties":{"a":' * 5000 + "{}" + "}}" * 5000
    with pytest.raises(ComponentError, match="not a JSON array"):
        parse_tools(f'[{{"name":"a","inputSchema":{raw}}}]'.encode())


def test_what_cannot_be_written_back_is_one_bad_tool() -> None:
    assert (
        "out of range"
        in parse_tools(b'[{"name":"a","inputSchema":{"type":"object","maximum":1e999}}]')[0].fault
    )
    assert "not Unicode" in fault(tool(description="\ud800"))
    assert "not Unicode" in fault(tool(inputSchema={**OBJECT, "title": "\udfff"}))


def test_a_schema_of_many_parts_is_one_bad_tool() -> None:
    parts = {**OBJECT, "anyOf": [{}] * component_tool.MAX_SUBSCHEMAS}
    assert f"more than {component_tool.MAX_SUBSCHEMAS}" in fault(tool(inputSchema=parts))


def test_the_engine_is_asked_once_for_all_tools_without_another_fault() -> None:
    asked: list[Sequence[Mapping[str, Any]]] = []

    def ask(schemas: Sequence[Mapping[str, Any]]) -> list[SchemaVerdict]:
        asked.append(schemas)
        rules = {"type": "object", "minProperties": 1}
        return [SchemaVerdict("it is bad"), SchemaVerdict("", ("^a: no",), rules), SchemaVerdict()]

    tools = parse_tools(
        json.dumps(
            [
                tool(name="bad"),
                tool(name=7),
                tool(name="warned", outputSchema={**OBJECT, "title": "o"}),
            ]
        ).encode()
    )
    bad, nameless, warned = judge_schemas(tools, ask)
    assert asked == [[OBJECT, OBJECT, {**OBJECT, "title": "o"}]]
    assert bad.fault == "its inputSchema is not usable: it is bad"
    assert nameless.name == "#2"
    assert warned.warnings == ("inputSchema: ^a: no",)
    assert (warned.input_schema, warned.input_rules) == (OBJECT, {"type": "object", "minProperties": 1})
    assert warned.output_rules is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
KEYWORDS = st.sampled_from(
    ["$ref", "$dynamicRef", "$id", "$anchor", "$schema", "$defs", "properties", "items", "allOf", "not",
     "type",
     "prefixItems", "patternProperties", "dependentSchemas", "definitions", "$recursiveRef", "$vocabulary"]
)  # fmt: skip
SCHEMAS = st.recursive(
    JSON_VALUES | st.sampled_from(["#", "#/$defs/a", "object", "https://x.dev", "[", "#/a/0", "urn:x"]),
    lambda inner: st.dictionaries(KEYWORDS | st.just("a"), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS)
def test_no_schema_raises_anything_but_component_errors(schema: object) -> None:
    given_schema = {**schema, "type": "object"} if isinstance(schema, dict) else schema
    before = copy.deepcopy(given_schema)
    try:
        message = parse(tool(inputSchema=given_schema))[0].fault
    except ComponentError as error:
        message = str(error)
    assert not message or "not a JSON array" in message or "inputSchema" in message or "nests" in message
    assert given_schema == before


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "title", "inputSchema", "annotations", "icons", "_meta"]), JSON_VALUES
    )
)
def test_no_metadata_raises_anything_but_component_errors(changes: dict[str, object]) -> None:
    message = ""
    try:
        (parsed,) = parse(tool(**changes))
    except ComponentError as error:
        message = str(error)
    assert "not a JSON array" in message or len(parsed.fault) < 500


# The audit


def component(*imports: str, kind: Kind = Kind.WASI_0_2) -> Component:
    return Component(Digest("sha256:" + "a" * 64), 1, Binary(kind, imports, ()), ())


def spec(**grants: object) -> ToolSpec:
    return ToolSpec.model_validate({"name": "weather", "image": "ghcr.io/acme/weather:1", **grants})


@pytest.mark.parametrize(
    ("imported", "field", "grant"),
    [
        ("fermyon:spin/key-value@2.0.0", "keyValueStores", ["default"]),
        ("wasi:keyvalue/store@0.2.0-draft2", "keyValueStores", ["default"]),
        ("spin:key-value/key-value@3.0.0", "keyValueStores", ["default"]),
        ("fermyon:spin/sqlite@2.0.0", "sqliteDatabases", ["default"]),
        ("spin:sqlite/sqlite@3.0.0", "sqliteDatabases", ["default"]),
        ("fermyon:spin/llm@2.0.0", "aiModels", ["llama2-chat"]),
        ("fermyon:spin/variables@2.0.0", "variables", [{"name": "units", "value": "metric"}]),
        ("wasi:config/store@0.2.0-draft-2024-09-27", "variables", [{"name": "units", "value": "metric"}]),
        ("wasi:http/outgoing-handler@0.2.4", "allowedOutboundHosts", ["https://api.acme.dev"]),
        ("fermyon:spin/redis@2.0.0", "allowedOutboundHosts", ["redis://cache.acme.dev:6379"]),
        ("fermyon:spin/mqtt@2.0.0", "allowedOutboundHosts", ["mqtt://mq.acme.dev:1883"]),
        ("spin:postgres/postgres@3.0.0", "allowedOutboundHosts", ["postgres://db.acme.dev:5432"]),
        ("fermyon:spin/mysql@2.0.0", "allowedOutboundHosts", ["mysql://db.acme.dev:3306"]),
        ("wasi:sockets/tcp@0.2.0", "allowedOutboundHosts", ["*://10.0.0.1:*"]),
    ],
)
def test_an_import_without_its_grant_is_a_note(imported: str, field: str, grant: object) -> None:
    (finding,) = audit(spec(), component(imported))
    assert (finding.severity, finding.field) == (Severity.NOTE, field)
    assert imported in finding.message
    assert audit(spec(**{field: grant}), component(imported)) == ()


def test_a_grant_for_another_scheme_does_not_serve() -> None:
    granted = spec(allowedOutboundHosts=["https://api.acme.dev"])
    assert [f.capability for f in audit(granted, component("fermyon:spin/redis@2.0.0"))] == ["Redis"]


def test_a_grant_that_nothing_can_use_is_a_warning() -> None:
    granted = spec(
        keyValueStores=["default"], allowedOutboundHosts=["https://api.acme.dev"],
        variables=[{"name": "units", "value": "metric"}],
    )  # fmt: skip
    findings = audit(granted, component("wasi:io/streams@0.2.0"))
    assert {(f.severity, f.field) for f in findings} == {
        (Severity.WARNING, "keyValueStores"),
        (Severity.WARNING, "variables"),
        (Severity.WARNING, "allowedOutboundHosts"),
    }


def test_files_are_told_of() -> None:
    (finding,) = audit(spec(), component("wasi:filesystem/preopens@0.2.6", "wasi:filesystem/types@0.2.6"))
    assert (finding.severity, finding.capability) == (Severity.NOTE, "files")
