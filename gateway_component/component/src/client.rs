//! The client's end: a whole answer, or one that begins before it is known how it ends.

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
        if let Some(out) = self.out.take() {
            let body = begin(out, head, None);
            let stream = body.write().expect("a new body has its stream");
            self.body = Some((stream, body));
        }
        if let Some((stream, _)) = &self.body {
            // The client may have gone; there is nobody to tell.
            let _ = io::write(stream, bytes);
        }
    }

    /// Send the answer; of one that has begun, the rest.
    pub fn answer(&mut self, response: &Response) {
        if let Some(out) = self.out.take() {
            let body = begin(out, response, Some(response.body.len()));
            if !response.body.is_empty() {
                let stream = body.write().expect("a new body has its stream");
                let _ = io::write(&stream, &response.body);
            }
            let _ = OutgoingBody::finish(body, None);
        } else if let Some((stream, body)) = self.body.take() {
            let _ = io::write(&stream, &response.body);
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

/// Send a head; its body, if its length is known, is so long.
fn begin(out: ResponseOutparam, head: &Response, length: Option<usize>) -> OutgoingBody {
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
    ResponseOutparam::set(out, Ok(outgoing));
    body
}

/// All headers; if the host refuses one of them, all others.
fn fields(headers: &[(String, Vec<u8>)]) -> Fields {
    Fields::from_list(headers).unwrap_or_else(|_| {
        let accepted = |header: &&(String, Vec<u8>)| Fields::from_list(&[(*header).clone()]).is_ok();
        let good: Vec<(String, Vec<u8>)> = headers.iter().filter(accepted).cloned().collect();
        Fields::from_list(&good).expect("each of them was accepted")
    })
}
