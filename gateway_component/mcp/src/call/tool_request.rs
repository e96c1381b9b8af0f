//! The request to a tool: its path and its headers.

use crate::http::message::Request;
use crate::protocol::context::{Context, Reject};
use crate::protocol::jsonrpc::{INVALID_PARAMS, ProtocolError, RpcRequest};
use json::text::string;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The longest text that goes to a tool in one header.
const MAX_HEADER: usize = 64 << 10;

/// The headers of the request to a tool. Of the client's own only those of tracing go on; `x-auth-*` come from a
/// verified token or not at all.
pub(crate) fn headers(
    context: &mut Context,
    call: &RpcRequest,
    traceparent: Option<&str>,
) -> Result<Vec<(Cow<'static, str>, String)>, Reject> {
    let wants_events = context.accepts_stream
        && call
            .params
            .meta
            .as_ref()
            .is_some_and(|meta| meta.fields.progress_token.is_some() || meta.fields.log_level.is_some());
    let accepted = if wants_events { "application/json, text/event-stream" } else { "application/json" };
    let mut headers: Vec<(Cow<str>, String)> = vec![
        ("content-type".into(), "application/json".into()),
        ("accept".into(), accepted.into()),
        ("x-request-id".into(), context.request_id().to_string()),
    ];
    if let Some(trace) = traceparent {
        headers.push(("traceparent".into(), trace.to_string()));
        let meta = call.params.meta.as_ref().map(|meta| &meta.fields);
        let state = meta.and_then(|meta| meta.tracestate);
        let baggage = meta.and_then(|meta| meta.baggage);
        for (name, given) in [("tracestate", state), ("baggage", baggage)] {
            let value = given.and_then(string).or_else(|| context.request.header(name));
            if let Some(value) = value.filter(|value| value.len() <= 8192 && is_visible(value)) {
                headers.push((name.into(), value.into_owned()));
            }
        }
    }
    if let Some(authorizer) = &context.authorizer {
        headers.extend(authorizer.identity_headers().into_iter().map(|(name, value)| (name.into(), value)));
    }
    let params = &call.params;
    for (name, text) in [
        ("x-mcp-meta", params.meta.as_ref().map(|meta| meta.text)),
        ("x-mcp-input-responses", params.input_responses.map(RawValue::get)),
        ("x-mcp-request-state", params.request_state.map(RawValue::get)),
    ] {
        if let Some(text) = text {
            let value = ascii(text);
            if value.len() > MAX_HEADER {
                let message =
                    format!("{name} is longer than {MAX_HEADER} bytes, which is more than a tool can take");
                return Err(ProtocolError::new(INVALID_PARAMS, message).into());
            }
            headers.push((name.into(), value));
        }
    }
    Ok(headers)
}

/// JSON text as a header's value: one line of ASCII that parses to the same.
fn ascii(text: &str) -> String {
    if is_visible(text) {
        return text.to_string();
    }
    let mut value = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            // Control characters stand between tokens only, as spaces do.
            value.push(if letter.is_ascii_control() { ' ' } else { letter });
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                value.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    value
}

/// The caller's trace context (W3C, version 00): of the message's metadata, else of the request.
pub(crate) fn traceparent(request: &Request, call: &RpcRequest) -> Option<String> {
    let given = call.params.meta.as_ref().and_then(|meta| meta.fields.traceparent).and_then(string);
    let value = given.or_else(|| request.header("traceparent"))?;
    let parts: Vec<&str> = value.split('-').collect();
    let valid = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2])
        && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    valid.then(|| value.into_owned())
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// `/TOOL`, percent-encoded (RFC 3986 §2.3).
pub(crate) fn path_of(tool: &str) -> String {
    let mut path = String::with_capacity(tool.len() + 1);
    path.push('/');
    for byte in tool.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(byte as char);
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
