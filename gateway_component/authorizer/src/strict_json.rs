//! JSON as tokens and key sets must be: bounded in depth, and no member twice, since two readers of a duplicate may
//! see two different values (RFC 8725 §2.4, RFC 7519 §4).

use serde_json::Value;

/// Parse a whole JSON text whose nesting is at most `depth`; `None` for anything else.
pub(crate) fn parse(bytes: &[u8], depth: usize) -> Option<Value> {
    let (deepest, colons) = scan(bytes);
    if deepest > depth {
        return None;
    }
    let value = serde_json::from_slice(bytes).ok()?;
    // Each member of a valid text has one colon outside strings; a member that occurs twice is kept once.
    (members(&value) == colons).then_some(value)
}

/// The deepest nesting, and the number of colons outside strings.
fn scan(bytes: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut colons) = (0usize, 0, 0);
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => colons += 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (deepest, colons)
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}
