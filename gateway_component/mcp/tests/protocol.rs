//! Messages, revisions, headers and statuses.

mod common;

use common::{App, body, header};
use serde_json::{Value, json};

const MODERN: &str = "2026-07-28";

#[test]
fn initialize_echoes_a_known_revision_and_offers_the_newest_for_another() {
    for (asked, answered) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {
            "protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"},
        }});
        let answer = body(&App::new().post("/mcp", &[], message));
        assert_eq!(answer["id"], "a");
        let result = &answer["result"];
        assert_eq!(result["protocolVersion"], answered, "{asked}");
        assert_eq!(result["serverInfo"], json!({"name": "demo", "version": "1.2.3", "title": "Demo"}));
        assert_eq!(result["instructions"], "Ask for the weather.");
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": false}}));
    }
}

#[test]
fn what_older_revisions_answer() {
    let mut app = App::new();
    assert_eq!(app.legacy("ping", json!({}))["result"], json!({}));
    for method in ["prompts/list", "resources/list", "logging/setLevel", "server/discover", "nope"] {
        assert_eq!(app.legacy(method, json!({}))["error"]["code"], -32601, "{method}");
    }
    for message in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
    ] {
        let response = app.post("/mcp", &[], message);
        assert_eq!((response.status, response.body.len()), (202, 0));
    }
}

#[test]
fn other_methods_and_paths() {
    let mut app = App::new();
    for method in ["GET", "DELETE", "PUT", "HEAD"] {
        let response = app.request(method, "/mcp", &[("accept", "text/event-stream")], b"");
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(header(&response, "allow"), Some("POST, OPTIONS"));
    }
    assert_eq!(app.request("POST", "/", &[], b"{}").status, 404);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(app.post("/mcp/x/nobody", &[], message.clone()).status, 404);
    assert_eq!(app.post("/mcp/x/notes", &[], message).status, 200);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}});
    assert_eq!(app.post("/mcp/x/nobody", &[], call).status, 404);
}

#[test]
fn bodies_that_are_no_messages() {
    for (version, text, status, code, id) in [
        ("2025-06-18", "{", 400, -32700, Some(Value::Null)),
        ("2025-11-25", "{", 400, -32700, None),
        (MODERN, "", 400, -32700, None),
        (MODERN, "\"x\"", 400, -32600, None),
        (MODERN, "[]", 400, -32600, None),
        ("2025-11-25", "[{}]", 400, -32600, None),
        ("2025-03-26", "[]", 400, -32600, Some(Value::Null)),
        ("2025-11-25", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, 400, -32600, None),
        ("2025-11-25", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600, None),
        ("2025-11-25", r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, 400, -32600, None),
        ("2025-11-25", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, 400, -32600, None),
        ("2025-11-25", r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600, None),
        ("2025-11-25", r#"{"jsonrpc":"2.0","id":1,"method":5}"#, 200, -32600, Some(json!(1))),
        (
            "2025-11-25",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            200,
            -32602,
            Some(json!(1)),
        ),
        (
            MODERN,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":1}}"#,
            400,
            -32602,
            Some(json!(1)),
        ),
    ] {
        let headers = [("content-type", "application/json"), ("mcp-protocol-version", version)];
        let response = App::new().request("POST", "/mcp", &headers, text.as_bytes());
        let answer = body(&response);
        assert_eq!((response.status, &answer["error"]["code"]), (status, &json!(code)), "{version} {text}");
        assert_eq!(answer.get("id"), id.as_ref(), "{version} {text}");
    }
    let headers = [("content-type", "application/json")];
    let response = App::new().request("POST", "/mcp", &headers, b"{\"\xff\"}");
    assert_eq!(body(&response)["error"]["code"], -32700);
}

#[test]
fn media_types() {
    let message = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut app = App::new();
    for (kind, accept, status, answered) in [
        ("application/json", "application/json", 200, "application/json"),
        ("application/json; charset=utf-8", "*/*", 200, "application/json"),
        ("application/json", "text/event-stream", 200, "text/event-stream"),
        ("application/json", "application/json, text/event-stream", 200, "application/json"),
        ("application/json", "application/json;q=0, text/event-stream", 200, "text/event-stream"),
        ("application/json", "text/html", 406, "application/json"),
        ("text/plain", "application/json", 415, "application/json"),
    ] {
        let response = app.request("POST", "/mcp", &[("content-type", kind), ("accept", accept)], message);
        assert_eq!(
            (response.status, header(&response, "content-type")),
            (status, Some(answered)),
            "{kind} {accept}"
        );
    }
    let headers = [("content-type", "application/json"), ("accept", "text/event-stream")];
    let response = app.request("POST", "/mcp", &headers, message);
    assert_eq!(response.body, b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
    assert_eq!(header(&response, "x-accel-buffering"), Some("no"));
}

#[test]
fn batches_are_for_the_first_revision_only() {
    let mut app = App::new();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "notes__add"}});
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let init = json!({"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}});
    let response = app.post("/mcp", &[], json!([ping, note, call, init, 5, ["2.0", 1, "ping"]]));
    let answer = body(&response);
    assert_eq!(response.status, 200);
    assert_eq!(answer.as_array().unwrap().len(), 5);
    assert_eq!(answer[3], answer[4]);
    assert_eq!(answer[0]["result"], json!({}));
    assert_eq!(answer[1]["result"]["content"][0]["text"], "{}");
    assert_eq!(answer[2]["error"]["code"], -32600);
    assert_eq!(
        answer[3],
        json!({"jsonrpc": "2.0", "id": null, "error":
        {"code": -32600, "message": "not a JSON-RPC message"}})
    );
    assert_eq!(app.post("/mcp", &[], json!([note, note])).status, 202);
    assert_eq!(app.post("/mcp", &[], json!(vec![ping; 65])).status, 400);
    for version in ["2025-06-18", "2025-11-25", MODERN] {
        assert_eq!(app.post("/mcp", &[("mcp-protocol-version", version)], json!([note])).status, 400);
    }
}

#[test]
fn discovery() {
    let response = App::new().modern("/mcp", &[], "server/discover", json!({}));
    assert_eq!(response.status, 200);
    assert_eq!(
        body(&response)["result"],
        json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"],
            "capabilities": {"tools": {"listChanged": false}},
            "instructions": "Ask for the weather.",
            "ttlMs": 60000,
            "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "demo", "version": "1.2.3", "title": "Demo"}},
        })
    );
}

#[test]
fn what_the_modern_revision_demands() {
    let meta = |version: &str| {
        json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }})
    };
    let only_version = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}});
    let call = |name: &str| {
        let mut params = meta(MODERN);
        params["name"] = json!(name);
        params
    };
    let list = "tools/list";
    type Case<'a> = (&'a str, &'a str, Value, &'a [(&'a str, &'a str)], u16, i64);
    let version = ("mcp-protocol-version", MODERN);
    let cases: &[Case] = &[
        ("all there", list, meta(MODERN), &[version, ("mcp-method", list)], 200, 0),
        ("no version header", list, meta(MODERN), &[("mcp-method", list)], 400, -32020),
        ("two versions", list, meta("2099-01-01"), &[version, ("mcp-method", list)], 400, -32020),
        (
            "unknown version",
            list,
            meta("v9"),
            &[("mcp-protocol-version", "v9"), ("mcp-method", list)],
            400,
            -32022,
        ),
        ("unknown header alone", list, json!({}), &[("mcp-protocol-version", "v9")], 400, -32022),
        ("no metadata", list, json!({}), &[version, ("mcp-method", list)], 400, -32602),
        ("no capabilities", list, only_version, &[version, ("mcp-method", list)], 400, -32602),
        ("no method header", list, meta(MODERN), &[version], 400, -32020),
        ("another method", list, meta(MODERN), &[version, ("mcp-method", "ping")], 400, -32020),
        (
            "no name header",
            "tools/call",
            call("notes__add"),
            &[version, ("mcp-method", "tools/call")],
            400,
            -32020,
        ),
        (
            "encoded name",
            "tools/call",
            call("notes__add"),
            &[version, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?bm90ZXNfX2FkZA==?=")],
            200,
            0,
        ),
        (
            "another name",
            "tools/call",
            call("notes__add"),
            &[version, ("mcp-method", "tools/call"), ("mcp-name", "weather__report")],
            400,
            -32020,
        ),
        ("gone", "initialize", meta(MODERN), &[version, ("mcp-method", "initialize")], 404, -32601),
        ("gone, too", "ping", meta(MODERN), &[version, ("mcp-method", "ping")], 404, -32601),
    ];
    for (what, method, params, headers, status, code) in cases {
        let message = json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params});
        let response = App::new().post("/mcp", headers, message);
        let answer = body(&response);
        assert_eq!(response.status, *status, "{what}: {answer}");
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), *code, "{what}");
        assert_eq!(answer["id"], 9, "{what}");
    }
    let message = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/list", "params": meta("v9")});
    let answer = body(&App::new().post("/mcp", &[("mcp-protocol-version", "v9")], message));
    assert_eq!(answer["error"]["data"]["requested"], "v9");
    assert_eq!(answer["error"]["data"]["supported"][0], MODERN);
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(App::new().post("/mcp", &[version], response).status, 400);
}
