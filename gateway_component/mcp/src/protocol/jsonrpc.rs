//! JSON-RPC 2.0 messages, read without copying what is only passed on.

use json::object::{Object, object};
use json::text::{is_object, quote, string};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Codes of JSON-RPC, and of MCP 2026-07-28.
pub(crate) const PARSE_ERROR: i32 = -32700;
pub(crate) const INVALID_REQUEST: i32 = -32600;
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
pub(crate) const INVALID_PARAMS: i32 = -32602;
pub(crate) const INTERNAL_ERROR: i32 = -32603;
pub(crate) const HEADER_MISMATCH: i32 = -32020;
pub(crate) const MISSING_CAPABILITY: i32 = -32021;
pub(crate) const UNSUPPORTED_VERSION: i32 = -32022;

/// A message from the client.
pub(crate) enum Incoming<'a> {
    Request(Box<RpcRequest<'a>>),
    Notification(Cow<'a, str>),
    /// An answer to a request that a stateless server never sent.
    Response,
}

/// A request message.
pub(crate) struct RpcRequest<'a> {
    /// The id as it was written.
    pub id: &'a str,
    pub method: Cow<'a, str>,
    pub params: Params<'a>,
}

/// The parameters of all methods that are known here; each method checks those that it needs.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub input_responses: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub request_state: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    raw_meta: Option<&'a RawValue>,
    #[serde(skip)]
    pub meta: Option<Meta<'a>>,
}

/// `params._meta`.
pub(crate) struct Meta<'a> {
    pub text: &'a str,
    pub fields: MetaFields<'a>,
}

/// The keys of `params._meta` that matter to a server of tools.
#[derive(Deserialize)]
pub(crate) struct MetaFields<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    pub version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    pub log_level: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    pub progress_token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub traceparent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub tracestate: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub baggage: Option<&'a RawValue>,
}

/// A protocol error, still without the id of what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError {
    pub code: i32,
    pub message: Cow<'static, str>,
    /// JSON text.
    pub data: Option<String>,
    /// The HTTP status since 2026-07-28; older revisions answer 200 to whatever was understood as a request.
    pub status: u16,
}

impl ProtocolError {
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> ProtocolError {
        let status = match code {
            METHOD_NOT_FOUND => 404,
            INVALID_PARAMS => 200,
            INTERNAL_ERROR => 500,
            _ => 400,
        };
        ProtocolError { code, message: message.into(), data: None, status }
    }

    pub fn with_status(mut self, status: u16) -> ProtocolError {
        self.status = status;
        self
    }

    pub fn with_data(mut self, data: String) -> ProtocolError {
        self.data = Some(data);
        self
    }

    /// The error as a message. `id` is the JSON text of one, or None where it could not be read and is left out.
    pub fn message(&self, id: Option<&str>) -> String {
        let mut text = String::from("{\"jsonrpc\":\"2.0\"");
        if let Some(id) = id {
            text.push_str(",\"id\":");
            text.push_str(id);
        }
        text.push_str(",\"error\":{\"code\":");
        text.push_str(&self.code.to_string());
        text.push_str(",\"message\":");
        text.push_str(&quote(&self.message));
        if let Some(data) = &self.data {
            text.push_str(",\"data\":");
            text.push_str(data);
        }
        text.push_str("}}");
        text
    }
}

#[derive(Deserialize)]
#[serde(bound = "P: Deserialize<'de>")]
struct Envelope<'a, P> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    // Absent and null are different here.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(default)]
    params: Option<P>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Why a message could not be read, with its id if that much was read.
pub(crate) struct Unreadable<'a> {
    pub error: ProtocolError,
    pub id: Option<&'a str>,
}

/// Read one message.
pub(crate) fn read(text: &str) -> Result<Incoming<'_>, Unreadable<'_>> {
    // Mostly one look at the text is enough. A second one finds out what is wrong with it.
    match object::<Envelope<Object<Params>>>(text) {
        Some(envelope) => understand(envelope, |params| with_meta(params.0)),
        None => understand(envelope(text)?, read_params),
    }
}

fn envelope(text: &str) -> Result<Envelope<'_, &RawValue>, Unreadable<'_>> {
    let bare = |error| Unreadable { error, id: None };
    // A derived reader would take an array of the fields' values, too.
    if text.trim_start().starts_with('[') {
        return Err(bare(ProtocolError::new(INVALID_REQUEST, "not a JSON-RPC message")));
    }
    serde_json::from_str(text).map_err(|error| {
        bare(match error.classify() {
            serde_json::error::Category::Data => {
                ProtocolError::new(INVALID_REQUEST, "not a JSON-RPC message")
            }
            _ => ProtocolError::new(PARSE_ERROR, "not JSON"),
        })
    })
}

fn understand<'a, P>(
    envelope: Envelope<'a, P>,
    read_params: impl FnOnce(P) -> Result<Params<'a>, ProtocolError>,
) -> Result<Incoming<'a>, Unreadable<'a>> {
    let bare = |error| Unreadable { error, id: None };
    if envelope.jsonrpc.is_none_or(|version| version.get() != "\"2.0\"") {
        return Err(bare(ProtocolError::new(INVALID_REQUEST, "jsonrpc must be \"2.0\"")));
    }
    let Some(method) = envelope.method else {
        return if envelope.id.is_some() && envelope.result.is_some() != envelope.error.is_some() {
            Ok(Incoming::Response)
        } else {
            Err(bare(ProtocolError::new(INVALID_REQUEST, "method is missing")))
        };
    };
    let Some(id) = envelope.id else {
        return match string(method) {
            Some(method) => Ok(Incoming::Notification(method)),
            None => Err(bare(ProtocolError::new(INVALID_REQUEST, "method must be a string"))),
        };
    };
    let id = id.get();
    if !is_id(id) {
        return Err(bare(ProtocolError::new(INVALID_REQUEST, "id must be a string or an integer")));
    }
    let named = |error| Unreadable { error, id: Some(id) };
    let method = string(method)
        .ok_or_else(|| named(ProtocolError::new(INVALID_REQUEST, "method must be a string")))?;
    let params = match envelope.params {
        None => Params::default(),
        Some(params) => read_params(params).map_err(named)?,
    };
    Ok(Incoming::Request(Box::new(RpcRequest { id, method, params })))
}

fn read_params(raw: &RawValue) -> Result<Params<'_>, ProtocolError> {
    if !is_object(raw) {
        return Err(ProtocolError::new(INVALID_PARAMS, "params must be an object"));
    }
    let params: Params = serde_json::from_str(raw.get())
        .map_err(|error| ProtocolError::new(INVALID_PARAMS, format!("params cannot be read: {error}")))?;
    with_meta(params)
}

fn with_meta(mut params: Params) -> Result<Params, ProtocolError> {
    if let Some(meta) = params.raw_meta {
        let fields = object(meta.get()).ok_or_else(|| {
            ProtocolError::new(INVALID_PARAMS, "params._meta must be an object without duplicate keys")
        })?;
        params.meta = Some(Meta { text: meta.get(), fields });
    }
    Ok(params)
}

/// Whether a text is the JSON of a valid id.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.starts_with('"') || !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A successful answer.
pub(crate) fn result(id: &str, result: &str) -> String {
    let mut text = String::with_capacity(result.len() + id.len() + 40);
    text.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
    text.push_str(id);
    text.push_str(",\"result\":");
    text.push_str(result);
    text.push('}');
    text
}
