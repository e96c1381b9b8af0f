//! What a request says.

use std::borrow::Cow;
use wasip2::http::types::{IncomingRequest, Method};

/// The method in upper case.
pub fn method(method: Method) -> Cow<'static, str> {
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

/// All headers in order, names in lower case, duplicates kept; `host` holds the authority.
pub fn headers(request: &IncomingRequest) -> Vec<(String, Vec<u8>)> {
    let fields = request.headers();
    let mut headers = fields.entries();
    // The instance ends with its request, and the host frees what it holds at once.
    std::mem::forget(fields);
    if !headers.iter().any(|(name, _)| name == "host")
        && let Some(authority) = request.authority()
    {
        headers.push(("host".into(), authority.into_bytes()));
    }
    headers
}
