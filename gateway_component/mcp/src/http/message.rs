//! HTTP messages as the protocol sees them. A request's body is asked of the [`Host`](crate::Host) once it is wanted.

use std::borrow::Cow;

/// A request. Header names are in lower case, duplicates kept; `host` holds the authority.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// The path without query.
    pub path: &'a str,
    pub headers: &'a [(String, Vec<u8>)],
}

impl<'a> Request<'a> {
    /// How long the body is by what its header says; None if it does not say. What no number holds is the largest one.
    pub fn announced_length(&self) -> Option<u64> {
        let text = self.header("content-length")?;
        let digits = text.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::MAX))
    }

    /// A header's value, the lines of a repeated one joined as RFC 9110 §5.3 has it; bytes that are not UTF-8 replaced.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut found: Option<Cow<str>> = None;
        for (_, value) in self.headers.iter().filter(|(header, _)| header == name) {
            let value =
                std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
            found = Some(match found {
                None => value,
                Some(before) => Cow::Owned(format!("{before}, {value}")),
            });
        }
        found
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(crate) fn empty(status: u16) -> Response {
        Response { status, ..Response::default() }
    }

    pub(crate) fn json(status: u16, body: String) -> Response {
        Response::text(status, "application/json", body)
    }

    pub(crate) fn text(status: u16, media_type: &'static str, body: String) -> Response {
        Response { body: body.into_bytes(), ..Response::empty(status).with("content-type", media_type) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }
}

impl From<authorizer::Response> for Response {
    fn from(response: authorizer::Response) -> Response {
        let headers =
            response.headers.into_iter().map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))).collect();
        Response { status: response.status, headers, body: response.body }
    }
}

/// What is asked of a component: `http://COMPONENT.spin.internal/PATH`.
pub struct ToolRequest<'a> {
    pub component: Cow<'a, str>,
    pub method: &'static str,
    /// Percent-encoded, with its leading slash.
    pub path: String,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: &'a str,
    /// For the whole exchange, in milliseconds.
    pub timeout_ms: u64,
    /// A longer answer is a failure.
    pub max_bytes: usize,
}

/// What a component answered.
pub struct ToolResponse {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Why there is no answer of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Timeout,
    TooLarge,
    /// No connection, or one that broke.
    Broken,
}
