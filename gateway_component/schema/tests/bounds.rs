//! Hostile schemas and values end in a violation, and soon.

use schema::{Json, Limits, Validator};
use serde_json::{Value, json};
use std::fmt::Write;

fn only(schema: &Value, instance: &Value) -> String {
    let violations = schema::validate(schema, instance).expect_err("a violation");
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].to_string()
}

/// `{"a":{"a":…}}`, as deep as serde_json reads it.
fn nested(depth: usize, open: &str, inner: &str, close: &str) -> Value {
    serde_json::from_str(&(open.repeat(depth) + inner + &close.repeat(depth))).expect("JSON")
}

#[test]
fn references_that_never_end_are_no_fault_of_the_value() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"not": {"$ref": "#"}}),
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"$dynamicRef": "#x", "$dynamicAnchor": "x"}),
    ] {
        assert_eq!(schema::validate(&schema, &json!(1)), Ok(()), "{schema}");
    }
}

#[test]
fn a_value_that_is_too_deep_is_refused() {
    let tree = json!({"items": {"allOf": [{"$ref": "#"}]}});
    let found = only(&tree, &nested(120, "[", "1", "]"));
    assert!(found.ends_with("schema and value are nested too deeply to be checked"), "{found}");
}

#[test]
fn the_deepest_value_that_can_be_read_is_checked() {
    let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "additionalProperties": {"$ref": "#/$defs/t"}}}});
    assert!(schema::validate(&tree, &nested(126, "{\"a\":", "{}", "}")).is_ok());
    let lists = nested(126, "{\"items\":", "{\"type\":\"string\"}", "}");
    assert!(schema::validate(&lists, &nested(126, "[", "\"x\"", "]")).is_ok());
    let wrong = only(&lists, &nested(126, "[", "1", "]"));
    assert!(wrong.ends_with("/0: expected string, got number 1"), "{wrong}");
}

#[test]
fn schemas_that_double_their_work() {
    let mut levels = String::from("\"l0\":{\"type\":\"string\"}");
    for level in 1..40 {
        write!(
            levels,
            ",\"l{level}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/l{0}\"}},{{\"$ref\":\"#/$defs/l{0}\"}}]}}",
            level - 1
        )
        .expect("written");
    }
    let schema: Value =
        serde_json::from_str(&format!("{{\"$ref\":\"#/$defs/l39\",\"$defs\":{{{levels}}}}}")).expect("JSON");
    assert_eq!(only(&schema, &json!("x")), "checking this against its schema takes too much work");
    let any: Value = serde_json::from_str(&schema.to_string().replace("allOf", "anyOf")).expect("JSON");
    assert_eq!(only(&any, &json!(1)), "checking this against its schema takes too much work");
}

#[test]
fn a_large_value_is_no_hostile_one() {
    let schema = json!({
        "type": "array", "uniqueItems": true,
        "items": {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"pattern": "^[a-z0-9 ]+$"}}},
    });
    let rows: Vec<Value> = (0..20_000).map(|n| json!({"id": n, "name": format!("row number {n}")})).collect();
    assert_eq!(schema::validate(&schema, &Value::Array(rows)), Ok(()));
    let text = "QUJD".repeat(250_000);
    assert_eq!(
        schema::validate(&json!({"pattern": "^[A-Za-z0-9+/]*={0,2}$", "maxLength": 1_000_000}), &json!(text)),
        Ok(())
    );
}

#[test]
fn values_made_to_be_compared() {
    let row: Vec<u32> = (0..1000).collect();
    let rows: Vec<Value> = (0..1000)
        .map(|n| {
            let mut row = row.clone();
            row.push(n);
            json!(row)
        })
        .collect();
    let schema = json!({"uniqueItems": true});
    assert_eq!(schema::validate(&schema, &json!(rows)), Ok(()));
    let constants = json!({ "enum": rows });
    let mut given = row;
    given.push(5000);
    assert!(schema::validate(&constants, &json!(given)).is_err());
    let limits = Limits { steps: 1000, ..Limits::default() };
    let found = Validator { limits, ..Validator::default() }
        .validate(&Json::from(&schema), &Json::from(&json!(rows)))
        .map_err(|found| found[0].to_string());
    assert_eq!(found, Err("checking this against its schema takes too much work".to_owned()));
}

#[test]
fn a_value_is_never_blamed_for_its_schema() {
    for (schema, instance) in [
        (json!(5), json!(1)),
        (json!({"type": "strin"}), json!(1)),
        (json!({"properties": {"a": {"required": true}}}), json!({"a": {}})),
        (json!({"required": [5, null]}), json!({})),
        (json!({"dependentRequired": {"a": [5]}}), json!({"a": 1})),
        (json!({"minimum": "1"}), json!(1)),
        (json!({"multipleOf": 0}), json!(1)),
        (json!({"maxItems": -1}), json!([])),
        (json!({"enum": "a"}), json!("a")),
        (json!({"anyOf": []}), json!([])),
        (json!({"allOf": [{"anyOf": []}], "not": {"oneOf": []}}), json!([])),
        (json!({"pattern": "(a)\\1"}), json!("b")),
        (json!({"pattern": "["}), json!("b")),
        (json!({"not": {"pattern": "(a)\\1"}}), json!("b")),
        (json!({"not": {"not": {"not": {"pattern": "(a)\\1"}}}}), json!("b")),
        (json!({"oneOf": [{"pattern": "(a)\\1"}, {"minLength": 1}]}), json!("b")),
        (json!({"oneOf": [{"minLength": 1}, {"pattern": "(a)\\1"}]}), json!("b")),
        (json!({"if": {"pattern": "(a)\\1"}, "then": false, "else": false}), json!("b")),
        (json!({"contains": {"pattern": "(a)\\1"}, "maxContains": 0, "minContains": 0}), json!(["b"])),
        (json!({"contains": true, "maxContains": "x"}), json!(["b"])),
        (json!({"propertyNames": {"pattern": "(a)\\1"}}), json!({"b": 1})),
        (json!({"patternProperties": {"(a)\\1": false}, "additionalProperties": false}), json!({"b": 1})),
        (json!({"patternProperties": {"(a)\\1": true}, "unevaluatedProperties": false}), json!({"b": 1})),
        (json!({"properties": 5, "additionalProperties": false}), json!({"b": 1})),
        (json!({"prefixItems": 5, "items": false}), json!([1])),
        (json!({"prefixItems": 5, "unevaluatedItems": false}), json!([1])),
        (json!({"$ref": "#/$defs/a"}), json!(1)),
        (json!({"$ref": "#a", "unevaluatedProperties": false}), json!({"b": 1})),
        (json!({"not": {"$ref": "https://example.org/s.json"}}), json!(1)),
        (json!({"$ref": "#"}), json!({"b": 1})),
        (json!({"not": {"$ref": "#"}}), json!({"b": 1})),
        (
            json!({"properties": {"b": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
            json!({"b": 1}),
        ),
    ] {
        assert_eq!(schema::validate(&schema, &instance), Ok(()), "{schema}");
    }
}

#[test]
fn beside_what_cannot_be_enforced_everything_else_is() {
    for (schema, instance) in [
        (json!({"pattern": "(a)\\1", "minLength": 2}), json!("b")),
        (json!({"allOf": [{"pattern": "(a)\\1"}, {"type": "string"}]}), json!(1)),
        (json!({"oneOf": [{"pattern": "(a)\\1", "minLength": 2}, {"type": "integer"}]}), json!("b")),
        (json!({"properties": {"a": {"$ref": "#x"}, "b": {"type": "string"}}}), json!({"a": 1, "b": 1})),
        (json!({"patternProperties": {"(a)\\1": {}, "^b": {"type": "string"}}}), json!({"b": 1})),
        (json!({"not": {"type": "string"}, "pattern": "["}), json!("b")),
        (json!({"required": [5, "a"]}), json!({})),
    ] {
        assert!(schema::validate(&schema, &instance).is_err(), "{schema}");
    }
}

#[test]
fn the_dialect_is_the_one_that_the_schema_names() {
    let beside = |dialect: &str| json!({"$schema": dialect, "$ref": "#/definitions/any", "type": "string", "definitions": {"any": true}});
    assert!(schema::validate(&beside("http://json-schema.org/draft-07/schema#"), &json!(1)).is_ok());
    assert!(schema::validate(&beside("https://json-schema.org/draft/2020-12/schema"), &json!(1)).is_err());
    let tuple = json!({"items": [{"type": "string"}], "additionalItems": false});
    assert!(schema::validate(&tuple, &json!(["a"])).is_ok());
    assert!(schema::validate(&tuple, &json!(["a", 1])).is_err());
    let strict =
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true});
    assert!(schema::validate(&strict, &json!(1)).is_err());
}
