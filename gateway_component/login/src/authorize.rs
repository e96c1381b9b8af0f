//! The authorization request (OAuth 2.1 §4.1.1), a person's consent, and the answer that goes back to the client.

use crate::client::Client;
use crate::form::{self, Form, Url};
use crate::http::{self, Exchange, Response};
use crate::page;
use crate::seal::Sealed;
use crate::session::{self, Session};
use crate::token::Code;
use crate::upstream::{self, Account};
use json::base64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Seconds from the request to the person's decision.
pub(crate) const DECISION_SECONDS: u64 = 900;
const MAX_STATE: usize = 2048;

/// An authorization request that was checked and waits for a person. It is handed to the browser sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The client, as [`named`] names it.
    pub(crate) client: String,
    pub(crate) client_name: Option<String>,
    /// The host of the client's document.
    pub(crate) client_host: Option<String>,
    pub(crate) refreshes: bool,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) challenge: String,
    pub(crate) audience: String,
    pub(crate) scopes: Vec<String>,
    /// The hash of the cookie of the browser in which it began; another browser's person cannot decide about it.
    pub(crate) browser: String,
}

impl Sealed for Pending {
    const PURPOSE: &'static str = "request";
}

/// A request about which one session may decide: what the consent page's form brings.
#[derive(Serialize, Deserialize)]
struct Decision {
    pending: Pending,
    session: String,
}

impl Sealed for Decision {
    const PURPOSE: &'static str = "consent";
}

/// A client in what is sealed and in access tokens: its id if that is a URL; else the hash of its id, which is long
/// because it carries the registration.
pub(crate) fn named(client_id: &str) -> String {
    if client_id.starts_with("https://") {
        client_id.into()
    } else {
        base64::encode_url(&Sha256::digest(client_id.as_bytes()))
    }
}

/// `GET /login/authorize`.
pub(crate) fn authorize(exchange: &mut Exchange) -> Response {
    // Until client and address are known to belong together, nothing is sent to that address.
    let Some(form) = Form::parse(exchange.request.query.as_bytes()) else {
        return page::error(exchange, 400, "The link cannot be read.");
    };
    let (Some(client_id), Some(redirect_uri)) = (form.only("client_id"), form.only("redirect_uri")) else {
        return page::error(exchange, 400, "The link does not say which app it comes from.");
    };
    let Some(client) = Client::find(exchange, client_id) else {
        return page::error(
            exchange,
            400,
            "This app is not known here, or not any more. Remove this server in the app and add it again.",
        );
    };
    if !client.may_redirect_to(redirect_uri) {
        exchange.log("authorize", "redirect_uri", None);
        return page::error(exchange, 400, "The app asks to go back to an address that is not its own.");
    }
    let browser = session::browser(exchange);
    let pending = match check(exchange, &form, &client, client_id, redirect_uri, &browser.hash) {
        Ok(pending) => pending,
        Err((code, description)) => {
            exchange.log("authorize", code, None);
            let state = form.only("state").filter(|state| state.len() <= MAX_STATE);
            let location =
                answer(exchange, redirect_uri, state, &[("error", code), ("error_description", description)]);
            return if client.is_trusted_target(redirect_uri) {
                http::redirect(location)
            } else {
                page::error_of_client(exchange, description, redirect_uri, &location)
            };
        }
    };
    let response = match Session::of(exchange) {
        Some(session) => consent_page(exchange, pending, &session),
        None if exchange.config.upstream.is_some() => upstream::begin(exchange, pending, Account::Present),
        None => page::sign_in(exchange, &pending, None),
    };
    browser.keep(response)
}

fn check(
    exchange: &Exchange,
    form: &Form,
    client: &Client,
    client_id: &str,
    redirect_uri: &str,
    browser: &str,
) -> Result<Pending, (&'static str, &'static str)> {
    const INVALID: &str = "invalid_request";
    let one = |name: &str| form.one(name).map_err(|_| (INVALID, "a parameter occurs twice"));
    for name in ["client_id", "redirect_uri"] {
        one(name)?;
    }
    if one("request")?.is_some() || one("request_uri")?.is_some() {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if one("response_type")? != Some("code") {
        return Err(("unsupported_response_type", "response_type must be code"));
    }
    if one("response_mode")?.is_some_and(|mode| mode != "query") {
        return Err((INVALID, "response_mode must be query"));
    }
    if one("code_challenge_method")? != Some("S256") {
        return Err((INVALID, "code_challenge_method must be S256"));
    }
    let challenge = one("code_challenge")?.ok_or((INVALID, "code_challenge is missing"))?;
    if base64::decode_url(challenge).is_none_or(|digest| digest.len() != 32) {
        return Err((INVALID, "code_challenge must be a SHA-256 in base64url"));
    }
    let state = one("state")?;
    if state.is_some_and(|state| state.len() > MAX_STATE) {
        return Err((INVALID, "state is longer than 2048 bytes"));
    }
    let audience = exchange
        .config
        .audience(one("resource")?)
        .ok_or(("invalid_target", "resource must be the address of this app's MCP endpoint"))?;
    if one("prompt")?.is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
        return Err(("interaction_required", "a person must decide"));
    }
    Ok(Pending {
        client: named(client_id),
        client_name: client.name.clone(),
        client_host: client.host.clone(),
        refreshes: client.refreshes,
        redirect_uri: redirect_uri.into(),
        state: state.map(String::from),
        challenge: challenge.into(),
        audience: audience.into(),
        scopes: scopes(exchange, one("scope")?),
        browser: browser.into(),
    })
}

/// The scopes that a request leads to: those that every token gets, and those asked for that exist. Others are left out,
/// as RFC 6749 §3.3 allows: clients ask for what other servers know, such as `offline_access`.
fn scopes(exchange: &Exchange, asked: Option<&str>) -> Vec<String> {
    let config = exchange.config;
    let asked: Vec<&str> = asked.unwrap_or_default().split(' ').collect();
    config
        .scopes
        .iter()
        .map(|scope| &scope.name)
        .filter(|name| config.required_scopes.contains(name) || asked.contains(&name.as_str()))
        .cloned()
        .collect()
}

/// `GET /login/consent`: where a browser comes after signing in.
pub(crate) fn ask(exchange: &mut Exchange) -> Response {
    let sealed = Form::parse(exchange.request.query.as_bytes());
    let pending = sealed.as_ref().and_then(|form| form.only("request")).and_then(|text| own(exchange, text));
    match (pending, Session::of(exchange)) {
        (Some(pending), Some(session)) => consent_page(exchange, pending, &session),
        (Some(pending), None) if exchange.config.upstream.is_some() => {
            upstream::begin(exchange, pending, Account::Present)
        }
        (Some(pending), None) => page::sign_in(exchange, &pending, None),
        (None, _) => page::expired(exchange),
    }
}

/// A pending request that began in this browser.
pub(crate) fn own(exchange: &Exchange, sealed: &str) -> Option<Pending> {
    let pending: Pending = exchange.open(sealed)?;
    session::is_browser(exchange, &pending.browser).then_some(pending)
}

fn consent_page(exchange: &mut Exchange, mut pending: Pending, session: &Session) -> Response {
    // Whoever signs in instead may have more scopes, so their request is the whole one.
    let Some(whole) = exchange.seal(&pending, DECISION_SECONDS) else { return page::unavailable(exchange) };
    if let Some(allowed) = &session.scopes {
        pending.scopes.retain(|scope| allowed.contains(scope));
    }
    let decision = Decision { pending, session: session.id.clone() };
    let Some(sealed) = exchange.seal(&decision, DECISION_SECONDS) else { return page::unavailable(exchange) };
    page::consent(exchange, &decision.pending, session, &page::Sealed { decision: &sealed, request: &whole })
}

/// `POST /login/consent`: a person's decision.
pub(crate) fn decide(exchange: &mut Exchange) -> Response {
    let form = exchange.body("application/x-www-form-urlencoded").and_then(|body| Form::parse(&body));
    let decision: Option<Decision> =
        form.as_ref().and_then(|form| form.only("request")).and_then(|sealed| exchange.open(sealed));
    let session = Session::of(exchange);
    let (Some(form), Some(Decision { pending, session: of }), Some(session)) = (form, decision, session)
    else {
        return page::expired(exchange);
    };
    // Another browser's or another session's form: someone else's decision (CSRF).
    if of != session.id || !session::is_browser(exchange, &pending.browser) || !is_own_origin(exchange) {
        exchange.log("consent", "foreign", Some(&session.subject));
        return page::expired(exchange);
    }
    let state = pending.state.clone();
    let uri = pending.redirect_uri.clone();
    if form.only("decision") != Some("allow") {
        exchange.log("consent", "denied", Some(&session.subject));
        let denied = [("error", "access_denied"), ("error_description", "the person did not allow it")];
        return http::redirect(answer(exchange, &uri, state.as_deref(), &denied));
    }
    let id = exchange.identifier();
    exchange.log("consent", "allowed", Some(&session.subject));
    let Some(code) = Code::seal(exchange, pending, session, id) else { return page::unavailable(exchange) };
    http::redirect(answer(exchange, &uri, state.as_deref(), &[("code", &code)]))
}

/// Whether a form was sent from one of this login's own pages, where the browser says from which (RFC 6454 §7).
pub(crate) fn is_own_origin(exchange: &Exchange) -> bool {
    let Some(origin) = exchange.request.header("origin") else { return true };
    // Browsers write an origin in small letters and without the scheme's own port (WHATWG URL).
    let issuer = exchange.config.issuer.to_ascii_lowercase();
    Url::parse(&issuer).is_some_and(|own| {
        let port = own.port.filter(|port| !matches!((own.scheme, port), ("https", 443) | ("http", 80)));
        Url { port, ..own }.origin() == origin
    })
}

/// The URI of the answer to a client, with `state` and `iss` (RFC 9207 §2).
fn answer(exchange: &Exchange, uri: &str, state: Option<&str>, fields: &[(&str, &str)]) -> String {
    let mut fields = fields.to_vec();
    if let Some(state) = state {
        fields.push(("state", state));
    }
    fields.push(("iss", &exchange.config.issuer));
    form::add_fields(uri, &fields)
}
