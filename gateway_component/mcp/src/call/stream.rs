//! What a tool streams while it runs: progress, log messages, and at the end its answer.

use crate::http::sse;
use json::object::object;
use json::strict;
use json::text::{is_object, quote};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Which notifications the client asked for.
#[derive(Clone, Copy)]
pub(crate) struct Notifications<'a> {
    /// JSON text of the token under which it wants progress.
    pub progress: Option<&'a RawValue>,
    /// Whether it wants log messages.
    pub log: bool,
}

impl Notifications<'_> {
    pub fn is_something(self) -> bool {
        self.progress.is_some() || self.log
    }
}

/// Whether a content type is that of server-sent events.
pub fn is_event_stream(content_type: &str) -> bool {
    content_type.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// A tool's stream as it comes: the notifications in each piece of it.
pub(crate) struct Pieces<'a> {
    wanted: Notifications<'a>,
    /// The beginning of an event that is not whole yet.
    rest: Vec<u8>,
    is_first: bool,
}

impl<'a> Pieces<'a> {
    pub fn new(wanted: Notifications<'a>) -> Pieces<'a> {
        Pieces { wanted, rest: Vec::new(), is_first: true }
    }

    /// The notifications that this piece completes.
    pub fn take(&mut self, piece: &[u8]) -> Vec<String> {
        let known = self.rest.len();
        self.rest.extend_from_slice(piece);
        let Some(end) = end_of_events(&self.rest, known) else { return Vec::new() };
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let mut events = Vec::new();
        // What is not UTF-8 makes the whole answer useless, which is said when it has ended.
        if let Ok(text) = std::str::from_utf8(&whole) {
            let text = if self.is_first { without_mark(text) } else { text };
            notifications(text, self.wanted, &mut events);
        }
        self.is_first = false;
        events
    }
}

/// Where the last blank line ends. Only what is after `known`, and the line before that, is new.
fn end_of_events(text: &[u8], known: usize) -> Option<usize> {
    let start = known.saturating_sub(2);
    (start..text.len())
        .rev()
        .find(|at| {
            let line = text[..*at].strip_suffix(b"\r").unwrap_or(&text[..*at]);
            text[*at] == b'\n' && line.ends_with(b"\n")
        })
        .map(|at| at + 1)
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A whole stream: notifications that the client asked for go to `events`; the last other message is the answer.
pub(crate) fn split(text: &str, wanted: Notifications, events: &mut Vec<String>) -> Option<String> {
    notifications(without_mark(text), wanted, events)
}

fn notifications(text: &str, wanted: Notifications, events: &mut Vec<String>) -> Option<String> {
    let mut last = None;
    for data in sse::events(text) {
        let Some(event) = object::<Event>(&data) else {
            last = Some(data);
            continue;
        };
        if event.method.is_some() && strict::is_unreadable(&data) {
            continue;
        }
        match (event.method.as_deref(), event.params) {
            (Some("notifications/progress"), Some(params)) => {
                if let Some(token) = wanted.progress {
                    events.extend(progress(params, token));
                }
            }
            (Some("notifications/message"), Some(params)) if is_object(params) => {
                if wanted.log {
                    events.push(notification("notifications/message", params.get()));
                }
            }
            (Some(_), _) => {}
            (None, _) => last = Some(data),
        }
    }
    last
}

#[derive(Deserialize)]
struct Progress<'a> {
    progress: serde_json::Number,
    #[serde(default)]
    total: Option<serde_json::Number>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

/// A progress notification under the client's own token; None if it is not one.
fn progress(params: &RawValue, token: &RawValue) -> Option<String> {
    let given: Progress = object(params.get())?;
    let mut text = format!("{{\"progressToken\":{},\"progress\":{}", token, given.progress);
    if let Some(total) = given.total {
        text.push_str(&format!(",\"total\":{total}"));
    }
    if let Some(message) = given.message {
        text.push_str(",\"message\":");
        text.push_str(&quote(&message));
    }
    text.push('}');
    Some(notification("notifications/progress", &text))
}

fn notification(method: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params}}}")
}
