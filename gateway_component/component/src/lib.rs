//! The gateway as a component: `wasi:http` in, variables, key-value store and chained calls out. Every rule is in the
//! crates `mcp` and `authorizer`; this one only moves bytes.

mod client;
mod exchange;
mod io;
// Elsewhere this crate is only checked, never run.
#[cfg(target_family = "wasm")]
mod memory;
mod spin;
mod world;

use mcp::{Request, Response};
use std::borrow::Cow;
use std::mem::forget;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Gateway;
wasip2::http::proxy::export!(Gateway);

/// Somewhat more than the protocol takes, so that the answer to a longer body is the protocol's.
const MAX_BODY: usize = (16 << 20) + 1;

impl Guest for Gateway {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut world = world::World::new(out);
        let method = method(request.method());
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let fields = request.headers();
        let mut headers = fields.entries();
        if !headers.iter().any(|(name, _)| name == "host")
            && let Some(authority) = request.authority()
        {
            headers.push(("host".into(), authority.into_bytes()));
        }
        let body = match &*method {
            "POST" => io::read(&request, &headers, MAX_BODY),
            _ => Some(Vec::new()),
        };
        let response = match &body {
            Some(body) => {
                let request = Request { method: &method, path, headers: &headers, body };
                mcp::handle(&request, &mut world)
            }
            None => Response { status: 400, headers: Vec::new(), body: Vec::new() },
        };
        world.client.answer(&response);
        // The client has its answer by now.
        world.write_log();
        // The instance ends here, and the host frees what it holds at once.
        forget((fields, request));
    }
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
