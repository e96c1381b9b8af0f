//! The floor for a gateway: it passes a request on to the tool and the answer back, and looks at neither.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme};

struct Component;
wasip2::http::proxy::export!(Component);

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match forward(&request) {
            Some((status, answer)) => http::respond(out, status, &answer),
            None => http::respond(out, 502, b"null"),
        }
    }
}

fn forward(request: &IncomingRequest) -> Option<(u16, Vec<u8>)> {
    let given = http::read(request.consume().ok()?);
    let headers = Fields::new();
    headers.append("content-type", b"application/json").ok()?;
    let onward = OutgoingRequest::new(headers);
    onward.set_method(&request.method()).ok()?;
    onward.set_scheme(Some(&Scheme::Http)).ok()?;
    onward.set_authority(Some("tools.spin.internal")).ok()?;
    onward.set_path_with_query(request.path_with_query().as_deref()).ok()?;
    let body = onward.body().ok()?;
    let future = http::write(body, &given, || outgoing_handler::handle(onward, None)).ok()?;
    future.subscribe().block();
    let response = future.get()?.ok()?.ok()?;
    Some((response.status(), http::read(response.consume().ok()?)))
}
