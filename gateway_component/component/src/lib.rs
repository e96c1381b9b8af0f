//! The gateway as a component: `wasi:http` in, variables, key-value store and chained calls out. Every rule is in the
//! crates `mcp` and `authorizer`; this one only moves bytes.

mod client;
mod io;
mod outbound;
// Elsewhere this crate is only checked, never run.
#[cfg(target_family = "wasm")]
mod allocator;
mod host;
mod spin;

use mcp::Request;
use std::borrow::Cow;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Gateway;
wasip2::http::proxy::export!(Gateway);

impl Guest for Gateway {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
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
        let head = Request { method: &method, path, headers: &headers };
        let mut host = host::WasiHost::new(request, head.announced_length(), out);
        let response = mcp::handle(&head, &mut host);
        host.client.answer(&response);
        // The client has its answer by now.
        host.write_log();
        // The instance ends here, and the host frees what it holds at once.
        std::mem::forget((fields, host));
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
