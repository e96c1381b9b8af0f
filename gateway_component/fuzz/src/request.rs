//! Requests: good ones of every revision, then spoiled in body, headers, path and method.

use crate::dice::Dice;
use crate::json::{self, spoil, spoil_bytes};
use serde_json::{Value, json};
use std::fmt;

pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn view(&self) -> mcp::Request<'_> {
        mcp::Request { method: self.method, path: &self.path, headers: &self.headers }
    }

    /// The only value of a header; None if there is none or several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value).escape_debug())?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]))
    }
}

pub const VERSIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
const PATHS: [&str; 13] = [
    "/mcp",
    "/mcp",
    "/mcp",
    "/mcp/x/weather",
    "/mcp/x/late",
    "/mcp/readonly",
    "/mcp/x/weather/readonly",
    "/mcp/x/none",
    "/mcp/",
    "/",
    "/healthz",
    "/readyz",
    "/.well-known/oauth-protected-resource/mcp",
];
const METHODS: [&str; 6] = ["GET", "DELETE", "OPTIONS", "PUT", "HEAD", "POST"];
const TOOLS: [&str; 8] = [
    "weather__forecast",
    "weather__wipe",
    "weather__ask",
    "late__echo",
    "forecast",
    "wipe",
    "echo",
    "weather__none",
];

pub fn generate(dice: &mut Dice) -> Request {
    let version = dice.pick(&VERSIONS);
    let modern = version == "2026-07-28";
    let mut message = message(dice, modern);
    let method = message["method"].as_str().unwrap_or_default().to_string();
    let name = message["params"]["name"].as_str().unwrap_or_default().to_string();
    if !modern && dice.once_in(12) {
        message = (0..dice.roll(5)).map(|_| crate::request::message(dice, false)).collect();
    }
    if dice.once_in(2) {
        (0..=dice.roll(2)).for_each(|_| spoil(&mut message, dice));
    }
    let mut body = message.to_string().into_bytes();
    if dice.once_in(8) {
        spoil_bytes(&mut body, dice);
    }
    let mut request = Request {
        method: if dice.once_in(40) { dice.pick(&METHODS) } else { "POST" },
        path: if dice.once_in(4) { dice.pick(&PATHS).to_string() } else { "/mcp".into() },
        headers: headers(dice, version, &method, &name),
        body,
    };
    if dice.once_in(5) {
        (0..=dice.roll(2)).for_each(|_| spoil_headers(&mut request.headers, dice));
    }
    request
}

fn message(dice: &mut Dice, modern: bool) -> Value {
    let method = match dice.roll(14) {
        0..=5 => "tools/call",
        6 | 7 => "tools/list",
        8 => "initialize",
        9 => "ping",
        10 => "server/discover",
        11 => dice.pick(&["notifications/initialized", "notifications/cancelled"]),
        12 => dice.pick(&["prompts/list", "resources/read", "logging/setLevel", "completion/complete", "x"]),
        _ => return json!({"jsonrpc": "2.0", "id": dice.roll(9), "result": json::value(dice, 2)}),
    };
    let mut params = match method {
        "tools/call" => json!({"name": dice.pick(&TOOLS), "arguments": arguments(dice)}),
        "tools/list" if dice.once_in(4) => json!({"cursor": json::text(dice)}),
        "initialize" => json!({
            "protocolVersion": dice.pick(&VERSIONS),
            "capabilities": {},
            "clientInfo": {"name": "fuzz", "version": "1"},
        }),
        _ => json!({}),
    };
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": dice.pick(&["{}", "{\"elicitation\":{}}"]).parse::<Value>().unwrap_or_default(),
        });
    }
    if dice.once_in(6) {
        params["_meta"]["progressToken"] = json::value(dice, 0);
        params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    }
    let mut message = json!({"jsonrpc": "2.0", "method": method});
    if !method.starts_with("notifications/") {
        message["id"] = match dice.roll(4) {
            0 => json!(json::text(dice)),
            1 => json!(-1),
            _ => json!(dice.roll(1000)),
        };
    }
    if params != json!({}) || dice.once_in(2) {
        message["params"] = params;
    }
    message
}

fn arguments(dice: &mut Dice) -> Value {
    match dice.roll(4) {
        0 => json::value(dice, 3),
        1 => json!({}),
        _ => json!({"city": "Oslo", "days": dice.roll(20), "region": "north"}),
    }
}

fn headers(dice: &mut Dice, version: &str, method: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut headers = vec![
        ("host".to_string(), b"localhost:3000".to_vec()),
        ("content-type".into(), b"application/json".to_vec()),
        ("accept".into(), b"application/json, text/event-stream".to_vec()),
    ];
    if version != "2025-03-26" {
        headers.push(("mcp-protocol-version".into(), version.into()));
    }
    if version == "2026-07-28" {
        headers.push(("mcp-method".into(), method.into()));
        headers.push(("mcp-name".into(), name.into()));
        if dice.once_in(2) {
            headers.push(("mcp-param-region".into(), b"north".to_vec()));
        }
    }
    headers
}

const NAMES: [&str; 18] = [
    "accept",
    "content-type",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-param-region",
    "origin",
    "host",
    "authorization",
    "x-mcp-toolsets",
    "x-mcp-readonly",
    "x-ftl-probe",
    "x-ftl-probe-once",
    "x-api-key",
    "x-auth-subject",
    "traceparent",
    "mcp-session-id",
    "x-request-id",
];
const VALUES: [&str; 20] = [
    "",
    "*/*",
    "text/event-stream",
    "application/json;q=0",
    "text/plain",
    "application/json; charset=latin1",
    "2026-07-28",
    "2025-03-26",
    "1999-01-01",
    "=?base64?YQ==?=",
    "=?base64?!?=",
    "http://evil.example",
    "null",
    "http://localhost:3000",
    "Bearer x.y.z",
    "weather",
    "late, none,",
    "true",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "probe",
];

fn spoil_headers(headers: &mut Vec<(String, Vec<u8>)>, dice: &mut Dice) {
    let at = dice.roll(headers.len().max(1));
    match dice.roll(5) {
        0 if at < headers.len() => {
            headers.remove(at);
        }
        1 if at < headers.len() => headers[at].1 = json::text(dice).into_bytes(),
        2 if at < headers.len() => headers.push(headers[at].clone()),
        3 => headers.push((dice.pick(&NAMES).into(), vec![dice.bits() as u8; dice.roll(2000)])),
        _ => headers.push((dice.pick(&NAMES).into(), dice.pick(&VALUES).into())),
    }
}
