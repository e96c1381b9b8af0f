//! Random JSON, and JSON spoiled a little.

use crate::dice::Dice;
use serde_json::{Map, Value, json};

/// Texts that break naive code: escapes, separators, characters of four bytes, header syntax, long ones.
const TEXTS: [&str; 24] = [
    "",
    "a",
    "tools/call",
    "weather__forecast",
    "2026-07-28",
    "2025-11-25",
    "null",
    "\u{0}",
    "\u{2028}",
    "é🐲",
    "\r\nx: y",
    "\"",
    "\\",
    "__",
    "weather__",
    "../../x",
    "%2e%2e",
    "=?base64?YQ==?=",
    "{{ x }}",
    "late__echo",
    "tool_77",
    "io.modelcontextprotocol/protocolVersion",
    "2.0",
    "1e999",
];

pub fn text(dice: &mut Dice) -> String {
    match dice.roll(12) {
        0 => dice.pick(&TEXTS).repeat(1 + dice.roll(300)),
        _ => dice.pick(&TEXTS).to_string(),
    }
}

pub fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 7 } else { 10 }) {
        0 => Value::Null,
        1 => json!(dice.once_in(2)),
        2 => json!(dice.roll(100)),
        3 => json!(-(dice.roll(1000) as f64) / 8.0),
        4 => json!(u64::MAX),
        5 | 6 => json!(text(dice)),
        7 => (0..dice.roll(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => Value::Object(
            (0..dice.roll(4)).map(|_| (text(dice), value(dice, depth - 1))).collect::<Map<_, _>>(),
        ),
    }
}

/// Changes one random place of a value: another value, a member less, a member more, an item twice.
pub fn spoil(value_: &mut Value, dice: &mut Dice) {
    match value_ {
        Value::Object(members) if !members.is_empty() && !dice.once_in(6) => {
            let key = members.keys().nth(dice.roll(members.len())).cloned().unwrap_or_default();
            match dice.roll(8) {
                0 => {
                    members.remove(&key);
                }
                1 => {
                    members.insert(text(dice), value(dice, 2));
                }
                2 => {
                    let member = members.remove(&key).unwrap_or_default();
                    members.insert(text(dice), member);
                }
                _ => spoil(members.entry(key).or_insert(Value::Null), dice),
            }
        }
        Value::Array(items) if !items.is_empty() && !dice.once_in(6) => {
            let index = dice.roll(items.len());
            match dice.roll(6) {
                0 => {
                    items.remove(index);
                }
                1 => items.push(items[index].clone()),
                _ => spoil(&mut items[index], dice),
            }
        }
        other => *other = value(dice, 2),
    }
}

/// Changes the text of a body so that it may be no JSON any more.
pub fn spoil_bytes(body: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.roll(body.len() + 1);
    match dice.roll(8) {
        0 => body.truncate(at),
        1 => body.insert(at, dice.bits() as u8),
        2 if at < body.len() => body[at] ^= 1 << dice.roll(8),
        3 => {
            // A member twice, which readers of JSON understand differently.
            let twice =
                dice.pick(&[r#""id":2,"#, r#""method":"ping","#, r#""params":{},"#, r#""jsonrpc":"2.0","#]);
            if let Some(open) = body.iter().position(|byte| *byte == b'{') {
                body.splice(open + 1..open + 1, twice.bytes());
            }
        }
        4 => {
            let depth = dice.pick(&[10, 120, 130, 5000]);
            let nest = dice.pick(&[(b'[', b']'), (b'{', b'}')]);
            let deep = vec![nest.0; depth].into_iter().chain(vec![nest.1; depth]);
            body.splice(at..at, deep);
        }
        5 => body.splice(0..0, dice.pick(&["\u{feff}", " \n\t", "[", "\u{0}"]).bytes()).for_each(drop),
        6 => body.extend(dice.pick(&[&b"\n"[..], b"{}", b"]", b" x", b"\xff\xfe"])),
        _ => {
            body.splice(
                at..at,
                dice.pick(&["1e999", "\\u0000", "\\ud800", "-", "null,", "NaN", "\"\""]).bytes(),
            );
        }
    }
}
