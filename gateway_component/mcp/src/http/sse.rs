//! Server-sent events, both ways: an answer to the client, and what a tool streams.

use crate::http::message::Response;

/// An answer as an event stream: notifications, then the message.
pub(crate) fn response(status: u16, events: &[String], message: &str) -> Response {
    let mut body = frames(events);
    frame(&mut body, message);
    Response { body: body.into_bytes(), ..head(status) }
}

/// The head of an event stream.
pub(crate) fn head(status: u16) -> Response {
    Response::empty(status)
        .with("content-type", "text/event-stream")
        .with("cache-control", "no-cache")
        .with("x-accel-buffering", "no")
}

/// Messages as events.
pub(crate) fn frames(events: &[String]) -> String {
    let mut text = String::new();
    events.iter().for_each(|event| frame(&mut text, event));
    text
}

fn frame(text: &mut String, message: &str) {
    text.reserve(message.len() + 32);
    text.push_str("event: message\ndata: ");
    // JSON may hold line breaks between its tokens only; there they are as good as spaces.
    text.extend(message.chars().map(|letter| if matches!(letter, '\n' | '\r') { ' ' } else { letter }));
    text.push_str("\n\n");
}

/// The data of each event of a stream, or of a part between two of them (HTML standard, "Interpreting an event
/// stream").
pub(crate) fn events(text: &str) -> Vec<String> {
    let mut events = Vec::new();
    let mut data: Option<String> = None;
    // A stream that ends without its last blank line still ends its event here: it can no longer be continued.
    for line in text.split('\n').chain([""]) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            events.extend(data.take());
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut data {
                None => data = Some(value.to_string()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let written = response(200, &["{\"a\":\n1}".into()], "{}");
        assert_eq!(events(std::str::from_utf8(&written.body).unwrap()), ["{\"a\": 1}", "{}"]);
    }

    #[test]
    fn streams_of_others() {
        assert_eq!(
            events(": hi\r\nid: 1\r\ndata:{\"a\":\r\ndata: 1}\r\n\r\ndata: {}"),
            ["{\"a\":\n1}", "{}"]
        );
        assert!(events("event: x\n\n").is_empty());
    }
}
