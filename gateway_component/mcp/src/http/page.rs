//! What a person sees who opens the app's address in a browser.

use crate::config::Config;
use crate::http::message::{Request, Response};

/// Whether a request is for a page.
pub(crate) fn is_asked(request: &Request) -> bool {
    matches!(request.method, "GET" | "HEAD")
}

/// Whether a browser asks for the endpoint as if it were a page. Clients of the protocol ask for an event stream.
pub(crate) fn is_browsed(request: &Request) -> bool {
    is_asked(request)
        && request.header("accept").is_some_and(|accept| {
            let accept = accept.to_ascii_lowercase();
            accept.contains("text/html") && !accept.contains("text/event-stream")
        })
}

/// The page. It says nothing about tools, as whoever asks has shown no token.
pub(crate) fn page(request: &Request, config: &Config) -> Response {
    let name = config.shown_name();
    let endpoint = config.resource.as_deref().unwrap_or("/mcp");
    let text = format!(
        "{name}\n\nThis is a server of tools for AI clients. It speaks the Model Context Protocol (MCP).\n\
         Endpoint: {endpoint}\n\nGive this address to an MCP client; a browser cannot use it.\n"
    );
    let text = if request.method == "HEAD" { String::new() } else { text };
    Response::text(200, "text/plain; charset=utf-8", text)
        .with("vary", "accept")
        .with("x-content-type-options", "nosniff")
}
