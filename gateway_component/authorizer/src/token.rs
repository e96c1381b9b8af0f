//! From a request's credential to a verified identity (RFC 6750 §2.1, RFC 7515 §5.2, RFC 8725).

use crate::algorithm::Algorithm;
use crate::api_keys;
use crate::caller::Caller;
use crate::claims::{self, Identity};
use crate::config::{Config, KeySource, media_type};
use crate::discovery::{Challenge, challenge, own_resource, step_up};
use crate::error::{AuthError, Reason};
use crate::jwks::{self, Cache, KeySet};
use crate::keys::Key;
use crate::response::{Code, unavailable};
use crate::rules::subject_may_use;
use crate::verified_token::VerifiedToken;
use crate::{Env, RequestView, Verdict, access_token};
use json::{base64, strict};
use serde_json::{Map, Value};

const MAX_TOKEN_LENGTH: usize = 16 * 1024;
const MAX_DEPTH: usize = 8;
const MAX_KEY_ID: usize = 256;
/// How many keys without a `kid` are tried for a token without one.
const MAX_TRIES: usize = 4;
/// The header type of an access token (RFC 9068 §2.1).
const TYPED: &str = "at+jwt";
/// The header types that are accepted where the app names none: RFC 9068's and the plain one.
const TYPES: [&str; 2] = [TYPED, "jwt"];

/// What a request brings to say who calls.
enum Credential<'a> {
    Token(&'a str),
    ApiKey(&'a str),
}

/// Check a request: is there one good credential, may its subject use this app, has it the scopes that every use needs?
pub fn check(config: &Config, request: &RequestView, env: &mut dyn Env) -> Verdict {
    let deny = |reason, status, code, description| {
        let response = challenge(config, request, &Challenge::new(status, code, description));
        Verdict::Deny(AuthError { response, reason })
    };
    let identity = match identify(config, request, env) {
        Ok(identity) => identity,
        Err(reason @ Reason::Absent) => {
            let description = match (&config.keys, config.api_keys) {
                (Some(_), false) => "a bearer token is required",
                (Some(_), true) => "a bearer token or an API key is required",
                (None, _) => {
                    "an API key is required, as bearer token or in the header X-API-Key; there is no login"
                }
            };
            return deny(reason, 401, None, description);
        }
        Err(reason @ Reason::Ambiguous) => {
            return deny(reason, 400, Some(Code::InvalidRequest), "more than one credential");
        }
        Err(reason @ Reason::Unavailable) => {
            return Verdict::Deny(AuthError { response: unavailable(), reason });
        }
        Err(reason) => {
            let description = match config.keys {
                Some(_) => "the token is not valid here",
                None => "the API key is not valid here",
            };
            return deny(reason, 401, Some(Code::InvalidToken), description);
        }
    };
    if !config.required_scopes.iter().all(|scope| identity.scopes.contains(scope)) {
        return Verdict::Deny(step_up(config, request, &identity, &[]));
    }
    if !subject_may_use(config, &identity) {
        let description = "the caller may not use this application";
        return deny(Reason::Subject, 403, Some(Code::AccessDenied), description);
    }
    Verdict::Allow(Box::new(Caller::new(config, request, identity)))
}

fn identify(config: &Config, request: &RequestView, env: &mut dyn Env) -> Result<Identity, Reason> {
    match credential(config, request)? {
        Credential::Token(token) => identify_by_token(config, request, token, env),
        Credential::ApiKey(given) => {
            let lines = env.api_keys().ok_or(Reason::Unavailable)?;
            let key = api_keys::find(&lines, given, env.now_ns() / 1_000_000_000)?;
            let (claims, payload) = key.claims();
            Ok(Identity {
                subject: key.name,
                issuer: api_keys::ISSUER.into(),
                client: None,
                scopes: key.scopes,
                claims,
                payload,
                by_api_key: true,
            })
        }
    }
}

fn identify_by_token(
    config: &Config,
    request: &RequestView,
    token: &str,
    env: &mut dyn Env,
) -> Result<Identity, Reason> {
    let Some(source) = &config.keys else { return Err(Reason::Malformed) };
    let now_ns = env.now_ns();
    let (parsed, claims) = Token::parse(token, &config.token_types)?;
    if !config.algorithms.contains(&parsed.algorithm) {
        return Err(Reason::Algorithm);
    }
    // Claims first: they cost least, and a token that they refuse must not provoke a fetch of keys.
    access_token::check(&claims, parsed.is_typed)?;
    let own = own_resource(config, request);
    let mut identity = claims::check(config, own.as_deref(), claims, now_ns as f64 / 1e9)?;
    verify(config, source, &parsed, token, env, now_ns / 1_000_000_000)?;
    identity.payload = parsed.payload.to_string();
    Ok(identity)
}

/// The one credential of a request. A token in the query is none (MCP forbids it).
fn credential<'a>(config: &Config, request: &RequestView<'a>) -> Result<Credential<'a>, Reason> {
    let values = |wanted: &'static str| {
        request
            .headers
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_slice())
    };
    let mut authorization = values("authorization");
    let first = authorization.next();
    if authorization.next().is_some() {
        return Err(Reason::Ambiguous);
    }
    let mut own = values("x-api-key").filter(|_| config.api_keys);
    let api_key = own.next();
    if own.next().is_some() {
        return Err(Reason::Ambiguous);
    }
    let bearer = match first.map(bearer) {
        Some(Ok(token)) => Some(token),
        // Credentials of another scheme are for somebody in front of the gateway.
        None | Some(Err(Reason::Absent)) => None,
        Some(Err(reason)) => return Err(reason),
    };
    match (bearer, api_key) {
        (None, None) => Err(Reason::Absent),
        (Some(_), Some(_)) => Err(Reason::Ambiguous),
        (Some(token), None) if config.api_keys && token.starts_with(api_keys::PREFIX) => {
            Ok(Credential::ApiKey(token))
        }
        (Some(token), None) => Ok(Credential::Token(token)),
        (None, Some(key)) => {
            std::str::from_utf8(key).map(|key| Credential::ApiKey(key.trim())).map_err(|_| Reason::Malformed)
        }
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &[u8]) -> Result<&str, Reason> {
    let value = std::str::from_utf8(value).map_err(|_| Reason::Malformed)?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("dpop") {
        return Err(Reason::Binding);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::Absent);
    }
    let token = rest.trim_matches(' ');
    if token.is_empty() || token.len() > MAX_TOKEN_LENGTH {
        return Err(Reason::Malformed);
    }
    Ok(token)
}

/// A compact JWS, taken apart and not yet believed.
struct Token<'a> {
    algorithm: Algorithm,
    /// Whether its header says that it is an access token (RFC 9068).
    is_typed: bool,
    key_id: Option<String>,
    payload: &'a str,
    signed: &'a [u8],
    /// In base64url: that of a known token is never decoded.
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// `types`: the header types that are accepted; empty for the usual ones, of which a token may have none.
    fn parse(token: &'a str, types: &[String]) -> Result<(Token<'a>, Map<String, Value>), Reason> {
        const MALFORMED: Reason = Reason::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        if payload.contains('.') {
            return Err(MALFORMED);
        }
        let header = json_object(header).ok_or(MALFORMED)?;
        // An extension that must be understood is not (RFC 7515 §4.1.11). Of `jwk`, `jku`, `x5u` and `x5c` nothing is
        // ever read: keys come from the configuration alone.
        if header.contains_key("crit") || header.contains_key("enc") || header.contains_key("b64") {
            return Err(MALFORMED);
        }
        let kind = match header.get("typ") {
            None => None,
            Some(Value::String(kind)) => Some(media_type(kind)),
            Some(_) => return Err(Reason::Type),
        };
        let is_accepted = match &kind {
            None => types.is_empty(),
            Some(kind) if types.is_empty() => TYPES.contains(&kind.as_str()),
            Some(kind) => types.contains(kind),
        };
        if !is_accepted {
            return Err(Reason::Type);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= MAX_KEY_ID => Some(id.clone()),
            Some(_) => return Err(MALFORMED),
        };
        let claims = json_object(payload).ok_or(MALFORMED)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(MALFORMED)?;
        let algorithm = Algorithm::parse(algorithm).ok_or(Reason::Algorithm)?;
        let is_typed = kind.as_deref() == Some(TYPED);
        Ok((Token { algorithm, is_typed, key_id, payload, signed: signed.as_bytes(), signature }, claims))
    }

    /// The keys that are meant for this token.
    fn candidates<'k>(&'k self, keys: &'k [Key], any_id: bool) -> impl Iterator<Item = &'k Key> {
        keys.iter()
            .filter(move |key| match &self.key_id {
                Some(id) if !any_id => key.id.as_ref() == Some(id),
                _ => true,
            })
            .filter(|key| key.fits(self.algorithm))
            .take(MAX_TRIES)
    }

    /// Whether one of the keys that are meant for this token verifies its decoded signature.
    fn verified_by(&self, signature: &[u8], keys: &[Key], any_id: bool) -> Result<(), Reason> {
        if self.candidates(keys, any_id).next().is_none() {
            return Err(Reason::Key);
        }
        let verified = |key: &Key| key.verify(self.algorithm, self.signed, signature);
        if self.candidates(keys, any_id).any(verified) { Ok(()) } else { Err(Reason::Signature) }
    }
}

fn json_object(part: &str) -> Option<Map<String, Value>> {
    match strict::parse_bounded(&base64::decode_url(part)?, MAX_DEPTH)? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// The claims of a signed token of another party, an OpenID provider's ID token: its signature is checked and nothing
/// else. `keys` is the party's JWK set; `algorithms` are those that it may use.
pub fn verified_claims(
    token: &str,
    keys: &Value,
    algorithms: &[String],
) -> Result<Map<String, Value>, Reason> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(Reason::Malformed);
    }
    let (parsed, claims) = Token::parse(token, &[])?;
    // An access token is no ID token.
    if parsed.is_typed {
        return Err(Reason::Type);
    }
    if !algorithms.iter().any(|name| Algorithm::parse(name) == Some(parsed.algorithm)) {
        return Err(Reason::Algorithm);
    }
    let signature = base64::decode_url(parsed.signature).ok_or(Reason::Malformed)?;
    let keys = jwks::parse(keys).map_err(|_| Reason::Unavailable)?;
    parsed.verified_by(&signature, &keys, false)?;
    Ok(claims)
}

fn verify(
    config: &Config,
    source: &KeySource,
    parsed: &Token,
    token: &str,
    env: &mut dyn Env,
    now: u64,
) -> Result<(), Reason> {
    let known = VerifiedToken::new(&config.seal, token);
    if known.is_known(env, now) {
        return Ok(());
    }
    let signature = base64::decode_url(parsed.signature).ok_or(Reason::Malformed)?;
    let verify = |keys: &[Key], any_id| parsed.verified_by(&signature, keys, any_id);
    let set = match source {
        KeySource::Url(url) => {
            let cache = Cache::new(url, &config.seal);
            let mut set = cache.current(env, now).ok_or(Reason::Unavailable)?;
            if let Err(reason) = verify(&set.keys, false) {
                // A new key, or a new key under an old `kid`: the kept set may be behind the issuer.
                if set.just_fetched {
                    return Err(reason);
                }
                set = cache.provoked(env, now).ok_or(reason)?;
                verify(&set.keys, false)?;
            }
            set
        }
        KeySource::Set(set) => {
            let keys = jwks::parse(set).map_err(|problem| {
                jwks::log_unusable(env, "the app's own", &problem);
                Reason::Unavailable
            })?;
            fixed(keys, |keys| verify(keys, false), now)?
        }
        KeySource::Pem(pem) => {
            let key = Key::from_pem(pem).ok_or(Reason::Unavailable)?;
            fixed(vec![key], |keys| verify(keys, true), now)?
        }
    };
    known.remember(env, set.until);
    Ok(())
}

fn fixed(keys: Vec<Key>, verify: impl Fn(&[Key]) -> Result<(), Reason>, now: u64) -> Result<KeySet, Reason> {
    verify(&keys)?;
    Ok(KeySet { keys, until: now + jwks::FRESH_SECONDS, just_fetched: true })
}
