//! Whether a token is an access token that its bearer may use, as far as its claims tell.
//!
//! RFC 9068 gives access tokens a header type of their own, `at+jwt`, and few issuers write it. So a token of the plain
//! type `JWT`, or of none, counts unless something in it says that it is another kind. An ID token is for the client
//! that asked for it: one whose audience fits would let any app that a person signs in to act for that person here.
//!
//! | what | says | issuers |
//! |---|---|---|
//! | `typ`, `token_use`, `token_type`, `tokenName` | the kind by name | Keycloak; Cognito; ForgeRock |
//! | `at_hash`, `c_hash`, `s_hash` | an ID token: hashes of what was issued with it (OpenID Connect Core §3.3.2.11) | all |
//! | `nonce` | an ID token, unless one of the names says otherwise: Keycloak before 24 and ForgeRock copy it into access tokens | all |
//! | `events` | a logout or security event token (RFC 8417 §2.2) | all |
//! | `cnf` | bound to a key (RFC 7800), so that who holds it must prove more than that | DPoP, mutual TLS |
//!
//! Entra ID's ID tokens have none of these when the client sent no nonce: ask for a scope, which they never carry.

use crate::error::Reason;
use serde_json::{Map, Value};

/// Claims in which issuers name a token's kind.
const KIND_CLAIMS: [&str; 4] = ["typ", "token_use", "token_type", "tokenName"];
/// Names of an access token, in small letters.
const ACCESS: [&str; 5] = ["bearer", "access", "access_token", "access-token", "at+jwt"];
/// Names of other tokens, in small letters.
const OTHERS: [&str; 12] = [
    "id",
    "id_token",
    "id-token",
    "idtoken",
    "serialized-id",
    "refresh",
    "refresh_token",
    "refresh-token",
    "offline",
    "logout",
    "logout_token",
    "registrationaccesstoken",
];
/// Names of tokens that are bound to a key, in small letters.
const BOUND: [&str; 2] = ["dpop", "pop"];
const HASHES: [&str; 3] = ["at_hash", "c_hash", "s_hash"];

/// Refuse what is no access token for its bearer. `is_typed` says that the header has RFC 9068's own type.
pub(crate) fn check(claims: &Map<String, Value>, is_typed: bool) -> Result<(), Reason> {
    let is_there = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
    let mut is_named = is_typed;
    for name in KIND_CLAIMS {
        let Some(Value::String(kind)) = claims.get(name) else { continue };
        let kind = kind.to_ascii_lowercase();
        if BOUND.contains(&kind.as_str()) {
            return Err(Reason::Binding);
        }
        if OTHERS.contains(&kind.as_str()) {
            return Err(Reason::Type);
        }
        is_named |= ACCESS.contains(&kind.as_str());
    }
    if HASHES.iter().any(|name| is_there(name)) || is_there("events") || is_there("nonce") && !is_named {
        return Err(Reason::Type);
    }
    if is_there("cnf") {
        return Err(Reason::Binding);
    }
    Ok(())
}
