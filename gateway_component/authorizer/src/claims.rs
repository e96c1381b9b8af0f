//! The claims of a token whose signature is good: for this app, from its issuer, now (RFC 7519 §4.1, RFC 9068 §4).

use crate::config::Config;
use serde_json::{Map, Value};

/// Who is calling, by a verified token.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) subject: String,
    /// Empty where the configuration leaves the issuer open and the token names none.
    pub(crate) issuer: String,
    pub(crate) client: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) claims: Map<String, Value>,
    /// The claims as the token has them: base64url of their JSON.
    pub(crate) payload: String,
}

const MAX_TEXT: usize = 1024;
const MAX_SCOPES: usize = 256;
const MAX_AUDIENCES: usize = 64;

/// Check all claims at `now` (seconds since the epoch). `own_audience` is the URL of the resource that this request's
/// path names, accepted where the URL of the whole app is. Also the moment from which the token no longer holds.
pub(crate) fn check(
    config: &Config,
    own_audience: Option<&str>,
    claims: Map<String, Value>,
    now: f64,
) -> Option<Identity> {
    let leeway = config.leeway;
    let expiry = date(&claims, "exp")??;
    if now >= expiry + leeway {
        return None;
    }
    if date(&claims, "nbf")?.is_some_and(|from| now + leeway < from) {
        return None;
    }
    if date(&claims, "iat")?.is_some_and(|issued| now + leeway < issued) {
        return None;
    }
    let issuer = match claims.get("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer.clone()),
        Some(_) => return None,
    };
    if config.issuer.is_some() && issuer != config.issuer {
        return None;
    }
    if !audiences(&claims)?.iter().any(|audience| accepts(config, own_audience, audience)) {
        return None;
    }
    let subject = text(&claims, "sub")??;
    Some(Identity {
        subject,
        issuer: issuer.unwrap_or_default(),
        client: text(&claims, "client_id")?.or(text(&claims, "azp")?),
        scopes: scopes(&claims)?,
        claims,
        payload: String::new(),
    })
}

fn accepts(config: &Config, own_audience: Option<&str>, audience: &str) -> bool {
    config.audiences.iter().any(|accepted| accepted == audience) || own_audience == Some(audience)
}

/// A NumericDate, absent or a finite number that is not negative.
fn date(claims: &Map<String, Value>, name: &str) -> Option<Option<f64>> {
    match claims.get(name) {
        None => Some(None),
        Some(value) => {
            let seconds = value.as_f64()?;
            // Beyond 2^53 a number is no longer exact, so no issuer means it.
            (0.0..=9_007_199_254_740_992.0).contains(&seconds).then_some(Some(seconds))
        }
    }
}

/// A bounded, non-empty text, or absent.
fn text(claims: &Map<String, Value>, name: &str) -> Option<Option<String>> {
    match claims.get(name) {
        None => Some(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_TEXT => Some(Some(text.clone())),
        Some(_) => None,
    }
}

fn audiences(claims: &Map<String, Value>) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(audience) => Some(vec![audience]),
        Value::Array(items) if items.len() <= MAX_AUDIENCES => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// `scope` (RFC 8693 §4.2: one text; some issuers write a list) and `scp` (text or list), together.
fn scopes(claims: &Map<String, Value>) -> Option<Vec<String>> {
    let mut scopes = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => scopes.extend(text.split(' ').map(str::to_string)),
            Some(Value::Array(items)) => {
                for item in items {
                    scopes.push(item.as_str()?.to_string());
                }
            }
            Some(_) => return None,
        }
    }
    scopes.retain(|scope| !scope.is_empty());
    scopes.sort();
    scopes.dedup();
    (scopes.len() <= MAX_SCOPES).then_some(scopes)
}
