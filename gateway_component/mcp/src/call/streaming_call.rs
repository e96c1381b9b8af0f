//! A call whose client asked for notifications: they are passed on while the tool runs.

use crate::call::Prepared;
use crate::call::stream::Pieces;
use crate::http::message::{Failure, ToolRequest, ToolResponse};
use crate::http::{cors, sse};
use crate::protocol::context::Context;

/// Call a tool. Besides its answer, how many notifications the client has got already.
pub(crate) fn call(
    context: &mut Context,
    call: &Prepared,
    request: &ToolRequest,
) -> (Result<ToolResponse, Failure>, usize) {
    let id = context.request_id().to_string();
    let head = cors::share(sse::head(200).with("x-request-id", id), context.origin);
    let mut pieces = Pieces::new(call.wanted);
    let mut sent = 0;
    let response = context.host.relay(request, &head, &mut |piece| {
        let events = pieces.take(piece);
        sent += events.len();
        sse::frames(&events).into_bytes()
    });
    (response, sent)
}
