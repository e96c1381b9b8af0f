//! An app whose tools answer anything at all, and whose store and clock are the case's own.

use crate::dice::Dice;
use crate::json::{self, spoil, spoil_bytes};
use mcp::{Failure, Response, ToolRequest, ToolResponse, is_event_stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct FuzzHost {
    dice: Dice,
    variables: BTreeMap<String, String>,
    store: BTreeMap<String, Vec<u8>>,
    now: u64,
    /// What comes as the request's body.
    pub body: Vec<u8>,
    /// What the client got of the answer before it was whole.
    pub opened: Option<Response>,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 1, "pattern": "^\\S"},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "region": {"anyOf": [{"enum": ["north", "south"]}, {"type": "null"}], "x-mcp-header": "Region"},
        },
        "required": ["city"],
        "additionalProperties": false,
    })
}

fn tools() -> [Value; 3] {
    let output = json!({"type": "object", "properties": {"high": {"type": "number"}}, "required": ["high"]});
    [
        json!({"name": "forecast", "description": "The weather", "inputSchema": schema(), "outputSchema": output,
            "annotations": {"readOnlyHint": true}}),
        json!({"name": "wipe", "title": "Wipe", "description": "", "inputSchema": {"type": "object"}}),
        json!({"name": "ask", "description": "", "inputSchema": {"type": "object"}}),
    ]
}

impl FuzzHost {
    pub fn new(mut dice: Dice) -> FuzzHost {
        let mut variables = BTreeMap::new();
        let private = dice.once_in(12);
        variables.insert("gateway_config".to_string(), config(private, dice.once_in(3)).to_string());
        variables.insert("probe_word".into(), "probe".into());
        variables.insert("store_seal".into(), "uid:0123456789abcdef0123456789abcdef".into());
        let mut list = Vec::new();
        let mut index = Vec::new();
        for tool in tools() {
            let name = tool["name"].as_str().unwrap_or_default();
            let full = format!("weather__{name}");
            let read_only = tool["annotations"]["readOnlyHint"] == true;
            let record = json!({
                "component": "weather", "tool": name, "name": name, "readOnly": read_only, "scopes": [], "timeoutMs": 1000,
                "headers": if read_only { json!({"Mcp-Param-Region": "/region"}) } else { json!({}) },
            });
            let output = tool.get("outputSchema").map(Value::to_string).unwrap_or_default();
            let record = format!("{record}\n{}\n{output}", tool["inputSchema"]);
            let hex: String = full.bytes().map(|byte| format!("{byte:02x}")).collect();
            variables.insert(format!("tool_{hex}"), record);
            index.push(json!({"component": "weather", "tool": name, "readOnly": read_only, "scopes": []}));
            let mut named = tool.clone();
            named["name"] = json!(full);
            list.push(named);
        }
        variables.insert("tools_list".into(), json!(list).to_string());
        variables.insert("tools_list_weather".into(), json!(tools()).to_string());
        variables.insert("tools_index".into(), json!(index).to_string());
        variables.insert(
            "components".into(),
            json!([{"id": "weather", "tools": ["forecast", "wipe", "ask"], "dynamic": false}, {"id": "late", "tools": [], "dynamic": true}])
                .to_string(),
        );
        FuzzHost {
            dice,
            variables,
            store: BTreeMap::new(),
            now: 1_800_000_000_000_000_000,
            body: Vec::new(),
            opened: None,
        }
    }

    fn answer(&mut self, request: &ToolRequest) -> Result<ToolResponse, Failure> {
        let dice = &mut self.dice;
        if dice.once_in(12) {
            return Err(dice.pick(&[Failure::Timeout, Failure::TooLarge, Failure::Broken]));
        }
        let mut value = if request.method == "GET" { self::metadata(dice) } else { self::result(dice) };
        if dice.once_in(3) {
            spoil(&mut value, dice);
        }
        let mut body = value.to_string().into_bytes();
        let mut content_type = Some("application/json");
        if dice.once_in(5) {
            content_type =
                Some(dice.pick(&["text/event-stream", "text/event-stream; charset=utf-8", "text/html", ""]));
            body = stream(dice, &value).into_bytes();
        }
        if dice.once_in(6) {
            spoil_bytes(&mut body, dice);
        }
        if dice.once_in(20) {
            body.clear();
        }
        let status = if dice.once_in(6) { dice.pick(&[201, 204, 301, 400, 404, 500, 599]) } else { 200 };
        Ok(ToolResponse { status, content_type: content_type.map(str::to_string), body })
    }
}

fn config(private: bool, audit: bool) -> Value {
    let auth = json!({
        "access": "private", "issuer": "https://issuer.example", "audiences": ["https://tools.example"],
        "jwksUri": "https://issuer.example/keys", "publicKey": null, "jwks": null, "algorithms": ["RS256", "ES256"],
        "requiredScopes": ["mcp:tools"], "allowedSubjects": ["ann"], "organization": null, "hasPolicy": false,
        "leewaySeconds": 60, "authorizationServers": ["https://issuer.example"], "authorizationServerMetadata": null,
        "scopesSupported": ["mcp:tools"], "apiKeys": true,
    });
    json!({
        "name": "fuzz", "version": "1.0.0", "title": "Fuzz", "instructions": "é \"quoted\"", "app": "sha256:0123456789abcdef",
        "validate": true, "audit": audit, "timeoutMs": 1000, "maxResponseBytes": 1 << 20, "listTtlMs": 1000,
        "allowedOrigins": ["https://app.example"], "allowedHosts": [], "dynamic": [{"id": "late", "timeoutMs": 1000}], "resource": null,
        "storeShared": false,
        "auth": if private { auth } else { Value::Null },
    })
}

fn metadata(dice: &mut Dice) -> Value {
    match dice.roll(5) {
        0 => json::value(dice, 3),
        1 => json!([]),
        _ => {
            json!([{"name": "echo", "description": "Echo", "inputSchema": {"type": "object"}, "annotations": null}, tools()[0]])
        }
    }
}

fn result(dice: &mut Dice) -> Value {
    match dice.roll(8) {
        0 => json::value(dice, 3),
        1 => json!({"content": [{"type": "text", "text": json::text(dice)}], "isError": true}),
        2 => json!({"content": [
            {"type": "image", "data": "AA==", "mimeType": "image/png"},
            {"type": "resource_link", "uri": "file:///a", "name": "a", "title": null},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "a", "blob": null}},
        ]}),
        3 => json!({"resultType": "input_required", "requestState": json::text(dice), "inputRequests": {
            "a": {"method": dice.pick(&["elicitation/create", "sampling/createMessage", "x"]), "params": {}},
        }}),
        4 => json!({"content": [], "structuredContent": json::value(dice, 2), "_meta": json::value(dice, 1)}),
        5 => json!({"content": [{"type": "text", "text": "{\"high\": 3}"}]}),
        _ => {
            json!({"content": [{"type": "text", "text": "sun"}], "structuredContent": {"high": 21.5}, "isError": null})
        }
    }
}

fn stream(dice: &mut Dice, last: &Value) -> String {
    let mut text = String::new();
    for _ in 0..dice.roll(4) {
        let method =
            dice.pick(&["notifications/progress", "notifications/message", "sampling/createMessage"]);
        let mut event = json!({"jsonrpc": "2.0", "method": method, "params": {"progress": dice.roll(9), "message": json::text(dice)}});
        if dice.once_in(3) {
            spoil(&mut event, dice);
        }
        text += &format!("event: message\r\ndata: {event}\r\n\r\n");
    }
    text + "data: " + &last.to_string() + dice.pick(&["\n\n", "\r\n\r\n", "\n", ""])
}

impl authorizer::Env for FuzzHost {
    fn now_ns(&self) -> u64 {
        self.now
    }

    fn fetch(&mut self, _url: &str, _max_bytes: usize) -> Option<Vec<u8>> {
        let keys = json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "a"}]});
        (!self.dice.once_in(3)).then(|| keys.to_string().into_bytes())
    }

    fn kv_get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.store.get(key).cloned()
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) {
        self.store.insert(key.to_string(), value.to_vec());
    }

    fn policy(&mut self) -> Option<(String, String)> {
        Some((String::new(), String::new()))
    }

    fn api_keys(&mut self) -> Option<String> {
        Some(String::new())
    }

    fn log(&mut self, _line: String) {}
}

impl mcp::Host for FuzzHost {
    fn body(&mut self, limit: usize) -> Option<Vec<u8>> {
        Some(self.body[..self.body.len().min(limit + 1)].to_vec())
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn exchange(&mut self, requests: &[ToolRequest]) -> Vec<Result<ToolResponse, Failure>> {
        self.now += 1_000_000;
        requests.iter().map(|request| self.answer(request)).collect()
    }

    fn relay(
        &mut self,
        request: &ToolRequest,
        head: &Response,
        pass: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<ToolResponse, Failure> {
        let answer = self.answer(request)?;
        if answer.content_type.as_deref().is_some_and(is_event_stream) {
            let mut rest = answer.body.as_slice();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(1 + self.dice.roll(80)));
                let passed = pass(piece);
                if !passed.is_empty() {
                    self.opened.get_or_insert_with(|| head.clone()).body.extend(passed);
                }
                // A tool may break off, or be too slow, after some of it.
                if self.dice.once_in(30) {
                    return Err(self.dice.pick(&[Failure::Timeout, Failure::TooLarge, Failure::Broken]));
                }
                rest = later;
            }
        }
        Ok(answer)
    }

    fn ticks_ns(&self) -> u64 {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.dice.bits()
    }
}
