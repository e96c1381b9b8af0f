//! `tools/call`: from the message to the request that goes to one tool.

pub(crate) mod answer;
pub(crate) mod audit;
pub(crate) mod content;
pub(crate) mod parameter_headers;
pub(crate) mod result;
pub(crate) mod stream;
pub(crate) mod streaming_call;
pub(crate) mod tool_request;

use crate::auth::Authorizer;
use crate::catalog::{self, Record, SEPARATOR, dynamic};
use crate::http::message::{Failure, ToolRequest, ToolResponse};
use crate::protocol::context::{Context, Reject};
use crate::protocol::jsonrpc::{INVALID_PARAMS, ProtocolError, RpcRequest};
use crate::protocol::revision::Revision;
use answer::{Answer, Asked};
use audit::{Entry, Outcome};
use authorizer::{ToolCall, ToolIdentity};
use json::strict;
use json::text::{is_object, string};
use schema::Json;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use stream::Notifications;

const NO_ARGUMENTS: &str = "{}";

/// A call that is allowed and valid, with what its answer is checked against.
pub(crate) struct Prepared<'a> {
    pub id: &'a str,
    timeout_ms: u64,
    trail: AuditTrail<'a>,
    revision: Revision,
    output: Option<String>,
    pub wanted: Notifications<'a>,
    capabilities: Option<&'a RawValue>,
}

/// The part of a call's audit line that is known when the call begins.
pub(crate) struct AuditTrail<'a> {
    tool: Cow<'a, str>,
    started_ns: u64,
    request_bytes: usize,
    traceparent: Option<String>,
}

/// What follows from a message: a request to a tool, or an answer without one.
pub(crate) enum Ready<'a> {
    Send(Box<Prepared<'a>>, ToolRequest<'a>),
    /// JSON text of a result.
    Answered(String),
    /// JSON text of the whole answer: a long one is written once.
    Whole(String),
}

/// Check a call. Everything that can be refused is refused here, before any tool runs.
pub(crate) fn prepare<'a>(
    context: &mut Context<'a, '_>,
    revision: Revision,
    call: &RpcRequest<'a>,
) -> Result<Ready<'a>, Reject> {
    let Some(name) = call.params.name.and_then(string) else {
        return Err(ProtocolError::new(INVALID_PARAMS, "params.name must be the name of a tool").into());
    };
    let arguments = call.params.arguments.map_or(NO_ARGUMENTS, |raw| raw.get());
    let trail = AuditTrail {
        tool: match context.endpoint.component {
            Some(component) => Cow::Owned(format!("{component}{SEPARATOR}{name}")),
            None => name.clone(),
        },
        started_ns: context.host.ticks_ns(),
        request_bytes: arguments.len(),
        traceparent: tool_request::traceparent(&context.request, call),
    };
    let found = match catalog::record(&trail.tool, context.host) {
        Some(text) => Some(text),
        None => dynamic::record(context, &trail.tool),
    };
    let record = match &found {
        None => None,
        Some(text) => match Record::parse(text) {
            Ok(record) => {
                let named = context.endpoint.component.is_some() || record.is_listed_as(&name);
                (named && context.shows(&record.component, record.read_only)).then_some(record)
            }
            Err(error) => {
                context.host.log(format!("the record of {} cannot be read: {error}", trail.tool));
                None
            }
        },
    };
    let Some(record) = record else {
        audit(context, &trail, Outcome::UnknownTool, 0);
        context.require_component()?;
        let message = format!("Unknown tool: {}", shortened(&name));
        return Err(ProtocolError::new(INVALID_PARAMS, message).into());
    };
    match allow(context, revision, call, &record, &trail) {
        Ok(None) => {}
        Ok(Some(invalid)) => return Ok(Ready::Answered(invalid)),
        Err(stop) => {
            let outcome = if matches!(stop, Reject::Request(_)) { Outcome::Denied } else { Outcome::Refused };
            audit(context, &trail, outcome, 0);
            return Err(stop);
        }
    }
    let headers = tool_request::headers(context, call, trail.traceparent.as_deref())?;
    let outgoing = ToolRequest {
        component: Cow::Owned(record.component.into_owned()),
        method: "POST",
        path: tool_request::path_of(&record.tool),
        headers,
        body: arguments,
        timeout_ms: record.timeout_ms.unwrap_or(context.config.timeout_ms),
        max_bytes: context.config.max_response_bytes,
    };
    let meta = call.params.meta.as_ref().map(|meta| &meta.fields);
    let prepared = Prepared {
        id: call.id,
        timeout_ms: outgoing.timeout_ms,
        trail,
        revision,
        output: record.output.filter(|_| context.config.validate).map(str::to_string),
        wanted: Notifications {
            progress: progress_token(call).filter(|_| context.accepts_stream),
            log: context.accepts_stream && meta.is_some_and(|meta| meta.log_level.is_some()),
        },
        capabilities: meta.and_then(|meta| meta.capabilities),
    };
    Ok(Ready::Send(Box::new(prepared), outgoing))
}

/// Finish a call with what its tool answered.
pub(crate) fn finish(
    context: &mut Context,
    prepared: &Prepared,
    response: Result<ToolResponse, Failure>,
) -> Answer {
    let size = response.as_ref().map_or(0, |response| response.body.len());
    let asked = Asked {
        tool: &prepared.trail.tool,
        revision: prepared.revision,
        timeout_ms: prepared.timeout_ms,
        max_bytes: context.config.max_response_bytes,
        output: prepared.output.as_deref(),
        wanted: prepared.wanted,
        capabilities: prepared.capabilities,
        server_info: context.server_info(prepared.revision),
    };
    let answer = answer::read(response, &asked);
    audit(context, &prepared.trail, answer.outcome, size);
    answer
}

/// Permission, parameter headers and the arguments' schema, in this order: a schema tells something about a tool.
/// The text is that of a result which says what is wrong with the arguments.
fn allow(
    context: &mut Context,
    revision: Revision,
    call: &RpcRequest,
    record: &Record,
    trail: &AuditTrail,
) -> Result<Option<String>, Reject> {
    if let Some(raw) = call.params.arguments
        && !is_object(raw)
    {
        return Err(ProtocolError::new(INVALID_PARAMS, "params.arguments must be an object").into());
    }
    if let Some(given) = call.params.input_responses {
        let responses: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(given.get()).ok();
        if !responses.is_some_and(|responses| responses.values().all(|response| is_object(response))) {
            return Err(ProtocolError::new(INVALID_PARAMS, "params.inputResponses must hold objects").into());
        }
    }
    if call.params.request_state.is_some_and(|state| !state.get().starts_with('"')) {
        return Err(ProtocolError::new(INVALID_PARAMS, "params.requestState must be a string").into());
    }
    let checks_headers = revision.is_modern() && !record.headers.is_empty();
    if !(context.config.validate || checks_headers || context.authorizer.is_some()) {
        return Ok(None);
    }
    let text = call.params.arguments.map_or(NO_ARGUMENTS, |raw| raw.get());
    // Values of their own are for those who need them: a schema is checked on the text itself.
    let copies = checks_headers || context.authorizer.as_ref().is_some_and(Authorizer::reads_arguments);
    let read = if copies { None } else { Json::parse_unique(text) };
    let values = match &read {
        Some(_) => Value::Null,
        None => strict::parse(text).map_err(|error| {
            ProtocolError::new(INVALID_PARAMS, format!("params.arguments cannot be read: {error}"))
        })?,
    };
    if let Some(authorizer) = &mut context.authorizer {
        let tool = ToolIdentity { component: &record.component, tool: &record.name, scopes: &record.scopes };
        authorizer.may_call(&ToolCall { tool, arguments: &values }, context.host).map_err(Reject::Request)?;
    }
    if checks_headers {
        for (header, pointer) in &record.headers {
            parameter_headers::check(&context.request, header, values.pointer(pointer))?;
        }
    }
    if !context.config.validate {
        return Ok(None);
    }
    let arguments = read.unwrap_or_else(|| Json::from(&values));
    let Err(violations) = schema::validate_text(record.input, &arguments) else { return Ok(None) };
    audit(context, trail, Outcome::InvalidArguments, 0);
    let mut message = format!("Invalid arguments for tool `{}`:", trail.tool);
    for violation in violations {
        message.push_str("\n- ");
        message.push_str(&violation.to_string());
    }
    message.push_str("\nCorrect the arguments and call the tool again.");
    Ok(Some(result::error(&message, context.server_info(revision).as_deref())))
}

fn progress_token<'a>(call: &RpcRequest<'a>) -> Option<&'a RawValue> {
    let token = call.params.meta.as_ref()?.fields.progress_token?;
    let text = token.get();
    (text.starts_with('"') || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')).then_some(token)
}

/// A client's text as it may be repeated: no longer than any name.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(128).map_or(text, |(at, _)| &text[..at])
}

fn audit(context: &mut Context, trail: &AuditTrail, outcome: Outcome, response_bytes: usize) {
    if !context.config.audit {
        return;
    }
    let request_id = context.request_id().to_string();
    let entry = Entry {
        app: context.config.name.get(),
        tool: shortened(&trail.tool),
        outcome,
        nanoseconds: context.host.ticks_ns().saturating_sub(trail.started_ns),
        request_bytes: trail.request_bytes,
        response_bytes,
        subject: context.authorizer.as_ref().map(|authorizer| authorizer.subject()),
        request_id: &request_id,
        traceparent: trail.traceparent.as_deref(),
    };
    let line = entry.line();
    context.host.log(line);
}
