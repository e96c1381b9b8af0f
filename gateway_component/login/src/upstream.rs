//! People who sign in at an OpenID provider (OpenID Connect Core §3.1), for which this login is a client.

use crate::authorize::{DECISION_SECONDS, Pending};
use crate::config::Upstream;
use crate::form::{self, Form};
use crate::http::{self, Exchange, Fetch, Response};
use crate::page;
use crate::seal::Sealed;
use crate::session::{self, Session};
use json::{base64, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const MAX_ANSWER: usize = 256 << 10;
const MAX_DEPTH: usize = 8;
const MAX_SUBJECT: usize = 256;
/// Seconds by which the provider's clock may differ.
const LEEWAY: f64 = 60.0;

/// What comes back as `state`: the request for which somebody signs in, and what the provider's answer must fit.
#[derive(Serialize, Deserialize)]
struct State {
    pending: Pending,
    nonce: String,
    verifier: String,
}

impl Sealed for State {
    const PURPOSE: &'static str = "upstream";
}

/// Whether the provider may take whoever is signed in there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Present,
    /// The person wants to be somebody else.
    Another,
}

/// Send the browser to the provider.
pub(crate) fn begin(exchange: &mut Exchange, pending: Pending, account: Account) -> Response {
    let Some(upstream) = &exchange.config.upstream else { return http::not_found() };
    let (nonce, half, other) = (exchange.identifier(), exchange.identifier(), exchange.identifier());
    let verifier = format!("{half}{other}");
    let challenge = base64::encode_url(&Sha256::digest(verifier.as_bytes()));
    let state = State { pending, nonce: nonce.clone(), verifier };
    let Some(state) = exchange.seal(&state, DECISION_SECONDS) else { return page::unavailable(exchange) };
    let (callback, scope) = (exchange.config.url("/login/callback"), upstream.scopes.join(" "));
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", &upstream.client_id),
        ("redirect_uri", &callback),
        ("scope", &scope),
        ("state", &state),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    if account == Account::Another {
        fields.push(("prompt", "select_account"));
    }
    http::redirect(form::add_fields(&upstream.authorization_endpoint, &fields))
}

/// `GET /login/callback`: where the provider sends the browser back.
pub(crate) fn callback(exchange: &mut Exchange) -> Response {
    let Some(upstream) = &exchange.config.upstream else { return http::not_found() };
    let form = Form::parse(exchange.request.query.as_bytes());
    let state: Option<State> =
        form.as_ref().and_then(|form| form.only("state")).and_then(|sealed| exchange.open(sealed));
    let (Some(form), Some(state)) = (form, state) else { return page::expired(exchange) };
    // Somebody else's answer: it would sign this browser in as them.
    if !session::is_browser(exchange, &state.pending.browser) {
        exchange.log("sign_in", "foreign", None);
        return page::expired(exchange);
    }
    // An answer of another provider (mix-up, RFC 9207 §2.4).
    if form.only("iss").is_some_and(|issuer| issuer != upstream.issuer) {
        exchange.log("sign_in", "issuer", None);
        return page::error(exchange, 400, "The answer comes from another provider.");
    }
    let Some(code) = form.only("code") else {
        exchange.log("sign_in", "refused", None);
        let problem = format!("{} did not let you sign in.", upstream.name);
        return page::error(exchange, 403, &problem);
    };
    let session = match identify(exchange, upstream, code, &state) {
        Ok(session) => session,
        Err(outcome) => {
            exchange.log("sign_in", outcome, None);
            let problem = format!("The answer of {} cannot be used.", upstream.name);
            return page::error(exchange, 502, &problem);
        }
    };
    exchange.log("sign_in", "ok", Some(&session.subject));
    session::signed_in(exchange, &state.pending, &session).unwrap_or_else(|| page::unavailable(exchange))
}

/// Exchange the code for an ID token, and check it (OpenID Connect Core §3.1.3.7). Err is a word for the log.
fn identify(
    exchange: &mut Exchange,
    upstream: &Upstream,
    code: &str,
    state: &State,
) -> Result<Session, &'static str> {
    let secret = exchange.world.variable("login_upstream_secret").unwrap_or_default();
    let callback = exchange.config.url("/login/callback");
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &callback),
        ("code_verifier", &state.verifier),
        ("client_id", &upstream.client_id),
    ];
    if !secret.trim().is_empty() {
        fields.push(("client_secret", secret.trim()));
    }
    let answer = exchange
        .world
        .fetch(&Fetch {
            url: &upstream.token_endpoint,
            headers: vec![("accept", "application/json".into())],
            form: Some(form::encode_fields(&fields)),
            max_bytes: MAX_ANSWER,
        })
        .ok_or("no_answer")?;
    if answer.status != 200 {
        return Err("code_refused");
    }
    let answer = object(&answer.body).ok_or("no_json")?;
    let token = answer.get("id_token").and_then(Value::as_str).ok_or("no_id_token")?;
    let keys = exchange
        .world
        .fetch(&Fetch {
            url: &upstream.jwks_uri,
            headers: vec![("accept", "application/json".into())],
            form: None,
            max_bytes: MAX_ANSWER,
        })
        .filter(|keys| keys.status == 200)
        .and_then(|keys| object(&keys.body))
        .ok_or("no_keys")?;
    let claims = authorizer::verified_claims(token, &Value::Object(keys), &upstream.algorithms)
        .map_err(|_| "signature")?;
    person(upstream, &claims, &state.nonce, exchange.world.now() as f64).map(|(subject, email)| Session {
        id: exchange.identifier(),
        subject,
        email,
        scopes: None,
        fingerprint: upstream.fingerprint(),
    })
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match strict::parse_bounded(body, MAX_DEPTH)? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Subject and verified address of whom an ID token is about.
fn person(
    upstream: &Upstream,
    claims: &Map<String, Value>,
    nonce: &str,
    now: f64,
) -> Result<(String, Option<String>), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(&upstream.issuer) {
        return Err("issuer");
    }
    let is_ours = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == upstream.client_id,
        // Of several, the one that asked is named by azp.
        Some(Value::Array(audiences)) => {
            audiences.iter().any(|audience| *audience == upstream.client_id.as_str())
                && (audiences.len() == 1 || text("azp") == Some(&upstream.client_id))
        }
        _ => false,
    };
    if !is_ours || text("azp").is_some_and(|party| party != upstream.client_id) {
        return Err("audience");
    }
    if claims.get("exp").and_then(Value::as_f64).is_none_or(|expires| expires + LEEWAY <= now) {
        return Err("expired");
    }
    if text("nonce") != Some(nonce) {
        return Err("nonce");
    }
    let email = text("email")
        // Some providers write a text.
        .filter(|_| claims.get("email_verified").is_some_and(|is| *is == true || *is == "true"))
        .filter(|email| email.len() <= MAX_SUBJECT && email.contains('@'))
        .map(String::from);
    let subject = match upstream.subject_claim.as_str() {
        "email" => email.clone().ok_or("email_not_verified")?,
        _ => {
            text("sub").filter(|subject| (1..=MAX_SUBJECT).contains(&subject.len())).ok_or("subject")?.into()
        }
    };
    Ok((subject, email))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn upstream(subject_claim: &str) -> Upstream {
        serde_json::from_value(json!({
            "issuer": "https://idp.example", "clientId": "us", "scopes": ["openid"], "subjectClaim": subject_claim,
            "authorizationEndpoint": "https://idp.example/a", "tokenEndpoint": "https://idp.example/t",
            "jwksUri": "https://idp.example/k", "algorithms": ["RS256"], "name": "Example",
        }))
        .unwrap()
    }

    #[test]
    fn an_id_token_is_for_us_now_and_for_this_sign_in() {
        let good = json!({
            "iss": "https://idp.example", "aud": "us", "exp": 1100, "nonce": "n", "sub": "s-1",
            "email": "ann@example.org", "email_verified": true,
        });
        let check = |name: &str, value: Value, by: &str| {
            let mut claims = good.as_object().unwrap().clone();
            claims.insert(name.into(), value);
            person(&upstream(by), &claims, "n", 1000.0)
        };
        let ann = Some("ann@example.org".to_string());
        assert_eq!(check("x", json!(1), "sub"), Ok(("s-1".into(), ann.clone())));
        assert_eq!(check("x", json!(1), "email"), Ok(("ann@example.org".into(), ann.clone())));
        assert_eq!(check("aud", json!(["us"]), "sub"), Ok(("s-1".into(), ann.clone())));
        assert_eq!(check("email_verified", json!(false), "sub"), Ok(("s-1".into(), None)));
        for (name, value, by, word) in [
            ("iss", json!("https://idp.example/"), "sub", "issuer"),
            ("iss", json!(null), "sub", "issuer"),
            ("aud", json!("them"), "sub", "audience"),
            ("aud", json!(["us", "them"]), "sub", "audience"),
            ("azp", json!("them"), "sub", "audience"),
            ("exp", json!(940), "sub", "expired"),
            ("exp", json!("1100"), "sub", "expired"),
            ("nonce", json!("m"), "sub", "nonce"),
            ("nonce", json!(null), "sub", "nonce"),
            ("sub", json!(""), "sub", "subject"),
            ("sub", json!(5), "sub", "subject"),
            ("email_verified", json!(false), "email", "email_not_verified"),
            ("email_verified", json!(null), "email", "email_not_verified"),
            ("email", json!("ann"), "email", "email_not_verified"),
        ] {
            assert_eq!(check(name, value.clone(), by), Err(word), "{name} {value}");
        }
    }
}
