//! JSON values without duplicate keys. Two readers of a duplicate may see two values: one checks the first, the other
//! uses the last (RFC 8725 §2.4, RFC 7519 §4).

use crate::text::holds;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Parse a JSON text into a value. Errors name the place and, for a duplicate, the key.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    read(text, usize::MAX)
}

/// Parse a JSON text whose arrays and objects are nested at most `depth` levels; None for anything else.
pub fn parse_bounded(bytes: &[u8], depth: usize) -> Option<Value> {
    read(std::str::from_utf8(bytes).ok()?, depth).ok()
}

fn read(text: &str, depth: usize) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Whether a JSON text that was only skimmed has an escape for half a character (`\ud800` without its other half).
/// The grammar of JSON allows it, and readers that decode into Unicode refuse the whole text.
pub fn has_lone_surrogate(text: &str) -> bool {
    // Most texts have no escape at all, or none of these; only the rest is read to its end.
    holds(text, '\\', &["ud", "uD"]) && serde_json::from_str::<Value>(text).is_err()
}

/// Whether a JSON text that was only skimmed cannot be read by every client: it has half a character, or a number that
/// is out of a double's range, such as `1e999`, which the grammar of JSON allows and readers refuse or change.
pub fn is_unreadable(text: &str) -> bool {
    has_lone_surrogate(text) || has_long_number(text) && serde_json::from_str::<Value>(text).is_err()
}

/// Whether there may be a number of 300 digits, or one with an exponent of three.
fn has_long_number(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(start) = rest.iter().position(u8::is_ascii_digit) {
        let (before, number) = rest.split_at(start);
        let digits = number.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(number.len());
        let before = before.strip_suffix(b"+").unwrap_or(before);
        if digits >= 300 || digits >= 3 && matches!(before.last(), Some(b'e' | b'E')) {
            return true;
        }
        rest = &number[digits..];
    }
    false
}

/// Reads a value in which `depth` more levels of arrays and objects may come.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    /// The reader of what is within an array or an object.
    fn inner<E: Error>(self) -> Result<Strict, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("the nesting is too deep"))?;
        Ok(Strict { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} occurs twice")));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_found() {
        let long = "1".repeat(400);
        for text in ["[1e999]", "[21.51E+400]", "{\"a\":-1e309}", &format!("[{long}]"), "[\"\\ud800\"]"] {
            assert!(is_unreadable(text), "{text}");
        }
        for text in
            ["[1e99]", "[1e-999]", "[1e300]", "[\"1e999\"]", "[\"e999\",123456]", &format!("[\"{long}\"]")]
        {
            assert!(!is_unreadable(text), "{text}");
        }
    }

    #[test]
    fn duplicates_are_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(parse(text).unwrap_err().to_string().contains("occurs twice"), "{text}");
        }
        let text = r#"{"a":[1,-2,0.5,true,null,"x\n"],"b":{"a":{}}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert!(parse("{} x").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        for (text, depth, is_read) in [
            ("1", 0, true),
            ("[]", 0, false),
            ("[]", 1, true),
            (r#"{"a":[]}"#, 1, false),
            (r#"{"a":[],"b":[{}],"c":"[[["}"#, 3, true),
            (r#"{"a":[],"a":[]}"#, 3, false),
            ("[] x", 3, false),
        ] {
            assert_eq!(parse_bounded(text.as_bytes(), depth).is_some(), is_read, "{text} {depth}");
        }
        assert!(parse_bounded(b"\"\xff\"", 1).is_none());
    }
}
