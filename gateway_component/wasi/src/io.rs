//! Streams: bodies in and out, with bounds.

use std::mem::forget;
use wasip2::http::types::IncomingRequest;
use wasip2::io::streams::{OutputStream, StreamError};

const CHUNK: u64 = 64 << 10;

/// A request's body: all of it, or somewhat more than `limit` bytes; None if it broke off. The host bounds its time.
/// `announced` is how long it says to be.
pub fn read(request: &IncomingRequest, announced: Option<u64>, limit: usize) -> Option<Vec<u8>> {
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut data = Vec::new();
    // What was announced is all there is (RFC 9112 §6.2), so its end need not be asked for.
    while data.len() <= limit && announced != Some(data.len()) {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) if data.is_empty() => {
                data = chunk;
                // Room for the rest at once; memory that is not written to costs nothing.
                data.reserve_exact(announced.unwrap_or(0).min(limit).saturating_sub(data.len()));
            }
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
    // The instance ends with its request, and the host frees what it holds at once.
    forget((stream, body));
    Some(data)
}

/// Write as much of `data` as the stream takes without waiting; what is left.
pub fn write_ready<'d>(stream: &OutputStream, data: &'d [u8]) -> Result<&'d [u8], StreamError> {
    let mut rest = data;
    while !rest.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            break;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    Ok(rest)
}

/// Write all of `data`, waiting for room. It is on its way then; nobody waits for it to arrive.
pub fn write(stream: &OutputStream, data: &[u8]) -> Result<(), StreamError> {
    let mut rest = write_ready(stream, data)?;
    while !rest.is_empty() {
        stream.subscribe().block();
        rest = write_ready(stream, rest)?;
    }
    Ok(())
}

/// Write text for people to its end: up to 4 KiB, which is mostly all, takes one call (wasi:io/streams).
pub fn print(stream: &OutputStream, text: &str) -> Result<(), StreamError> {
    text.as_bytes().chunks(4096).try_for_each(|piece| stream.blocking_write_and_flush(piece))
}
