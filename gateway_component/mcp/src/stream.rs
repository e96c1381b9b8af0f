//! What a tool streams while it runs: progress, log messages, and at the end its answer.

use crate::answer::Asked;
use crate::jsonrpc::{is_object, quote};
use crate::{sse, strict};
use authorizer::object::object;
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

/// A tool's stream: notifications that the client asked for go to `events`; the last other message is the answer.
pub(crate) fn split(text: &str, asked: &Asked, events: &mut Vec<String>) -> Option<String> {
    let mut last = None;
    for data in sse::events(text) {
        let Some(event) = object::<Event>(&data) else {
            last = Some(data);
            continue;
        };
        if event.method.is_some() && strict::is_half(&data) {
            continue;
        }
        match (event.method.as_deref(), event.params) {
            (Some("notifications/progress"), Some(params)) => {
                if let Some(token) = asked.progress {
                    events.extend(progress(params, token));
                }
            }
            (Some("notifications/message"), Some(params)) if is_object(params) => {
                if asked.log {
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
