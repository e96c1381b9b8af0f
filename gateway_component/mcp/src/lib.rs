//! The Model Context Protocol for a stateless server of tools: a request in, a response out.
//!
//! | revision | what is particular to it here |
//! |---|---|
//! | 2025-03-26 | batches; no version header |
//! | 2025-06-18, 2025-11-25 | `initialize`; a version header |
//! | 2026-07-28 | no `initialize`; metadata in every request, mirrored in headers; results that ask for input |
//!
//! | module | contents |
//! |---|---|
//! | `http` | messages, paths, browsers' origins, event streams, the pages that are not MCP |
//! | `auth` | the crate `authorizer` within a request |
//! | `protocol` | JSON-RPC, the revisions, the endpoint, and every method but `tools/call` |
//! | `call` | `tools/call`: the checks, the request to the tool, its answer, the audit line |
//! | `catalog` | the tools: those that are known when the app is composed, and those of dynamic components |
//!
//! [`handle`] does no I/O; a [`Host`] reads variables and carries requests to tools. All decisions about a request,
//! its batch included, are taken before the first tool is called. What is only passed on is never parsed into values.

mod auth;
mod call;
mod catalog;
mod config;
mod http;
mod protocol;

pub use call::stream::is_event_stream;
pub use http::message::{Failure, Request, Response, ToolRequest, ToolResponse};

use config::Config;
use http::cors::OriginCheck;
use http::route::Route;
use http::{cors, health, metrics, page};
use protocol::endpoint::{self, Passed};

/// What the protocol needs of its host, besides what the authorizer needs.
pub trait Host: authorizer::Env {
    /// The request's body, once; None if it broke off. Of a longer one than `limit`, somewhat more than `limit` bytes.
    fn body(&mut self, limit: usize) -> Option<Vec<u8>>;

    /// A variable of the gateway; None if there is none of that name.
    fn variable(&mut self, name: &str) -> Option<String>;

    /// Carry requests to components, all at once, and give their answers in the same order.
    fn exchange(&mut self, requests: &[ToolRequest]) -> Vec<Result<ToolResponse, Failure>>;

    /// Carry one request. While a stream of events comes as its answer, each piece goes to `pass`, and what that gives
    /// back goes to the client at once; the first of it opens the answer to the client with `head`, whose body is then
    /// continued by the body of what [`handle`] returns.
    fn relay(
        &mut self,
        request: &ToolRequest,
        head: &Response,
        pass: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<ToolResponse, Failure>;

    /// Nanoseconds since some moment that stays the same; nothing sets this clock.
    fn ticks_ns(&self) -> u64;

    /// Random bits for a request's id; not a secret.
    fn random(&mut self) -> u64;
}

/// Answer a request.
pub fn handle(request: &Request, host: &mut dyn Host) -> Response {
    let route = Route::parse(request.path);
    if route == Route::Health {
        return health::alive(request);
    }
    let text = host.variable("gateway_config").unwrap_or_default();
    match (route, &*text) {
        (Route::Policy, "{\"policyCheck\":true}") => {
            return question(request, host, authorizer::policy_check);
        }
        (Route::Schemas, "{\"schemaCheck\":true}") => {
            return question(request, host, |body, _| schema::check_request(body));
        }
        _ => {}
    }
    let config = match Config::parse(&text) {
        Ok(config) => config,
        Err(error) => {
            host.log(format!("gateway_config cannot be used: {error}"));
            return Response::json(503, "{\"error\":\"this gateway is not configured\"}".into());
        }
    };
    match route {
        Route::Ready => return health::ready(request, &config, host),
        Route::Metrics => return metrics::show(request, &config, host),
        Route::Root if page::is_asked(request) => return page::page(request, &config),
        Route::Endpoint(_) if page::is_browsed(request) => return page::page(request, &config),
        _ => {}
    }
    let rules = match auth::rules(&config, host) {
        Ok(rules) => rules,
        Err(response) => return response,
    };
    let endpoint = match route {
        Route::Endpoint(endpoint) => endpoint,
        Route::WellKnown => {
            let view = auth::view(request, None);
            return rules
                .and_then(|rules| authorizer::well_known(&rules, &view))
                .map_or_else(|| Response::empty(404), Response::from);
        }
        _ => return Response::empty(404),
    };
    let origin = match cors::check(request, &config) {
        OriginCheck::Refused(response) => return response,
        OriginCheck::Allowed(origin) => origin,
    };
    if request.method == "OPTIONS" {
        return cors::share(cors::preflight(request), origin.as_deref());
    }
    let passed = Passed { endpoint, rules: rules.as_ref(), origin: origin.as_deref() };
    cors::share(endpoint::answer(request, passed, &config, host), origin.as_deref())
}

/// Answer a question of the operator, which runs the gateway in a sandbox where nothing else is configured.
fn question(request: &Request, host: &mut dyn Host, answer: fn(&[u8], u64) -> Vec<u8>) -> Response {
    if request.method != "POST" {
        return Response::empty(405).with("allow", "POST");
    }
    let Some(body) = host.body(endpoint::MAX_BODY) else { return Response::empty(400) };
    if body.len() > endpoint::MAX_BODY {
        return Response::empty(413);
    }
    let answer = answer(&body, host.now_ns());
    Response { body: answer, ..Response::json(200, String::new()) }
}
