//! The bytes of bodies over WASI HTTP, as plainly as it can be done: what every component here has in common.

use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

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

/// Writes a body and ends it. `begin` sends its head, after as much of the body as goes without waiting: both leave in one
/// packet then, and whoever reads a body that is whole has not to wait for its end.
pub fn write<T>(body: OutgoingBody, data: &[u8], begin: impl FnOnce() -> T) -> T {
    let Ok(stream) = body.write() else { return begin() };
    let mut rest = write_ready(&stream, data).unwrap_or_default();
    if rest.is_empty() {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
        return begin();
    }
    let begun = begin();
    while !rest.is_empty() {
        stream.subscribe().block();
        // An error means that nobody reads any more, and nobody is left to tell.
        rest = write_ready(&stream, rest).unwrap_or_default();
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    begun
}

/// Writes what the stream takes without waiting; what is left.
fn write_ready<'d>(stream: &OutputStream, data: &'d [u8]) -> Result<&'d [u8], StreamError> {
    let mut rest = data;
    while !rest.is_empty() {
        let room = stream.check_write()? as usize;
        if room == 0 {
            break;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    Ok(rest)
}

/// Answers with JSON.
pub fn respond(out: ResponseOutparam, status: u16, data: &[u8]) {
    let headers = Fields::new();
    // A fresh list of headers is mutable, and these names are allowed.
    let _ = headers.append("content-type", b"application/json");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    match response.body() {
        Ok(body) => write(body, data, || ResponseOutparam::set(out, Ok(response))),
        Err(()) => ResponseOutparam::set(out, Ok(response)),
    }
}
