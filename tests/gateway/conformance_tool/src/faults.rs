//! Tools that a gateway must survive, and one that tells what it was given.

use crate::{Call, Reply, text};
use serde_json::{Value, json};

pub fn tools() -> Vec<Value> {
    let plain = |name: &str| json!({"name": name, "description": "For tests.", "inputSchema": {"type": "object"}});
    let mut tools: Vec<Value> = [
        "trap", "hang", "huge", "empty", "not_json", "wrong_json", "not_utf8", "status_500", "unknown_content",
        "nulls", "error_with_status", "echo", crate::patient::NAME,
    ]
    .into_iter()
    .map(plain)
    .collect();
    for name in ["structured", "structured_wrong", "structured_missing", "structured_as_text"] {
        let mut tool = plain(name);
        tool["outputSchema"] =
            json!({"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]});
        tool["annotations"] = json!({"readOnlyHint": true});
        tools.push(tool);
    }
    tools
}

pub fn call(name: &str, call: &Call) -> Option<Reply> {
    let raw = |body: &[u8]| Reply { status: 200, kind: "application/json", body: body.to_vec() };
    Some(match name {
        "trap" => panic!("trapped on purpose"),
        "hang" => loop {
            wasip2::clocks::monotonic_clock::subscribe_duration(1_000_000_000).block();
        },
        "huge" => text(&"x".repeat(4 << 20)).into(),
        "empty" => raw(b""),
        "not_json" => raw(b"<html>"),
        "wrong_json" => raw(b"[1, 2]"),
        "not_utf8" => raw(b"{\"content\": [{\"type\": \"text\", \"text\": \"\xff\"}]}"),
        "status_500" => Reply { status: 500, ..raw(b"oops") },
        "unknown_content" => json!({"content": [{"type": "hologram"}]}).into(),
        "nulls" => json!({
            "content": [{"type": "text", "text": "null", "annotations": null}],
            "structuredContent": null,
            "isError": null,
            "_meta": {"a": 1},
        })
        .into(),
        "error_with_status" => Reply { status: 422, ..Reply::from(text("no such city")) },
        "echo" => {
            let headers: Vec<Value> = call.headers.iter().map(|(name, value)| json!([name, value])).collect();
            text(&json!({"arguments": call.arguments, "headers": headers}).to_string()).into()
        }
        "structured" => json!({"content": [], "structuredContent": {"sum": 3}}).into(),
        "structured_wrong" => json!({"content": [], "structuredContent": {"sum": "three"}}).into(),
        "structured_missing" => text("three").into(),
        "structured_as_text" => text("{\"sum\": 3}").into(),
        _ => return None,
    })
}
