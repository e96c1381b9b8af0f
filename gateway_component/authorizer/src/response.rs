//! Answers that this crate gives by itself. Every text is a constant.

use serde_json::json;

/// An HTTP answer: status, headers (lower case names) and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The error codes of RFC 6750 §3.1, and of RFC 6749 §4.1.2.1 for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    InvalidToken,
    InsufficientScope,
    AccessDenied,
    TemporarilyUnavailable,
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Code::InvalidRequest => "invalid_request",
            Code::InvalidToken => "invalid_token",
            Code::InsufficientScope => "insufficient_scope",
            Code::AccessDenied => "access_denied",
            Code::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// The answer when the configuration or the issuer's keys are not there: 503, to be tried again.
pub fn unavailable() -> Response {
    let mut response = error(503, Code::TemporarilyUnavailable, "authorization is not available");
    response.headers.push(("retry-after".into(), "5".into()));
    response
}

/// An error as a JSON object, never cached.
pub(crate) fn error(status: u16, code: Code, description: &'static str) -> Response {
    json_response(status, &json!({"error": code.name(), "error_description": description}), "no-store")
}

pub(crate) fn json_response(status: u16, body: &serde_json::Value, cache: &str) -> Response {
    Response {
        status,
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("cache-control".into(), cache.into()),
        ],
        body: body.to_string().into_bytes(),
    }
}
