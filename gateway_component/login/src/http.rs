//! Requests and answers.

use crate::World;
use crate::config::Config;
use crate::keys::Keys;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The longest body that is read. The longest legitimate one is a registration.
const MAX_BODY: usize = 64 << 10;
/// Endpoints that scripts of any origin may use, for clients that run in a browser. None of them reads a cookie.
const SHARED: [&str; 4] = ["/register", "/token", "/revoke", "/jwks"];

/// A request. Header names are in lower case, duplicates kept; `host` holds the authority.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// The path without query, and without the prefix of the app's route.
    pub path: &'a str,
    /// What follows the question mark; empty if there is none.
    pub query: &'a str,
    pub headers: &'a [(String, Vec<u8>)],
}

impl<'a> Request<'a> {
    /// The value of a header that occurs once and is UTF-8; `None` otherwise.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.iter().filter(|(header, _)| header == name);
        let (_, value) = values.next()?;
        if values.next().is_some() {
            return None;
        }
        std::str::from_utf8(value).ok()
    }

    /// The value of a cookie that occurs once (RFC 6265 §5.4).
    pub(crate) fn cookie(&self, name: &str) -> Option<&'a str> {
        let lines = self.headers.iter().filter(|(header, _)| header == "cookie");
        let mut values = lines
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(given, _)| *given == name);
        let (_, value) = values.next()?;
        if values.next().is_some() { None } else { Some(value) }
    }
}

/// A request with what it is answered by.
pub(crate) struct Exchange<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) config: &'a Config,
    pub(crate) keys: &'a Keys,
    pub(crate) world: &'a mut dyn World,
}

impl Exchange<'_> {
    /// The request's body, of the one media type that the endpoint reads; `None` if it is another, broken or too long.
    pub(crate) fn body(&mut self, media_type: &str) -> Option<Vec<u8>> {
        let given = self.request.header("content-type")?;
        if !given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type) {
            return None;
        }
        self.world.body(MAX_BODY).filter(|body| body.len() <= MAX_BODY)
    }

    /// One line for the log: what happened, to whom. A subject is shown as a hash, as in the gateway's audit log.
    pub(crate) fn log(&mut self, event: &str, outcome: &str, subject: Option<&str>) {
        use sha2::Digest;
        let subject = subject.map(|text| json::hex::encode(&sha2::Sha256::digest(text.as_bytes())[..8]));
        self.world.log(json!({"event": event, "outcome": outcome, "subject": subject}).to_string());
    }
}

/// What is asked of another server.
pub struct Fetch<'a> {
    pub url: &'a str,
    pub headers: Vec<(&'static str, String)>,
    /// A form to post; `None` for GET.
    pub form: Option<String>,
    pub max_bytes: usize,
}

/// What another server answered.
pub struct Fetched {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }
}

/// A JSON answer that nobody may keep (RFC 6749 §5.1), readable by scripts of any origin.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    Response { status, headers: Vec::new(), body: body.to_string().into_bytes() }
        .with("content-type", "application/json")
        .with("cache-control", "no-store")
        .with("access-control-allow-origin", "*")
        .with("x-content-type-options", "nosniff")
}

/// An error of RFC 6749 §5.2 or RFC 7591 §3.2.2. The description is a constant, so no byte of a request is repeated.
pub(crate) fn error_json(status: u16, code: &str, description: &'static str) -> Response {
    json(status, &json!({"error": code, "error_description": description}))
}

/// Send the browser elsewhere by GET.
pub(crate) fn redirect(location: String) -> Response {
    Response { status: 303, ..Response::default() }
        .with("location", location)
        .with("cache-control", "no-store")
        .with("referrer-policy", "no-referrer")
}

pub(crate) fn not_found() -> Response {
    Response { status: 404, ..Response::default() }
}

pub(crate) fn not_allowed(methods: &'static str) -> Response {
    Response { status: 405, ..Response::default() }.with("allow", methods)
}

/// Whether scripts of other origins may use the endpoint.
pub(crate) fn is_shared(path: &str) -> bool {
    SHARED.contains(&path)
}

/// The answer to a script's browser that asks whether it may.
pub(crate) fn preflight() -> Response {
    Response { status: 204, ..Response::default() }
        .with("access-control-allow-origin", "*")
        .with("access-control-allow-methods", "GET, POST")
        .with("access-control-allow-headers", "authorization, content-type, mcp-protocol-version")
        .with("access-control-max-age", "86400")
}
