//! What must hold of every answer, from the specification's texts and schemas of the four revisions.

use crate::Tally;
use crate::request::{Request, VERSIONS};
use mcp::Response;
use serde_json::{Map, Value};

const MODERN: &str = "2026-07-28";
/// Error codes that a server of tools may use: JSON-RPC's own, and those of 2026-07-28.
const CODES: [i64; 8] = [-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022];

/// Err says what is wrong.
pub fn judge(request: &Request, response: &Response, tally: &mut Tally) -> Result<(), String> {
    *tally.statuses.entry(response.status).or_default() += 1;
    let probe = request.path == "/readyz";
    if response.status >= 500 && !(response.status == 503 && (probe || is_private(response))) {
        return Err(format!("status {}", response.status));
    }
    let mut kind = None;
    for (name, value) in &response.headers {
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err(format!("the header name {name:?}"));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(format!("the header value {value:?}"));
        }
        if name == "content-type" && kind.replace(value.as_ref()).is_some() {
            return Err("two content types".into());
        }
    }
    let text = std::str::from_utf8(&response.body).map_err(|_| "a body that is not UTF-8")?;
    let messages = match kind {
        Some("application/json") => vec![parse(text)?],
        Some("text/event-stream") => events(text)?,
        _ if text.is_empty() => Vec::new(),
        Some("text/plain; charset=utf-8") if matches!(request.method, "GET" | "HEAD") => Vec::new(),
        other => return Err(format!("a body of the type {other:?}")),
    };
    if request.method != "POST" || !request.path.starts_with("/mcp") {
        return Ok(());
    }
    match messages.split_last() {
        None if matches!(response.status, 202 | 401 | 403 | 404 | 405) => Ok(()),
        None => Err(format!("no body with status {}", response.status)),
        Some((last, notifications)) => {
            notifications.iter().try_for_each(notification)?;
            answer(request, response.status, last, tally)
        }
    }
}

fn is_private(response: &Response) -> bool {
    // The authorizer says so when an issuer's keys cannot be had.
    response.headers.iter().any(|(name, _)| name == "retry-after")
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("a body that is no JSON: {error}"))
}

fn events(text: &str) -> Result<Vec<Value>, String> {
    let rest = text.strip_suffix("\n\n").ok_or("a stream without its last blank line")?;
    rest.split("\n\n")
        .map(|event| {
            let data = event.strip_prefix("event: message\ndata: ").ok_or("an event that is no message")?;
            if data.contains(['\n', '\r']) { Err("an event with a line break".into()) } else { parse(data) }
        })
        .collect()
}

fn notification(message: &Value) -> Result<(), String> {
    let known = ["notifications/progress", "notifications/message"];
    let method = message["method"].as_str().filter(|method| known.contains(method));
    let params = message["params"].as_object().ok_or("a notification without params")?;
    if message["jsonrpc"] != "2.0" || method.is_none() || message.get("id").is_some() {
        return Err(format!("the notification {message}"));
    }
    let token = params.get("progressToken");
    if method == Some("notifications/progress")
        && !(token.is_some_and(|token| token.is_string() || token.is_i64() || token.is_u64())
            && params.get("progress").is_some_and(Value::is_number))
    {
        return Err(format!("the progress {message}"));
    }
    Ok(())
}

/// Judges the answer to one message, or to a batch of them.
fn answer(request: &Request, status: u16, answer: &Value, tally: &mut Tally) -> Result<(), String> {
    let asked: Option<Value> = serde_json::from_slice(&request.body).ok();
    match (answer, asked) {
        (Value::Array(answers), Some(Value::Array(asked))) => {
            if answers.is_empty() || answers.len() > asked.len() {
                return Err(format!("{} answers to a batch of {}", answers.len(), asked.len()));
            }
            if request.header("mcp-protocol-version").is_some_and(|version| VERSIONS[1..].contains(&version))
            {
                return Err("a batch in a revision without batches".into());
            }
            answers.iter().try_for_each(|answer| {
                // A client may use an id twice; then the answer must fit one of the questions.
                let id = answer.get("id");
                let questions =
                    asked.iter().filter(|question| question.get("id").is_some() && question.get("id") == id);
                let mut problem = None;
                for question in questions.map(Some).chain(id.is_none_or(Value::is_null).then_some(None)) {
                    match message(request, question, status, answer, tally) {
                        Ok(()) => return Ok(()),
                        Err(found) => problem = Some(found),
                    }
                }
                Err(problem.unwrap_or_else(|| "an answer to nothing that was asked".into()))
            })
        }
        // What the gateway only skims may nest too deeply, or hold numbers too large, to be read here.
        (Value::Array(_), None) => Ok(()),
        (Value::Object(answer), None) if answer.contains_key("result") => Ok(()),
        (Value::Array(_), _) => Err("many answers to one message".into()),
        (_, asked) => {
            message(request, asked.as_ref().filter(|asked| asked.is_object()), status, answer, tally)
        }
    }
}

fn message(
    request: &Request,
    asked: Option<&Value>,
    status: u16,
    answer: &Value,
    tally: &mut Tally,
) -> Result<(), String> {
    let answer = answer.as_object().ok_or("an answer that is no object")?;
    if matches!(status, 400 | 401 | 403) && answer.contains_key("error_description") {
        // The authorizer's refusal (RFC 6750 §3.1), which comes before any message is read.
        return Ok(());
    }
    if answer.get("jsonrpc") != Some(&Value::from("2.0"))
        || answer.get("id").is_some_and(|id| !(id.is_string() || id.is_number() || id.is_null()))
    {
        return Err("an answer that is no JSON-RPC".into());
    }
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => {
            *tally.outcomes.entry("result".into()).or_default() += 1;
            let asked = asked.ok_or("a result for something that is no request")?;
            if answer.get("id") != asked.get("id") || asked.get("id").is_none() || status != 200 {
                return Err(format!("a result of another id, or with status {status}"));
            }
            let header = request.header("mcp-protocol-version").map(str::trim);
            // The version of `initialize` is in its body.
            let modern = header == Some(MODERN) && asked["method"] != "initialize"
                || !asked["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null();
            result_of(asked["method"].as_str().unwrap_or_default(), result, modern)
        }
        (None, Some(error)) => fault(error, tally),
        _ => Err("an answer with neither result nor error, or with both".into()),
    }
}

fn fault(error: &Value, tally: &mut Tally) -> Result<(), String> {
    let code = error["code"]
        .as_i64()
        .filter(|code| CODES.contains(code))
        .ok_or_else(|| format!("the error {error}"))?;
    *tally.outcomes.entry(code.to_string()).or_default() += 1;
    if error["message"].as_str().is_none_or(str::is_empty) {
        return Err("an error without message".into());
    }
    let fits = match code {
        -32022 => error["data"]["supported"].is_array() && error["data"]["requested"].is_string(),
        -32021 => error["data"]["requiredCapabilities"].is_object(),
        // Nothing of the client's or a tool's making is an internal error.
        -32603 => false,
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("the error {error}")) }
}

fn result_of(method: &str, result: &Value, modern: bool) -> Result<(), String> {
    let result = result.as_object().ok_or("a result that is no object")?;
    let kind = result.get("resultType").and_then(Value::as_str);
    if modern {
        let info =
            &result.get("_meta").ok_or("a result without _meta")?["io.modelcontextprotocol/serverInfo"];
        if !info["name"].is_string()
            || !info["version"].is_string()
            || !matches!(kind, Some("complete" | "input_required"))
        {
            return Err("a modern result without its kind or its server".into());
        }
    } else if kind.is_some() {
        return Err("a legacy result with a kind".into());
    }
    if result.get("_meta").is_some_and(|meta| !meta.is_object()) {
        return Err("_meta that is no object".into());
    }
    match (method, modern) {
        ("tools/call", _) if kind == Some("input_required") => {
            let fits = result.contains_key("inputRequests") || result.contains_key("requestState");
            if fits { Ok(()) } else { Err("input that is required and not described".into()) }
        }
        ("tools/call", _) => called(result, modern),
        ("tools/list", _) => listed(result, modern),
        ("server/discover", true) => {
            let versions = result.get("supportedVersions").and_then(Value::as_array);
            if versions.is_some_and(|versions| versions.contains(&MODERN.into())) {
                cacheable(result)
            } else {
                Err("no versions".into())
            }
        }
        ("initialize", false) => {
            let version = result.get("protocolVersion").and_then(Value::as_str);
            let known = version.is_some_and(|version| VERSIONS[..3].contains(&version));
            if known && result["capabilities"].is_object() && result["serverInfo"]["name"].is_string() {
                Ok(())
            } else {
                Err("an initialize that says too little".into())
            }
        }
        ("ping", false) if result.is_empty() => Ok(()),
        _ => Err(format!("a result of {method:?}")),
    }
}

fn cacheable(result: &Map<String, Value>) -> Result<(), String> {
    let scope = result.get("cacheScope").and_then(Value::as_str);
    if result.get("ttlMs").is_some_and(Value::is_u64) && matches!(scope, Some("public" | "private")) {
        Ok(())
    } else {
        Err("no ttlMs or cacheScope".into())
    }
}

fn listed(result: &Map<String, Value>, modern: bool) -> Result<(), String> {
    let tools = result.get("tools").and_then(Value::as_array).ok_or("no tools")?;
    let mut names: Vec<&str> = Vec::new();
    for tool in tools {
        let name = tool["name"]
            .as_str()
            .filter(|name| (1..=128).contains(&name.len()))
            .ok_or_else(|| format!("the tool {tool}"))?;
        if names.contains(&name) {
            return Err(format!("two tools with the name {name}"));
        }
        names.push(name);
        let schema = &tool["inputSchema"];
        let texts = ["title", "description"].iter().all(|key| tool.get(key).is_none_or(Value::is_string));
        let objects = ["outputSchema", "annotations", "_meta"]
            .iter()
            .all(|key| tool.get(key).is_none_or(Value::is_object));
        if schema["type"] != "object" || !texts || !objects {
            return Err(format!("the tool {tool}"));
        }
    }
    if result.get("nextCursor").is_some_and(|cursor| !cursor.is_string()) {
        return Err("a cursor that is no string".into());
    }
    if modern { cacheable(result) } else { Ok(()) }
}

fn called(result: &Map<String, Value>, modern: bool) -> Result<(), String> {
    let content = result.get("content").and_then(Value::as_array).ok_or("a call without content")?;
    if let Some(block) = content.iter().find(|block| !is_block(block)) {
        return Err(format!("the content {block}"));
    }
    if result.get("isError").is_some_and(|flag| !flag.is_boolean()) {
        return Err("isError that is no boolean".into());
    }
    if !modern && result.get("structuredContent").is_some_and(|content| !content.is_object()) {
        return Err("structured content that is no object, before 2026-07-28".into());
    }
    Ok(())
}

fn is_block(block: &Value) -> bool {
    let text = |value: &Value| value.is_string();
    match block["type"].as_str() {
        Some("text") => text(&block["text"]),
        Some("image" | "audio") => text(&block["data"]) && text(&block["mimeType"]),
        Some("resource_link") => text(&block["uri"]) && text(&block["name"]),
        Some("resource") => {
            let resource = &block["resource"];
            text(&resource["uri"])
                && (resource.get("text").is_some_and(text) != resource.get("blob").is_some_and(text))
        }
        _ => false,
    }
}
