//! JSON values without duplicate keys: of two readers of a duplicate, one may check the first and one use the last.

use crate::text::holds;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Parse a JSON text into a value. Errors name the place and, for a duplicate, the key.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Whether a JSON text that was only skimmed has an escape for half a character (`\ud800` without its other half).
/// The grammar of JSON allows it, and readers that decode into Unicode refuse the whole text.
pub(crate) fn is_half(text: &str) -> bool {
    // Most texts have no escape at all, or none of these; only the rest is read to its end.
    holds(text, '\\', &["ud", "uD"]) && serde_json::from_str::<Value>(text).is_err()
}

/// Whether a JSON text that was only skimmed cannot be read by every client: it has half a character, or a number that
/// is out of a double's range, such as `1e999`, which the grammar of JSON allows and readers refuse or change.
pub(crate) fn is_unreadable(text: &str) -> bool {
    is_half(text) || has_long_number(text) && serde_json::from_str::<Value>(text).is_err()
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

struct Strict;

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
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Strict)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
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
}
