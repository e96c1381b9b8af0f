//! What is looked at before what: whoever may not call costs no more than the headers of the request.

mod common;

use common::{App, body, header};
use serde_json::json;

fn private() -> App {
    let mut app = App::new();
    app.configure(json!({
        "resource": "https://tools.example/mcp",
        "auth": {
            "access": "private", "issuer": "https://issuer.example", "audiences": ["https://tools.example/mcp"],
            "jwksUri": "https://issuer.example/keys", "algorithms": ["RS256"], "allowedSubjects": ["ann"],
        },
    }));
    app
}

#[test]
fn a_body_is_read_only_once_its_sender_may_call() {
    let big = vec![b' '; 16 << 20];
    for headers in [&[][..], &[("authorization", "Bearer x.y.z")], &[("authorization", "Basic eDp5")]] {
        let mut app = private();
        let response = app.request("POST", "/mcp", headers, &big);
        assert_eq!((response.status, app.body_reads), (401, 0), "{headers:?}");
    }
    let mut app = App::new();
    for (status, method, path, headers) in [
        (404, "POST", "/nothing", &[][..]),
        (404, "POST", "/", &[]),
        (404, "POST", "/__policy", &[]),
        (404, "POST", "/__schemas", &[]),
        (405, "PUT", "/mcp", &[]),
        (403, "POST", "/mcp", &[("origin", "https://evil.example")]),
        (406, "POST", "/mcp", &[("accept", "image/png")]),
        (415, "POST", "/mcp", &[("content-type", "text/plain")]),
        (413, "POST", "/mcp", &[("content-length", "16777217")]),
        (413, "POST", "/mcp", &[("content-length", "99999999999999999999999999")]),
        (204, "OPTIONS", "/mcp", &[]),
        (405, "POST", "/healthz", &[]),
    ] {
        let response = app.request(method, path, headers, &big);
        assert_eq!((response.status, app.body_reads), (status, 0), "{method} {path} {headers:?}");
    }
}

#[test]
fn a_body_of_the_allowed_length_is_read_once() {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let mut app = App::new();
    let padded = message.clone() + &" ".repeat((16 << 20) - message.len());
    for length in [None, Some((16 << 20).to_string())] {
        let headers: Vec<(&str, &str)> =
            length.iter().map(|length| ("content-length", length.as_str())).collect();
        let response = app.request("POST", "/mcp", &headers, padded.as_bytes());
        assert_eq!((response.status, app.body_reads), (200, 1), "{length:?}");
    }
    // Without an announced length the reading itself is bounded.
    let response = app.request("POST", "/mcp", &[], (padded + " ").as_bytes());
    assert_eq!(response.status, 413);
}

#[test]
fn the_version_of_initialize_is_in_its_body() {
    let mut app = App::new();
    for header in
        ["2024-11-05", "2025-03-26", "2025-11-25", "2026-07-28", "DRAFT-2026-v1", "2099-01-01", "x", ""]
    {
        for (asked, given) in [
            ("2025-06-18", "2025-06-18"),
            ("2025-03-26", "2025-03-26"),
            ("2024-11-05", "2025-11-25"),
            ("2099-01-01", "2025-11-25"),
        ] {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"},
            }});
            let response = app.post("/mcp", &[("mcp-protocol-version", header)], message);
            let answer = body(&response);
            assert_eq!(response.status, 200, "{header}");
            assert_eq!(answer["result"]["protocolVersion"], given, "{header} {asked}: {answer}");
        }
        // What comes later is bound by the header.
        if !["2025-03-26", "2025-11-25"].contains(&header) {
            let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
            assert_eq!(app.post("/mcp", &[("mcp-protocol-version", header)], list).status, 400, "{header}");
        }
    }
    // The stateless revision has no such method.
    let response = app.modern("/mcp", &[], "initialize", json!({"protocolVersion": "2026-07-28"}));
    assert_eq!((response.status, body(&response)["error"]["code"].as_i64()), (404, Some(-32601)));
}

#[test]
fn a_wildcard_names_hosts_one_label_below() {
    let mut app = App::new();
    app.configure(json!({"allowedOrigins": ["https://*.acme.dev", "http://*.local.dev:3000"]}));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for origin in
        ["https://a.acme.dev", "https://A-b_1.ACME.dev", "HTTPS://x.acme.dev", "http://web.local.dev:3000"]
    {
        let response = app.post("/mcp", &[("origin", origin)], ping.clone());
        assert_eq!(response.status, 200, "{origin}");
        assert_eq!(header(&response, "access-control-allow-origin"), Some(origin));
    }
    for origin in [
        "https://acme.dev",
        "https://.acme.dev",
        "https://a.b.acme.dev",
        "http://a.acme.dev",
        "https://a.acme.dev:8443",
        "https://aacme.dev",
        "https://a.acme.dev.evil.test",
        "https://evil.test/.acme.dev",
        "https://evil.test:1.acme.dev",
        "https://user@a.acme.dev",
        "https://*.acme.dev",
        "https://evil.test, https://a.acme.dev",
        "http://web.local.dev",
        "null",
    ] {
        assert_eq!(app.post("/mcp", &[("origin", origin)], ping.clone()).status, 403, "{origin}");
    }
}

#[test]
fn a_person_who_opens_the_address_is_told_what_it_is() {
    const BROWSER: (&str, &str) =
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    for (mut app, endpoint) in
        [(App::new(), "Endpoint: /mcp"), (private(), "Endpoint: https://tools.example/mcp")]
    {
        for (path, headers) in
            [("/", &[][..]), ("/", &[BROWSER]), ("/mcp", &[BROWSER]), ("/mcp/x/weather", &[BROWSER])]
        {
            let response = app.request("GET", path, headers, b"");
            let text = String::from_utf8(response.body.clone()).unwrap();
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(header(&response, "content-type"), Some("text/plain; charset=utf-8"));
            assert!(text.starts_with("Demo\n") && text.contains(endpoint), "{text}");
            assert!(!text.contains("weather") && !text.contains("forecast"), "{text}");
            assert!(!app.read.iter().any(|name| name.starts_with("tool")), "{:?}", app.read);
        }
    }
    let mut app = App::new();
    for accept in
        ["text/event-stream", "application/json, text/event-stream", "*/*", "text/html, text/event-stream"]
    {
        assert_eq!(app.request("GET", "/mcp", &[("accept", accept)], b"").status, 405, "{accept}");
    }
    assert_eq!(app.request("GET", "/favicon.ico", &[BROWSER], b"").status, 404);
    assert_eq!(private().request("GET", "/mcp", &[("accept", "text/event-stream")], b"").status, 401);
}

#[test]
fn schemas_are_judged_in_the_sandbox_only() {
    let question = json!({"schemas": [{"pattern": "(?i)a"}, {"pattern": "(a)\\1"}]}).to_string();
    let mut app = App::new();
    app.variables.insert("gateway_config".into(), "{\"schemaCheck\":true}".into());
    let answer = body(&app.request("POST", "/__schemas", &[], question.as_bytes()));
    assert_eq!(answer["results"][0], json!({"error": null, "warnings": [], "schema": {"pattern": "[aA]"}}));
    assert_eq!(answer["results"][1]["error"], json!(null));
    assert_eq!(answer["results"][1]["warnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.request("GET", "/__schemas", &[], b"").status, 405);
    assert_eq!(app.request("POST", "/__policy", &[], b"{}").status, 503);
    assert_eq!(App::new().request("POST", "/__schemas", &[], question.as_bytes()).status, 404);
}

#[test]
fn a_call_is_not_blamed_for_a_pattern_that_cannot_be_matched() {
    let mut app = App::new();
    app.catalog(&[(
        "text",
        vec![json!({
            "name": "twice",
            "inputSchema": {"type": "object", "properties": {
                "word": {"type": "string", "pattern": "^(a|b)\\1$"},
                "flag": {"type": "string", "pattern": "(?i)^yes$"},
            }},
        })],
    )]);
    for (arguments, fails) in [
        (json!({"word": "zz"}), false),
        (json!({"flag": "YES"}), false),
        (json!({"word": 1}), true),
        (json!({"flag": "no"}), true),
    ] {
        let (text, is_error) = app.call("text__twice", arguments.clone());
        assert_eq!(is_error, fails, "{arguments}: {text}");
        assert!(!text.contains("schema is not usable"), "{text}");
    }
}
