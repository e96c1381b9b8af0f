//! The gateway as a component: `wasi:http` in, variables, key-value store and chained calls out. Every rule is in the
//! crates `mcp` and `authorizer`; this one only moves bytes.

mod client;
mod host;
mod outbound;

use mcp::Request;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Gateway;
wasip2::http::proxy::export!(Gateway);

impl Guest for Gateway {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = wasi::request::method(request.method());
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let headers = wasi::request::headers(&request);
        let head = Request { method: &method, path, headers: &headers };
        let mut host = host::WasiHost::new(request, head.announced_length(), out);
        let response = mcp::handle(&head, &mut host);
        host.client.answer(&response);
        // The client has its answer by now.
        host.write_log();
        // The instance ends here, and the host frees what it holds at once.
        std::mem::forget(host);
    }
}
