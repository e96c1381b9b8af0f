//! Requests to other components and to the issuer: all sent at once, each with its own time limit.

use crate::io;
use mcp::{Failure, ToolRequest, ToolResponse};
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::poll;
use wasip2::io::streams::StreamError;

const CHUNK: u64 = 64 << 10;

/// A request on its way.
struct Sent {
    future: FutureIncomingResponse,
    /// On the monotonic clock, in nanoseconds.
    deadline: u64,
    max_bytes: usize,
}

/// Carry requests to components of this application.
pub fn exchange(requests: &[ToolRequest]) -> Vec<Result<ToolResponse, Failure>> {
    let sent: Vec<Result<Sent, Failure>> = requests.iter().map(send).collect();
    sent.into_iter().map(|sent| receive(&sent?)).collect()
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
    let fields = Fields::new();
    fields.append("accept", b"application/json").ok()?;
    let request = OutgoingRequest::new(fields);
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).ok()?;
    let body = request.body().ok()?;
    let future = outgoing_handler::handle(request, None).ok()?;
    OutgoingBody::finish(body, None).ok()?;
    let response = receive(&Sent { future, deadline: deadline(timeout_ms), max_bytes }).ok()?;
    (response.status == 200).then_some(response.body)
}

fn deadline(timeout_ms: u64) -> u64 {
    monotonic_clock::now().saturating_add(timeout_ms.saturating_mul(1_000_000))
}

fn send(request: &ToolRequest) -> Result<Sent, Failure> {
    let broken = |()| Failure::Broken;
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields.append(name, value.as_bytes()).map_err(|_| Failure::Broken)?;
    }
    let deadline = deadline(request.timeout_ms);
    let outgoing = OutgoingRequest::new(fields);
    let method = if request.method == "GET" { Method::Get } else { Method::Post };
    outgoing.set_method(&method).map_err(broken)?;
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(broken)?;
    outgoing.set_authority(Some(&format!("{}.spin.internal", request.component))).map_err(broken)?;
    outgoing.set_path_with_query(Some(&request.path)).map_err(broken)?;
    let body = outgoing.body().map_err(broken)?;
    let future = outgoing_handler::handle(outgoing, None).map_err(|_| Failure::Broken)?;
    if !request.body.is_empty() {
        let stream = body.write().map_err(broken)?;
        // A tool may answer without reading its arguments; what it answers decides.
        let _ = io::write(&stream, request.body.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
    Ok(Sent { future, deadline, max_bytes: request.max_bytes })
}

fn receive(sent: &Sent) -> Result<ToolResponse, Failure> {
    let response = loop {
        match sent.future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(_) => return Err(Failure::Broken),
            None => wait(&sent.future.subscribe(), sent.deadline)?,
        }
    };
    let status = response.status();
    let content_type = content_type(&response);
    let body = response.consume().map_err(|()| Failure::Broken)?;
    let body = read(body, sent)?;
    Ok(ToolResponse { status, content_type, body })
}

fn content_type(response: &IncomingResponse) -> Option<String> {
    response.headers().get("content-type").into_iter().next().and_then(|value| String::from_utf8(value).ok())
}

fn read(body: IncomingBody, sent: &Sent) -> Result<Vec<u8>, Failure> {
    let stream = body.stream().map_err(|()| Failure::Broken)?;
    let mut data = Vec::new();
    loop {
        match stream.read(CHUNK) {
            Ok(chunk) if chunk.is_empty() => {
                wait(&stream.subscribe(), sent.deadline)?;
                continue;
            }
            Ok(chunk) if data.is_empty() => data = chunk,
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(data),
            Err(StreamError::LastOperationFailed(_)) => return Err(Failure::Broken),
        }
        if data.len() > sent.max_bytes {
            return Err(Failure::TooLarge);
        }
    }
}

/// Wait for something to happen, until the deadline.
fn wait(event: &poll::Pollable, deadline: u64) -> Result<(), Failure> {
    let timer = monotonic_clock::subscribe_instant(deadline);
    let ready = poll::poll(&[event, &timer]);
    // Index 0 is the event; the time is up only if the timer alone is ready.
    if ready.contains(&0) { Ok(()) } else { Err(Failure::Timeout) }
}
