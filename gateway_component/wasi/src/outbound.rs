//! Requests to other servers. Each has its own time limit, for the whole exchange.

use crate::io;
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
pub type Pass<'p> = &'p mut dyn FnMut(&[u8]);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Timeout,
    TooLarge,
    /// No connection, or one that broke.
    Broken,
}

/// A request that has no body yet.
pub struct Outgoing<'a> {
    pub scheme: Scheme,
    /// Host and port.
    pub authority: &'a str,
    /// Percent-encoded, with its leading slash.
    pub path: &'a str,
    pub headers: Vec<(String, Vec<u8>)>,
    /// None for GET.
    pub body: Option<&'a [u8]>,
    pub timeout_ms: u64,
    /// A longer answer is a failure.
    pub max_bytes: usize,
}

/// A request on its way.
pub struct Sent {
    future: FutureIncomingResponse,
    /// Ready when its time is up.
    timer: Pollable,
    max_bytes: usize,
}

/// The body of an answer with what precedes it.
pub struct Received {
    pub response: IncomingResponse,
    body: IncomingBody,
    sent: Sent,
}

/// Send a request.
pub fn send(request: Outgoing) -> Result<Sent, Failure> {
    let broken = |()| Failure::Broken;
    let outgoing = OutgoingRequest::new(Fields::from_list(&request.headers).map_err(|_| Failure::Broken)?);
    if request.body.is_some() {
        outgoing.set_method(&Method::Post).map_err(broken)?;
    }
    outgoing.set_scheme(Some(&request.scheme)).map_err(broken)?;
    outgoing.set_authority(Some(request.authority)).map_err(broken)?;
    outgoing.set_path_with_query(Some(request.path)).map_err(broken)?;
    let body = outgoing.body().map_err(broken)?;
    let timer = monotonic_clock::subscribe_duration(request.timeout_ms.saturating_mul(1_000_000));
    let given = request.body.unwrap_or_default();
    let stream = if given.is_empty() { None } else { Some(body.write().map_err(broken)?) };
    // What is there before the head goes with it. A server may answer without reading the body, so that writing fails;
    // what it answers decides.
    let rest = stream.as_ref().map_or(given, |stream| io::write_ready(stream, given).unwrap_or_default());
    let future = outgoing_handler::handle(outgoing, None).map_err(|_| Failure::Broken)?;
    if let Some(stream) = stream {
        let _ = io::write(&stream, rest);
    }
    let _ = OutgoingBody::finish(body, None);
    Ok(Sent { future, timer, max_bytes: request.max_bytes })
}

/// Wait for the head of the answer.
pub fn receive(sent: Sent) -> Result<Received, Failure> {
    let answered = sent.future.subscribe();
    let response = loop {
        wait(&answered, &sent.timer)?;
        match sent.future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(_) => return Err(Failure::Broken),
            None => {}
        }
    };
    let body = response.consume().map_err(|()| Failure::Broken)?;
    // The instance ends with its request, and the host frees what it holds at once.
    forget(answered);
    Ok(Received { response, body, sent })
}

impl Received {
    /// The whole body; each piece goes to `pass`, too, as it comes.
    pub fn read(&self, mut pass: Option<Pass>) -> Result<Vec<u8>, Failure> {
        let stream = self.body.stream().map_err(|()| Failure::Broken)?;
        let mut more: Option<Pollable> = None;
        let mut data = Vec::new();
        loop {
            match stream.read(CHUNK) {
                Ok(chunk) if chunk.is_empty() => {
                    wait(more.get_or_insert_with(|| stream.subscribe()), &self.sent.timer)?;
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
                    forget((more, stream));
                    return Ok(data);
                }
                Err(StreamError::LastOperationFailed(_)) => return Err(Failure::Broken),
            }
            if data.len() > self.sent.max_bytes {
                return Err(Failure::TooLarge);
            }
        }
    }

    /// The answer's media type.
    pub fn content_type(&self) -> Option<String> {
        let fields = self.response.headers();
        let headers = fields.entries();
        forget(fields);
        let (_, value) = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
        String::from_utf8(value).ok()
    }
}

/// Scheme, authority and path of a URL; None for another scheme.
pub fn split(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}

/// Wait for something to happen, until the time is up.
fn wait(event: &Pollable, timer: &Pollable) -> Result<(), Failure> {
    let ready = poll::poll(&[event, timer]);
    // Index 0 is the event; the time is up only if the timer alone is ready.
    if ready.contains(&0) { Ok(()) } else { Err(Failure::Timeout) }
}
