//! Laws that hold for every schema and value, tried on many made from a fixed seed.

use schema::{Violation, validate};
use serde_json::{Map, Value, json};

/// A small generator (xorshift64*), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn pick<'t, T>(&mut self, options: &'t [T]) -> &'t T {
        &options[self.roll(options.len())]
    }
}

const NAMES: [&str; 5] = ["a", "b", "c/d", "e~f", ""];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(dice.roll(2) == 0),
        2 => json!(dice.roll(5)),
        3 => json!(dice.roll(20) as f64 / 4.0 - 2.0),
        4 => json!(["", "a", "ab", "é🐲", "2026"][dice.roll(5)]),
        5 => json!(1e300),
        6 => (0..dice.roll(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => Value::Object(
            (0..dice.roll(4)).map(|_| (dice.pick(&NAMES).to_string(), value(dice, depth - 1))).collect(),
        ),
    }
}

fn schema(dice: &mut Dice, depth: usize) -> Value {
    if depth == 0 || dice.roll(12) == 0 {
        return [
            json!(true),
            json!(false),
            json!({}),
            json!({"type": "integer"}),
            json!({"$ref": "#/$defs/x"}),
        ][dice.roll(5)]
        .clone();
    }
    let mut map = Map::new();
    for _ in 0..=dice.roll(3) {
        let list =
            |dice: &mut Dice| -> Value { (0..=dice.roll(2)).map(|_| schema(dice, depth - 1)).collect() };
        let (name, content) = match dice.roll(24) {
            0 => (
                "type",
                json!(*dice.pick(&["string", "number", "integer", "object", "array", "null", "boolean"])),
            ),
            1 => ("type", json!(["string", "array", "object"])),
            2 => ("enum", json!([value(dice, 2), value(dice, 1)])),
            3 => ("const", value(dice, 2)),
            4 => ("minimum", json!(dice.roll(4))),
            5 => ("exclusiveMaximum", json!(dice.roll(9) as f64 / 2.0)),
            6 => ("multipleOf", json!([0.25, 1.0, 0.1, 3.0][dice.roll(4)])),
            7 => ("minLength", json!(dice.roll(3))),
            8 => ("pattern", json!(*dice.pick(&["^a", "\\d+", "(?=a)", "[^]$", "b|é"]))),
            9 => ("allOf", list(dice)),
            10 => ("anyOf", list(dice)),
            11 => ("oneOf", list(dice)),
            12 => ("not", schema(dice, depth - 1)),
            13 => ("if", schema(dice, depth - 1)),
            14 => ("then", schema(dice, depth - 1)),
            15 => ("prefixItems", list(dice)),
            16 => ("items", schema(dice, depth - 1)),
            17 => ("contains", schema(dice, depth - 1)),
            18 => ("unevaluatedItems", schema(dice, depth - 1)),
            19 => ("unevaluatedProperties", schema(dice, depth - 1)),
            20 => ("additionalProperties", schema(dice, depth - 1)),
            21 => ("required", json!([*dice.pick(&NAMES)])),
            22 => ("uniqueItems", json!(true)),
            _ => (
                "properties",
                json!({ (dice.pick(&NAMES).to_string()): schema(dice, depth - 1), (dice.pick(&NAMES).to_string()): schema(dice, depth - 1) }),
            ),
        };
        map.insert(name.to_owned(), content);
    }
    Value::Object(map)
}

/// A schema document around a part of one, which may refer to `x`.
fn document(part: &Value) -> Value {
    json!({"allOf": [part], "$defs": {"x": {"type": ["string", "object"], "additionalProperties": {"$ref": "#/$defs/x"}}}})
}

fn check(part: &Value, instance: &Value) -> Result<(), Vec<Violation>> {
    validate(&document(part), instance)
}

#[test]
fn laws_of_logic_and_of_reports() {
    let mut dice = Dice(0x5eed);
    let mut valid = 0;
    for round in 0..6_000 {
        let (part, instance) = (schema(&mut dice, 3), value(&mut dice, 3));
        let answer = check(&part, &instance);
        let fits = answer.is_ok();
        valid += u32::from(fits);
        let about = || format!("round {round}: {part} on {instance}: {answer:?}");
        if let Err(found) = &answer {
            assert!(!found.is_empty(), "{}", about());
            assert!(found.iter().all(|violation| !violation.message.contains("not usable")), "{}", about());
            assert!(found.iter().all(|violation| instance.pointer(&violation.path).is_some()), "{}", about());
        }
        for (law, wrapped, expected) in [
            ("not not", json!({"not": {"not": part}}), fits),
            ("not", json!({"not": part}), !fits),
            ("any of two", json!({"anyOf": [part, part]}), fits),
            ("any of one and none", json!({"anyOf": [false, part]}), fits),
            ("all of two", json!({"allOf": [part, part, true]}), fits),
            ("one of two", json!({"oneOf": [part, part]}), false),
            ("one of one and none", json!({"oneOf": [part, false]}), fits),
            ("if so", json!({"if": part, "then": true, "else": false}), fits),
        ] {
            assert_eq!(check(&wrapped, &instance).is_ok(), expected, "{law}: {}", about());
        }
        assert_eq!(check(&json!({"items": part}), &json!([instance])).is_ok(), fits, "items: {}", about());
        assert_eq!(
            check(&json!({"properties": {"p": part}}), &json!({"p": instance})).is_ok(),
            fits,
            "{}",
            about()
        );
        assert!(check(&json!({"const": instance}), &instance).is_ok(), "const: {}", about());
    }
    assert!((1_000..5_000).contains(&valid), "{valid} of the random pairs fit, so the laws say little");
}
