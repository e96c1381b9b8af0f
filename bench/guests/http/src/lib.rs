//! The bytes of bodies over WASI HTTP, as plainly as it can be done: what every component here has in common.

use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

/// The most that `blocking-write-and-flush` takes at once.
const CHUNK: usize = 4096;

/// Reads a body to its end; what a broken one gave so far.
pub fn read(body: IncomingBody) -> Vec<u8> {
    let mut data = Vec::new();
    if let Ok(stream) = body.stream() {
        while let Ok(chunk) = stream.blocking_read(65536) {
            data.extend(chunk);
        }
    }
    drop(IncomingBody::finish(body));
    data
}

/// Writes a body and ends it.
pub fn write(body: OutgoingBody, data: &[u8]) {
    if let Ok(stream) = body.write() {
        // An error means that nobody reads any more, and nobody is left to tell.
        let _ = write_all(&stream, data);
    }
    let _ = OutgoingBody::finish(body, None);
}

fn write_all(stream: &OutputStream, data: &[u8]) -> Result<(), StreamError> {
    data.chunks(CHUNK).try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
}

/// Answers with JSON.
pub fn respond(out: ResponseOutparam, status: u16, data: &[u8]) {
    let headers = Fields::new();
    // A fresh list of headers is mutable, and these names are allowed.
    let _ = headers.append("content-type", b"application/json");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    if let Ok(body) = body {
        write(body, data);
    }
}
