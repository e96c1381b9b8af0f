//! What a model is told, compared whole.

use serde_json::{Value, json};

fn told(schema: Value, instance: Value) -> Vec<String> {
    match schema::validate(&schema, &instance) {
        Ok(()) => Vec::new(),
        Err(violations) => violations.iter().map(ToString::to_string).collect(),
    }
}

fn weather() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 2},
            "units": {"enum": ["metric", "imperial"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "near": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]},
        },
        "required": ["city"],
        "additionalProperties": false,
        "$defs": {"point": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
            "required": ["lat", "lon"],
        }},
    })
}

#[test]
fn every_violation_of_a_call_is_told_at_once() {
    assert_eq!(
        told(weather(), json!({"town": "Oslo", "days": "3", "units": "kelvin", "near": {"lat": 1}})),
        [
            "/town: unexpected property; the known ones are \"city\", \"days\", \"near\", \"units\"",
            "/days: expected integer, got string \"3\"",
            "/near: missing required property \"lon\" (number)",
            "/units: expected one of \"metric\", \"imperial\", got \"kelvin\"",
            "missing required property \"city\" (string)",
        ]
    );
}

#[test]
fn a_fitting_call_is_accepted() {
    let call = json!({"city": "Oslo", "days": 3.0, "near": {"lat": 59.9, "lon": 10.7}, "units": "metric"});
    assert_eq!(told(weather(), call), [""; 0]);
    assert_eq!(told(weather(), json!({"city": "Oslo", "near": null})), [""; 0]);
}

#[test]
fn single_expectations() {
    for (schema, instance, expected) in [
        (json!({"type": "object"}), json!([1]), "expected object, got array [1]"),
        (json!({"type": ["string", "null"]}), json!(1.5), "expected string or null, got number 1.5"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!(5),
            "expected string or null, got number 5",
        ),
        (json!({"const": {"a": 1}}), json!({"a": 2}), "expected {\"a\":1}, got {\"a\":2}"),
        (json!({"exclusiveMinimum": 0}), json!(0), "expected more than 0, got 0"),
        (json!({"multipleOf": 0.01}), json!(0.015), "expected a multiple of 0.01, got 0.015"),
        (json!({"minLength": 3}), json!("é"), "expected at least 3 characters, got 1: \"é\""),
        (json!({"pattern": "^a+$"}), json!("b"), "expected a string matching ^a+$, got \"b\""),
        (json!({"minItems": 2}), json!([1]), "expected at least 2 items, got 1"),
        (
            json!({"contains": {"type": "string"}}),
            json!([1]),
            "expected at least 1 items that are string, got 0",
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, {"a": 1}, {"a": 1.0}]),
            "expected no two equal items, but items 1 and 2 are both {\"a\":1}",
        ),
        (
            json!({"items": {"items": {"type": "null"}}}),
            json!([[null], [1]]),
            "/1/0: expected null, got number 1",
        ),
        (
            json!({"prefixItems": [true], "items": false}),
            json!([1, 2]),
            "/1: unexpected item, at most 1 are allowed; got 2",
        ),
        (json!({"not": {"type": "string"}}), json!("x"), "must not be string, got string \"x\""),
        (
            json!({"oneOf": [{"minimum": 1}, {"maximum": 5}]}),
            json!(3),
            "fits forms 1 and 2 of 2, but must fit exactly one of them",
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"a": 1}),
            "missing property \"b\", which is required beside \"a\"",
        ),
        (
            json!({"propertyNames": {"pattern": "^[a-z]+$"}}),
            json!({"A": 1}),
            "property name \"A\" does not match \"^[a-z]+$\"",
        ),
        (
            json!({"properties": {"a/b~c": {"type": "null"}}}),
            json!({"a/b~c": 0}),
            "/a~1b~0c: expected null, got number 0",
        ),
        (json!(false), json!({}), "nothing is allowed here, got an empty object"),
    ] {
        assert_eq!(told(schema.clone(), instance), [expected], "{schema}");
    }
}

#[test]
fn the_alternative_that_was_meant_is_explained() {
    let shapes = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["kind", "radius"]},
        {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number"}}, "required": ["kind", "side"]},
    ]});
    assert_eq!(
        told(shapes, json!({"kind": "square", "side": "2"})),
        ["fits none of the 2 allowed forms; by form 2:", "/side: expected number, got string \"2\""]
    );
}

#[test]
fn what_was_given_is_cut() {
    let long = "x".repeat(100_000);
    let text = told(json!({"type": "integer"}), json!(long)).join("");
    assert!(text.chars().count() < 120, "{text}");
    let text = told(json!({"additionalProperties": false}), json!({ (long.clone()): 1 })).join("");
    assert!(text.chars().count() < 140, "{text}");
    let names: Vec<String> = (0..1000).map(|n| format!("n{n}")).collect();
    let text = told(json!({ "enum": names }), json!("z")).join("");
    assert!(text.ends_with("\"n11\" and 988 more, got \"z\""), "{text}");
}

#[test]
fn violations_are_bounded_in_number() {
    let found = told(json!({"items": {"type": "string"}}), json!(vec![1; 10_000]));
    assert_eq!(found.len(), schema::Limits::default().violations);
}

#[test]
fn the_text_of_a_schema_is_as_good_as_its_value() {
    let (text, call) = (weather().to_string(), json!({"city": 5}));
    let read = schema::Json::from(&call);
    assert_eq!(schema::validate_text(&text, &read), schema::validate(&weather(), &call));
    assert_eq!(schema::validate_text("{\"type\":", &read), Ok(()));
}
