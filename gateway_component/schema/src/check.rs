//! A schema before it is published: what this engine cannot run, what it reads otherwise than its author may think, and
//! the same schema as ECMA-262 and so every client reads it.

use crate::pattern::{PatternError, inspect};
use crate::report::shorten;
use crate::resource::{ARRAYS, MAPS, SINGLES};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Schemas within schemas that are looked at; validation goes no deeper either.
const MAX_DEPTH: usize = 128;
/// Schemas of one request.
const MAX_SCHEMAS: usize = 4096;
/// Patterns of one request: reading one is bounded, so this bounds all of them.
const MAX_PATTERNS: usize = 20_000;
/// Warnings about one schema.
const MAX_WARNINGS: usize = 20;

/// What was found in one schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// Why it cannot be used; None if it can.
    pub error: Option<String>,
    /// What of it is not enforced, or means something else than it seems to.
    pub warnings: Vec<String>,
    /// The schema with its patterns as ECMA-262 writes them, if some were written otherwise.
    pub translated: Option<Value>,
}

/// Check the patterns of a schema, and that it is one.
pub fn check(schema: &Value) -> Checked {
    Checker::default().check(schema)
}

/// Answer the operator's question about schemas.
///
/// `body` is `{"schemas": [schema, …]}`; the answer is `{"results": [{"error": null or text, "warnings": [text, …],
/// "schema": the translated schema, if it differs}, …]}`, or `{"error": text}` for a question that cannot be read.
pub fn check_request(body: &[u8]) -> Vec<u8> {
    let answer = match serde_json::from_slice::<Value>(body) {
        Err(error) => json!({"error": format!("the request cannot be read: {error}")}),
        Ok(request) => match request.get("schemas").and_then(Value::as_array) {
            None => json!({"error": "schemas is not a list"}),
            Some(schemas) if schemas.len() > MAX_SCHEMAS => {
                json!({"error": format!("schemas has more than {MAX_SCHEMAS} entries")})
            }
            Some(schemas) => {
                let mut checker = Checker::default();
                let results: Vec<Value> =
                    schemas.iter().map(|schema| document(checker.check(schema))).collect();
                json!({"results": results})
            }
        },
    };
    answer.to_string().into_bytes()
}

fn document(checked: Checked) -> Value {
    let mut result = json!({"error": checked.error, "warnings": checked.warnings});
    if let Some(schema) = checked.translated {
        result["schema"] = schema;
    }
    result
}

/// What is known of a pattern: its translation, and what to warn of.
type Known = Result<(Option<String>, Vec<&'static str>), PatternError>;

/// The check of one request's schemas; patterns that recur are read once.
#[derive(Default)]
struct Checker {
    known: BTreeMap<String, Known>,
    found: Checked,
}

impl Checker {
    fn check(&mut self, schema: &Value) -> Checked {
        let mut copy = schema.clone();
        let changed = self.schema(&mut copy, "", 0);
        let found = std::mem::take(&mut self.found);
        let translated = (changed && found.error.is_none()).then_some(copy);
        Checked { translated, ..found }
    }

    /// Look at a schema that is at the JSON pointer `at`; whether something was translated.
    fn schema(&mut self, schema: &mut Value, at: &str, depth: usize) -> bool {
        let members = match schema {
            Value::Bool(_) => return false,
            Value::Object(members) => members,
            _ => {
                self.refuse(at, "this is no schema");
                return false;
            }
        };
        if depth > MAX_DEPTH {
            self.refuse(at, "its schemas are nested too deeply");
            return false;
        }
        let mut changed = false;
        if let Some(Value::String(pattern)) = members.get_mut("pattern")
            && let Some(translation) = self.pattern(pattern, &format!("{at}/pattern"))
        {
            *pattern = translation;
            changed = true;
        }
        for (name, value) in members.iter_mut() {
            let here = || format!("{at}/{}", escaped(name));
            match value {
                Value::Array(items) if ARRAYS.contains(&name.as_str()) => {
                    for (index, item) in items.iter_mut().enumerate() {
                        changed |= self.schema(item, &format!("{}/{index}", here()), depth + 1);
                    }
                }
                Value::Object(schemas) if MAPS.contains(&name.as_str()) => {
                    for (key, inner) in schemas.iter_mut() {
                        // `dependencies` holds lists of names, too.
                        if !inner.is_array() {
                            changed |= self.schema(inner, &format!("{}/{}", here(), escaped(key)), depth + 1);
                        }
                    }
                    if name == "patternProperties" {
                        changed |= self.keys(schemas, &here());
                    }
                }
                inner if SINGLES.contains(&name.as_str()) => {
                    changed |= self.schema(inner, &here(), depth + 1);
                }
                _ => {}
            }
        }
        changed
    }

    /// Look at the patterns that are the keys of `patternProperties`.
    fn keys(&mut self, schemas: &mut Map<String, Value>, at: &str) -> bool {
        let mut changed = false;
        for key in schemas.keys().cloned().collect::<Vec<String>>() {
            if let Some(translation) = self.pattern(&key, &format!("{at}/{}", escaped(&key)))
                && !schemas.contains_key(&translation)
                && let Some(schema) = schemas.remove(&key)
            {
                schemas.insert(translation, schema);
                changed = true;
            }
        }
        changed
    }

    /// Look at a pattern; its translation if it needs one.
    fn pattern(&mut self, pattern: &str, at: &str) -> Option<String> {
        if !self.known.contains_key(pattern) {
            if self.known.len() >= MAX_PATTERNS {
                self.warn(at, "this pattern was not looked at, there are too many".into());
                return None;
            }
            let found = inspect(pattern).map(|found| (found.translation, found.warnings));
            self.known.insert(pattern.to_owned(), found);
        }
        let shown = shorten(pattern);
        match self.known.get(pattern)?.clone() {
            Ok((translation, warnings)) => {
                for warning in warnings {
                    self.warn(at, format!("the pattern {shown} {warning}"));
                }
                translation
            }
            Err(PatternError::Malformed(reason)) => {
                self.refuse(at, &format!("the pattern {shown} {reason}"));
                None
            }
            Err(PatternError::Unsupported(reason)) => {
                self.warn(at, format!("the pattern {shown} {reason}; it is not enforced"));
                None
            }
        }
    }

    fn refuse(&mut self, at: &str, reason: &str) {
        self.found.error.get_or_insert_with(|| placed(at, reason));
    }

    fn warn(&mut self, at: &str, warning: String) {
        if self.found.warnings.len() < MAX_WARNINGS {
            self.found.warnings.push(placed(at, &warning));
        }
    }
}

fn placed(at: &str, text: &str) -> String {
    if at.is_empty() { text.to_owned() } else { format!("at {}: {text}", shorten(at)) }
}

/// A name as a step of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_fine_is_left_alone() {
        for schema in [
            json!(true),
            json!({}),
            json!({"type": "object", "properties": {"pattern": {"type": "string", "pattern": "^\\p{L}+$"}}}),
            json!({"const": {"pattern": "("}, "enum": [{"pattern": "("}], "default": {"pattern": "("}}),
            json!({"pattern": "^(?<year>\\d{4})$", "patternProperties": {"^x-": {"pattern": "[^]"}}}),
            json!({"dependencies": {"a": ["b"], "c": {"pattern": "(?<=a|bc)d"}}}),
        ] {
            assert_eq!(check(&schema), Checked::default(), "{schema}");
        }
    }

    #[test]
    fn patterns_are_found_wherever_a_schema_has_subschemas() {
        let bad = json!({"pattern": "(a|b)\\1"});
        for schema in [
            json!({"properties": {"a/b": bad}}),
            json!({"items": bad}),
            json!({"items": [bad]}),
            json!({"allOf": [{"anyOf": [{"oneOf": [bad]}]}]}),
            json!({"not": {"if": bad}}),
            json!({"$defs": {"x": bad}, "$ref": "#/$defs/x"}),
            json!({"patternProperties": {"(a|b)\\1": {}}}),
            json!({"dependentSchemas": {"x": bad}, "dependencies": {"y": ["z"]}}),
            json!({"propertyNames": bad}),
        ] {
            let found = check(&schema);
            assert_eq!((found.error, found.warnings.len(), found.translated), (None, 1, None), "{schema}");
            assert!(found.warnings[0].contains("backreference"), "{:?}", found.warnings);
        }
        let found = check(&json!({"properties": {"a/b": {"pattern": "[[:alpha:]]"}}}));
        assert!(
            found.warnings[0].starts_with("at /properties/a~1b/pattern: the pattern [[:alpha:]] has a POSIX")
        );
    }

    #[test]
    fn other_dialects_are_translated_in_place() {
        let schema = json!({
            "properties": {"a": {"pattern": "\\Aa\\Z"}, "b": {"pattern": "^b$"}},
            "patternProperties": {"(?i)^x": {"pattern": "(?P<n>c)"}},
        });
        let translated = json!({
            "properties": {"a": {"pattern": "^a$"}, "b": {"pattern": "^b$"}},
            "patternProperties": {"^[xX]": {"pattern": "(?<n>c)"}},
        });
        assert_eq!(check(&schema), Checked { translated: Some(translated), ..Checked::default() });
        // Two keys that would become one stay as they are.
        let twice = json!({"patternProperties": {"\\Aa": {"type": "string"}, "^a": {"minLength": 1}}});
        assert_eq!(check(&twice), Checked::default());
    }

    #[test]
    fn what_no_engine_takes_is_an_error() {
        let found = check(&json!({"properties": {"a": {"pattern": "(a"}}}));
        assert_eq!(
            found.error.as_deref(),
            Some("at /properties/a/pattern: the pattern (a lacks a closing parenthesis")
        );
        assert_eq!(check(&json!({"items": 5})).error.as_deref(), Some("at /items: this is no schema"));
    }

    #[test]
    fn questions_are_answered_and_bounded() {
        let ask = |body: &[u8]| serde_json::from_slice::<Value>(&check_request(body)).unwrap();
        let schemas = json!({"schemas": [{"pattern": "a"}, {"pattern": "(?i)a"}, {"pattern": "("}]});
        assert_eq!(
            ask(schemas.to_string().as_bytes()),
            json!({"results": [
                {"error": null, "warnings": []},
                {"error": null, "warnings": [], "schema": {"pattern": "[aA]"}},
                {"error": "at /pattern: the pattern ( lacks a closing parenthesis", "warnings": []},
            ]})
        );
        for body in ["", "[]", "{}", "{\"schemas\":5}", "\u{0}"] {
            assert!(ask(body.as_bytes())["error"].is_string(), "{body}");
        }
        let many = json!({"schemas": vec![true; MAX_SCHEMAS + 1]});
        assert!(ask(many.to_string().as_bytes())["error"].is_string());
        let noisy: Vec<Value> = (0..100).map(|n| json!({"pattern": format!("(a)\\1{n}")})).collect();
        assert_eq!(check(&json!({ "allOf": noisy })).warnings.len(), MAX_WARNINGS);
    }
}
