//! The least that a component can do: it answers 200 with nothing.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Component;
wasip2::http::proxy::export!(Component);

impl Guest for Component {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        http::respond(out, 200, b"");
    }
}
