//! The token endpoint (RFC 6749 §3.2, OAuth 2.1 §4.3), revocation (RFC 7009), and the access token (RFC 9068).

use crate::authorize::{Pending, named};
use crate::client;
use crate::form::Form;
use crate::http::{self, Exchange, Response};
use crate::ledger::{Ledger, REVOKED, StoreFailed};
use crate::seal::Sealed;
use crate::session::{self, Session};
use json::base64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Seconds within which a code is exchanged.
const CODE_SECONDS: u64 = 60;
const FORM: &str = "application/x-www-form-urlencoded";

/// What a person has allowed a client to do.
#[derive(Clone, Serialize, Deserialize)]
struct Grant {
    /// The name of the family of tokens that come from one consent.
    family: String,
    client: String,
    audience: String,
    scopes: Vec<String>,
    refreshes: bool,
    subject: String,
    email: Option<String>,
    fingerprint: String,
}

/// An authorization code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Code {
    grant: Grant,
    redirect_uri: String,
    challenge: String,
}

impl Sealed for Code {
    const PURPOSE: &'static str = "code";
}

impl Code {
    /// The code for a request that a person has allowed.
    pub(crate) fn seal(
        exchange: &mut Exchange,
        pending: Pending,
        session: Session,
        family: String,
    ) -> Option<String> {
        let grant = Grant {
            family,
            client: pending.client,
            audience: pending.audience,
            scopes: pending.scopes,
            refreshes: pending.refreshes,
            subject: session.subject,
            email: session.email,
            fingerprint: session.fingerprint,
        };
        let code = Code { grant, redirect_uri: pending.redirect_uri, challenge: pending.challenge };
        exchange.seal(&code, CODE_SECONDS)
    }
}

/// A refresh token: one generation of a family.
#[derive(Serialize, Deserialize)]
struct Refresh {
    grant: Grant,
    generation: u64,
    /// When the family ends, whatever is refreshed: then somebody has to sign in again.
    until: u64,
}

impl Sealed for Refresh {
    const PURPOSE: &'static str = "refresh";
}

/// Why no token is given: the error of RFC 6749 §5.2 with what is wrong, and a word for the log.
struct Refused(&'static str, &'static str);

impl From<StoreFailed> for Refused {
    fn from(_: StoreFailed) -> Refused {
        Refused("temporarily_unavailable", "the key-value store does not answer")
    }
}

const INVALID_GRANT: Refused =
    Refused("invalid_grant", "the code or refresh token does not hold, or not for this");

/// What is granted, as far as this app still has it: its scopes and audiences may have changed since the consent.
fn still_granted(exchange: &Exchange, mut grant: Grant) -> Result<Grant, Refused> {
    if !exchange.config.audiences.contains(&grant.audience) {
        return Err(INVALID_GRANT);
    }
    grant.scopes.retain(|name| exchange.config.scopes.iter().any(|scope| scope.name == *name));
    Ok(grant)
}

const NOT_CONFIGURED: Refused = Refused("temporarily_unavailable", "this login is not configured");

/// `POST /login/token`.
pub(crate) fn token(exchange: &mut Exchange) -> Response {
    let Some(form) = exchange.body(FORM).and_then(|body| Form::parse(&body)) else {
        return http::error_json(400, "invalid_request", "send a form of at most 64 KiB");
    };
    let Some(client) = client::authenticated(exchange, &form) else {
        let response =
            http::error_json(401, "invalid_client", "the client is not known, or its secret is wrong");
        return response.with("www-authenticate", "Basic realm=\"token\"");
    };
    let given = match form.one("grant_type") {
        Ok(Some("authorization_code")) => by_code(exchange, &form, &named(&client)),
        Ok(Some("refresh_token")) => by_refresh(exchange, &form, &named(&client)),
        Ok(Some(_)) => {
            Err(Refused("unsupported_grant_type", "grant_type must be authorization_code or refresh_token"))
        }
        _ => Err(Refused("invalid_request", "grant_type is missing")),
    };
    match given {
        Ok(answer) => http::json(200, &answer),
        Err(Refused(code, description)) => {
            exchange.log("token", code, None);
            let status = if code == "temporarily_unavailable" { 503 } else { 400 };
            http::error_json(status, code, description)
        }
    }
}

fn by_code(exchange: &mut Exchange, form: &Form, client: &str) -> Result<Value, Refused> {
    let code: Code = form.only("code").and_then(|sealed| exchange.open(sealed)).ok_or(INVALID_GRANT)?;
    let verifier =
        form.only("code_verifier").ok_or(Refused("invalid_request", "code_verifier is missing"))?;
    // OAuth 2.1 leaves redirect_uri out here; a client that sends it must send the same.
    let is_same_uri = match form.one("redirect_uri") {
        Ok(given) => given.is_none_or(|uri| uri == code.redirect_uri),
        Err(_) => false,
    };
    let grant = still_granted(exchange, code.grant)?;
    if grant.client != client || !is_same_uri || !is_verifier(verifier, &code.challenge) {
        return Err(INVALID_GRANT);
    }
    check_resource(exchange, form, &grant)?;
    let now = exchange.world.now();
    if Ledger::Codes.get(exchange.world, &grant.family)?.is_some() {
        // Two have the code, one of them is not the client: what it gave ends too (RFC 6749 §4.1.2).
        end(exchange, &grant)?;
        exchange.log("token", "code_reused", Some(&grant.subject));
        return Err(INVALID_GRANT);
    }
    Ledger::Codes.set(exchange.world, &grant.family, 1, now + CODE_SECONDS)?;
    if !session::is_current(exchange, &grant.subject, &grant.fingerprint) {
        return Err(INVALID_GRANT);
    }
    let until = now + exchange.config.refresh_token_seconds;
    if grant.refreshes {
        Ledger::Families.set(exchange.world, &grant.family, 0, until)?;
    }
    exchange.log("token", "ok", Some(&grant.subject));
    answer(exchange, grant, 0, until, None)
}

fn by_refresh(exchange: &mut Exchange, form: &Form, client: &str) -> Result<Value, Refused> {
    let Refresh { grant, generation, until } =
        form.only("refresh_token").and_then(|sealed| exchange.open(sealed)).ok_or(INVALID_GRANT)?;
    let grant = still_granted(exchange, grant)?;
    if grant.client != client {
        return Err(INVALID_GRANT);
    }
    check_resource(exchange, form, &grant)?;
    let narrowed = match form.one("scope") {
        Err(_) => return Err(Refused("invalid_request", "scope occurs twice")),
        Ok(None) => None,
        Ok(Some(text)) => {
            let asked: Vec<String> =
                text.split(' ').filter(|scope| !scope.is_empty()).map(String::from).collect();
            if !asked.iter().all(|scope| grant.scopes.contains(scope)) {
                return Err(Refused("invalid_scope", "a refresh token gives no further scopes"));
            }
            Some(asked)
        }
    };
    // A store that has lost the family (a new pod's, where it is not shared) takes the token as it comes.
    let good = Ledger::Families.get(exchange.world, &grant.family)?.map_or(generation, |record| record.value);
    if good != generation {
        // Two have the token (OAuth 2.1 §4.3.1).
        end(exchange, &grant)?;
        exchange.log("token", "refresh_reused", Some(&grant.subject));
        return Err(INVALID_GRANT);
    }
    if !session::is_current(exchange, &grant.subject, &grant.fingerprint) {
        return Err(INVALID_GRANT);
    }
    Ledger::Families.set(exchange.world, &grant.family, generation + 1, until)?;
    exchange.log("token", "refreshed", Some(&grant.subject));
    answer(exchange, grant, generation + 1, until, narrowed)
}

/// The audience cannot be changed after the consent (RFC 8707 §2.2).
fn check_resource(exchange: &Exchange, form: &Form, grant: &Grant) -> Result<(), Refused> {
    let refused = Refused("invalid_target", "resource must be what was asked for at first");
    match form.one("resource") {
        Ok(None) => Ok(()),
        Ok(given) if exchange.config.audience(given) == Some(grant.audience.as_str()) => Ok(()),
        _ => Err(refused),
    }
}

/// Whether a verifier belongs to a challenge (RFC 7636 §4.6).
fn is_verifier(verifier: &str, challenge: &str) -> bool {
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        && client::is_same(challenge, &base64::encode_url(&Sha256::digest(verifier.as_bytes())))
}

/// End a family: none of its refresh tokens holds any more.
fn end(exchange: &mut Exchange, grant: &Grant) -> Result<(), StoreFailed> {
    let until = exchange.world.now() + exchange.config.refresh_token_seconds;
    Ledger::Families.set(exchange.world, &grant.family, REVOKED, until)
}

/// The tokens (RFC 6749 §5.1).
fn answer(
    exchange: &mut Exchange,
    grant: Grant,
    generation: u64,
    until: u64,
    narrowed: Option<Vec<String>>,
) -> Result<Value, Refused> {
    let now = exchange.world.now();
    let scope = narrowed.as_ref().unwrap_or(&grant.scopes).join(" ");
    let seconds = exchange.config.access_token_seconds;
    let mut claims = json!({
        "iss": exchange.config.issuer,
        "sub": grant.subject,
        "aud": grant.audience,
        "client_id": grant.client,
        "scope": scope,
        "iat": now,
        "exp": now + seconds,
        "jti": exchange.identifier(),
    });
    if let Some(email) = &grant.email {
        claims["email"] = json!(email);
    }
    let access_token = exchange.keys.sign("at+jwt", &claims).ok_or(NOT_CONFIGURED)?;
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": scope,
    });
    if grant.refreshes {
        let refresh = Refresh { grant, generation, until };
        let sealed = exchange.seal(&refresh, until.saturating_sub(now));
        answer["refresh_token"] = json!(sealed.ok_or(NOT_CONFIGURED)?);
    }
    Ok(answer)
}

/// `POST /login/revoke` (RFC 7009): ends the family of a refresh token. An access token ends by itself, soon.
pub(crate) fn revoke(exchange: &mut Exchange) -> Response {
    let Some(form) = exchange.body(FORM).and_then(|body| Form::parse(&body)) else {
        return http::error_json(400, "invalid_request", "send a form of at most 64 KiB");
    };
    let Some(client) = client::authenticated(exchange, &form) else {
        return http::error_json(401, "invalid_client", "the client is not known, or its secret is wrong");
    };
    let Some(token) = form.only("token") else {
        return http::error_json(400, "invalid_request", "token is missing");
    };
    if token.contains('.') {
        return http::error_json(400, "unsupported_token_type", "an access token ends by itself");
    }
    // A token that does not hold needs no revocation (§2.2).
    if let Some(refresh) = exchange.open::<Refresh>(token)
        && refresh.grant.client == named(&client)
    {
        if end(exchange, &refresh.grant).is_err() {
            return http::error_json(503, "temporarily_unavailable", "the key-value store does not answer");
        }
        exchange.log("revoke", "ok", Some(&refresh.grant.subject));
    }
    http::json(200, &json!({}))
}
