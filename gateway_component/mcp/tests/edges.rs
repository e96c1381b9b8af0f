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
    app.variables.insert("probe_word".into(), "secret".into());
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
fn the_kubelet_asks_without_a_secret_until_all_have_answered() {
    let once = [("x-ftl-probe-once", "true")];
    let mut app = App::new();
    app.tool = |_, _| raw(500, "", b"");
    let response = app.request("GET", "/readyz", &once, b"");
    assert_eq!(
        (response.status, body(&response)),
        (503, json!({"status": "degraded"})),
        "no component is named"
    );
    assert_eq!(app.sent.len(), 2);
    app.tool = |_, _| ok(json!([tool("forecast", true), tool("report", false), tool("add", false)]));
    let ready = app.request("GET", "/readyz", &once, b"");
    assert_eq!((ready.status, body(&ready)), (200, json!({"status": "ready"})));
    assert_eq!(app.sent.len(), 4);
    app.tool = |_, _| raw(500, "", b"");
    assert_eq!(app.request("GET", "/readyz", &once, b"").status, 200, "it has been ready");
    assert_eq!(app.sent.len(), 4);
    // Another version in the same store has not been.
    app.configure(json!({"app": "sha256:fedcba9876543210"}));
    assert_eq!(app.request("GET", "/readyz", &once, b"").status, 503);
}

#[test]
fn a_mark_of_readiness_is_sealed_where_there_is_a_key() {
    let once = [("x-ftl-probe-once", "true")];
    let mut app = App::new();
    app.tool = |_, _| ok(json!([tool("forecast", true), tool("report", false), tool("add", false)]));
    assert_eq!(app.request("GET", "/readyz", &once, b"").status, 200);
    assert_eq!(app.store.len(), 1);
    let name = app.store.keys().next().unwrap().replace("ftl//", "ftl/uid/");
    app.store = [(name, b"1".to_vec())].into();
    app.variables.insert("store_seal".into(), "uid:0123456789abcdef0123456789abcdef".into());
    app.tool = |_, _| raw(500, "", b"");
    assert_eq!(app.request("GET", "/readyz", &once, b"").status, 503, "a tool wrote it");
}

fn private() -> Value {
    json!({"resource": "https://tools.acme.dev/mcp", "auth": {
        "access": "private", "issuer": "https://login.acme.dev", "audiences": ["https://tools.acme.dev/mcp"],
        "jwksUri": "https://login.acme.dev/keys", "algorithms": ["RS256"], "allowedSubjects": ["alice"],
    }})
}

#[test]
fn a_refused_call_says_why_to_the_operator_alone() {
    let mut app = App::new();
    app.configure(private());
    for (header, word) in [("Bearer x", "malformed"), ("Bearer y", "malformed"), ("Basic eDp5", "absent")] {
        app.log.clear();
        let response = app.post("/mcp", &[("authorization", header)], ping());
        assert_eq!(response.status, 401);
        assert!(!String::from_utf8_lossy(&response.body).contains(word));
        assert_eq!(
            app.log,
            [format!("{{\"event\":\"refused\",\"app\":\"demo\",\"reason\":\"{word}\",\"status\":401}}")]
        );
    }
    let shown = |app: &mut App, headers: &[(&str, &str)]| {
        let text = app.request("GET", "/metrics", headers, b"").body;
        let text = String::from_utf8(text).unwrap();
        text.lines()
            .filter(|line| line.starts_with("ftl_app_refused"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let counted =
        ["ftl_app_refused_total{reason=\"absent\"} 1", "ftl_app_refused_total{reason=\"malformed\"} 2"];
    assert_eq!(shown(&mut app, &[]), counted);
    app.variables.insert("probe_word".into(), "secret".into());
    assert_eq!(shown(&mut app, &[]), [""; 0], "who does not know the word learns nothing by trying");
    assert_eq!(shown(&mut app, &[("x-ftl-probe", "secret")]), counted);
    // A store in which a tool may write counts nothing without a key.
    let mut shared = private();
    shared["storeShared"] = json!(true);
    app.configure(shared);
    app.store.clear();
    app.post("/mcp", &[], ping());
    assert!(app.store.is_empty());
}

#[test]
fn an_api_key_is_the_caller() {
    const KEY: &str = "ftl_000000000000000000000000000000000000000000121Jhd7";
    const HASH: &str = "43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c";
    let mut app = App::new();
    app.configure(json!({"auth": {"access": "private", "apiKeys": true}}));
    app.variables.insert("api_keys".into(), format!("ci {HASH}\n"));
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "weather__forecast"}});
    let bearer = format!("Bearer {KEY}");
    for headers in [[("authorization", bearer.as_str())], [("x-api-key", KEY)]] {
        let response = app.post("/mcp", &headers, call.clone());
        assert_eq!(response.status, 200);
        let sent = app.sent.last().unwrap();
        assert_eq!(sent.header("x-auth-subject"), Some("ci"));
        assert!(sent.headers.iter().all(|(_, value)| !value.contains("ftl_")), "no tool sees the key");
        assert!(app.log.iter().all(|line| !line.contains("ftl_")), "nor does the log");
    }
    assert_eq!(app.post("/mcp", &[], call.clone()).status, 401);
    app.variables.insert("api_keys".into(), String::new());
    assert_eq!(app.post("/mcp", &[("x-api-key", KEY)], call).status, 401);
    assert!(app.store.keys().all(|name| name.contains("/refused/")), "{:?}", app.store.keys());
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
