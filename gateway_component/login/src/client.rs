//! Clients: what registers itself (RFC 7591) gets an id that carries what was registered, so nothing is stored; what has
//! a URL as its id is read from there (`document`).

use crate::document;
use crate::form::{Form, Url};
use crate::http::{self, Exchange, Response};
use crate::seal::Sealed;
use json::strict;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Ten years: an id ends with the keys that sealed it, not by itself.
const REGISTRATION_SECONDS: u64 = 10 * 365 * 86_400;
const MAX_REDIRECTS: usize = 16;
/// Together, so that an id fits into a URL.
const MAX_REDIRECT_BYTES: usize = 2_000;
const MAX_NAME: usize = 64;
const MAX_DEPTH: usize = 8;
/// Private-use schemes without a dot (RFC 8252 §7.1 wants one) of clients that are widely used.
const KNOWN_SCHEMES: [&str; 9] =
    ["claude", "cursor", "goose", "lmstudio", "vscode", "vscode-insiders", "vscodium", "windsurf", "zed"];

/// How a client shows who it is at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Method {
    #[serde(rename = "none")]
    Public,
    #[serde(rename = "client_secret_basic")]
    Basic,
    #[serde(rename = "client_secret_post")]
    Post,
}

/// A client of this login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    /// What the client says that it is called; nobody has checked it.
    pub(crate) name: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) method: Method,
    /// Whether it gets refresh tokens.
    pub(crate) refreshes: bool,
    /// The host of its document, which vouches for it; `None` if it registered itself.
    pub(crate) host: Option<String>,
}

impl Sealed for Client {
    const PURPOSE: &'static str = "client";
}

/// Why metadata of a client are refused: the error of RFC 7591 §3.2.2, and what is wrong.
pub(crate) type Refused = (&'static str, &'static str);

impl Client {
    /// The client of an id; `None` if there is none.
    pub(crate) fn find(exchange: &mut Exchange, id: &str) -> Option<Client> {
        if id.starts_with("https://") {
            return document::find(exchange, id);
        }
        exchange.open::<Client>(id)
    }

    /// The client that metadata describe (RFC 7591 §2).
    pub(crate) fn read(metadata: &Map<String, Value>) -> Result<Client, Refused> {
        const INVALID: &str = "invalid_client_metadata";
        let texts = |name: &str| -> Result<Option<Vec<&str>>, Refused> {
            match metadata.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Array(items)) => {
                    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                    texts.map(Some).ok_or((INVALID, "a list has something else than texts"))
                }
                Some(_) => Err((INVALID, "something that must be a list is none")),
            }
        };
        let redirects = texts("redirect_uris")?.unwrap_or_default();
        if redirects.is_empty() || redirects.len() > MAX_REDIRECTS {
            return Err(("invalid_redirect_uri", "redirect_uris must have one to 16 entries"));
        }
        if redirects.iter().map(|uri| uri.len()).sum::<usize>() > MAX_REDIRECT_BYTES {
            return Err(("invalid_redirect_uri", "redirect_uris are longer than 2000 bytes together"));
        }
        if !redirects.iter().all(|uri| may_be_redirect(uri)) {
            return Err((
                "invalid_redirect_uri",
                "each of redirect_uris must be https, http on loopback, or a private-use scheme with a dot, \
                 in small letters, without user, fragment and characters that need encoding",
            ));
        }
        let grants = texts("grant_types")?.unwrap_or_else(|| vec!["authorization_code"]);
        if !grants.contains(&"authorization_code") {
            return Err((INVALID, "grant_types must have authorization_code"));
        }
        if texts("response_types")?.is_some_and(|types| !types.contains(&"code")) {
            return Err((INVALID, "response_types must have code"));
        }
        let method = match metadata.get("token_endpoint_auth_method") {
            // RFC 7591's default is client_secret_basic; clients that name none mean that they have no secret.
            None | Some(Value::Null) => Method::Public,
            Some(method) => serde_json::from_value(method.clone()).map_err(|_| {
                (
                    INVALID,
                    "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post",
                )
            })?,
        };
        let name = match metadata.get("client_name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(shown(name)).filter(|name| !name.is_empty()),
            Some(_) => return Err((INVALID, "client_name must be a text")),
        };
        Ok(Client {
            name,
            redirect_uris: redirects.into_iter().map(String::from).collect(),
            method,
            refreshes: grants.contains(&"refresh_token"),
            host: None,
        })
    }

    /// Whether an answer may go to a URI: exactly one that is the client's, but for the port of a loopback address, which
    /// a native client gets from its machine (RFC 8252 §7.3).
    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        if !may_be_redirect(uri) {
            return false;
        }
        self.redirect_uris.iter().any(|registered| {
            registered == uri
                || match (Url::parse(registered), Url::parse(uri)) {
                    (Some(known), Some(given)) => {
                        known.scheme == "http"
                            && given.scheme == "http"
                            && known.is_loopback()
                            && known.host == given.host
                            && known.rest == given.rest
                    }
                    _ => false,
                }
        })
    }

    /// Whether an error may be sent to a URI before a person has seen anything. Anybody may register any address, so
    /// that would be an open redirector (RFC 9700 §4.11.2), unless it leads to the person's own machine, or to the host
    /// that vouches for the client.
    pub(crate) fn is_trusted_target(&self, uri: &str) -> bool {
        Url::parse(uri).is_some_and(|url| match url.scheme {
            "https" => self.host.as_deref() == Some(url.host) && url.port.is_none(),
            "http" => url.is_loopback(),
            _ => true,
        })
    }
}

/// Whether a URI may be registered at all.
fn may_be_redirect(uri: &str) -> bool {
    let Some(url) = Url::parse(uri) else { return false };
    match url.scheme {
        "https" => !url.host.is_empty(),
        "http" => url.is_loopback(),
        scheme => scheme.contains('.') || KNOWN_SCHEMES.contains(&scheme),
    }
}

/// A name as it is shown: without characters that are invisible or change the direction of what follows, and not long.
pub(crate) fn shown(name: &str) -> String {
    let is_visible = |letter: &char| {
        !letter.is_control()
            && !matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let visible: String = name.chars().filter(is_visible).take(MAX_NAME).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `POST /login/register` (RFC 7591 §3).
pub(crate) fn register(exchange: &mut Exchange) -> Response {
    if !exchange.config.registration {
        return http::error_json(403, "access_denied", "clients cannot register here");
    }
    let Some(body) = exchange.body("application/json") else {
        return http::error_json(400, "invalid_client_metadata", "send a JSON object of at most 64 KiB");
    };
    let Some(Value::Object(metadata)) = strict::parse_bounded(&body, MAX_DEPTH) else {
        return http::error_json(400, "invalid_client_metadata", "the body is no JSON object");
    };
    let client = match Client::read(&metadata) {
        Ok(client) => client,
        Err((code, description)) => return http::error_json(400, code, description),
    };
    let Some(id) = exchange.seal(&client, REGISTRATION_SECONDS) else {
        return http::error_json(503, "temporarily_unavailable", "this login is not configured");
    };
    let mut grants = vec!["authorization_code"];
    if client.refreshes {
        grants.push("refresh_token");
    }
    let mut answer = json!({
        "client_id": id,
        "client_id_issued_at": exchange.world.now(),
        "redirect_uris": client.redirect_uris,
        "grant_types": grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": client.method,
    });
    if let Some(name) = &client.name {
        answer["client_name"] = json!(name);
    }
    if client.method != Method::Public {
        let secret = exchange.keys.derived("client-secret", &id).next();
        answer["client_secret"] = json!(secret);
        answer["client_secret_expires_at"] = json!(0);
    }
    exchange.log("register", "ok", None);
    http::json(201, &answer)
}

/// The id of the client that makes a request to the token endpoint or for revocation; `None` if it does not show that it
/// is that client (RFC 6749 §2.3, §3.2.1).
pub(crate) fn authenticated(exchange: &mut Exchange, form: &Form) -> Option<String> {
    let in_form = form.one("client_id").ok()?;
    let secret = form.one("client_secret").ok()?;
    let basic = match exchange.request.header("authorization") {
        None => None,
        Some(value) => Some(basic_credentials(value)?),
    };
    let (id, secret) = match (&basic, in_form, secret) {
        (Some((id, secret)), given, None) if given.is_none_or(|given| given == id) => {
            (id.as_str(), Some(secret.as_str()).filter(|secret| !secret.is_empty()))
        }
        (Some(_), ..) => return None,
        (None, Some(id), secret) => (id, secret),
        (None, None, _) => return None,
    };
    // A client of a document is a public one; whoever has the code and its verifier is the client, while its host is listed.
    let method = match id.starts_with("https://") {
        true => document::is_listed(exchange, &Url::parse(id)?).then_some(Method::Public)?,
        false => exchange.open::<Client>(id)?.method,
    };
    let is_shown = match (method, secret) {
        (Method::Public, None) => true,
        (Method::Public, Some(_)) | (_, None) => false,
        (Method::Basic, _) if basic.is_none() => false,
        (Method::Post, _) if basic.is_some() => false,
        (_, Some(given)) => exchange.keys.derived("client-secret", id).any(|known| is_same(&known, given)),
    };
    is_shown.then(|| id.to_string())
}

/// User and password of HTTP Basic, each form-encoded (RFC 6749 §2.3.1).
fn basic_credentials(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = json::base64::decode(rest.trim())?;
    let at = bytes.iter().position(|byte| *byte == b':')?;
    let part = |bytes: &[u8]| {
        let form = Form::parse(&[b"x=".as_slice(), bytes].concat())?;
        Some(form.only("x").unwrap_or_default().to_string())
    };
    Some((part(&bytes[..at])?, part(&bytes[at + 1..])?))
}

/// Whether two secrets are the same, in a time that tells nothing about where they differ.
pub(crate) fn is_same(known: &str, given: &str) -> bool {
    known.len() == given.len()
        && known.bytes().zip(given.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uris: &[&str]) -> Client {
        Client {
            name: None,
            redirect_uris: uris.iter().map(|uri| uri.to_string()).collect(),
            method: Method::Public,
            refreshes: true,
            host: None,
        }
    }

    #[test]
    fn redirects_are_exact_but_for_loopback_ports() {
        let client = client(&[
            "https://a.example/cb",
            "http://127.0.0.1/cb",
            "http://localhost:1/x?y",
            "com.example:/cb",
        ]);
        for uri in [
            "https://a.example/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:33418/cb",
            "http://localhost:5/x?y",
            "com.example:/cb",
        ] {
            assert!(client.may_redirect_to(uri), "{uri}");
        }
        for uri in [
            "https://a.example/cb/",
            "https://a.example/cb2",
            "https://a.example/c",
            "https://a.example/cb?x=1",
            "https://a.example/cb#x",
            "https://a.example:443/cb",
            "https://a.example:8443/cb",
            "http://a.example/cb",
            "https://A.example/cb",
            "https://a.example./cb",
            "https://a.example/%63b",
            "https://a.example//cb",
            "https://a.example/x/../cb",
            "https://user@a.example/cb",
            "https://a.example@b.example/cb",
            "https://a.example.b.example/cb",
            "https://b.example/https://a.example/cb",
            "https://а.example/cb",
            "http://127.0.0.1:1/cb/",
            "http://127.0.0.2:1/cb",
            "http://localhost:1/cb",
            "http://127.0.0.1.b.example/cb",
            "http://127.0.0.1:1@b.example/cb",
            "http://0x7f.1/cb",
            "http://[::1]/cb",
            "https://127.0.0.1/cb",
            "http://127.0.0.1:99999/cb",
            "http://localhost.b.example:1/x?y",
            "com.example:/cb2",
            "com.example:cb",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!client.may_redirect_to(uri), "{uri}");
        }
    }

    #[test]
    fn only_harmless_redirects_are_registered() {
        for uri in [
            "https://a.example",
            "http://[::1]:1/",
            "cursor://x/y",
            "com.example.app:/cb",
            "https://127.0.0.1/",
        ] {
            assert!(may_be_redirect(uri), "{uri}");
        }
        for uri in [
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "http://a.example/",
            "blob:https://a/",
            "vbscript:x",
            "about:blank",
            "ftp://a.example/",
            "https:a.example",
            "https://a.example/#x",
            "/cb",
            "mailto:a",
        ] {
            assert!(!may_be_redirect(uri), "{uri}");
        }
    }

    #[test]
    fn names_cannot_deceive_the_eye() {
        assert_eq!(shown("  Good\u{202e}\nClient\u{200b}  x "), "GoodClient x");
        assert_eq!(shown(&"a".repeat(100)).len(), MAX_NAME);
    }
}
