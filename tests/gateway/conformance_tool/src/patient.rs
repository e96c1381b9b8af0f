//! A tool that tells how far it is, and ends only when somebody outside answers it.

use serde_json::{Value, json};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme};

pub const NAME: &str = "patient";

/// Answers with a stream: progress, and when `http://AUTHORITY/` was answered the result.
pub fn answer(out: ResponseOutparam, authority: &str) {
    let headers = Fields::new();
    headers.append("content-type", b"text/event-stream").expect("a plain header");
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("taken once");
    let tell = |event: &Value| stream.blocking_write_and_flush(format!("data: {event}\n\n").as_bytes());
    let half = json!({"method": "notifications/progress", "params": {"progress": 1, "total": 2}});
    let told = tell(&half).is_ok() && ask(authority) == Some(204);
    let _ = tell(&crate::text(if told { "it answered" } else { "nobody answered" }));
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn ask(authority: &str) -> Option<u16> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some("/")).ok()?;
    let future = outgoing_handler::handle(request, None).ok()?;
    future.subscribe().block();
    Some(future.get()?.ok()?.ok()?.status())
}
