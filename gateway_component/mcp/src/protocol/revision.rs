//! Which revision of the protocol a request speaks, and what the modern one demands of its headers.

use crate::http::message::Request;
use crate::protocol::jsonrpc::{
    HEADER_MISMATCH, INVALID_PARAMS, ProtocolError, RpcRequest, UNSUPPORTED_VERSION,
};
use json::base64;
use json::text::{is_object, quote, string};
use std::borrow::Cow;

/// Revisions with `initialize`, oldest first.
pub(crate) const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
/// The stateless revision.
pub(crate) const MODERN: &str = "2026-07-28";
/// JSON text of everything that is spoken here.
pub(crate) const SUPPORTED: &str = r#"["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]"#;

/// The revision of one request: one of those with `initialize`, or the stateless one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// Index into [`LEGACY`].
    Legacy(usize),
    Modern,
}

impl Revision {
    /// What the header alone says; a body with modern metadata overrides it.
    pub fn of_header(header: Option<&str>) -> Revision {
        match header {
            // A client of 2025-03-26 knows no such header (2025-06-18, basic/transports).
            None => Revision::Legacy(0),
            Some(version) => {
                LEGACY.iter().position(|known| *known == version).map_or(Revision::Modern, Revision::Legacy)
            }
        }
    }

    /// The revision of a request: modern metadata in the body, or the header. `initialize` says in its body which revision
    /// its client speaks; the header binds what comes after it (2025-11-25, basic/lifecycle and basic/transports).
    pub fn of(header: Option<&str>, message: &RpcRequest) -> Revision {
        match &message.params.meta {
            Some(meta) if meta.fields.version.is_some() => Revision::Modern,
            _ if message.method == "initialize" => {
                let version = message.params.protocol_version.and_then(string);
                let known = LEGACY.iter().position(|known| Some(*known) == version.as_deref());
                Revision::Legacy(known.unwrap_or(LEGACY.len() - 1))
            }
            _ => Revision::of_header(header),
        }
    }

    /// Whether several messages may come as one (2025-03-26 only).
    pub fn has_batches(self) -> bool {
        self == Revision::Legacy(0)
    }

    /// The id of an error about a message whose own could not be read. Newer schemas leave it out, older ones need one.
    pub fn unknown_id(self) -> Option<&'static str> {
        match self {
            Revision::Legacy(0 | 1) => Some("null"),
            _ => None,
        }
    }

    /// Whether structured content may be any JSON value.
    pub fn is_modern(self) -> bool {
        self == Revision::Modern
    }
}

/// Check what 2026-07-28 demands of a request (basic/transports/streamable-http, "Server Validation").
pub(crate) fn check(
    request: &Request,
    header: Option<&str>,
    message: &RpcRequest,
) -> Result<(), ProtocolError> {
    let meta = message.params.meta.as_ref();
    let version = meta.and_then(|meta| meta.fields.version).and_then(string);
    let Some(header) = header else {
        return Err(mismatch("the header MCP-Protocol-Version is missing"));
    };
    match &version {
        Some(version) if version != header => {
            return Err(mismatch("the header MCP-Protocol-Version differs from the version in params._meta"));
        }
        _ if header != MODERN => return Err(unsupported(header)),
        None => {
            return Err(invalid("params._meta lacks io.modelcontextprotocol/protocolVersion"));
        }
        Some(_) => {}
    }
    if !meta.and_then(|meta| meta.fields.capabilities).is_some_and(is_object) {
        return Err(invalid("params._meta lacks io.modelcontextprotocol/clientCapabilities"));
    }
    same(request, "mcp-method", &message.method)?;
    if message.method == "tools/call"
        && let Some(name) = message.params.name.and_then(string)
    {
        same(request, "mcp-name", &name)?;
    }
    Ok(())
}

fn same(request: &Request, name: &str, expected: &str) -> Result<(), ProtocolError> {
    match request.header(name) {
        None => Err(mismatch(format!("the header {name} is missing"))),
        Some(value) if decode(&value).is_some_and(|value| value == expected) => Ok(()),
        Some(_) => Err(mismatch(format!("the header {name} differs from the body"))),
    }
}

pub(crate) fn mismatch(message: impl Into<Cow<'static, str>>) -> ProtocolError {
    ProtocolError::new(HEADER_MISMATCH, message)
}

fn invalid(message: &'static str) -> ProtocolError {
    ProtocolError::new(INVALID_PARAMS, message).with_status(400)
}

pub(crate) fn unsupported(requested: &str) -> ProtocolError {
    ProtocolError::new(UNSUPPORTED_VERSION, "Unsupported protocol version")
        .with_data(format!("{{\"supported\":{SUPPORTED},\"requested\":{}}}", quote(requested)))
}

/// A header's value as it was meant: `=?base64?…?=` decoded; None for invalid characters or encodings.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    if let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        return String::from_utf8(base64::decode(encoded)?).ok().map(Cow::Owned);
    }
    value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')).then_some(Cow::Borrowed(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_specification() {
        for (header, value) in [
            ("us-west1", Some("us-west1")),
            ("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界")),
            ("=?base64?IHBhZGRlZCA=?=", Some(" padded ")),
            ("=?base64?bGluZTEKbGluZTI=?=", Some("line1\nline2")),
            ("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", Some("=?base64?literal?=")),
            ("=?base64?SGVsbG8?=", None),
            ("=?base64?SGVsbG9=?=", None),
            ("=?base64?S$Vs?=", None),
            ("=?base64?====?=", None),
            ("世界", None),
        ] {
            assert_eq!(decode(header).as_deref(), value, "{header}");
        }
    }

    #[test]
    fn an_absent_header_is_the_oldest_revision_and_an_unknown_one_is_modern() {
        assert_eq!(Revision::of_header(None), Revision::Legacy(0));
        assert_eq!(Revision::of_header(Some("2025-11-25")), Revision::Legacy(2));
        assert_eq!(Revision::of_header(Some("2026-07-28")), Revision::Modern);
        assert_eq!(Revision::of_header(Some("1900-01-01")), Revision::Modern);
    }
}
