//! Streams: whole bodies in and out, with bounds.

use std::mem::forget;
use wasip2::http::types::IncomingRequest;
use wasip2::io::streams::{OutputStream, StreamError};

const CHUNK: u64 = 64 << 10;

/// A request's body, at most `limit` bytes of it; None if it broke off. The host bounds its time.
pub fn read(request: &IncomingRequest, headers: &[(String, Vec<u8>)], limit: usize) -> Option<Vec<u8>> {
    let announced = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut data = Vec::new();
    // What was announced is all there is (RFC 9112 §6.2), so its end need not be asked for.
    while data.len() < limit && announced != Some(data.len()) {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) if data.is_empty() => data = chunk,
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
    // The instance ends with its request, and the host frees what it holds at once.
    forget((stream, body));
    Some(data)
}

/// Write all of `data`, as much at once as the stream takes.
pub fn write(stream: &OutputStream, data: &[u8]) -> Result<(), StreamError> {
    // This one call takes up to 4 KiB (wasi:io/streams) and is enough for most messages.
    if data.len() <= 4096 {
        return stream.blocking_write_and_flush(data);
    }
    let mut rest = data;
    while !rest.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    stream.blocking_flush()
}
