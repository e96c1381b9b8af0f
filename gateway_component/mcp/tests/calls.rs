//! tools/call: what reaches the tool, rounds of input, progress, and what the log says.

mod common;

use common::{App, body, header, ok, raw, with_output};
use serde_json::{Value, json};

#[test]
fn the_arguments_reach_the_tool_as_they_were_written() {
    let mut app = App::new();
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather__report",
        "arguments":{"city": "Ålesund", "n": 12345678901234567890, "e": 1.0e2}}}"#;
    let headers = [
        ("content-type", "application/json"),
        ("x-request-id", "req-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
        ("authorization", "Bearer secret"),
        ("x-auth-subject", "root"),
        ("cookie", "c=1"),
    ];
    let response = app.request("POST", "/mcp", &headers, text.as_bytes());
    assert_eq!(response.status, 200);
    assert_eq!(header(&response, "x-request-id"), Some("req-1"));
    let sent = &app.sent[0];
    assert_eq!((sent.method, sent.url.as_str()), ("POST", "weather/report"));
    assert_eq!(sent.body, r#"{"city": "Ålesund", "n": 12345678901234567890, "e": 1.0e2}"#);
    assert_eq!(sent.header("traceparent"), Some(headers[2].1));
    assert_eq!(sent.header("tracestate"), Some("a=b"));
    assert_eq!(sent.header("x-request-id"), Some("req-1"));
    let given: Vec<&str> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(given, ["content-type", "accept", "x-request-id", "traceparent", "tracestate"]);
}

#[test]
fn a_call_reads_two_variables_whatever_the_catalog_holds() {
    let mut app = App::new();
    app.call("weather__forecast", json!({}));
    assert_eq!(app.read.len(), 2, "{:?}", app.read);
}

#[test]
fn names_that_name_nothing() {
    let mut app = App::new();
    for name in [json!("weather__"), json!("forecast"), json!("x".repeat(5000)), json!(5), Value::Null] {
        let answer = app.legacy("tools/call", json!({"name": name, "arguments": {}}));
        assert_eq!(answer["error"]["code"], -32602, "{name}");
    }
    assert!(app.sent.is_empty());
    let longest = app.log.iter().map(String::len).max().unwrap();
    assert!(longest < 600, "a client's text is cut in the log");
}

#[test]
fn arguments_are_checked_and_the_model_is_told() {
    let mut app = with_output();
    let (text, failed) = app.call("math__sum", json!({"a": "three"}));
    assert!(failed);
    assert!(text.starts_with("Invalid arguments for tool `math__sum`:\n- /a: "), "{text}");
    let (text, failed) = app.call("math__sum", json!({}));
    assert!(failed && text.contains("missing required property \"a\""), "{text}");
    assert!(app.sent.is_empty());
    for arguments in ["[]", "\"x\"", "{\"a\":1,\"a\":2}", "{\"a\":1e999}"] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"math__sum","arguments":{arguments}}}}}"#
        );
        let response = app.request("POST", "/mcp", &[("content-type", "application/json")], text.as_bytes());
        assert_eq!(body(&response)["error"]["code"], -32602, "{arguments}");
    }
    app.configure(json!({"validate": false}));
    assert!(app.call("math__sum", json!({"a": "three"})).0.contains("three"));
}

#[test]
fn rounds_of_input_pass_both_ways() {
    let mut app = App::new();
    app.tool = |_, _| {
        ok(json!({
            "inputRequests": {"name": {"method": "elicitation/create", "params": {"message": "Näme?"}}},
            "requestState": "s1",
        }))
    };
    let able = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
    let call = json!({"name": "weather__report", "_meta": able});
    let response = app.modern("/mcp", &[], "tools/call", call.clone());
    let result = body(&response)["result"].clone();
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["requestState"], "s1");
    assert_eq!(result["inputRequests"]["name"]["params"]["message"], "Näme?");
    let mut retry = call;
    retry["inputResponses"] = json!({"name": {"action": "accept", "content": {"name": "Åse 😀"}}});
    retry["requestState"] = json!("s1");
    app.modern("/mcp", &[], "tools/call", retry.clone());
    let sent = &app.sent[1];
    let value = |name: &str| serde_json::from_str::<Value>(sent.header(name).unwrap()).unwrap();
    assert!(sent.headers.iter().all(|(_, value)| value.is_ascii()));
    assert_eq!(value("x-mcp-input-responses"), retry["inputResponses"]);
    assert_eq!(value("x-mcp-request-state"), "s1");
    assert_eq!(value("x-mcp-meta")["io.modelcontextprotocol/clientCapabilities"], json!({"elicitation": {}}));
    for wrong in [json!(5), json!({"name": 5})] {
        let response =
            app.modern("/mcp", &[], "tools/call", json!({"name": "notes__add", "inputResponses": wrong}));
        assert_eq!(body(&response)["error"]["code"], -32602);
    }
    // A client that cannot be asked is told what it lacks.
    let response = app.modern("/mcp", &[], "tools/call", json!({"name": "weather__report"}));
    let error = body(&response)["error"].clone();
    assert_eq!((response.status, &error["code"]), (400, &json!(-32021)));
    assert_eq!(error["data"], json!({"requiredCapabilities": {"elicitation": {}}}));
}

#[test]
fn progress_comes_as_a_stream_to_whom_wants_it() {
    let mut app = App::new();
    app.tool = |_, _| {
        raw(200, "text/event-stream; charset=utf-8", b"data: {\"method\":\"notifications/progress\",\"params\":{\"progress\":0.5,\"total\":1,\"progressToken\":\"other\"}}\n\n\
            data: {\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n\
            data: {\"method\":\"roots/list\",\"id\":1}\n\n\
            data: {\"content\":[]}\n\n")
    };
    let call = |meta: Value| json!({"name": "weather__report", "_meta": meta});
    let response = app.modern("/mcp", &[], "tools/call", call(json!({"progressToken": "t"})));
    let text = String::from_utf8(response.body.clone()).unwrap();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
    assert_eq!(events.len(), 2);
    assert_eq!(
        events[0],
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
        {"progressToken": "t", "progress": 0.5, "total": 1}})
    );
    assert_eq!(events[1]["result"]["content"], json!([]));
    assert_eq!(app.sent[0].header("accept"), Some("application/json, text/event-stream"));
    let logged = json!({"io.modelcontextprotocol/logLevel": "info"});
    let response = app.modern("/mcp", &[], "tools/call", call(logged));
    assert!(String::from_utf8(response.body).unwrap().contains("notifications/message"));
    let response = app.modern("/mcp", &[], "tools/call", call(json!({})));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let headers = [("accept", "application/json")];
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call(json!({"progressToken": 5}))});
    let response = app.request(
        "POST",
        "/mcp",
        &[("content-type", "application/json"), headers[0]],
        message.to_string().as_bytes(),
    );
    assert_eq!(header(&response, "content-type"), Some("application/json"));
}

#[test]
fn progress_is_passed_on_before_the_tool_has_ended() {
    const STREAM: &str = "\u{feff}data: {\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\r\n\r\n\
        : é\n\n\ndata: {\"method\":\"notifications/progress\",\ndata: \"params\":{\"progress\":2,\"message\":\"½\"}}\n\n\
        data: {\"method\":\"notifications/progress\",\"params\":{\"progress\":3}}\n\ndata: {\"content\":[]}\n\n\
        data: {\"method\":\"notifications/progress\",\"params\":{\"progress\":4}}";
    let call = json!({"name": "weather__report", "_meta": {"progressToken": "t"}});
    for piece in 1..=STREAM.len() {
        let mut app = App { piece, ..App::new() };
        app.tool = |_, _| raw(200, "text/event-stream", STREAM.as_bytes());
        let origin = [("origin", "http://localhost:3000")];
        let response = app.modern("/mcp", &origin, "tools/call", call.clone());
        let messages = |body: &[u8]| -> Vec<Value> {
            let text = String::from_utf8(body.to_vec()).unwrap();
            text.lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect()
        };
        let early = app.opened.unwrap();
        let told: Vec<Value> =
            messages(&early.body).iter().map(|event| event["params"]["progress"].clone()).collect();
        assert_eq!(told, [1, 2, 3], "in pieces of {piece}");
        assert_eq!(header(&early, "content-type"), Some("text/event-stream"));
        assert_eq!(header(&early, "access-control-allow-origin"), Some("http://localhost:3000"));
        assert!(header(&early, "x-request-id").is_some());
        let all = messages(&response.body);
        // The last one came without the blank line that ends an event.
        assert_eq!((all.len(), &all[3]["params"]["progress"]), (5, &json!(4)), "in pieces of {piece}");
        assert_eq!(all[4]["result"]["content"], json!([]));
    }
}

#[test]
fn parameters_are_mirrored_in_headers() {
    let mut app = App::new();
    app.catalog(&[("db", vec![json!({
        "name": "query",
        "inputSchema": {"type": "object"},
        "headers": {"Mcp-Param-Region": "/region", "Mcp-Param-Limit": "/page/limit", "Mcp-Param-Dry": "/dry"},
    })])]);
    for (arguments, headers, good) in [
        (json!({"region": "eu"}), vec![("mcp-param-region", "eu")], true),
        (json!({"region": "eu"}), vec![("mcp-param-region", "=?base64?ZXU=?=")], true),
        (json!({"region": "eu"}), vec![("mcp-param-region", "=?base64?ZXU?=")], false),
        (json!({"region": "eu"}), vec![("mcp-param-region", "us")], false),
        (json!({"region": "eu"}), vec![], false),
        (json!({}), vec![], true),
        (json!({"region": null}), vec![], true),
        (json!({}), vec![("mcp-param-region", "eu")], false),
        (json!({"page": {"limit": 42}}), vec![("mcp-param-limit", "42.0")], true),
        (json!({"page": {"limit": 42}}), vec![("mcp-param-limit", "43")], false),
        (json!({"dry": true}), vec![("mcp-param-dry", "true")], true),
        (json!({"dry": true}), vec![("mcp-param-dry", "1")], false),
    ] {
        let call = json!({"name": "db__query", "arguments": arguments});
        let response = app.modern("/mcp", &headers, "tools/call", call);
        let code = body(&response)["error"]["code"].as_i64();
        assert_eq!(
            (response.status, code),
            if good { (200, None) } else { (400, Some(-32020)) },
            "{arguments}"
        );
    }
    let (_, failed) = app.call("db__query", json!({"region": "eu"}));
    assert!(!failed, "older clients know no such headers");
}

#[test]
fn one_line_of_audit_for_each_call() {
    let mut app = App::new();
    app.call("weather__report", json!({"city": "Oslo"}));
    let line: Value = serde_json::from_str(&app.log[0]).unwrap();
    let size = line["responseBytes"].as_u64().unwrap();
    assert!(size > 0);
    assert_eq!(
        line,
        json!({
            "event": "tools/call", "app": "demo", "tool": "weather__report", "outcome": "ok", "durationMs": 0.0,
            "requestBytes": 15, "responseBytes": size, "requestId": "0000000000abcdef",
        })
    );
    app.configure(json!({"audit": false}));
    app.call("weather__report", json!({}));
    assert_eq!(app.log.len(), 1);
}
