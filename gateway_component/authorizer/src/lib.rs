//! Who may call which tool: bearer tokens, API keys, policy and discovery of an MCP resource server.
//!
//! The crate does no I/O. The component calls, in this order, for every request that is not a health probe:
//!
//! | step | call | answer |
//! |---|---|---|
//! | 1 | [`Config::parse`] of `auth` in `gateway_config`, unless that is null: then the app is public | `Err`: answer [`unavailable`] |
//! | 2 | [`well_known`] | `Some`: answer it; these paths need no token |
//! | 3 | [`check`] | [`Verdict::Deny`]: answer it; [`Verdict::Allow`]: a [`Caller`] |
//! | 4 | [`Caller::authorize_call`], [`Caller::authorize_list`] or [`Caller::grants`] and, if that says no, [`Caller::authorize_any`], once per JSON-RPC message, all of them before the first tool is called | `Err`: answer it instead of the whole request |
//! | 5 | [`Caller::identity_headers`] for the request to a tool | no client header for which [`is_reserved_header`] holds is ever passed on |
//!
//! Whatever is missing, unreadable or in error denies. Texts that go to a client are constants: none of them
//! repeats a byte of the request or of the issuer.

mod access_token;
mod algorithm;
mod api_keys;
mod caller;
mod claims;
mod config;
mod discovery;
mod encoding;
mod error;
mod jwks;
mod keys;
mod policy;
mod response;
mod rules;
mod store;
mod time;
mod token;
mod verified_token;

pub use caller::{Caller, ToolCall, ToolIdentity};
pub use config::{App, Config, ConfigError};
pub use discovery::well_known;
pub use encoding::is_reserved_header;
pub use error::{AuthError, Reason};
pub use policy::policy_check;
pub use response::{Response, unavailable};
pub use store::{Purpose, StoreSeal};
pub use token::{check, verified_claims};

/// What the crate needs of its host; the component and tests implement it.
pub trait Env {
    /// Nanoseconds since the Unix epoch.
    fn now_ns(&self) -> u64;

    /// The body of the `200` answer to `GET url`, at most `max_bytes` long.
    ///
    /// `None` for everything else: another status, a redirect (never followed), a longer body, a time limit
    /// (5 s for the whole exchange), no connection. The host's allow-list bounds where this can reach.
    fn fetch(&mut self, url: &str, max_bytes: usize) -> Option<Vec<u8>>;

    /// The value under `key` in the gateway's key-value store; `None` also when the store fails.
    fn kv_get(&mut self, key: &str) -> Option<Vec<u8>>;

    /// Store `value` under `key`; a failure is ignored, because nothing relies on the store for an allow.
    fn kv_set(&mut self, key: &str, value: &[u8]);

    /// The variables `policy` and `policy_data`; `None` if one of them cannot be read.
    fn policy(&mut self) -> Option<(String, String)>;

    /// The variable `api_keys`: the app's API keys, one a line; `None` if it cannot be read.
    fn api_keys(&mut self) -> Option<String>;

    /// One line for the log, which only the operator of the app reads.
    fn log(&mut self, line: String);
}

/// The request as the gateway routes it.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The HTTP method in upper case.
    pub method: &'a str,
    /// The path without query, exactly as the gateway's router reads it, such as `/mcp/x/weather`.
    pub path: &'a str,
    /// The component that the path names (`/mcp/x/NAME`), if it names one.
    pub component: Option<&'a str>,
    /// All headers in order, duplicates kept, names in lower case; `host` holds the request's authority.
    pub headers: &'a [(String, Vec<u8>)],
}

/// What [`check`] found out about a request.
pub enum Verdict {
    /// The credential is good and its subject may use this app; each message is still to be authorized.
    Allow(Box<Caller>),
    /// Answer this; do nothing else.
    Deny(AuthError),
}
