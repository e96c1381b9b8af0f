//! Requests to other components and to the issuer. All are sent at once; each has its own time limit.

use crate::io;
use mcp::{Failure, ToolRequest, ToolResponse};
use std::mem::forget;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::poll::{self, Pollable};
use wasip2::io::streams::StreamError;

const CHUNK: u64 = 64 << 10;

/// Who gets a body as it comes.
type Pass<'p> = &'p mut dyn FnMut(&[u8]);

/// A request on its way.
struct Sent {
    future: FutureIncomingResponse,
    /// Ready when its time is up.
    timer: Pollable,
    max_bytes: usize,
}

/// Carry requests to components of this application.
pub fn exchange(requests: &[ToolRequest]) -> Vec<Result<ToolResponse, Failure>> {
    let sent: Vec<Result<Sent, Failure>> = requests.iter().map(send).collect();
    sent.into_iter().map(|sent| receive(sent?, None)).collect()
}

/// Carry one request; what comes as a stream of events goes to `pass`, too, piece by piece.
pub fn relay(request: &ToolRequest, pass: Pass) -> Result<ToolResponse, Failure> {
    receive(send(request)?, Some(pass))
}

/// The body of the 200 answer to `GET url`.
pub fn fetch(url: &str, max_bytes: usize, timeout_ms: u64) -> Option<Vec<u8>> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let fields = Fields::from_list(&[("accept".into(), b"application/json".to_vec())]).ok()?;
    let request = OutgoingRequest::new(fields);
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).ok()?;
    let body = request.body().ok()?;
    let timer = timer(timeout_ms);
    let future = outgoing_handler::handle(request, None).ok()?;
    OutgoingBody::finish(body, None).ok()?;
    let response = receive(Sent { future, timer, max_bytes }, None).ok()?;
    (response.status == 200).then_some(response.body)
}

fn timer(timeout_ms: u64) -> Pollable {
    monotonic_clock::subscribe_duration(timeout_ms.saturating_mul(1_000_000))
}

fn send(request: &ToolRequest) -> Result<Sent, Failure> {
    let broken = |()| Failure::Broken;
    let headers: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.to_string(), value.clone().into_bytes())).collect();
    let outgoing = OutgoingRequest::new(Fields::from_list(&headers).map_err(|_| Failure::Broken)?);
    if request.method != "GET" {
        outgoing.set_method(&Method::Post).map_err(broken)?;
    }
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(broken)?;
    outgoing.set_authority(Some(&format!("{}.spin.internal", request.component))).map_err(broken)?;
    outgoing.set_path_with_query(Some(&request.path)).map_err(broken)?;
    let body = outgoing.body().map_err(broken)?;
    let timer = timer(request.timeout_ms);
    let given = request.body.as_bytes();
    let stream = if given.is_empty() { None } else { Some(body.write().map_err(broken)?) };
    // What is there before the head goes with it. A tool may answer without reading its arguments, so that writing fails;
    // what it answers decides.
    let rest = stream.as_ref().map_or(given, |stream| io::write_ready(stream, given).unwrap_or_default());
    let future = outgoing_handler::handle(outgoing, None).map_err(|_| Failure::Broken)?;
    if let Some(stream) = stream {
        let _ = io::write(&stream, rest);
    }
    let _ = OutgoingBody::finish(body, None);
    Ok(Sent { future, timer, max_bytes: request.max_bytes })
}

fn receive(sent: Sent, pass: Option<Pass>) -> Result<ToolResponse, Failure> {
    let answered = sent.future.subscribe();
    let response = loop {
        wait(&answered, &sent.timer)?;
        match sent.future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(_) => return Err(Failure::Broken),
            None => {}
        }
    };
    let status = response.status();
    let mut known = pass.is_some().then(|| content_type(&response)).flatten();
    let pass = pass.filter(|_| known.as_deref().is_some_and(mcp::is_event_stream));
    let body = read(response.consume().map_err(|()| Failure::Broken)?, &sent, pass)?;
    // An object speaks for itself; anything else may be a stream of events.
    let content_type = match body.first() {
        Some(b'{') => None,
        _ => known.take().or_else(|| content_type(&response)),
    };
    // The instance ends with its request, and the host frees what it holds at once.
    forget((answered, response, sent));
    Ok(ToolResponse { status, content_type, body })
}

fn content_type(response: &IncomingResponse) -> Option<String> {
    let fields = response.headers();
    let headers = fields.entries();
    forget(fields);
    let (_, value) = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    String::from_utf8(value).ok()
}

fn read(body: IncomingBody, sent: &Sent, mut pass: Option<Pass>) -> Result<Vec<u8>, Failure> {
    let stream = body.stream().map_err(|()| Failure::Broken)?;
    let mut more: Option<Pollable> = None;
    let mut data = Vec::new();
    loop {
        match stream.read(CHUNK) {
            Ok(chunk) if chunk.is_empty() => {
                wait(more.get_or_insert_with(|| stream.subscribe()), &sent.timer)?;
            }
            Ok(chunk) => {
                if let Some(pass) = &mut pass {
                    pass(&chunk);
                }
                if data.is_empty() {
                    data = chunk;
                } else {
                    data.extend_from_slice(&chunk);
                }
            }
            Err(StreamError::Closed) => {
                forget((more, stream, body));
                return Ok(data);
            }
            Err(StreamError::LastOperationFailed(_)) => return Err(Failure::Broken),
        }
        if data.len() > sent.max_bytes {
            return Err(Failure::TooLarge);
        }
    }
}

/// Wait for something to happen, until the time is up.
fn wait(event: &Pollable, timer: &Pollable) -> Result<(), Failure> {
    let ready = poll::poll(&[event, timer]);
    // Index 0 is the event; the time is up only if the timer alone is ready.
    if ready.contains(&0) { Ok(()) } else { Err(Failure::Timeout) }
}
