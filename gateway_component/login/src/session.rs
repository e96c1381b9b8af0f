//! Who is signed in in a browser: sealed cookies, and the pages that set and remove them.

use crate::authorize::{self, Pending};
use crate::form::{Form, encode};
use crate::http::{self, Exchange, Response};
use crate::page;
use crate::person;
use crate::seal::Sealed;
use crate::throttle::Tries;
use crate::upstream::{self, Account};
use json::{base64, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Seconds for which a browser is known as one in which somebody has signed in.
const KNOWN_SECONDS: u64 = 90 * 86_400;

/// Somebody who signed in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    /// The only scopes that they may grant; `None` for all.
    pub(crate) scopes: Option<Vec<String>>,
    /// Of their password, or of their upstream provider.
    pub(crate) fingerprint: String,
}

impl Sealed for Session {
    const PURPOSE: &'static str = "session";
}

/// That somebody of a name has signed in in this browser before.
#[derive(Serialize, Deserialize)]
struct KnownBrowser {
    subject: String,
}

impl Sealed for KnownBrowser {
    const PURPOSE: &'static str = "known-browser";
}

/// A form for signing out, bound to its browser.
#[derive(Serialize, Deserialize)]
struct SignOut {
    browser: String,
}

impl Sealed for SignOut {
    const PURPOSE: &'static str = "sign-out";
}

impl Session {
    /// The session of the browser, if its person still exists with the same password.
    pub(crate) fn of(exchange: &mut Exchange) -> Option<Session> {
        let name = cookie_name(exchange, "session");
        let session: Session = exchange.open(exchange.request.cookie(&name)?)?;
        is_current(exchange, &session.subject, &session.fingerprint).then_some(session)
    }

    /// Keep the session in the browser.
    pub(crate) fn keep(&self, exchange: &mut Exchange, response: Response) -> Option<Response> {
        let seconds = exchange.config.session_seconds;
        let sealed = exchange.seal(self, seconds)?;
        Some(response.with("set-cookie", cookie(exchange, "session", &sealed, seconds)))
    }
}

/// Whether somebody exists with the password that they had. People of an upstream provider are asked there again when
/// their refresh token ends.
pub(crate) fn is_current(exchange: &mut Exchange, subject: &str, fingerprint: &str) -> bool {
    if let Some(upstream) = &exchange.config.upstream {
        return fingerprint == upstream.fingerprint();
    }
    let lines = exchange.world.variable("login_users").unwrap_or_default();
    person::find(&lines, subject).is_some_and(|person| person.fingerprint == fingerprint)
}

/// The browser, by a cookie that it has before anybody signs in.
pub(crate) struct Browser {
    /// What a sealed request knows of it.
    pub(crate) hash: String,
    /// The cookie to set, where it had none.
    set: Option<String>,
}

impl Browser {
    /// Let the browser keep its cookie.
    pub(crate) fn keep(self, response: Response) -> Response {
        match self.set {
            Some(cookie) => response.with("set-cookie", cookie),
            None => response,
        }
    }
}

/// The browser of a request.
pub(crate) fn browser(exchange: &mut Exchange) -> Browser {
    match browser_hash(exchange) {
        Some(hash) => Browser { hash, set: None },
        None => {
            let value = exchange.identifier();
            let set = cookie(exchange, "browser", &value, KNOWN_SECONDS);
            Browser { hash: hash(&value), set: Some(set) }
        }
    }
}

/// Whether a request comes from the browser of a hash.
pub(crate) fn is_browser(exchange: &Exchange, hash: &str) -> bool {
    browser_hash(exchange).is_some_and(|own| own == hash)
}

fn browser_hash(exchange: &Exchange) -> Option<String> {
    let value = exchange.request.cookie(&cookie_name(exchange, "browser"))?;
    (value.len() >= 16).then(|| hash(value))
}

fn hash(value: &str) -> String {
    base64::encode_url(&Sha256::digest(value.as_bytes()))
}

/// `POST /login/sign-in`: a name and a password.
pub(crate) fn sign_in(exchange: &mut Exchange) -> Response {
    let form = exchange.body("application/x-www-form-urlencoded").and_then(|body| Form::parse(&body));
    let Some(form) = form else { return page::expired(exchange) };
    let pending = form.only("request").and_then(|sealed| authorize::own(exchange, sealed));
    let Some(pending) = pending.filter(|_| authorize::is_own_origin(exchange)) else {
        return page::expired(exchange);
    };
    let lines = exchange.world.variable("login_users").filter(|_| exchange.config.upstream.is_none());
    let Some(lines) = lines else { return http::not_found() };
    let name = form.only("username").unwrap_or_default();
    let known = cookie_name(exchange, "known");
    let known = exchange.request.cookie(&known).and_then(|sealed| exchange.open::<KnownBrowser>(sealed));
    let tries = Tries::of(exchange, name, known.is_some_and(|known| known.subject == name));
    let counted = tries.pause(exchange).and_then(|pause| match pause {
        0 => tries.count(exchange).map(|()| 0),
        pause => Ok(pause),
    });
    match counted {
        Err(_) => {
            exchange.log("sign_in", "store_failed", None);
            return page::unavailable(exchange);
        }
        Ok(0) => {}
        Ok(pause) => {
            exchange.log("sign_in", "slowed_down", None);
            let problem = page::Problem::TooOften { seconds: pause };
            return page::sign_in(exchange, &pending, Some(problem));
        }
    }
    let Some(person) = person::verify(&lines, name, form.only("password").unwrap_or_default()) else {
        exchange.log("sign_in", "wrong", None);
        return page::sign_in(exchange, &pending, Some(page::Problem::Wrong));
    };
    // Without a store this try counts on, which costs the person a pause at worst.
    let _ = tries.forget(exchange);
    exchange.log("sign_in", "ok", Some(&person.name));
    let session = Session {
        id: exchange.identifier(),
        subject: person.name,
        email: person.email,
        scopes: person.scopes,
        fingerprint: person.fingerprint,
    };
    signed_in(exchange, &pending, &session).unwrap_or_else(|| page::unavailable(exchange))
}

/// Keep a new session, and go on to the consent page. The session is always a new one, so that none can be planted.
pub(crate) fn signed_in(exchange: &mut Exchange, pending: &Pending, session: &Session) -> Option<Response> {
    let request = exchange.seal(pending, authorize::DECISION_SECONDS)?;
    let location = exchange.config.url(&format!("/login/consent?request={}", encode(&request)));
    let known = exchange.seal(&KnownBrowser { subject: session.subject.clone() }, KNOWN_SECONDS)?;
    let known = cookie(exchange, "known", &known, KNOWN_SECONDS);
    session.keep(exchange, http::redirect(location).with("set-cookie", known))
}

/// `GET /login/sign-out`: asks, because a link from elsewhere must not sign anybody out.
pub(crate) fn ask_sign_out(exchange: &mut Exchange) -> Response {
    let Some(session) = Session::of(exchange) else { return page::signed_out(exchange) };
    let browser = browser(exchange);
    let form = SignOut { browser: browser.hash.clone() };
    let Some(sealed) = exchange.seal(&form, authorize::DECISION_SECONDS) else {
        return page::unavailable(exchange);
    };
    browser.keep(page::sign_out(exchange, &session, &sealed))
}

/// `POST /login/sign-out`. With the request of a consent page, another person may sign in for it.
pub(crate) fn sign_out(exchange: &mut Exchange) -> Response {
    let form = exchange.body("application/x-www-form-urlencoded").and_then(|body| Form::parse(&body));
    let Some(form) = form.filter(|_| authorize::is_own_origin(exchange)) else {
        return page::expired(exchange);
    };
    let over = |exchange: &Exchange, response: Response| {
        response.with("set-cookie", cookie(exchange, "session", "", 0))
    };
    if let Some(pending) = form.only("request").and_then(|sealed| authorize::own(exchange, sealed)) {
        let response = match exchange.config.upstream {
            Some(_) => upstream::begin(exchange, pending, Account::Another),
            None => page::sign_in(exchange, &pending, None),
        };
        return over(exchange, response);
    }
    let own = form.only("ticket").and_then(|sealed| exchange.open::<SignOut>(sealed));
    if !own.is_some_and(|form| is_browser(exchange, &form.browser)) {
        return page::expired(exchange);
    }
    let response = page::signed_out(exchange);
    over(exchange, response)
}

/// A cookie's name: `__Host-` wherever there is TLS (RFC 6265bis §4.1.3.2), so that no neighbour under the same domain
/// can plant it. It has the issuer's hash in it, because apps under several paths of one host share its cookies.
fn cookie_name(exchange: &Exchange, kind: &str) -> String {
    let prefix = if exchange.config.is_secure() { "__Host-" } else { "" };
    let app = hex::encode(&Sha256::digest(exchange.config.issuer.as_bytes())[..4]);
    format!("{prefix}ftl-{kind}-{app}")
}

/// A `Set-Cookie` line; no seconds remove the cookie.
fn cookie(exchange: &Exchange, kind: &str, value: &str, seconds: u64) -> String {
    let secure = if exchange.config.is_secure() { "; Secure" } else { "" };
    format!(
        "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
        cookie_name(exchange, kind)
    )
}
