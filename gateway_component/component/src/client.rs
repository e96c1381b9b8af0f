//! The client's end: a whole answer, or one that begins before it is known how it ends.

use mcp::Response;
use wasi::{answer, io};
use wasip2::http::types::{OutgoingBody, ResponseOutparam};
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
                let (response, body, stream) = answer::open(head.status, &head.headers, None);
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
        if let Some(out) = self.out.take() {
            answer::send(out, response.status, &response.headers, &response.body);
        } else if let Some((stream, body)) = self.body.take() {
            let _ = io::write(&stream, &response.body);
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
