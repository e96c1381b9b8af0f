//! How a client finds out where to get a token: RFC 9728 metadata, and challenges that point to it.
//!
//! The app's URL comes from the configuration. Without a configured one it is taken from the Host header only if that
//! names this machine; else the client is told nothing rather than something that another client chose.

use crate::claims::Identity;
use crate::config::{Config, Resource};
use crate::encoding::{is_loopback, is_scope};
use crate::error::{AuthError, Reason};
use crate::response::{Code, error, json_response};
use crate::{RequestView, Response};
use serde_json::{Map, Value, json};

const METADATA: &str = "/.well-known/oauth-protected-resource";
const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
/// The path of the MCP endpoint as the gateway routes it; a configured URL may have a longer one in front of a proxy.
const ENDPOINT: &str = "/mcp";

/// Answer a well-known path; `None` if the path is none.
pub fn well_known(config: &Config, request: &RequestView) -> Option<Response> {
    let answer = if let Some(inserted) = below(request.path, METADATA) {
        protected_resource(config, request, inserted)
    } else if below(request.path, SERVER_METADATA).or(below(request.path, OPENID)).is_some() {
        // The issuer's document under this host would break clients that compare its `issuer` with where they found
        // it (RFC 8414 §3.3). Clients of 2025-03-26, which look here, are sent to the issuer instead.
        config.server_metadata.as_ref().map(|url| Response {
            status: 307,
            headers: vec![("location".into(), url.clone()), ("cache-control".into(), "max-age=300".into())],
            body: Vec::new(),
        })
    } else {
        return None;
    };
    let mut answer = match (request.method, answer) {
        ("GET" | "HEAD", Some(answer)) => answer,
        ("OPTIONS", Some(_)) => Response { status: 204, headers: Vec::new(), body: Vec::new() },
        (_, Some(_)) => {
            let mut refused = error(405, Code::InvalidRequest, "only GET is answered here");
            refused.headers.push(("allow".into(), "GET, HEAD, OPTIONS".into()));
            refused
        }
        (_, None) => error(404, Code::InvalidRequest, "there is no such metadata"),
    };
    // Public facts, which browsers' clients of any origin need before they can have a token.
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
        ("access-control-allow-headers", "*"),
    ] {
        answer.headers.push((name.into(), value.into()));
    }
    Some(answer)
}

/// What follows `prefix` in `path`: nothing, or a path of its own.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn protected_resource(config: &Config, request: &RequestView, inserted: &str) -> Option<Response> {
    // Nobody can log in where only API keys are accepted.
    config.keys.as_ref()?;
    let resource = resource(config, request)?;
    let suffix = match inserted {
        "" => "",
        path => route(path.strip_prefix(&resource.path).or(path.strip_prefix(ENDPOINT))?)?,
    };
    let mut metadata = Map::new();
    metadata.insert("resource".into(), format!("{}{}{suffix}", resource.origin, resource.path).into());
    metadata.insert("authorization_servers".into(), json!(config.authorization_servers));
    metadata.insert("bearer_methods_supported".into(), json!(["header"]));
    let scopes = match config.advertised_scopes.as_slice() {
        [] => config.scopes_supported.as_ref().unwrap_or(&config.required_scopes),
        advertised => advertised,
    };
    if !scopes.is_empty() {
        metadata.insert("scopes_supported".into(), json!(scopes));
    }
    if !config.name.is_empty() {
        metadata.insert("resource_name".into(), json!(config.name));
    }
    Some(json_response(200, &Value::Object(metadata), "max-age=300"))
}

/// The part of a path that chooses what of the app is served, if it is one that the gateway routes.
fn route(suffix: &str) -> Option<&str> {
    let named = suffix.strip_suffix("/readonly").unwrap_or(suffix);
    let component = match named {
        "" => return Some(suffix),
        _ => named.strip_prefix("/x/")?,
    };
    let plain = component.len() <= 64
        && component.starts_with(|letter: char| letter.is_ascii_lowercase())
        && component.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    plain.then_some(suffix)
}

/// The URL of what this request's path names, if the app's URL is configured and is itself an accepted audience. A
/// token for one component is thereby good for that component's path, and for no other.
pub(crate) fn own_resource(config: &Config, request: &RequestView) -> Option<String> {
    let resource = config.resource.as_ref()?;
    let base = format!("{}{}", resource.origin, resource.path);
    let suffix = route(request.path.strip_prefix(ENDPOINT)?)?;
    config.audiences.contains(&base).then(|| format!("{base}{suffix}"))
}

fn resource(config: &Config, request: &RequestView) -> Option<Resource> {
    if let Some(resource) = &config.resource {
        return Some(resource.clone());
    }
    let mut hosts = request.headers.iter().filter(|(name, _)| name == "host");
    let (Some((_, host)), None) = (hosts.next(), hosts.next()) else {
        return None;
    };
    let host = std::str::from_utf8(host).ok().filter(|host| is_loopback(host))?;
    Some(Resource { origin: format!("http://{host}"), path: ENDPOINT.into() })
}

/// What a refusal says.
pub(crate) struct Challenge {
    pub(crate) status: u16,
    pub(crate) code: Option<Code>,
    pub(crate) description: &'static str,
    /// Instead of the scopes that every use needs.
    pub(crate) scopes: Option<Vec<String>>,
}

impl Challenge {
    pub(crate) fn new(status: u16, code: Option<Code>, description: &'static str) -> Challenge {
        Challenge { status, code, description, scopes: None }
    }
}

/// What a client must ask for to get `wanted`, the scopes that are checked. An advertised scope stands for the one that
/// it is equal to or ends in after a slash (Entra ID: `api://3fa8/mcp.read` gives `mcp.read`). One that stands for no
/// scope of the app (`api://3fa8/.default`, `offline_access`) is always asked for.
fn advertised(config: &Config, wanted: Vec<String>) -> Vec<String> {
    if config.advertised_scopes.is_empty() {
        return wanted;
    }
    let stands_for = |entry: &str, scope: &str| {
        entry.strip_suffix(scope).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    let known = config.scopes_supported.as_ref().unwrap_or(&config.required_scopes);
    let asked = |entry: &&String| {
        wanted.iter().any(|scope| stands_for(entry, scope))
            || !known.iter().any(|scope| stands_for(entry, scope))
    };
    config.advertised_scopes.iter().filter(asked).cloned().collect()
}

/// A refusal with its `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1).
pub(crate) fn challenge(config: &Config, request: &RequestView, reason: &Challenge) -> Response {
    let mut parts = Vec::new();
    if let Some(code) = reason.code {
        parts.push(format!("error=\"{}\"", code.name()));
        parts.push(format!("error_description=\"{}\"", reason.description));
    }
    let mut scopes = reason.scopes.clone().unwrap_or_else(|| config.required_scopes.clone());
    scopes = advertised(config, scopes);
    scopes.retain(|scope| is_scope(scope));
    let mut seen = Vec::new();
    scopes.retain(|scope| {
        let new = !seen.contains(scope);
        seen.push(scope.clone());
        new
    });
    if config.keys.is_none() {
        parts.push("realm=\"API key\"".into());
    } else if !scopes.is_empty() {
        parts.push(format!("scope=\"{}\"", scopes.join(" ")));
    }
    if let Some(resource) = resource(config, request).filter(|_| config.keys.is_some()) {
        let suffix = request.path.strip_prefix(ENDPOINT).and_then(route).unwrap_or_default();
        parts.push(format!("resource_metadata=\"{}{METADATA}{}{suffix}\"", resource.origin, resource.path));
    }
    let mut response = error(reason.status, reason.code.unwrap_or(Code::InvalidToken), reason.description);
    let value = if parts.is_empty() { "Bearer".to_string() } else { format!("Bearer {}", parts.join(", ")) };
    response.headers.push(("www-authenticate".into(), value));
    response
}

/// 403 `insufficient_scope`, naming everything that a new token must have: what every use needs, what this one needs,
/// and what the caller already has of the app's scopes, so that stepping up loses nothing.
pub(crate) fn step_up(
    config: &Config,
    request: &RequestView,
    identity: &Identity,
    needed: &[String],
) -> AuthError {
    let mut scopes = config.required_scopes.clone();
    scopes.extend_from_slice(needed);
    if let Some(supported) = &config.scopes_supported {
        scopes.extend(identity.scopes.iter().filter(|scope| supported.contains(scope)).cloned());
    }
    let mut reason =
        Challenge::new(403, Some(Code::InsufficientScope), "the token lacks a scope that this needs");
    reason.scopes = Some(scopes);
    AuthError { response: challenge(config, request, &reason), reason: Reason::Scope }
}
