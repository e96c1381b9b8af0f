//! Requests to other components and to the issuer. All are sent at once; each has its own time limit.

use mcp::{Failure, ToolRequest, ToolResponse};
use std::mem::forget;
use wasi::outbound::{self, Outgoing, Pass, Sent};
use wasip2::http::types::Scheme;

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
    let (scheme, authority, path) = outbound::split(url)?;
    let headers = vec![("accept".into(), b"application/json".to_vec())];
    let request = Outgoing { scheme, authority, path, headers, body: None, timeout_ms, max_bytes };
    let received = outbound::receive(outbound::send(request).ok()?).ok()?;
    let body = received.read(None).ok()?;
    (received.response.status() == 200).then_some(body)
}

fn send(request: &ToolRequest) -> Result<Sent, Failure> {
    let headers =
        request.headers.iter().map(|(name, value)| (name.to_string(), value.clone().into_bytes())).collect();
    outbound::send(Outgoing {
        scheme: Scheme::Http,
        authority: &format!("{}.spin.internal", request.component),
        path: &request.path,
        headers,
        body: (request.method != "GET").then_some(request.body.as_bytes()),
        timeout_ms: request.timeout_ms,
        max_bytes: request.max_bytes,
    })
    .map_err(failure)
}

fn receive(sent: Sent, pass: Option<Pass>) -> Result<ToolResponse, Failure> {
    let received = outbound::receive(sent).map_err(failure)?;
    let status = received.response.status();
    let mut known = pass.is_some().then(|| received.content_type()).flatten();
    let pass = pass.filter(|_| known.as_deref().is_some_and(mcp::is_event_stream));
    let body = received.read(pass).map_err(failure)?;
    // An object speaks for itself; anything else may be a stream of events.
    let content_type = match body.first() {
        Some(b'{') => None,
        _ => known.take().or_else(|| received.content_type()),
    };
    // The instance ends with its request, and the host frees what it holds at once.
    forget(received);
    Ok(ToolResponse { status, content_type, body })
}

fn failure(failure: outbound::Failure) -> Failure {
    match failure {
        outbound::Failure::Timeout => Failure::Timeout,
        outbound::Failure::TooLarge => Failure::TooLarge,
        outbound::Failure::Broken => Failure::Broken,
    }
}
