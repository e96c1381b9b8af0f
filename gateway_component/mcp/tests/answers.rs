//! What a tool may answer, and what the client gets then.

mod common;

use common::{Answer, App, body, ok, raw, with_output};
use mcp::Failure;
use serde_json::{Value, json};

#[test]
fn a_tool_may_answer_anything() {
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    type Case = (fn(&str, &str) -> Answer, &'static str, &'static str);
    let cases: &[Case] = &[
        (|_, _| Err(Failure::Timeout), "it did not answer within 1000 ms", "timeout"),
        (|_, _| Err(Failure::TooLarge), "its answer is longer than 1048576 bytes", "too_large"),
        (|_, _| Err(Failure::Broken), "could not be reached or broke off", "failed"),
        (|_, _| raw(500, "", b""), "ended without an answer (HTTP 500)", "failed"),
        (|_, _| raw(500, "text/plain", b"oops"), "answered HTTP 500", "failed"),
        (|_, _| raw(404, "", b""), "answered HTTP 404", "failed"),
        (|_, _| raw(200, "", b""), "its answer is empty", "bad_answer"),
        (|_, _| raw(200, "", b"<html>"), "its answer is not JSON", "bad_answer"),
        (|_, _| raw(200, "", b"[1]"), "is JSON, and no tool result", "bad_answer"),
        (|_, _| ok(json!({"content": [["text", "hi"]]})), "content that MCP does not know", "bad_answer"),
        (|_, _| raw(200, "", b"{}"), "neither content nor structuredContent", "bad_answer"),
        (|_, _| raw(200, "", b"\xff"), "UTF-8", "bad_answer"),
        (|_, _| ok(json!({"content": "x"})), "content that MCP does not know", "bad_answer"),
        (
            |_, _| ok(json!({"content": [{"type": "hologram"}]})),
            "content that MCP does not know",
            "bad_answer",
        ),
        (|_, _| ok(json!({"content": [{"type": "image", "data": "x"}]})), "MCP does not know", "bad_answer"),
        (|_, _| ok(json!({"resultType": "input_required", "requestState": "s"})), "2026-07-28", "refused"),
        (|_, _| ok(json!({"error": {"code": -32000, "message": "no such day"}})), "no such day", "failed"),
        (|_, _| raw(200, "text/event-stream", b"data: 5\n\n"), "no tool result", "bad_answer"),
        (|_, _| raw(200, "text/event-stream", b""), "its answer is empty", "bad_answer"),
    ];
    for (tool, reason, outcome) in cases {
        let mut app = App::new();
        app.tool = *tool;
        let (said, failed) = app.call("weather__report", json!({}));
        assert!(
            failed && said.starts_with("Tool `weather__report` failed: ") && said.contains(reason),
            "{said}"
        );
        assert!(app.log[0].contains(&format!("\"outcome\":\"{outcome}\"")), "{}", app.log[0]);
        app.tool = |_, _| ok(json!({"content": [{"type": "text", "text": "fine"}]}));
        assert_eq!(app.call("weather__report", json!({})), ("fine".into(), false));
    }
    let mut app = App::new();
    app.tool = |_, _| raw(422, "application/json", br#"{"content":[{"type":"text","text":"no city"}]}"#);
    assert_eq!(app.call("weather__report", json!({})), ("no city".into(), true));
    app.tool = |_, _| {
        ok(json!({
            "content": [{"type": "text", "text": "null", "annotations": null}],
            "structuredContent": null, "isError": null, "_meta": {"a": 1}, "other": 1,
        }))
    };
    let answer = app.legacy("tools/call", json!({"name": "weather__report"}));
    assert_eq!(answer["result"], json!({"content": text("null"), "_meta": {"a": 1}}));
    app.tool = |_, _| ok(json!({"error": {"code": -32602, "message": "no", "data": [1]}}));
    let answer = app.legacy("tools/call", json!({"name": "weather__report"}));
    assert_eq!(answer["error"], json!({"code": -32602, "message": "no", "data": [1]}));
}

#[test]
fn all_content_passes_unchanged() {
    let mut app = App::new();
    app.tool = |_, _| {
        ok(json!({"content": [
            {"type": "text", "text": "a", "annotations": {"audience": ["user"], "priority": 0.5}, "_meta": {"x": 1}},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "file:///a", "name": "a", "size": 3},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "hi", "mimeType": "text/plain"}},
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "aGk="}},
        ]}))
    };
    let answer = app.legacy("tools/call", json!({"name": "weather__report"}));
    let Ok(given) = (app.tool)("", "") else { panic!() };
    assert_eq!(answer["result"], serde_json::from_slice::<Value>(&given.body).unwrap());
}

#[test]
fn structured_content_must_match_its_schema() {
    let mut app = with_output();
    let arguments = json!({"a": 1});
    let call = json!({"name": "math__sum", "arguments": arguments});
    app.tool = |_, _| ok(json!({"structuredContent": {"sum": 3}}));
    let answer = app.legacy("tools/call", call.clone());
    assert_eq!(
        answer["result"],
        json!({
            "content": [{"type": "text", "text": "{\"sum\":3}"}], "structuredContent": {"sum": 3},
        })
    );
    app.tool = |_, _| ok(json!({"content": [{"type": "text", "text": "{\"sum\": 3}"}]}));
    assert_eq!(app.legacy("tools/call", call.clone())["result"]["structuredContent"], json!({"sum": 3}));
    app.tool = |_, _| ok(json!({"content": [], "structuredContent": {"sum": "3"}}));
    let (said, failed) = app.call("math__sum", arguments.clone());
    assert!(failed && said.contains("does not match its output schema: /sum: "), "{said}");
    app.tool = |_, _| ok(json!({"content": [{"type": "text", "text": "3"}]}));
    assert!(app.call("math__sum", arguments.clone()).0.contains("asks for structuredContent"));
    app.tool = |_, _| ok(json!({"content": [{"type": "text", "text": "no"}], "isError": true}));
    assert_eq!(app.call("math__sum", arguments), ("no".into(), true));
}

#[test]
fn modern_results_say_what_they_are() {
    let mut app = App::new();
    app.tool = |_, _| ok(json!({"content": [], "structuredContent": [1], "_meta": {"a": {"b": 1}}}));
    let response = app.modern("/mcp", &[], "tools/call", json!({"name": "weather__report"}));
    assert_eq!(
        body(&response)["result"],
        json!({
            "resultType": "complete", "content": [], "structuredContent": [1],
            "_meta": {
                "io.modelcontextprotocol/serverInfo": {"name": "demo", "version": "1.2.3", "title": "Demo"},
                "a": {"b": 1},
            },
        })
    );
    // Before, structured content was an object.
    assert_eq!(
        app.legacy("tools/call", json!({"name": "weather__report"}))["result"].get("structuredContent"),
        None
    );
}
