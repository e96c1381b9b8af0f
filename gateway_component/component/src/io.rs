//! Streams: whole bodies in and out, with bounds.

use wasip2::http::types::IncomingBody;
use wasip2::io::streams::{OutputStream, StreamError};

const CHUNK: u64 = 64 << 10;

/// Why a body was not read.
pub enum Broken {
    TooLarge,
    Stream,
}

/// A whole body of at most `limit` bytes. A request's own host bounds its time.
pub fn read(body: IncomingBody, limit: usize) -> Result<Vec<u8>, Broken> {
    let stream = body.stream().map_err(|()| Broken::Stream)?;
    let mut data = Vec::new();
    loop {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) if data.is_empty() => data = chunk,
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(data),
            Err(StreamError::LastOperationFailed(_)) => return Err(Broken::Stream),
        }
        if data.len() > limit {
            return Err(Broken::TooLarge);
        }
    }
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
