//! The claims of a token: for this app, from its issuer, now (RFC 7519 §4.1, RFC 9068 §4).

use crate::config::Config;
use crate::error::Reason;
use serde_json::{Map, Value};

/// Who is calling, by a verified credential.
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
    /// Whether an API key of the app says so, and not a token.
    pub(crate) by_api_key: bool,
}

/// Claims in which issuers name the client, best first: RFC 9068 and RFC 8693; OpenID Connect; Okta; Entra ID's v1.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];
const MAX_TEXT: usize = 1024;
const MAX_SCOPES: usize = 256;
const MAX_AUDIENCES: usize = 64;

/// Check all claims at `now` (seconds since the epoch). `own_audience` is the URL of the resource that this request's
/// path names, accepted where the URL of the whole app is.
pub(crate) fn check(
    config: &Config,
    own_audience: Option<&str>,
    claims: Map<String, Value>,
    now: f64,
) -> Result<Identity, Reason> {
    let leeway = config.leeway;
    let expiry = date(&claims, "exp")?.ok_or(Reason::Malformed)?;
    if now >= expiry + leeway {
        return Err(Reason::Expired);
    }
    for name in ["nbf", "iat"] {
        if date(&claims, name)?.is_some_and(|from| now + leeway < from) {
            return Err(Reason::NotYetValid);
        }
    }
    let issuer = match claims.get("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer.clone()),
        Some(_) => return Err(Reason::Issuer),
    };
    if config.issuer.is_some() && issuer != config.issuer {
        return Err(Reason::Issuer);
    }
    let audiences = audiences(&claims).ok_or(Reason::Audience)?;
    if !audiences.iter().any(|audience| accepts(config, own_audience, audience)) {
        return Err(Reason::Audience);
    }
    let subject = text(&claims, "sub").ok().flatten().ok_or(Reason::Subject)?;
    let mut client = None;
    for name in CLIENT_CLAIMS {
        client = client.or(text(&claims, name)?);
    }
    Ok(Identity {
        subject,
        issuer: issuer.unwrap_or_default(),
        client,
        scopes: scopes(&claims).ok_or(Reason::Malformed)?,
        claims,
        payload: String::new(),
        by_api_key: false,
    })
}

fn accepts(config: &Config, own_audience: Option<&str>, audience: &str) -> bool {
    config.audiences.iter().any(|accepted| accepted == audience) || own_audience == Some(audience)
}

/// A NumericDate, absent or a finite number that is not negative.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        // Beyond 2^53 a number is no longer exact, so no issuer means it.
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=9_007_199_254_740_992.0).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Reason::Malformed),
        },
    }
}

/// A bounded, non-empty text, or absent.
fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_TEXT => Ok(Some(text.clone())),
        Some(_) => Err(Reason::Malformed),
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
