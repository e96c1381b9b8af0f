//! A component whose tools answer with what reached them: the headers, so that a test sees whom they believe to serve.

use serde_json::{Value, json};
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Tool;

impl wasip2::exports::http::incoming_handler::Guest for Tool {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = match request.method() {
            Method::Get => json!([
                metadata("whoami", true),
                metadata("send", false),
                metadata("delete_all", false),
            ]),
            _ => called(&request),
        };
        respond(out, &answer);
    }
}

fn metadata(name: &str, read_only: bool) -> Value {
    json!({
        "name": name,
        "description": "Tells what reached it.",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": read_only},
    })
}

fn called(request: &IncomingRequest) -> Value {
    let headers: Vec<Value> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let told = json!({"path": request.path_with_query(), "headers": headers});
    json!({"content": [{"type": "text", "text": told.to_string()}]})
}

fn respond(out: ResponseOutparam, answer: &Value) {
    let headers = Fields::from_list(&[("content-type".to_string(), b"application/json".to_vec())]);
    let response = OutgoingResponse::new(headers.expect("a good header"));
    let body = response.body().expect("a first body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a first stream");
    for part in answer.to_string().as_bytes().chunks(4096) {
        stream.blocking_write_and_flush(part).expect("a reader");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("a whole body");
}

wasip2::http::proxy::export!(Tool with_types_in wasip2);
