//! The authorization server's metadata (RFC 8414), wherever clients of any MCP revision look for it.

use crate::config::Config;
use crate::http::{self, Request, Response};
use serde_json::{Map, Value, json};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// The answer, if the path is one of the metadata's.
///
/// For an issuer with a path, RFC 8414 §3.1 puts the well-known part before the path and OpenID Connect behind it. The
/// route removes the path, so what a client appends to the issuer arrives here without it. A path that belongs to another
/// issuer gets nothing, because a strict client refuses metadata whose issuer is another (§3.3).
pub(crate) fn answer(request: &Request, config: &Config) -> Option<Response> {
    let (rest, is_openid) = match request.path.strip_prefix(OAUTH) {
        Some(rest) => (rest, false),
        None => (request.path.strip_prefix(OPENID)?, true),
    };
    if !rest.is_empty() && (config.base_path.is_empty() || rest != config.base_path) {
        return Some(http::not_found());
    }
    Some(match request.method {
        "GET" | "HEAD" => http::json(200, &document(config, is_openid)),
        "OPTIONS" => http::preflight(),
        _ => http::not_allowed("GET"),
    })
}

fn document(config: &Config, is_openid: bool) -> Value {
    let scopes: Vec<&str> = config.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let methods = json!(["none", "client_secret_basic", "client_secret_post"]);
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| members.insert(name.into(), value);
    add("issuer", json!(config.issuer));
    add("authorization_endpoint", json!(config.url("/login/authorize")));
    add("token_endpoint", json!(config.url("/login/token")));
    add("jwks_uri", json!(config.url("/login/jwks")));
    add("revocation_endpoint", json!(config.url("/login/revoke")));
    if config.registration {
        add("registration_endpoint", json!(config.url("/login/register")));
    }
    add("scopes_supported", json!(scopes));
    add("response_types_supported", json!(["code"]));
    add("response_modes_supported", json!(["query"]));
    add("grant_types_supported", json!(["authorization_code", "refresh_token"]));
    add("token_endpoint_auth_methods_supported", methods.clone());
    add("revocation_endpoint_auth_methods_supported", methods);
    add("code_challenge_methods_supported", json!(["S256"]));
    add("authorization_response_iss_parameter_supported", json!(true));
    add("client_id_metadata_document_supported", json!(!config.client_hosts.is_empty()));
    if is_openid {
        // Required members (OpenID Connect Discovery §3), without which clients refuse the document. No ID token is
        // ever issued, for no client may ask for one.
        add("subject_types_supported", json!(["public"]));
        add("id_token_signing_alg_values_supported", json!(["ES256"]));
    }
    Value::Object(members)
}
