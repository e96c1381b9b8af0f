//! The client's end: a whole answer, or one that begins before it is known how it ends.
//!
//! Hosts send the head when it is set, and whatever of the body is there by then leaves in the same packet. What comes
//! later leaves in a packet of its own, which waits for the client to acknowledge the first where the host's socket has
//! Nagle's algorithm (Spin's has): 40 ms where the client delays that. So the body comes before the head.

use crate::io;
use mcp::Response;
use std::borrow::Cow;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

pub struct Client {
    /// Until the answer begins.
    out: Option<ResponseOutparam>,
    /// From then on.
    body: Option<(OutputStream, OutgoingBody)>,
}

impl Client {
    pub fn new(out: ResponseOutparam) -> Client {
        Client { out: Some(out), body: None }
    }

    /// Send the next bytes of an answer that begins with `head`.
    pub fn push(&mut self, head: &Response, bytes: &[u8]) {
        let rest = match self.out.take() {
            None => bytes,
            Some(out) => {
                let (response, body, stream) = open(head, None);
                let rest = io::write_ready(&stream, bytes).unwrap_or_default();
                ResponseOutparam::set(out, Ok(response));
                self.body = Some((stream, body));
                rest
            }
        };
        if let Some((stream, _)) = &self.body {
            // The client may have gone; there is nobody to tell.
            let _ = io::write(stream, rest);
        }
    }

    /// Send the answer; of one that has begun, the rest.
    pub fn answer(&mut self, response: &Response) {
        let Some(out) = self.out.take() else {
            if let Some((stream, body)) = self.body.take() {
                let _ = io::write(&stream, &response.body);
                drop(stream);
                let _ = OutgoingBody::finish(body, None);
            }
            return;
        };
        let (outgoing, body, stream) = open(response, Some(response.body.len()));
        let rest = io::write_ready(&stream, &response.body).unwrap_or_default();
        ResponseOutparam::set(out, Ok(outgoing));
        let _ = io::write(&stream, rest);
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

/// A response that was not set yet; its body, if its length is known, is so long.
fn open(head: &Response, length: Option<usize>) -> (OutgoingResponse, OutgoingBody, OutputStream) {
    let length = length.map(|length| (Cow::Borrowed("content-length"), Cow::Owned(length.to_string())));
    let headers: Vec<(String, Vec<u8>)> = head
        .headers
        .iter()
        .chain(&length)
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    let outgoing = OutgoingResponse::new(fields(&headers));
    if head.status != 200 {
        let _ = outgoing.set_status_code(head.status);
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
