//! One JSON line per call of a tool: who, what, how it ended. Arguments and results stay out of it.

use json::hex;
use json::text::push_number;
use json::text::quote;
use sha2::{Digest, Sha256};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The tool itself said that it failed.
    ToolError,
    /// The client is asked for more.
    InputRequired,
    InvalidArguments,
    UnknownTool,
    Denied,
    /// The tool's component trapped, or broke off.
    Failed,
    Timeout,
    TooLarge,
    /// What the tool answered is no tool result.
    BadAnswer,
    /// The request broke a rule of the protocol.
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ToolError => "tool_error",
            Outcome::InputRequired => "input_required",
            Outcome::InvalidArguments => "invalid_arguments",
            Outcome::UnknownTool => "unknown_tool",
            Outcome::Denied => "denied",
            Outcome::Failed => "failed",
            Outcome::Timeout => "timeout",
            Outcome::TooLarge => "too_large",
            Outcome::BadAnswer => "bad_answer",
            Outcome::Refused => "refused",
        }
    }
}

/// What is known of a call.
pub(crate) struct Entry<'a> {
    /// JSON text of the application's name.
    pub app: &'a str,
    pub tool: &'a str,
    pub outcome: Outcome,
    pub nanoseconds: u64,
    pub request_bytes: usize,
    pub response_bytes: usize,
    pub subject: Option<&'a str>,
    pub request_id: &'a str,
    pub traceparent: Option<&'a str>,
}

impl Entry<'_> {
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(512);
        line.push_str("{\"event\":\"tools/call\",\"app\":");
        line.push_str(self.app);
        line.push_str(",\"tool\":");
        line.push_str(&quote(self.tool));
        line.push_str(",\"outcome\":\"");
        line.push_str(self.outcome.name());
        line.push_str("\",\"durationMs\":");
        push_number(&mut line, self.nanoseconds / 1_000_000);
        line.push('.');
        for place in [100_000, 10_000, 1_000] {
            push_number(&mut line, self.nanoseconds / place % 10);
        }
        line.push_str(",\"requestBytes\":");
        push_number(&mut line, self.request_bytes as u64);
        line.push_str(",\"responseBytes\":");
        push_number(&mut line, self.response_bytes as u64);
        line.push_str(",\"requestId\":");
        line.push_str(&quote(self.request_id));
        if let Some(subject) = self.subject {
            line.push_str(",\"subject\":\"");
            line.push_str(&fingerprint(subject));
            line.push('"');
        }
        if let Some(trace) = self.traceparent {
            line.push_str(",\"traceparent\":");
            line.push_str(&quote(trace));
        }
        line.push('}');
        line
    }
}

/// The first half of SHA-256: the same caller can be recognized, a known one found, and no address book is kept.
fn fingerprint(subject: &str) -> String {
    let mut text = String::with_capacity(32);
    hex::push(&mut text, &Sha256::digest(subject.as_bytes())[..16]);
    text
}
