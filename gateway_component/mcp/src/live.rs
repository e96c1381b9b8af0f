//! A call whose client wants to know how far it is: what its tool tells goes on to the client as it comes.

use crate::call::Prepared;
use crate::context::Context;
use crate::message::{Failure, ToolRequest, ToolResponse};
use crate::stream::Pieces;
use crate::{origin, sse};

/// Call a tool. Besides its answer, how many notifications the client has got already.
pub(crate) fn call(
    context: &mut Context,
    call: &Prepared,
    request: &ToolRequest,
) -> (Result<ToolResponse, Failure>, usize) {
    let id = context.request_id().to_string();
    let head = origin::share(sse::head(200).with("x-request-id", id), context.origin);
    let mut pieces = Pieces::new(call.wanted);
    let mut sent = 0;
    let response = context.host.relay(request, &head, &mut |piece| {
        let events = pieces.take(piece);
        sent += events.len();
        sse::frames(&events).into_bytes()
    });
    (response, sent)
}
