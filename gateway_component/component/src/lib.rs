//! The gateway as a component: `wasi:http` in, variables, key-value store and chained calls out. Every rule is in the
//! crates `mcp` and `authorizer`; this one only moves bytes.

mod exchange;
mod io;
mod spin;
mod world;

use mcp::{Request, Response};
use std::borrow::Cow;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Gateway;
wasip2::http::proxy::export!(Gateway);

/// Somewhat more than the protocol takes, so that the answer to a longer body is the protocol's.
const MAX_BODY: usize = (16 << 20) + 1;

impl Guest for Gateway {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut world = world::World::default();
        let method = method(request.method());
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let mut headers = request.headers().entries();
        if !headers.iter().any(|(name, _)| name == "host")
            && let Some(authority) = request.authority()
        {
            headers.push(("host".into(), authority.into_bytes()));
        }
        let body = request.consume().ok().and_then(|body| io::read(body, MAX_BODY).ok());
        let response = match &body {
            Some(body) => {
                let request = Request { method: &method, path, headers: &headers, body };
                mcp::handle(&request, &mut world)
            }
            None => Response { status: 400, headers: Vec::new(), body: Vec::new() },
        };
        respond(out, &response);
        // The client has its answer by now.
        world.write_log();
    }
}

fn respond(out: ResponseOutparam, response: &Response) {
    let fields = Fields::new();
    for (name, value) in &response.headers {
        // A value that the host refuses is left out rather than the whole answer.
        let _ = fields.append(name, value.as_bytes());
    }
    let _ = fields.append("content-length", response.body.len().to_string().as_bytes());
    let outgoing = OutgoingResponse::new(fields);
    let _ = outgoing.set_status_code(response.status);
    let body = outgoing.body().expect("a new response has its body");
    ResponseOutparam::set(out, Ok(outgoing));
    if !response.body.is_empty() {
        let stream = body.write().expect("a new body has its stream");
        // The client may have gone; there is nobody to tell.
        let _ = io::write(&stream, &response.body);
        drop(stream);
    }
    let _ = OutgoingBody::finish(body, None);
}

fn method(method: Method) -> Cow<'static, str> {
    Cow::Borrowed(match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return Cow::Owned(name),
    })
}
