//! From the `Authorization` header to a verified identity (RFC 6750 §2.1, RFC 7515 §5.2, RFC 8725).

use crate::algorithm::Algorithm;
use crate::caller::Caller;
use crate::claims::{self, Identity};
use crate::config::{Config, KeySource};
use crate::discovery::{challenge, own_resource, Challenge};
use crate::encoding::from_base64url;
use crate::jwks::{self, Cache, KeySet};
use crate::keys::Key;
use crate::memory::Remembered;
use crate::response::{unavailable, Code};
use crate::rules::subject_may_use;
use crate::{strict_json, Env, RequestView, Response, Verdict};
use serde_json::{Map, Value};

const MAX_TOKEN_LENGTH: usize = 16 * 1024;
const MAX_DEPTH: usize = 8;
const MAX_KEY_ID: usize = 256;
/// How many keys without a `kid` are tried for a token without one.
const MAX_TRIES: usize = 4;
/// Explicit types of an access token: RFC 9068's, the plain one, and their full media types (RFC 7515 §4.1.9).
const TYPES: [&str; 4] = ["at+jwt", "application/at+jwt", "jwt", "application/jwt"];

/// Why there is no identity.
enum Refusal {
    /// There is no bearer token: a challenge without an error (RFC 6750 §3).
    Absent,
    /// The request carries more than one credential.
    Ambiguous,
    /// The token is not good.
    Invalid,
    /// There are no keys to judge it by.
    NoKeys,
}

/// Judge a request: is there one good token, may its subject use this app, has it the scopes that every use needs?
pub fn check(config: &Config, request: &RequestView, env: &mut dyn Env) -> Verdict {
    let deny = |status, code, description| {
        Verdict::Deny(challenge(config, request, &Challenge::new(status, code, description)))
    };
    let identity = match identify(config, request, env) {
        Ok(identity) => identity,
        Err(Refusal::Absent) => return deny(401, None, "a bearer token is required"),
        Err(Refusal::Ambiguous) => return deny(400, Some(Code::InvalidRequest), "more than one credential"),
        Err(Refusal::Invalid) => return deny(401, Some(Code::InvalidToken), "the token is not valid here"),
        Err(Refusal::NoKeys) => return Verdict::Deny(unavailable()),
    };
    if !config.required_scopes.iter().all(|scope| identity.scopes.contains(scope)) {
        return Verdict::Deny(step_up(config, request, &identity, &[]));
    }
    if !subject_may_use(config, &identity) {
        return deny(403, Some(Code::AccessDenied), "the caller may not use this application");
    }
    Verdict::Allow(Box::new(Caller::new(config, request, identity)))
}

/// 403 `insufficient_scope`, naming everything that a new token must have: what every use needs, what this one needs,
/// and what the caller already has of the app's scopes, so that stepping up loses nothing.
pub(crate) fn step_up(
    config: &Config,
    request: &RequestView,
    identity: &Identity,
    needed: &[String],
) -> Response {
    let mut scopes = config.required_scopes.clone();
    scopes.extend_from_slice(needed);
    if let Some(supported) = &config.scopes_supported {
        scopes.extend(identity.scopes.iter().filter(|scope| supported.contains(scope)).cloned());
    }
    let mut reason =
        Challenge::new(403, Some(Code::InsufficientScope), "the token lacks a scope that this needs");
    reason.scopes = Some(scopes);
    challenge(config, request, &reason)
}

fn identify(config: &Config, request: &RequestView, env: &mut dyn Env) -> Result<Identity, Refusal> {
    let token = bearer(request)?;
    let now_ns = env.now_ns();
    let (parsed, claims) = Token::parse(token).ok_or(Refusal::Invalid)?;
    if !config.algorithms.contains(&parsed.algorithm) {
        return Err(Refusal::Invalid);
    }
    // Claims first: they cost least, and a token that they refuse must not provoke a fetch of keys.
    let own = own_resource(config, request);
    let mut identity =
        claims::check(config, own.as_deref(), claims, now_ns as f64 / 1e9).ok_or(Refusal::Invalid)?;
    verify(config, &parsed, token, env, now_ns / 1_000_000_000)?;
    identity.payload = parsed.payload.to_string();
    Ok(identity)
}

/// The token of exactly one `Authorization: Bearer` header. A token in the query is none (MCP forbids it).
fn bearer<'a>(request: &RequestView<'a>) -> Result<&'a str, Refusal> {
    let mut values = request
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value);
    let value = values.next().ok_or(Refusal::Absent)?;
    if values.next().is_some() {
        return Err(Refusal::Ambiguous);
    }
    let value = std::str::from_utf8(value).map_err(|_| Refusal::Invalid)?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Absent);
    }
    let token = rest.trim_matches(' ');
    if token.is_empty() || token.len() > MAX_TOKEN_LENGTH {
        return Err(Refusal::Invalid);
    }
    Ok(token)
}

/// A compact JWS, taken apart and not yet believed.
struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    payload: &'a str,
    signed: &'a [u8],
    /// In base64url: that of a known token is never decoded.
    signature: &'a str,
}

impl<'a> Token<'a> {
    fn parse(token: &'a str) -> Option<(Token<'a>, Map<String, Value>)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let Value::Object(header) = strict_json::parse(&from_base64url(header)?, MAX_DEPTH)? else {
            return None;
        };
        // An extension that must be understood is not (RFC 7515 §4.1.11). Of `jwk`, `jku`, `x5u` and `x5c` nothing is
        // ever read: keys come from the configuration alone.
        if header.contains_key("crit") || header.contains_key("enc") || header.contains_key("b64") {
            return None;
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(kind)) if TYPES.contains(&kind.to_ascii_lowercase().as_str()) => {}
            Some(_) => return None,
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= MAX_KEY_ID => Some(id.clone()),
            Some(_) => return None,
        };
        let Value::Object(claims) = strict_json::parse(&from_base64url(payload)?, MAX_DEPTH)? else {
            return None;
        };
        let algorithm = Algorithm::parse(header.get("alg")?.as_str()?)?;
        Some((Token { algorithm, key_id, payload, signed: signed.as_bytes(), signature }, claims))
    }

    /// Whether one of the keys that are meant for this token verifies its decoded signature.
    fn verified_by(&self, signature: &[u8], keys: &[Key], any_id: bool) -> bool {
        keys.iter()
            .filter(|key| match &self.key_id {
                Some(id) if !any_id => key.id.as_ref() == Some(id),
                _ => true,
            })
            .filter(|key| key.fits(self.algorithm))
            .take(MAX_TRIES)
            .any(|key| key.verify(self.algorithm, self.signed, signature))
    }
}

fn verify(config: &Config, parsed: &Token, token: &str, env: &mut dyn Env, now: u64) -> Result<(), Refusal> {
    let remembered = Remembered::new(&config.digest, &config.seal, token);
    if remembered.holds(&config.seal, env, now) {
        return Ok(());
    }
    let signature = from_base64url(parsed.signature).ok_or(Refusal::Invalid)?;
    let verified = |keys: &[Key], any_id| parsed.verified_by(&signature, keys, any_id);
    let set = match &config.keys {
        KeySource::Url(url) => {
            let cache = Cache::new(url, &config.seal);
            let mut set = cache.current(env, now).ok_or(Refusal::NoKeys)?;
            if !verified(&set.keys, false) {
                // A new key, or a new key under an old `kid`: the kept set may be behind the issuer.
                if set.just_fetched {
                    return Err(Refusal::Invalid);
                }
                set = cache.provoked(env, now).ok_or(Refusal::Invalid)?;
                if !verified(&set.keys, false) {
                    return Err(Refusal::Invalid);
                }
            }
            set
        }
        KeySource::Set(set) => fixed(jwks::parse(set), |keys| verified(keys, false), now)?,
        KeySource::Pem(pem) => {
            fixed(Key::from_pem(pem).map(|key| vec![key]), |keys| verified(keys, true), now)?
        }
    };
    remembered.keep(&config.seal, env, set.until);
    Ok(())
}

fn fixed(keys: Option<Vec<Key>>, verified: impl Fn(&[Key]) -> bool, now: u64) -> Result<KeySet, Refusal> {
    let keys = keys.ok_or(Refusal::NoKeys)?;
    if !verified(&keys) {
        return Err(Refusal::Invalid);
    }
    Ok(KeySet { keys, until: now + jwks::FRESH_SECONDS, just_fetched: true })
}
