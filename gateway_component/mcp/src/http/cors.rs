//! Who may reach the endpoint from a browser, and under which name: DNS rebinding and CORS.
//!
//! A browser sends `Origin` with every POST, so a request without one does not come from a browser and needs no check.
//! An origin is allowed if
//! - the application names it (`https://*.acme.dev` names every host one label below `acme.dev`),
//! - it is the application's own, or
//! - it and the addressed host are both this machine, which is how a developer's inspector reaches a local server.

use crate::config::Config;
use crate::http::message::{Request, Response};
use crate::protocol::jsonrpc::{INVALID_REQUEST, ProtocolError};
use std::borrow::Cow;

/// What a browser's client may read of an answer.
const EXPOSED: &str = "mcp-protocol-version, www-authenticate, x-request-id";

/// The result of [`check`].
pub(crate) enum OriginCheck {
    Refused(Response),
    /// The value of `access-control-allow-origin` for the answer, if a browser asks.
    Allowed(Option<String>),
}

/// Check a request's `Host` and `Origin`.
pub(crate) fn check(request: &Request, config: &Config) -> OriginCheck {
    let host = request.header("host").unwrap_or_default();
    if !config.allowed_hosts.is_empty()
        && !config.allowed_hosts.iter().any(|allowed| same_host(allowed, &host))
    {
        return refused("this host name is not served here");
    }
    let Some(origin) = request.header("origin") else { return OriginCheck::Allowed(None) };
    if config.allowed_origins.iter().any(|allowed| allowed == "*") {
        return OriginCheck::Allowed(Some("*".into()));
    }
    let named = config.allowed_origins.iter().any(|allowed| names(allowed, &origin));
    let own =
        config.resource.as_deref().and_then(origin_of).is_some_and(|own| own.eq_ignore_ascii_case(&origin));
    // The scheme is looked at because two headers arrive as one text: `evil, http://localhost` is not local.
    let local = origin.split_once("://").is_some_and(|(scheme, authority)| {
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && is_loopback(authority)
    }) && is_loopback(&host);
    if named || own || local {
        OriginCheck::Allowed(Some(origin.into_owned()))
    } else {
        refused("this origin is not allowed")
    }
}

/// Add what a browser needs to let its page read the answer.
pub(crate) fn share(mut response: Response, origin: Option<&str>) -> Response {
    let Some(origin) = origin else { return response };
    response.headers.retain(|(name, _)| name != "access-control-allow-origin");
    if origin != "*" {
        response = response.with("vary", "origin");
    }
    response
        .with("access-control-allow-origin", origin.to_string())
        .with("access-control-expose-headers", EXPOSED)
}

/// The answer to a preflight. Its own headers are echoed: those of parameters have any name, and `*` would leave out
/// `authorization`.
pub(crate) fn preflight(request: &Request) -> Response {
    let asked = request.header("access-control-request-headers").unwrap_or(Cow::Borrowed(""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ' | b'.');
    let mut response = Response::empty(204)
        .with("allow", "POST, OPTIONS")
        .with("access-control-allow-methods", "POST, OPTIONS")
        .with("access-control-max-age", "7200");
    if !asked.is_empty() && asked.bytes().all(plain) {
        response = response.with("access-control-allow-headers", asked.into_owned());
    }
    response
}

fn refused(message: &'static str) -> OriginCheck {
    let error = ProtocolError::new(INVALID_REQUEST, message);
    OriginCheck::Refused(Response::json(403, error.message(None)))
}

/// Whether an entry of `allowedOrigins` is about an origin. `*.` at the beginning of its host is exactly one label.
fn names(allowed: &str, origin: &str) -> bool {
    let Some((scheme, parent)) = allowed.split_once("://*.") else {
        return allowed.eq_ignore_ascii_case(origin);
    };
    let Some((given, authority)) = origin.split_once("://") else { return false };
    let Some((label, rest)) = authority.split_once('.') else { return false };
    let is_label = !label.is_empty()
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_label && given.eq_ignore_ascii_case(scheme) && rest.eq_ignore_ascii_case(parent)
}

fn origin_of(url: &str) -> Option<&str> {
    let authority = url.find("://")? + 3;
    Some(&url[..url[authority..].find('/').map_or(url.len(), |at| authority + at)])
}

/// Whether `host` is the allowed one; an entry without port allows every port.
fn same_host(allowed: &str, host: &str) -> bool {
    allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(without_port(host))
}

fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(at) if authority[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &authority[..at],
        _ => authority,
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = without_port(authority);
    match host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
