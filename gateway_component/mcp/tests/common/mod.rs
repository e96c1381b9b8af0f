//! An application without WebAssembly: variables in a map, tools as functions.

#![allow(dead_code)] // each test file uses its part

use authorizer::Env;
use mcp::{Failure, Host, Request, Response, ToolRequest, ToolResponse, handle, is_event_stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub type Answer = Result<ToolResponse, Failure>;

/// What a tool was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub url: String,
    pub method: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub timeout_ms: u64,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

pub struct App {
    pub variables: BTreeMap<String, String>,
    pub store: BTreeMap<String, Vec<u8>>,
    pub tool: fn(&str, &str) -> Answer,
    pub sent: Vec<Sent>,
    pub log: Vec<String>,
    pub read: Vec<String>,
    /// What comes as the request's body, and how often it was asked for.
    pub body: Vec<u8>,
    pub body_reads: usize,
    /// How many bytes of a tool's stream come at once.
    pub piece: usize,
    /// What the client got of the answer before it was whole.
    pub opened: Option<Response>,
}

pub fn ok(value: Value) -> Answer {
    Ok(ToolResponse {
        status: 200,
        content_type: Some("application/json".into()),
        body: value.to_string().into_bytes(),
    })
}

pub fn raw(status: u16, kind: &str, body: &[u8]) -> Answer {
    Ok(ToolResponse { status, content_type: Some(kind.into()), body: body.to_vec() })
}

fn echo(_: &str, body: &str) -> Answer {
    ok(json!({"content": [{"type": "text", "text": body}]}))
}

pub fn tool(name: &str, read_only: bool) -> Value {
    json!({
        "name": name,
        "description": format!("The tool {name}"),
        "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
        "annotations": {"readOnlyHint": read_only},
    })
}

/// One component `math` with a tool `sum` that has an output schema.
pub fn with_output() -> App {
    let mut app = App::new();
    app.catalog(&[("math", vec![json!({
        "name": "sum",
        "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "outputSchema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
    })])]);
    app
}

impl App {
    /// Two components: `weather` with `forecast` (read only) and `report`, and `notes` with `add`.
    pub fn new() -> App {
        let mut app = App {
            variables: BTreeMap::new(),
            store: BTreeMap::new(),
            tool: echo,
            sent: Vec::new(),
            log: Vec::new(),
            read: Vec::new(),
            body: Vec::new(),
            body_reads: 0,
            piece: 7,
            opened: None,
        };
        app.configure(json!({}));
        app.catalog(&[
            ("weather", vec![tool("forecast", true), tool("report", false)]),
            ("notes", vec![tool("add", false)]),
        ]);
        app
    }

    pub fn configure(&mut self, changes: Value) {
        let mut config = json!({
            "name": "demo", "version": "1.2.3", "title": "Demo", "instructions": "Ask for the weather.",
            "app": "sha256:0123456789abcdef", "validate": true, "audit": true, "timeoutMs": 1000,
            "maxResponseBytes": 1 << 20, "allowedOrigins": [], "allowedHosts": [], "listTtlMs": 60000,
            "dynamic": [], "resource": null, "storeShared": false, "auth": null,
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        self.variables.insert("gateway_config".into(), config.to_string());
    }

    pub fn catalog(&mut self, components: &[(&str, Vec<Value>)]) {
        let (mut list, mut index, mut entries) = (vec![], vec![], vec![]);
        for (component, tools) in components {
            let variable = format!("tools_list_{}", component.replace('-', "_"));
            self.variables.insert(variable, json!(tools).to_string());
            let mut names = vec![];
            for tool in tools {
                let name = tool["name"].as_str().unwrap();
                let full = format!("{component}__{name}");
                let read_only = tool["annotations"]["readOnlyHint"] == true;
                let own = tool["listed"].as_str();
                let mut listed = tool.clone();
                listed["name"] = json!(own.unwrap_or(&full));
                list.push(listed);
                index
                    .push(json!({"component": component, "tool": name, "readOnly": read_only, "scopes": []}));
                let record = json!({
                    "component": component, "tool": name, "name": name, "listed": own, "readOnly": read_only,
                    "scopes": [], "timeoutMs": 1000,
                    "headers": tool["headers"].as_object().cloned().unwrap_or_default(),
                });
                let output = tool.get("outputSchema").map(Value::to_string).unwrap_or_default();
                let record = format!("{record}\n{}\n{output}", tool["inputSchema"]);
                for key in [Some(&*full), own].into_iter().flatten() {
                    let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
                    self.variables.insert(format!("tool_{hex}"), record.clone());
                }
                names.push(name.to_string());
            }
            entries.push(json!({"id": component, "tools": names, "dynamic": false}));
        }
        self.variables.insert("tools_list".into(), json!(list).to_string());
        self.variables.insert("tools_index".into(), json!(index).to_string());
        self.variables.insert("components".into(), json!(entries).to_string());
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut all = vec![("host".to_string(), b"localhost:3000".to_vec())];
        for (name, value) in headers {
            all.retain(|(before, _)| name != before || *name != "host");
            all.push((name.to_string(), value.as_bytes().to_vec()));
        }
        self.opened = None;
        self.body = body.to_vec();
        self.body_reads = 0;
        let response = handle(&Request { method, path, headers: &all }, self);
        match self.opened.clone() {
            None => response,
            Some(mut opened) => {
                opened.body.extend(response.body);
                opened
            }
        }
    }

    /// A legacy client's message.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], message: Value) -> Response {
        let mut all =
            vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        all.extend_from_slice(headers);
        self.request("POST", path, &all, message.to_string().as_bytes())
    }

    /// A legacy request of 2025-11-25, and its answer's message.
    pub fn legacy(&mut self, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let response = self.post("/mcp", &[("mcp-protocol-version", "2025-11-25")], message);
        assert_eq!(response.status, 200);
        body(&response)
    }

    /// A modern request with everything that it needs.
    pub fn modern(&mut self, path: &str, headers: &[(&str, &str)], method: &str, params: Value) -> Response {
        let mut params = params;
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        if params["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_null() {
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let name = params["name"].as_str().unwrap_or_default().to_string();
        let mut all = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        if !name.is_empty() {
            all.push(("mcp-name", &name));
        }
        all.extend_from_slice(headers);
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.post(path, &all, message)
    }

    /// The text of a call's result, and whether it is an error.
    pub fn call(&mut self, name: &str, arguments: Value) -> (String, bool) {
        let answer = self.legacy("tools/call", json!({"name": name, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_string();
        (text, result["isError"] == true)
    }
}

pub fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or(Value::Null)
}

pub fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(header, _)| header == name).map(|(_, value)| &**value)
}

pub fn names(list: &Value) -> Vec<String> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_string()).collect()
}

impl Env for App {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn fetch(&mut self, _: &str, _: usize) -> Option<Vec<u8>> {
        None
    }

    fn kv_get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.store.get(key).cloned()
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) {
        self.store.insert(key.into(), value.into());
    }

    fn policy(&mut self) -> Option<(String, String)> {
        Some((self.variables.get("policy")?.clone(), self.variables.get("policy_data")?.clone()))
    }

    fn api_keys(&mut self) -> Option<String> {
        self.variables.get("api_keys").cloned()
    }

    fn log(&mut self, line: String) {
        self.log.push(line);
    }
}

impl Host for App {
    fn body(&mut self, limit: usize) -> Option<Vec<u8>> {
        self.body_reads += 1;
        Some(self.body[..self.body.len().min(limit + 1)].to_vec())
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.read.push(name.into());
        self.variables.get(name).cloned()
    }

    fn exchange(&mut self, requests: &[ToolRequest]) -> Vec<Answer> {
        requests
            .iter()
            .map(|request| {
                let headers =
                    request.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
                self.sent.push(Sent {
                    url: format!("{}{}", request.component, request.path),
                    method: request.method,
                    headers,
                    body: request.body.into(),
                    timeout_ms: request.timeout_ms,
                });
                (self.tool)(&request.path, request.body)
            })
            .collect()
    }

    fn relay(
        &mut self,
        request: &ToolRequest,
        head: &Response,
        pass: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Answer {
        let answer = self.exchange(std::slice::from_ref(request)).remove(0)?;
        if answer.content_type.as_deref().is_some_and(is_event_stream) {
            for piece in answer.body.chunks(self.piece) {
                let passed = pass(piece);
                if !passed.is_empty() {
                    self.opened.get_or_insert_with(|| head.clone()).body.extend(passed);
                }
            }
        }
        Ok(answer)
    }

    fn ticks_ns(&self) -> u64 {
        1_000_000_000
    }

    fn random(&mut self) -> u64 {
        0xabcdef
    }
}
