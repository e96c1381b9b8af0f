//! The tools of the MCP conformance suite under its names, and tools that break every rule there is, for the tests.
//!
//! `GET /` lists them as FTL's tool contract has it; `POST /NAME` runs one. What the contract does not have comes in
//! headers: `x-mcp-meta`, `x-mcp-input-responses` and `x-mcp-request-state` hold JSON.

mod faults;
mod patient;
mod suite;

use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

struct Tools;
wasip2::http::proxy::export!(Tools);

/// One call.
struct Call {
    arguments: Value,
    headers: Vec<(String, String)>,
}

impl Call {
    /// The JSON value of a header; null without it.
    fn header(&self, name: &str) -> Value {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .and_then(|(_, value)| serde_json::from_str(value).ok())
            .unwrap_or_default()
    }

    fn input_response(&self, key: &str) -> Option<Value> {
        self.header("x-mcp-input-responses").get(key).filter(|value| value.is_object()).cloned()
    }
}

/// What a tool answers.
struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Reply {
        Reply { status: 200, kind: "application/json", body: value.to_string().into_bytes() }
    }
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

impl Guest for Tools {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let reply = if matches!(request.method(), Method::Get) {
            let mut tools = suite::tools();
            tools.extend(faults::tools());
            Value::Array(tools).into()
        } else {
            let headers = request
                .headers()
                .entries()
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
                .collect();
            let arguments = serde_json::from_slice(&body(&request)).unwrap_or_default();
            let call = Call { arguments, headers };
            let name = path.trim_start_matches('/');
            if name == patient::NAME {
                return patient::answer(out, call.arguments["authority"].as_str().unwrap_or_default());
            }
            suite::call(name, &call).or_else(|| faults::call(name, &call)).unwrap_or_else(|| Reply {
                status: 404,
                kind: "text/plain",
                body: Vec::new(),
            })
        };
        respond(out, &reply);
    }
}

fn body(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("the body is taken once");
    let stream = body.stream().expect("its stream is taken once");
    let mut data = Vec::new();
    while let Ok(chunk) = stream.blocking_read(65536) {
        data.extend(chunk);
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    data
}

fn respond(out: ResponseOutparam, reply: &Reply) {
    let headers = Fields::new();
    headers.append("content-type", reply.kind.as_bytes()).expect("a plain header");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(reply.status).expect("a plain status");
    let body = response.body().expect("taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("taken once");
    // The caller may stop reading; then there is nobody left to answer.
    let _: Result<(), StreamError> =
        reply.body.chunks(4096).try_for_each(|chunk| stream.blocking_write_and_flush(chunk));
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
