//! The pages: plain HTML and CSS, without script.
//!
//! Every text that is not a constant goes through [`escape`]. The policy allows nothing but the one style sheet, whose
//! hash it has, and forms to this server. The consent page has no such rule: Chromium applies `form-action` to every
//! redirect that follows, and only the client knows where its own address sends people on to.

use crate::authorize::{DECISION_SECONDS, Pending};
use crate::form::Url;
use crate::http::{Exchange, Response};
use crate::session::Session;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");

/// Why somebody is asked again for name and password.
pub(crate) enum Problem {
    Wrong,
    TooOften { seconds: u64 },
}

/// The page for name and password.
pub(crate) fn sign_in(exchange: &mut Exchange, pending: &Pending, problem: Option<Problem>) -> Response {
    let Some(request) = exchange.seal(pending, DECISION_SECONDS) else { return unavailable(exchange) };
    let alert = match &problem {
        None => String::new(),
        Some(Problem::Wrong) => alert(
            "The name or the password is wrong. Names and passwords distinguish small and capital letters.",
        ),
        Some(Problem::TooOften { seconds }) => {
            alert(&format!("There were too many attempts. Try again in {seconds} seconds."))
        }
    };
    let title = escape(exchange.config.title());
    let main = format!(
        "<h1>Sign in to {title}</h1>{alert}\
         <form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"request\" value=\"{request}\">\
         <label for=\"username\">Name</label>\
         <input id=\"username\" name=\"username\" autocomplete=\"username\" autocapitalize=\"none\" \
         spellcheck=\"false\" maxlength=\"64\" required autofocus>\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" \
         maxlength=\"1024\" required>\
         <button class=\"main\">Sign in</button></form>\
         <p class=\"small\">{client} wants to use {title}. You decide about that on the next page.</p>",
        action = escape(&exchange.config.url("/login/sign-in")),
        client = client(pending),
    );
    match problem {
        None => page(exchange, 200, "Sign in", &main, "'self'"),
        Some(Problem::Wrong) => page(exchange, 401, "Sign in", &main, "'self'"),
        Some(Problem::TooOften { seconds }) => {
            page(exchange, 429, "Sign in", &main, "'self'").with("retry-after", seconds.to_string())
        }
    }
}

/// What the forms of the consent page bring back.
pub(crate) struct Sealed<'a> {
    /// The request about which this session decides.
    pub(crate) decision: &'a str,
    /// The request for which somebody else may sign in.
    pub(crate) request: &'a str,
}

/// The page on which somebody lets a client use the app.
pub(crate) fn consent(
    exchange: &mut Exchange,
    pending: &Pending,
    session: &Session,
    sealed: &Sealed,
) -> Response {
    let Sealed { decision, request } = sealed;
    let config = exchange.config;
    let title = escape(config.title());
    let scopes: String = pending
        .scopes
        .iter()
        .filter_map(|name| config.scopes.iter().find(|scope| scope.name == *name))
        .map(|scope| match &scope.description {
            Some(text) => format!("<li>{} <code>{}</code></li>", escape(text), escape(&scope.name)),
            None => format!("<li><code>{}</code></li>", escape(&scope.name)),
        })
        .collect();
    let scopes = match scopes.as_str() {
        "" => "<p>It may call the tools that you may call.</p>".to_string(),
        _ => format!(
            "<p>It may call the tools that you may call, with these permissions:</p><ul>{scopes}</ul>"
        ),
    };
    let (back, machine) = target(&pending.redirect_uri);
    let vouched = match &pending.client_host {
        // Any program on the machine can listen there and name this document (MCP 2025-11-25, Localhost Redirect URI Risks).
        Some(host) if !machine.is_empty() => format!(
            "<p class=\"warn\">It says that it is the app of <strong>{}</strong>, but any app on this computer can say \
             that. Allow it only if you have just started this in that app.</p>",
            escape(host)
        ),
        Some(host) => format!("<p>It is the app of <strong>{}</strong>.</p>", escape(host)),
        None => "<p class=\"warn\">The app says itself what it is called; nobody has checked that. \
                 Allow it only if you have just started this in that app.</p>"
            .to_string(),
    };
    let main = format!(
        "<h1>Let {client} use {title}?</h1>{vouched}{scopes}\
         <p>You go back to <strong>{back}</strong>{machine}.</p>\
         <form method=\"post\" action=\"{action}\" class=\"choice\">\
         <input type=\"hidden\" name=\"request\" value=\"{decision}\">\
         <button class=\"main\" name=\"decision\" value=\"allow\">Allow</button>\
         <button name=\"decision\" value=\"deny\">Do not allow</button></form>\
         <form method=\"post\" action=\"{sign_out}\">\
         <input type=\"hidden\" name=\"request\" value=\"{request}\">\
         <p class=\"small\">You are signed in as <strong>{subject}</strong>. \
         <button class=\"link\">Sign in as somebody else</button></p></form>",
        client = client(pending),
        action = escape(&config.url("/login/consent")),
        sign_out = escape(&config.url("/login/sign-out")),
        subject = escape(&session.subject),
    );
    page(exchange, 200, "Allow access", &main, ANYWHERE)
}

/// The page that asks whether to sign out.
pub(crate) fn sign_out(exchange: &Exchange, session: &Session, ticket: &str) -> Response {
    let main = format!(
        "<h1>Sign out of {title}?</h1><p>You are signed in as <strong>{subject}</strong>. \
         Apps that you have allowed keep their access.</p>\
         <form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
         <button class=\"main\">Sign out</button></form>",
        title = escape(exchange.config.title()),
        subject = escape(&session.subject),
        action = escape(&exchange.config.url("/login/sign-out")),
    );
    page(exchange, 200, "Sign out", &main, "'self'")
}

/// The page after signing out.
pub(crate) fn signed_out(exchange: &Exchange) -> Response {
    page(exchange, 200, "Signed out", "<h1>You are signed out</h1><p>You may close this page.</p>", "'none'")
}

/// Something that a person cannot go on from.
pub(crate) fn error(exchange: &Exchange, status: u16, problem: &str) -> Response {
    let main = format!("<h1>This did not work</h1><p role=\"alert\">{}</p>", escape(problem));
    page(exchange, status, "Error", &main, "'none'")
}

/// A request of a client that is wrong: people may go back there, but are not sent.
pub(crate) fn error_of_client(exchange: &Exchange, problem: &str, uri: &str, location: &str) -> Response {
    let main = format!(
        "<h1>This did not work</h1><p role=\"alert\">The app made a mistake: {problem}.</p>\
         <p><a href=\"{location}\" rel=\"noreferrer\">Back to {back}</a></p>",
        problem = escape(problem),
        location = escape(location),
        back = target(uri).0,
    );
    page(exchange, 400, "Error", &main, "'none'")
}

/// A form that is too old, or not this browser's.
pub(crate) fn expired(exchange: &Exchange) -> Response {
    error(
        exchange,
        400,
        "This page is too old, or was opened in another browser, or cookies are off. Start again in the app.",
    )
}

/// Something does not answer that is needed to sign in.
pub(crate) fn unavailable(exchange: &Exchange) -> Response {
    error(exchange, 503, "Signing in is not possible now. Try again in a minute.").with("retry-after", "60")
}

fn alert(text: &str) -> String {
    format!("<p role=\"alert\" class=\"warn\">{}</p>", escape(text))
}

/// What a client is called.
fn client(pending: &Pending) -> String {
    match (&pending.client_name, &pending.client_host) {
        (Some(name), _) => format!("\u{201c}{}\u{201d}", escape(name)),
        (None, Some(host)) => escape(host),
        (None, None) => "An app without a name".into(),
    }
}

/// Where an answer goes, for people: the host in full, and whether it is their own machine.
fn target(uri: &str) -> (String, &'static str) {
    match Url::parse(uri) {
        Some(url) if url.is_loopback() => (escape(&url.origin()), ", an app on this computer"),
        Some(url) if url.scheme == "https" => (escape(&url.origin()), ""),
        Some(url) => (escape(&format!("{}:", url.scheme)), ", an app on this computer"),
        None => ("nowhere".into(), ""),
    }
}

/// Where forms may lead, if the policy does not say it.
const ANYWHERE: &str = "";

fn page(exchange: &Exchange, status: u16, title: &str, main: &str, forms: &str) -> Response {
    let app = escape(exchange.config.title());
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title} \u{b7} {app}</title><style>{STYLE}</style></head>\
         <body><main>{main}</main></body></html>\n"
    );
    let forms = match forms {
        ANYWHERE => String::new(),
        _ => format!("form-action {forms}; "),
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; {forms}frame-ancestors 'none'; base-uri 'none'",
        base64(&Sha256::digest(STYLE.as_bytes()))
    );
    Response { status, headers: Vec::new(), body: body.into_bytes() }
        .with("content-type", "text/html; charset=utf-8")
        .with("cache-control", "no-store")
        .with("content-security-policy", policy)
        .with("x-frame-options", "DENY")
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "same-origin")
        .with("cross-origin-opener-policy", "same-origin")
}

/// Base64 with padding, as Content-Security-Policy has it.
fn base64(bytes: &[u8]) -> String {
    let mut text = ::json::base64::encode_url(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// A text within HTML, also within an attribute in double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
