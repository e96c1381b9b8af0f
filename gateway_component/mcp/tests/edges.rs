//! Browsers, probes, configuration that is not there, and apps that are not public.

mod common;

use common::{App, body, header, ok, raw, tool};
use serde_json::{Value, json};

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

#[test]
fn origins() {
    let mut app = App::new();
    let open = json!({"allowedOrigins": ["https://chat.acme.dev"], "resource": "https://tools.acme.dev/mcp"});
    for (config, host, origin, status, shared) in [
        (json!({}), "localhost:3000", None, 200, None),
        (json!({}), "tools.acme.dev", None, 200, None),
        (json!({}), "localhost:3000", Some("http://localhost:6274"), 200, Some("http://localhost:6274")),
        (json!({}), "[::1]:3000", Some("http://127.0.0.1"), 200, Some("http://127.0.0.1")),
        (json!({}), "localhost:3000", Some("http://evil.example"), 403, None),
        (json!({}), "evil.example", Some("http://evil.example"), 403, None),
        (json!({}), "evil.example", Some("http://localhost"), 403, None),
        (json!({}), "localhost", Some("null"), 403, None),
        (open.clone(), "x", Some("https://chat.acme.dev"), 200, Some("https://chat.acme.dev")),
        (open.clone(), "x", Some("https://tools.acme.dev"), 200, Some("https://tools.acme.dev")),
        (open, "x", Some("https://tools.acme.dev.evil.example"), 403, None),
        (json!({"allowedOrigins": ["*"]}), "x", Some("https://a.example"), 200, Some("*")),
        (json!({"allowedHosts": ["tools.acme.dev"]}), "tools.acme.dev:8080", None, 200, None),
        (json!({"allowedHosts": ["tools.acme.dev"]}), "localhost", None, 403, None),
    ] {
        app.configure(config);
        let mut headers = vec![("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let response = app.post("/mcp", &headers, ping());
        assert_eq!(response.status, status, "{host} {origin:?}");
        assert_eq!(header(&response, "access-control-allow-origin"), shared, "{host} {origin:?}");
    }
}

#[test]
fn preflight() {
    let mut app = App::new();
    let asked = "content-type, authorization, mcp-param-region";
    let headers = [("origin", "http://localhost"), ("access-control-request-headers", asked)];
    let response = app.request("OPTIONS", "/mcp", &headers, b"");
    assert_eq!(response.status, 204);
    assert_eq!(header(&response, "access-control-allow-headers"), Some(asked));
    assert_eq!(header(&response, "access-control-allow-origin"), Some("http://localhost"));
}

#[test]
fn health() {
    let mut app = App::new();
    app.variables.clear();
    assert_eq!(app.request("GET", "/healthz", &[], b"").status, 200);
    assert!(app.read.is_empty());
    assert_eq!(app.request("GET", "/readyz", &[], b"").status, 503);
    assert_eq!(app.post("/mcp", &[], ping()).status, 503);
    assert_eq!(App::new().request("POST", "/healthz", &[], b"").status, 405);
}

#[test]
fn only_the_probe_asks_the_tools() {
    let mut app = App::new();
    app.tool = |_, _| ok(json!([tool("forecast", true), tool("report", false), tool("add", false)]));
    for headers in [vec![], vec![("x-ftl-probe", "")], vec![("x-ftl-probe", "secret")]] {
        assert_eq!(app.request("GET", "/readyz", &headers, b"").status, 200);
    }
    app.variables.insert("probe_token".into(), "secret".into());
    for wrong in ["secre", "secret2", "Secret", ""] {
        assert_eq!(app.request("GET", "/readyz", &[("x-ftl-probe", wrong)], b"").status, 200);
    }
    assert!(app.sent.is_empty());
    let probe = [("x-ftl-probe", "secret")];
    assert_eq!(
        body(&app.request("GET", "/readyz", &probe, b"")),
        json!({
            "status": "ready", "components": 2, "silent": [],
        })
    );
    assert_eq!(app.sent.len(), 2);
    app.tool = |_, _| ok(json!([tool("forecast", true), tool("add", false)]));
    let response = app.request("GET", "/readyz", &probe, b"");
    assert_eq!(response.status, 503);
    assert_eq!(
        body(&response)["silent"],
        json!([{"component": "weather", "error": "it no longer has: report"}])
    );
    app.tool = |_, _| raw(500, "", b"");
    let response = app.request("GET", "/readyz", &probe, b"");
    assert_eq!(body(&response)["silent"][1], json!({"component": "notes", "error": "it answered HTTP 500"}));
}

#[test]
fn an_app_whose_rules_cannot_be_read_is_closed() {
    let mut app = App::new();
    for (config, status) in
        [(json!({"auth": {}}), 503), (json!({"auth": 5}), 503), (json!({"auth": {"access": "public"}}), 503)]
    {
        app.configure(config);
        assert_eq!(app.post("/mcp", &[], ping()).status, status);
    }
    let mut config: Value = serde_json::from_str(&app.variables["gateway_config"]).unwrap();
    config.as_object_mut().unwrap().remove("auth");
    app.variables.insert("gateway_config".into(), config.to_string());
    assert_eq!(app.post("/mcp", &[], ping()).status, 503);
    assert!(app.sent.is_empty());
}

#[test]
fn without_a_token_nothing_is_said_but_where_to_get_one() {
    let mut app = App::new();
    app.configure(json!({"resource": "https://tools.acme.dev/mcp", "auth": {
        "access": "private", "issuer": "https://login.acme.dev", "audiences": ["https://tools.acme.dev/mcp"],
        "jwksUri": "https://login.acme.dev/keys", "publicKey": null, "algorithms": ["RS256"],
        "requiredScopes": ["mcp:tools"], "allowedSubjects": ["alice"], "organization": null, "hasPolicy": false,
        "leewaySeconds": 60, "authorizationServers": ["https://login.acme.dev"],
    }}));
    let response = app.post("/mcp", &[], ping());
    assert_eq!(response.status, 401);
    let challenge = header(&response, "www-authenticate").unwrap();
    assert!(
        challenge.contains("https://tools.acme.dev/.well-known/oauth-protected-resource/mcp"),
        "{challenge}"
    );
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let response = app.request("GET", path, &[], b"");
        assert_eq!(body(&response)["resource"], "https://tools.acme.dev/mcp");
    }
    assert_eq!(app.request("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(app.request("GET", "/readyz", &[], b"").status, 200);
    assert_eq!(App::new().request("GET", "/.well-known/oauth-protected-resource", &[], b"").status, 404);
}

#[test]
fn policies_are_checked_only_where_nothing_else_is_configured() {
    let question =
        br#"{"policy": "package mcp.authorization\ndefault allow = true", "data": null, "inputs": [{}]}"#;
    let mut app = App::new();
    assert_eq!(app.request("POST", "/__policy", &[], question).status, 404);
    app.variables.insert("gateway_config".into(), "{\"policyCheck\":true}".into());
    let response = app.request("POST", "/__policy", &[], question);
    assert_eq!(body(&response), json!({"decisions": [true], "error": null}));
    assert_eq!(app.post("/mcp", &[], ping()).status, 503);
}

#[test]
fn metrics_say_what_is_served_and_name_nothing() {
    let mut app = App::new();
    let response = app.request("GET", "/metrics", &[], b"");
    assert_eq!(response.status, 200);
    assert_eq!(header(&response, "content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(response.body).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines[0].starts_with("ftl_app_info{digest=\"sha256:") && lines[0].ends_with("\"} 1"), "{text}");
    assert_eq!(lines[1..], ["ftl_app_components 2", "ftl_app_dynamic_components 0", "ftl_app_tools 3"]);
    for line in &lines {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(
            text.contains(&format!("# HELP {name} ")) && text.contains(&format!("# TYPE {name} gauge\n"))
        );
    }
    assert!(!text.contains("weather"), "{text}");
    assert_eq!(app.request("HEAD", "/metrics", &[], b"").body, b"");
    assert_eq!(app.request("POST", "/metrics", &[], b"").status, 405);
    app.variables.remove("components");
    assert_eq!(app.request("GET", "/metrics", &[], b"").status, 503);
}
