//! Parameters that clients repeat in headers (`x-mcp-header`).

use crate::http::message::Request;
use crate::protocol::jsonrpc::ProtocolError;
use crate::protocol::revision::{decode, mismatch};
use serde_json::Value;

/// Whether a parameter's header says what the arguments say (2026-07-28, "Server Behavior for Custom Headers").
pub(crate) fn check(request: &Request, header: &str, value: Option<&Value>) -> Result<(), ProtocolError> {
    let given = request.header(&header.to_ascii_lowercase());
    let value = value.filter(|value| !value.is_null());
    let equal = match (&given, value) {
        (None, None) => true,
        (Some(given), Some(value)) => decode(given).is_some_and(|given| match value {
            Value::String(text) => *text == given,
            Value::Bool(value) => given == if *value { "true" } else { "false" },
            Value::Number(number) => {
                number.to_string() == given
                    || plain_number(&given).is_some_and(|given| Some(given) == number.as_f64())
            }
            _ => false,
        }),
        _ => false,
    };
    if equal { Ok(()) } else { Err(mismatch(format!("the header {header} differs from the arguments"))) }
}

fn plain_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    if plain { text.parse().ok() } else { None }
}
