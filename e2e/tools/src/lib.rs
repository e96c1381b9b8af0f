//! One component that is any tool: what it says and does stands in a fixed-size buffer of its data segment.
//!
//! The tests overwrite that buffer in the built file, so a new version of a tool, with its own digest, costs no
//! compiler run. The buffer holds, after an 18-byte marker, a JSON object padded with spaces:
//!
//! | key | meaning |
//! |---|---|
//! | `tools` | what `GET /` answers: the metadata array of FTL's tool contract |
//! | `version` | given back by every call, to tell which version answered |
//! | `trapWhen` | a variable's name: if it has the value `broken`, every request traps |
//!
//! `POST /TOOL` answers with a JSON text: `{"tool", "version", "arguments", "variables": {…}, "identity"}`, where
//! `variables` holds those that the argument `variables` (an array of names) asks for. Two arguments more steer a
//! call: `sleepMs` waits first, `fail` makes an error result.

use serde_json::{json, Map, Value};
use std::time::Duration;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

mod spin {
    wit_bindgen::generate!({
        inline: "
            package fermyon:spin@2.0.0;
            interface variables {
                variant error { invalid-name(string), undefined(string), provider(string), other(string) }
                get: func(name: string) -> result<string, error>;
            }
            world host { import variables; }
        ",
        world: "host",
        generate_all,
    });
}

const MARKER: &[u8; 18] = b"\x01ftl-e2e-template\x01";
const SIZE: usize = 8192;

/// Overwritten in the built file; volatile reads keep the compiler from folding the placeholder into code.
static BUFFER: [u8; SIZE] = {
    let mut buffer = [b' '; SIZE];
    let mut i = 0;
    while i < MARKER.len() {
        buffer[i] = MARKER[i];
        i += 1;
    }
    buffer
};

fn description() -> Value {
    let bytes: Vec<u8> = (MARKER.len()..SIZE)
        // SAFETY: the pointer stays within BUFFER.
        .map(|i| unsafe { std::ptr::read_volatile(BUFFER.as_ptr().add(i)) })
        .collect();
    serde_json::from_slice(&bytes).expect("the tests write a JSON object into the buffer")
}

fn variable(name: &str) -> Option<String> {
    spin::fermyon::spin::variables::get(name).ok()
}

struct Template;

impl wasip2::exports::http::incoming_handler::Guest for Template {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let description = description();
        if let Some(name) = description["trapWhen"].as_str() {
            assert!(variable(name).as_deref() != Some("broken"), "told to be broken by the variable {name}");
        }
        let path = request.path_with_query().unwrap_or_default();
        let answer = match request.method() {
            Method::Get => description["tools"].clone(),
            _ => call(&description, path.trim_start_matches('/'), &identity(&request), &body(&request)),
        };
        respond(out, answer.to_string().as_bytes());
    }
}

fn call(description: &Value, tool: &str, identity: &Value, body: &[u8]) -> Value {
    let arguments: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(wait) = arguments["sleepMs"].as_u64() {
        std::thread::sleep(Duration::from_millis(wait));
    }
    let variables: Map<String, Value> = arguments["variables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| (name.to_owned(), json!(variable(name))))
        .collect();
    let answer = json!({
        "tool": tool,
        "version": description["version"],
        "arguments": arguments,
        "variables": variables,
        "identity": identity,
    });
    json!({
        "content": [{"type": "text", "text": answer.to_string()}],
        "isError": arguments["fail"].as_bool().unwrap_or(false),
    })
}

/// The `x-auth-*` headers that the gateway adds for a verified caller.
fn identity(request: &IncomingRequest) -> Value {
    let headers = request.headers().entries();
    let own = headers.into_iter().filter(|(name, _)| name.starts_with("x-auth-"));
    Value::Object(own.map(|(name, value)| (name, json!(String::from_utf8_lossy(&value)))).collect())
}

fn body(request: &IncomingRequest) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(body) = request.consume() {
        let stream = body.stream().expect("a body's stream can be taken once");
        while let Ok(chunk) = stream.blocking_read(65536) {
            bytes.extend(chunk);
        }
    }
    bytes
}

fn respond(out: ResponseOutparam, bytes: &[u8]) {
    let headers = Fields::from_list(&[("content-type".to_owned(), b"application/json".to_vec())])
        .expect("the header is valid");
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("a new response's body can be taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a new body's stream can be taken once");
    for chunk in bytes.chunks(4096) {
        stream.blocking_write_and_flush(chunk).expect("the host takes the answer");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("no length was promised");
}

wasip2::http::proxy::export!(Template);
