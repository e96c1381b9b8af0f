//! From what a tool answered to what the client gets. A tool may answer anything; the client gets a result that its
//! revision allows, or an error result that names the tool and says what went wrong.

use crate::call::audit::Outcome;
use crate::call::stream::{self, Notifications, is_event_stream};
use crate::call::{content, result};
use crate::http::message::{Failure, ToolResponse};
use crate::protocol::jsonrpc::{INVALID_PARAMS, MISSING_CAPABILITY, ProtocolError};
use crate::protocol::revision::Revision;
use json::object::object;
use json::strict;
use json::text::{is_object, quote, string};
use schema::Json;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a tool's answer is checked against.
pub(crate) struct Asked<'a> {
    /// The name that the client used.
    pub tool: &'a str,
    pub revision: Revision,
    pub timeout_ms: u64,
    pub max_bytes: usize,
    /// The schema that structured content must satisfy.
    pub output: Option<&'a str>,
    pub wanted: Notifications<'a>,
    /// What the client declared that it can be asked for.
    pub capabilities: Option<&'a RawValue>,
    /// JSON text for `_meta["io.modelcontextprotocol/serverInfo"]`, in revisions that have it.
    pub server_info: Option<String>,
}

/// An answer for the client.
pub(crate) struct Answer {
    pub outcome: Outcome,
    /// Notifications to send before it.
    pub events: Vec<String>,
    /// JSON text of the result.
    pub result: Result<String, ProtocolError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    structured_content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_requests: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_state: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// How a tool says that the call itself is wrong, such as a state that somebody changed.
#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: i64,
    message: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Read a tool's answer and check it.
pub(crate) fn read(response: Result<ToolResponse, Failure>, asked: &Asked) -> Answer {
    let mut events = Vec::new();
    let checked = match response {
        Err(failure) => Err(failed(failure, asked)),
        Ok(response) => match std::str::from_utf8(&response.body) {
            Err(_) => Err((Outcome::BadAnswer, "it did not answer in UTF-8".into())),
            Ok(text) if response.content_type.as_deref().is_some_and(is_event_stream) => {
                let last = stream::split(text, asked.wanted, &mut events);
                check(response.status, last.as_deref().unwrap_or(""), asked)
            }
            Ok(text) => check(response.status, text, asked),
        },
    };
    match checked {
        Ok((outcome, result)) => Answer { outcome, events, result },
        Err((outcome, reason)) => {
            let text = format!("Tool `{}` failed: {reason}.", asked.tool);
            Answer { outcome, events, result: Ok(result::error(&text, asked.server_info.as_deref())) }
        }
    }
    .or_refused(asked)
}

/// An outcome with the result or the error for the client; Err with what is wrong with the tool's answer.
type Checked = Result<(Outcome, Result<String, ProtocolError>), (Outcome, Cow<'static, str>)>;

impl Answer {
    /// A result that asks the client for what it never offered becomes the protocol's own error.
    fn or_refused(mut self, asked: &Asked) -> Answer {
        if self.outcome == Outcome::InputRequired
            && let Ok(result) = &self.result
            && let Some(missing) = missing_capabilities(result, asked.capabilities)
        {
            let message = format!("tool `{}` needs capabilities that the client did not declare", asked.tool);
            self.outcome = Outcome::Refused;
            self.result = Err(ProtocolError::new(MISSING_CAPABILITY, message)
                .with_data(format!("{{\"requiredCapabilities\":{missing}}}")));
        }
        self
    }
}

fn failed(failure: Failure, asked: &Asked) -> (Outcome, Cow<'static, str>) {
    match failure {
        Failure::Timeout => {
            (Outcome::Timeout, format!("it did not answer within {} ms", asked.timeout_ms).into())
        }
        Failure::TooLarge => {
            (Outcome::TooLarge, format!("its answer is longer than {} bytes", asked.max_bytes).into())
        }
        Failure::Broken => (Outcome::Failed, "its component could not be reached or broke off".into()),
    }
}

fn check(status: u16, text: &str, asked: &Asked) -> Checked {
    let bad = |reason: &'static str| (Outcome::BadAnswer, Cow::Borrowed(reason));
    let Some(result) = object::<ToolResult>(text) else {
        return Err(unusable(status, text));
    };
    if strict::is_unreadable(text) {
        return Err(bad(
            "its answer has half a character or a number out of range, which not every client can read",
        ));
    }
    let kind = result.result_type.and_then(string);
    if kind.as_deref() == Some("input_required") || kind.is_none() && result.input_requests.is_some() {
        return input_required(&result, asked);
    }
    let is_error = if status >= 400 { Some(true) } else { result.is_error };
    let content = match (result.content, result.structured_content) {
        (Some(content), _) => match content::checked(content.get()) {
            Some(content) => content,
            None => return Err(bad("its answer holds content that MCP does not know")),
        },
        (None, Some(structured)) => {
            Cow::Owned(format!("[{{\"type\":\"text\",\"text\":{}}}]", quote(structured.get())))
        }
        (None, None) if result.error.is_some() => return refused(result.error, status, text),
        (None, None) if status >= 400 => return Err(unusable(status, text)),
        (None, None) => return Err(bad("its answer has neither content nor structuredContent")),
    };
    let mut structured = result.structured_content.map(|raw| Cow::Borrowed(raw.get()));
    if let Some(schema) = asked.output
        && is_error != Some(true)
    {
        if structured.is_none() {
            structured = content::only_object(&content).map(Cow::Owned);
        }
        let Some(text) = &structured else {
            return Err(bad("its output schema asks for structuredContent, and its answer has none"));
        };
        check_output(text, schema)?;
    }
    // Before 2026-07-28 structured content is an object.
    structured = structured.filter(|text| asked.revision.is_modern() || text.starts_with('{'));
    let meta = result.meta.filter(|meta| is_object(meta));
    let outcome = if is_error == Some(true) { Outcome::ToolError } else { Outcome::Ok };
    Ok((
        outcome,
        Ok(result::write(&content, structured.as_deref(), is_error, meta, asked.server_info.as_deref())),
    ))
}

/// A tool's refusal as an error of the protocol: with the code for parameters, or one that nobody has reserved.
fn refused(error: Option<&RawValue>, status: u16, text: &str) -> Checked {
    let refusal = error.and_then(|error| object::<ErrorObject>(error.get()));
    let Some(refusal) = refusal else { return Err(unusable(status, text)) };
    let code = i32::try_from(refusal.code)
        .ok()
        .filter(|code| *code == INVALID_PARAMS || !(-32768..=-32000).contains(code));
    let Some(code) = code else { return Err((Outcome::Failed, refusal.message.into())) };
    let mut error = ProtocolError::new(code, refusal.message).with_status(200);
    error.data = refusal.data.map(|data| data.get().to_string());
    Ok((Outcome::ToolError, Err(error)))
}

/// What is said of an answer that is no tool result at all.
fn unusable(status: u16, text: &str) -> (Outcome, Cow<'static, str>) {
    match (status, text.is_empty()) {
        (200..=299, true) => (Outcome::BadAnswer, "its answer is empty".into()),
        (200..=299, false) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            (Outcome::BadAnswer, "its answer is JSON, and no tool result".into())
        }
        (200..=299, false) => (Outcome::BadAnswer, "its answer is not JSON".into()),
        (500.., true) => {
            (Outcome::Failed, format!("its component ended without an answer (HTTP {status})").into())
        }
        _ => (Outcome::Failed, format!("its component answered HTTP {status}").into()),
    }
}

fn check_output(text: &str, schema: &str) -> Result<(), (Outcome, Cow<'static, str>)> {
    let bad = |reason: String| (Outcome::BadAnswer, Cow::Owned(reason));
    let Some(value) = Json::parse_value(text) else {
        let reason =
            serde_json::from_str::<Value>(text).map_or_else(|error| error.to_string(), |_| "".into());
        return Err(bad(format!("its structuredContent cannot be read: {reason}")));
    };
    schema::validate_text(schema, &value).map_err(|violations| {
        let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
        bad(format!("its structuredContent does not match its output schema: {}", told.join("; ")))
    })
}

/// A tool that needs the client's input (2026-07-28, basic/patterns/mrtr): its request is passed on as it is.
fn input_required(result: &ToolResult, asked: &Asked) -> Checked {
    if !asked.revision.is_modern() {
        let reason = "it needs input from the client, which takes MCP 2026-07-28 or later";
        return Err((Outcome::Refused, reason.into()));
    }
    let requests = result.input_requests.filter(|requests| is_object(requests));
    let state = result.request_state.filter(|state| state.get().starts_with('"'));
    if requests.is_none() && state.is_none() {
        let reason = "it asks for input with neither inputRequests nor requestState";
        return Err((Outcome::BadAnswer, reason.into()));
    }
    let mut text = String::from("{\"resultType\":\"input_required\"");
    for (key, value) in [(",\"inputRequests\":", requests), (",\"requestState\":", state)] {
        if let Some(value) = value {
            text.push_str(key);
            text.push_str(value.get());
        }
    }
    result::write_meta(&mut text, result.meta.filter(|meta| is_object(meta)), asked.server_info.as_deref());
    text.push('}');
    Ok((Outcome::InputRequired, Ok(text)))
}

/// The capabilities that a result asks for and the client did not declare, as a `ClientCapabilities` object.
fn missing_capabilities(result: &str, declared: Option<&RawValue>) -> Option<String> {
    let result: Value = serde_json::from_str(result).ok()?;
    let declared: Value = declared.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let mut missing = serde_json::Map::new();
    for request in result.get("inputRequests")?.as_object()?.values() {
        let capability = match request.get("method").and_then(Value::as_str) {
            Some("elicitation/create") => "elicitation",
            Some("sampling/createMessage") => "sampling",
            Some("roots/list") => "roots",
            _ => continue,
        };
        if !declared.get(capability).is_some_and(Value::is_object) {
            missing.insert(capability.into(), Value::Object(serde_json::Map::new()));
        }
    }
    (!missing.is_empty()).then(|| Value::Object(missing).to_string())
}
