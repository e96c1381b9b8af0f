//! Answers.
//!
//! Hosts send the head when it is set, and whatever of the body is there by then leaves in the same packet. What comes
//! later leaves in a packet of its own, which waits for the client to acknowledge the first where the host's socket has
//! Nagle's algorithm (Spin's has): 40 ms where the client delays that. So the body comes before the head.

use crate::io;
use std::borrow::Cow;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

/// A header.
pub type Header = (Cow<'static, str>, Cow<'static, str>);

/// Send a whole answer.
pub fn send(out: ResponseOutparam, status: u16, headers: &[Header], body: &[u8]) {
    let (response, outgoing, stream) = open(status, headers, Some(body.len()));
    let rest = io::write_ready(&stream, body).unwrap_or_default();
    ResponseOutparam::set(out, Ok(response));
    // The client may have gone; there is nobody to tell.
    let _ = io::write(&stream, rest);
    drop(stream);
    let _ = OutgoingBody::finish(outgoing, None);
}

/// A response that was not set yet; its body, if its length is known, is so long.
pub fn open(
    status: u16,
    headers: &[Header],
    length: Option<usize>,
) -> (OutgoingResponse, OutgoingBody, OutputStream) {
    let length = length.map(|length| (Cow::Borrowed("content-length"), Cow::Owned(length.to_string())));
    let headers: Vec<(String, Vec<u8>)> = headers
        .iter()
        .chain(&length)
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    let outgoing = OutgoingResponse::new(fields(&headers));
    if status != 200 {
        let _ = outgoing.set_status_code(status);
    }
    let body = outgoing.body().expect("a new response has its body");
    let stream = body.write().expect("a new body has its stream");
    (outgoing, body, stream)
}

/// All headers; if the host refuses one of them, all others.
fn fields(headers: &[(String, Vec<u8>)]) -> Fields {
    Fields::from_list(headers).unwrap_or_else(|_| {
        let accepted = |header: &&(String, Vec<u8>)| Fields::from_list(&[(*header).clone()]).is_ok();
        let good: Vec<(String, Vec<u8>)> = headers.iter().filter(accepted).cloned().collect();
        Fields::from_list(&good).expect("each of them was accepted")
    })
}
