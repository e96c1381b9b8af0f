//! An OAuth 2.1 authorization server for one app, which is its own authorization server for MCP clients.
//!
//! | module | contents |
//! |---|---|
//! | [`http`](self), `form`, `page` | requests and answers, form fields and URLs, the pages |
//! | `config`, `keys` | the component's variables |
//! | `seal`, `ledger` | what is handed out sealed, and what must happen only once |
//! | `client`, `document` | registered clients (RFC 7591), and clients that are known by a document (CIMD) |
//! | `authorize` | the authorization request, and the answer that goes back to the client |
//! | `person`, `throttle`, `session` | passwords, how often they may be tried, and the cookies |
//! | `upstream` | people who sign in at an OpenID provider |
//! | `token` | the token endpoint, revocation, and the access token itself |
//! | `metadata` | RFC 8414 |
//!
//! There is no state but the key-value store's few entries for what must happen once ([`ledger`](self)): the clients,
//! requests, sessions, codes and refresh tokens are sealed texts that come back. The crate does no I/O; a [`World`] does.

mod authorize;
mod client;
mod config;
mod document;
mod form;
mod http;
mod keys;
mod ledger;
mod metadata;
mod page;
mod person;
mod seal;
mod session;
mod throttle;
mod token;
mod upstream;

pub use http::{Fetch, Fetched, Request, Response};
pub use ledger::StoreFailed;

use config::Config;
use http::Exchange;
use keys::Keys;

/// What the crate needs of its host; the component and tests implement it.
pub trait World {
    /// Seconds since the Unix epoch.
    fn now(&self) -> u64;

    /// Fill `bytes` with random bits that nobody can guess.
    fn random(&mut self, bytes: &mut [u8]);

    /// A variable of the component; `None` if there is none of that name.
    fn variable(&mut self, name: &str) -> Option<String>;

    /// The request's body, once; `None` if it broke off. Of a longer one than `limit`, somewhat more than `limit` bytes.
    fn body(&mut self, limit: usize) -> Option<Vec<u8>>;

    /// The value under a key of the key-value store. Err if the store fails.
    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreFailed>;

    /// Store a value. Err if the store fails.
    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreFailed>;

    /// The answer of another server; redirects are not followed. `None` for no connection, a longer body, or no answer
    /// in five seconds for the whole exchange. The host's list of allowed hosts bounds where this can reach.
    fn fetch(&mut self, fetch: &Fetch) -> Option<Fetched>;

    /// One line for the log, which only the operator of the app reads.
    fn log(&mut self, line: String);
}

/// Answer a request.
pub fn handle(request: &Request, world: &mut dyn World) -> Response {
    let read = world.variable("login_config").as_deref().map(Config::parse);
    let config = match read {
        Some(Ok(config)) => config,
        Some(Err(problem)) => return unusable(world, "login_config", &problem),
        None => return unusable(world, "login_config", "it is missing"),
    };
    if let Some(response) = metadata::answer(request, &config) {
        return response;
    }
    let Some(path) = request.path.strip_prefix("/login") else { return http::not_found() };
    if request.method == "OPTIONS" && http::is_shared(path) {
        return http::preflight();
    }
    let keys = match world.variable("login_keys").as_deref().map(|text| Keys::parse(text, &config.issuer)) {
        Some(Ok(keys)) => keys,
        Some(Err(problem)) => return unusable(world, "login_keys", problem),
        None => return unusable(world, "login_keys", "it is missing"),
    };
    let mut exchange = Exchange { request, config: &config, keys: &keys, world };
    match (path, request.method) {
        ("/jwks", "GET" | "HEAD") => keys
            .public_set()
            .unwrap_or_else(|| unusable(exchange.world, "login_keys", "one of its keys is not usable")),
        ("/register", "POST") => client::register(&mut exchange),
        ("/token", "POST") => token::token(&mut exchange),
        ("/revoke", "POST") => token::revoke(&mut exchange),
        ("/authorize", "GET") => authorize::authorize(&mut exchange),
        ("/sign-in", "POST") => session::sign_in(&mut exchange),
        ("/callback", "GET") => upstream::callback(&mut exchange),
        ("/consent", "GET") => authorize::ask(&mut exchange),
        ("/consent", "POST") => authorize::decide(&mut exchange),
        ("/sign-out", "GET") => session::ask_sign_out(&mut exchange),
        ("/sign-out", "POST") => session::sign_out(&mut exchange),
        ("/jwks" | "/authorize" | "/callback", _) => http::not_allowed("GET"),
        ("/register" | "/token" | "/revoke" | "/sign-in", _) => http::not_allowed("POST"),
        ("/consent" | "/sign-out", _) => http::not_allowed("GET, POST"),
        _ => http::not_found(),
    }
}

/// The variables cannot be used: nobody can sign in, and only the log says why.
fn unusable(world: &mut dyn World, variable: &str, problem: &str) -> Response {
    let line = serde_json::json!({"event": "login_unusable", "variable": variable, "error": problem});
    world.log(line.to_string());
    http::error_json(503, "temporarily_unavailable", "this login is not configured")
}
