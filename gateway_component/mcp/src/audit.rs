//! One JSON line per call of a tool: who, what, how it ended. Arguments and results stay out of it.

use crate::jsonrpc::quote;
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
        let mut line = format!(
            "{{\"event\":\"tools/call\",\"app\":{},\"tool\":{},\"outcome\":\"{}\",\"durationMs\":{}.{:03},\
             \"requestBytes\":{},\"responseBytes\":{},\"requestId\":{}",
            self.app,
            quote(self.tool),
            self.outcome.name(),
            self.nanoseconds / 1_000_000,
            self.nanoseconds / 1_000 % 1_000,
            self.request_bytes,
            self.response_bytes,
            quote(self.request_id),
        );
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
    Sha256::digest(subject.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
