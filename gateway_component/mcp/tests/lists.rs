//! tools/list: the baked list, choices, pages, and components that are asked at run time.

mod common;

use common::{App, body, names, ok, tool};
use serde_json::{Value, json};

fn list(app: &mut App, path: &str, headers: &[(&str, &str)]) -> Value {
    body(&app.modern(path, headers, "tools/list", json!({})))["result"].clone()
}

#[test]
fn the_baked_list_is_used_as_it_is() {
    let mut app = App::new();
    let result = list(&mut app, "/mcp", &[]);
    assert_eq!(app.read, ["gateway_config", "tools_list"]);
    assert_eq!(names(&result), ["weather__forecast", "weather__report", "notes__add"]);
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(60000), &json!("public")));
    assert_eq!(result["resultType"], "complete");
    let legacy = app.legacy("tools/list", json!({}));
    assert_eq!(legacy["result"].as_object().unwrap().keys().collect::<Vec<_>>(), ["tools"]);
}

#[test]
fn paths_and_headers_choose() {
    let both = ["weather__forecast", "weather__report", "notes__add"];
    for (path, headers, expected) in [
        ("/mcp", vec![], both.to_vec()),
        ("/mcp/readonly", vec![], vec!["weather__forecast"]),
        ("/mcp", vec![("x-mcp-readonly", "true")], vec!["weather__forecast"]),
        ("/mcp", vec![("x-mcp-readonly", "yes")], vec!["weather__forecast"]),
        ("/mcp", vec![("x-mcp-readonly", "false")], both.to_vec()),
        ("/mcp", vec![("x-mcp-toolsets", "notes")], vec!["notes__add"]),
        ("/mcp", vec![("x-mcp-toolsets", " notes , weather ")], both.to_vec()),
        ("/mcp", vec![("x-mcp-toolsets", "nobody")], vec![]),
        ("/mcp", vec![("x-mcp-toolsets", " ")], both.to_vec()),
        ("/mcp", vec![("x-mcp-toolsets", "notes"), ("x-mcp-readonly", "1")], vec![]),
        ("/mcp/x/weather", vec![], vec!["forecast", "report"]),
        ("/mcp/x/weather/readonly", vec![], vec!["forecast"]),
        ("/mcp/x/weather", vec![("x-mcp-toolsets", "notes")], vec![]),
    ] {
        let mut app = App::new();
        let result = list(&mut app, path, &headers);
        assert_eq!(names(&result), expected, "{path} {headers:?}");
        let prefix = if path.contains("/x/") { "weather__" } else { "" };
        for (full, name) in [("weather__forecast", "forecast"), ("weather__report", "report")] {
            let called = if prefix.is_empty() { full } else { name };
            let call = json!({"name": called});
            let answer = body(&app.modern(path, &headers, "tools/call", call));
            assert_eq!(
                answer.get("result").is_some(),
                expected.contains(&called),
                "{path} {headers:?} {called}"
            );
        }
    }
}

#[test]
fn a_component_may_have_another_prefix_or_none() {
    let mut app = App::new();
    let mut forecast = tool("forecast", true);
    forecast["listed"] = json!("forecast");
    let mut report = tool("report", false);
    report["listed"] = json!("v2.report");
    app.catalog(&[("weather", vec![forecast, report]), ("notes", vec![tool("add", false)])]);
    assert_eq!(names(&list(&mut app, "/mcp", &[])), ["forecast", "v2.report", "notes__add"]);
    assert_eq!(names(&list(&mut app, "/mcp", &[("x-mcp-toolsets", "weather")])), ["forecast", "v2.report"]);
    assert_eq!(names(&list(&mut app, "/mcp/readonly", &[])), ["forecast"]);
    for (path, name, known) in [
        ("/mcp", "forecast", true),
        ("/mcp", "v2.report", true),
        ("/mcp", "notes__add", true),
        ("/mcp", "weather__forecast", false),
        ("/mcp", "weather__report", false),
        ("/mcp", "report", false),
        ("/mcp", "add", false),
        ("/mcp/readonly", "forecast", true),
        ("/mcp/readonly", "v2.report", false),
        ("/mcp/x/weather", "forecast", true),
        ("/mcp/x/weather", "report", true),
        ("/mcp/x/weather", "v2.report", false),
        ("/mcp/x/notes", "forecast", false),
    ] {
        let answer = body(&app.modern(path, &[], "tools/call", json!({"name": name})));
        assert_eq!(answer.get("result").is_some(), known, "{path} {name}: {answer}");
    }
}

#[test]
fn a_long_list_comes_in_pages() {
    let mut app = App::new();
    let tools: Vec<Value> = (0..40)
        .map(|n| {
            let mut tool = tool(&format!("t{n}"), false);
            tool["description"] = json!("x".repeat(20_000));
            tool
        })
        .collect();
    app.catalog(&[("many", tools)]);
    let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let params = cursor.as_ref().map_or(json!({}), |cursor: &String| json!({"cursor": cursor}));
        let result = body(&app.modern("/mcp/x/many", &[], "tools/list", params))["result"].clone();
        seen.extend(names(&result));
        pages += 1;
        match result["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_string()),
            None => break,
        }
    }
    assert_eq!(pages, 4);
    assert_eq!(seen, (0..40).map(|n| format!("t{n}")).collect::<Vec<_>>());
    for bad in [
        json!("x"),
        json!(""),
        json!("0.0123456789ab"),
        json!("99.0123456789ab"),
        json!("12.other"),
        json!(5),
    ] {
        let answer = body(&app.modern("/mcp", &[], "tools/list", json!({"cursor": bad})));
        assert_eq!(answer["error"]["code"], -32602, "{bad}");
    }
}

#[test]
fn a_baked_page_is_used_as_it_is() {
    let mut app = App::new();
    let all: Vec<Value> =
        serde_json::from_str(&app.variables["tools_list"]).expect("the catalog of the tests is JSON");
    app.variables.insert("tools_list".into(), format!("[{}]\n1", all[0]));
    app.variables.insert("tools_list_at_1".into(), format!("[{},{}]", all[1], all[2]));
    app.read.clear();
    let first = app.legacy("tools/list", json!({}))["result"].clone();
    assert_eq!(
        (names(&first), app.read.clone()),
        (vec!["weather__forecast".into()], vec!["gateway_config".into(), "tools_list".to_string()])
    );
    app.read.clear();
    let second = app.legacy("tools/list", json!({"cursor": first["nextCursor"]}))["result"].clone();
    assert_eq!(names(&second), ["weather__report", "notes__add"]);
    assert_eq!(app.read, ["gateway_config", "tools_list_at_1"]);
    assert!(second.get("nextCursor").is_none());
    // Whoever sees a part of the tools gets it from all pages.
    let chosen = list(&mut app, "/mcp", &[("x-mcp-toolsets", "notes")]);
    assert_eq!(names(&chosen), ["notes__add"]);
    for cursor in ["2", "3", "0"] {
        let tagged = first["nextCursor"].as_str().unwrap().replacen('1', cursor, 1);
        let answer = app.legacy("tools/list", json!({"cursor": tagged}));
        assert!(
            answer["error"]["code"] == -32602 || !names(&answer["result"]).is_empty(),
            "{cursor}: {answer}"
        );
    }
    // A page that leads back, or nowhere, does not go on for ever.
    for broken in ["[]\n0", "[]\n7", "[]\n99999999999999999999999", "[]5"] {
        app.variables.insert("tools_list".into(), broken.into());
        let answer = app.legacy("tools/list", json!({}));
        let readonly =
            body(&app.post("/mcp/readonly", &[], json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})));
        assert!(readonly["error"].is_object(), "{broken:?}: {answer} {readonly}");
    }
}

fn with_dynamic() -> App {
    let mut app = App::new();
    app.configure(json!({
        "dynamic": [{"id": "late-one", "timeoutMs": 5000}, {"id": "mute", "timeoutMs": 30000}],
    }));
    app.variables.insert("tools_list_late_one".into(), "[]".into());
    app.tool = |path, body| match (path, body) {
        ("/", _) => ok(json!([tool("now", true), {"name": "bare", "description": null}])),
        _ => ok(json!({"content": [{"type": "text", "text": path}]})),
    };
    app
}

#[test]
fn dynamic_components_are_asked_once() {
    let mut app = with_dynamic();
    let expected = ["weather__forecast", "weather__report", "notes__add", "late-one__now", "late-one__bare"];
    let result = list(&mut app, "/mcp", &[]);
    assert_eq!(names(&result)[..5], expected);
    assert_eq!(app.sent.len(), 2);
    list(&mut app, "/mcp", &[]);
    assert_eq!(app.sent.len(), 2, "the second time the store knows");
    assert_eq!(names(&list(&mut app, "/mcp/x/late-one", &[])), ["now", "bare"]);
    assert_eq!(names(&list(&mut app, "/mcp/x/late-one/readonly", &[])), ["now"]);
    assert_eq!(app.call("late-one__now", json!({"city": "Oslo"})), ("/now".into(), false));
    assert_eq!(app.sent.last().unwrap().timeout_ms, 5000, "the entry's own, and not the app's");
    assert!(app.call("late-one__now", json!({"city": 5})).1, "its schema holds, too");
    assert_eq!(app.legacy("tools/call", json!({"name": "late-one__gone"}))["error"]["code"], -32602);
    app.variables.insert("store_seal".into(), "uid:0123456789abcdef0123456789abcdef".into());
    list(&mut app, "/mcp", &[]);
    assert_eq!(app.sent.last().unwrap().url, "mute/", "what another key sealed is not believed");
}

#[test]
fn a_component_that_cannot_be_asked_is_named() {
    let mut app = with_dynamic();
    app.tool = |_, _| Err(mcp::Failure::Timeout);
    let result = list(&mut app, "/mcp", &[]);
    assert_eq!(names(&result).len(), 3);
    assert_eq!(result["ttlMs"], 0);
    let reasons = &result["_meta"]["ftl.tools/unavailable"];
    assert_eq!(reasons["late-one"], "it did not answer within 10000 ms");
    assert!(app.store.is_empty() && app.log[0].contains("\"discovery\""));
}
