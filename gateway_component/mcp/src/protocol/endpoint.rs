//! The MCP endpoint: one POST, one message (or a batch where the revision has them), one answer.

use crate::Host;
use crate::auth::{self, Authorizer};
use crate::call::{self, Prepared, Ready, streaming_call};
use crate::catalog;
use crate::config::Config;
use crate::http::message::{Failure, Request, Response, ToolRequest, ToolResponse};
use crate::http::route::Endpoint;
use crate::http::sse;
use crate::protocol::context::{Context, Reject};
use crate::protocol::jsonrpc::{
    INVALID_REQUEST, Incoming, METHOD_NOT_FOUND, PARSE_ERROR, ProtocolError, RpcRequest, Unreadable, read,
    result,
};
use crate::protocol::revision::{self, Revision};
use crate::protocol::{initialize, list};
use json::strict;
use serde_json::value::RawValue;

/// The longest request that is read.
pub(crate) const MAX_BODY: usize = 16 << 20;
/// The most messages of one batch.
const MAX_BATCH: usize = 64;

/// The answer to one message.
enum Reply<'a> {
    /// Of a request: a message, its HTTP status if it stands alone, and notifications before it.
    Message { text: String, status: u16, events: Vec<String> },
    /// A tool must be called first.
    Pending(Box<Prepared<'a>>, ToolRequest<'a>),
    /// Of a notification or a response.
    None,
}

/// What was found out about a request before it came here.
pub(crate) struct Passed<'a> {
    pub endpoint: Endpoint<'a>,
    /// None for a public app.
    pub rules: Option<&'a authorizer::Config>,
    /// The page's origin that may read the answer.
    pub origin: Option<&'a str>,
}

pub(crate) fn answer<'a>(
    request: &Request<'a>,
    passed: Passed<'a>,
    config: &'a Config<'a>,
    host: &mut dyn Host,
) -> Response {
    let Passed { endpoint, rules, origin } = passed;
    let authorizer = match rules
        .map(|rules| Authorizer::authenticate(rules, config, auth::view(request, Some(endpoint)), host))
    {
        None => None,
        Some(Ok(authorizer)) => Some(authorizer),
        Some(Err(response)) => return response,
    };
    if request.method != "POST" {
        // No stream to listen to, no session to end.
        return Response::empty(405).with("allow", "POST, OPTIONS");
    }
    let (json, stream) = match accepted(request) {
        (false, false) => {
            return rejected(406, "the answer is application/json or text/event-stream; accept one of them");
        }
        accepted => accepted,
    };
    let media = request.header("content-type").unwrap_or_default();
    if !media.is_empty() && !is_json(&media) {
        return rejected(415, "the content type must be application/json");
    }
    // Only now: what was refused so far costs no more than its headers.
    const TOO_LONG: &str = "the message is too long";
    if request.announced_length().is_some_and(|length| length > MAX_BODY as u64) {
        return rejected(413, TOO_LONG);
    }
    let Some(body) = host.body(MAX_BODY) else { return Response::empty(400) };
    if body.len() > MAX_BODY {
        return rejected(413, TOO_LONG);
    }
    let mut context = Context::new(*request, config, endpoint, authorizer, host);
    context.accepts_stream = stream;
    context.origin = origin;
    match handle_body(&mut context, &body, !json) {
        Ok(response) | Err(response) => match context.known_request_id() {
            Some(id) => {
                let id = id.to_string();
                response.with("x-request-id", id)
            }
            None => response,
        },
    }
}

fn rejected(status: u16, message: &'static str) -> Response {
    Response::json(status, ProtocolError::new(INVALID_REQUEST, message).message(None))
}

/// Whether the client takes JSON, and an event stream. A client that says nothing takes JSON.
fn accepted(request: &Request) -> (bool, bool) {
    let Some(header) = request.header("accept") else { return (true, false) };
    let mut accepted = (false, false);
    for range in header.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        match kind.as_str() {
            _ if refused => {}
            "application/json" | "application/*" => accepted.0 = true,
            "text/event-stream" | "text/*" => accepted.1 = true,
            "*/*" => accepted.0 = true,
            _ => {}
        }
    }
    accepted
}

fn is_json(media: &str) -> bool {
    media.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Read the body, check its messages, call the tools, and write the answer. Err is an answer, too: one that came early.
fn handle_body<'a>(
    context: &mut Context<'a, '_>,
    body: &'a [u8],
    only_stream: bool,
) -> Result<Response, Response> {
    let header = context.request.header("mcp-protocol-version");
    let header = header.as_deref().map(str::trim);
    let revision = Revision::of_header(header);
    let unreadable =
        |error: ProtocolError| Response::json(error.status, error.message(revision.unknown_id()));
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(unreadable(ProtocolError::new(PARSE_ERROR, "not UTF-8")));
    };
    if strict::has_lone_surrogate(text) {
        return Err(unreadable(ProtocolError::new(PARSE_ERROR, "not JSON that decodes to Unicode")));
    }
    if !text.trim_start().starts_with('[') {
        let mut opened = false;
        let reply = match handle_message(context, header, text, false)? {
            Reply::Pending(call, request) if call.wanted.is_something() => {
                let (response, sent) = streaming_call::call(context, &call, &request);
                opened = sent > 0;
                finish(context, &call, response, sent)
            }
            reply => {
                let mut replies = vec![reply];
                send(context, &mut replies);
                replies.pop().unwrap_or(Reply::None)
            }
        };
        return Ok(match reply {
            Reply::Message { text, status, events } if only_stream || opened || !events.is_empty() => {
                sse::response(status, &events, &text)
            }
            Reply::Message { text, status, .. } => Response::json(status, text),
            _ => Response::empty(202),
        });
    }
    if !revision.has_batches() {
        return Err(unreadable(ProtocolError::new(INVALID_REQUEST, "this revision has no batches")));
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| unreadable(ProtocolError::new(PARSE_ERROR, "not JSON")))?;
    if items.is_empty() || items.len() > MAX_BATCH {
        return Err(unreadable(ProtocolError::new(INVALID_REQUEST, "a batch holds 1 to 64 messages")));
    }
    let mut replies = Vec::with_capacity(items.len());
    for item in items {
        replies.push(handle_message(context, header, item.get(), true)?);
    }
    send(context, &mut replies);
    let mut messages = Vec::new();
    let mut notifications = Vec::new();
    for reply in replies {
        if let Reply::Message { text, events, .. } = reply {
            messages.push(text);
            notifications.extend(events);
        }
    }
    if messages.is_empty() {
        return Ok(Response::empty(202));
    }
    let text = format!("[{}]", messages.join(","));
    if only_stream || !notifications.is_empty() {
        return Ok(sse::response(200, &notifications, &text));
    }
    Ok(Response::json(200, text))
}

/// Call the tools of all pending replies at once.
fn send(context: &mut Context, replies: &mut [Reply]) {
    let mut calls = Vec::new();
    let mut requests = Vec::new();
    for (at, reply) in replies.iter_mut().enumerate() {
        if let Reply::Pending(..) = reply
            && let Reply::Pending(call, request) = std::mem::replace(reply, Reply::None)
        {
            calls.push((at, call));
            requests.push(request);
        }
    }
    if requests.is_empty() {
        return;
    }
    let answers = context.host.exchange(&requests);
    for ((at, call), answer) in calls.into_iter().zip(answers) {
        replies[at] = finish(context, &call, answer, 0);
    }
}

/// The reply to a call; its first `sent` notifications are on their way to the client already.
fn finish<'a>(
    context: &mut Context,
    call: &Prepared<'a>,
    response: Result<ToolResponse, Failure>,
    sent: usize,
) -> Reply<'a> {
    let answer = call::finish(context, call, response);
    match answer.result {
        Ok(text) => Reply::Message {
            text: result(call.id, &text),
            status: 200,
            events: answer.events.into_iter().skip(sent).collect(),
        },
        Err(error) => {
            Reply::Message { text: error.message(Some(call.id)), status: error.status, events: Vec::new() }
        }
    }
}

/// Check one message. Err is the answer to the whole request.
fn handle_message<'a>(
    context: &mut Context<'a, '_>,
    header: Option<&str>,
    text: &'a str,
    batched: bool,
) -> Result<Reply<'a>, Response> {
    let by_header = Revision::of_header(header);
    let message = match read(text) {
        Ok(Incoming::Request(message)) => message,
        Ok(Incoming::Notification(method)) => {
            permit(context, &method)?;
            return Ok(Reply::None);
        }
        Ok(Incoming::Response) if by_header.is_modern() => {
            let error = ProtocolError::new(INVALID_REQUEST, "this revision has no responses of clients");
            return Err(Response::json(400, error.message(None)));
        }
        Ok(Incoming::Response) => return Ok(Reply::None),
        Err(Unreadable { error, id }) => {
            // What was understood as a request is answered with 200 before 2026-07-28.
            let status = if id.is_some() && !by_header.is_modern() { 200 } else { 400 };
            let id = id.or(by_header.unknown_id());
            return Ok(Reply::Message { text: error.message(id), status, events: Vec::new() });
        }
    };
    let revision = Revision::of(header, &message);
    let outcome = match revision {
        Revision::Modern => revision::check(&context.request, header, &message).map_err(Reject::from),
        Revision::Legacy(_) if batched && message.method == "initialize" => {
            Err(ProtocolError::new(INVALID_REQUEST, "initialize cannot be part of a batch").into())
        }
        Revision::Legacy(_) => Ok(()),
    };
    match outcome.and_then(|()| dispatch(context, revision, &message)) {
        Ok(Ready::Send(prepared, request)) => Ok(Reply::Pending(prepared, request)),
        Ok(Ready::Answered(text)) => {
            Ok(Reply::Message { text: result(message.id, &text), status: 200, events: Vec::new() })
        }
        Ok(Ready::Whole(text)) => Ok(Reply::Message { text, status: 200, events: Vec::new() }),
        Err(Reject::Message(error)) => {
            let status = if revision.is_modern() { error.status } else { 200 };
            Ok(Reply::Message { text: error.message(Some(message.id)), status, events: Vec::new() })
        }
        Err(Reject::Request(response)) => Err(response),
    }
}

fn permit(context: &mut Context, method: &str) -> Result<(), Response> {
    let component = context.endpoint.component;
    match &mut context.authorizer {
        None => Ok(()),
        Some(authorizer) => authorizer.may_send(
            method,
            |host| catalog::index(component, host).unwrap_or_default(),
            context.host,
        ),
    }
}

/// Run the method that a request message names.
fn dispatch<'a>(
    context: &mut Context<'a, '_>,
    revision: Revision,
    message: &RpcRequest<'a>,
) -> Result<Ready<'a>, Reject> {
    if message.method == "tools/call" {
        return call::prepare(context, revision, message);
    }
    context.require_component()?;
    if message.method == "tools/list" {
        return list::list(context, revision, message).map(Ready::Whole);
    }
    permit(context, &message.method).map_err(Reject::Request)?;
    match (revision, &*message.method) {
        (Revision::Modern, "server/discover") => Ok(Ready::Answered(initialize::discover(context))),
        (Revision::Legacy(_), "initialize") => Ok(Ready::Answered(initialize::initialize(context, message))),
        (Revision::Legacy(_), "ping") => Ok(Ready::Answered("{}".into())),
        (_, method) => {
            let name: String = method.chars().take(64).collect();
            Err(ProtocolError::new(METHOD_NOT_FOUND, format!("Method not found: {name}")).into())
        }
    }
}
