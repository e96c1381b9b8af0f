//! A login with two people, a browser that keeps cookies, and a client.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

use json::base64;
use login::{Fetch, Fetched, Request, Response, StoreFailed, World, handle};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

pub const ISSUER: &str = "https://tools.example";
pub const AUDIENCE: &str = "https://tools.example/mcp";
pub const PASSWORD: &str = "correct horse";
pub const VERIFIER: &str = "verifier-verifier-verifier-verifier-verifier";
pub const CALLBACK: &str = "http://127.0.0.1:33418/callback";
const HASH: &str = include_str!("../argon2id.txt");

/// The texts of `login_keys` with these seals and signing keys; the first one is the current one.
pub fn keys(numbers: &[u8]) -> String {
    let member = |(at, number): (usize, &u8)| {
        let secret = p256::ecdsa::SigningKey::from_slice(&[*number; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        json!({
            "kid": format!("k{number}"),
            "state": if at == 0 { "current" } else { "previous" },
            "sign": {
                "kty": "EC", "crv": "P-256", "d": base64::encode_url(&[*number; 32]),
                "x": base64::encode_url(point.x().unwrap()), "y": base64::encode_url(point.y().unwrap()),
            },
            "seal": format!("{number:02x}").repeat(32),
        })
    };
    let members: Vec<Value> = numbers.iter().enumerate().map(member).collect();
    json!({"version": 1, "keys": members}).to_string()
}

/// Everything outside the login.
pub struct Outside {
    pub now: u64,
    pub config: Value,
    pub keys: String,
    pub users: String,
    pub store: HashMap<String, Vec<u8>>,
    pub store_works: bool,
    /// What other servers answer, by URL.
    pub servers: HashMap<String, (u16, &'static str, String)>,
    /// URLs that were asked, with what was posted.
    pub asked: Vec<(String, Option<String>)>,
    pub log: Vec<String>,
    pub counter: u64,
    pub body: Option<Vec<u8>>,
}

impl Default for Outside {
    fn default() -> Outside {
        Outside {
            now: 1_000_000,
            config: json!({
                "issuer": ISSUER, "basePath": "", "name": "tools", "title": "Ann's <tools>",
                "audiences": [AUDIENCE],
                "scopes": [
                    {"name": "mcp:tools", "description": "Call tools"}, {"name": "write", "description": null},
                ],
                "requiredScopes": ["mcp:tools"],
                "accessTokenSeconds": 900, "refreshTokenSeconds": 86400, "sessionSeconds": 3600,
                "clientHosts": ["client.example"], "registration": true, "upstream": null,
            }),
            keys: keys(&[1]),
            users: format!("ann {0} email=ann@example.org\nbob {0} scopes=mcp:tools\n", HASH.trim()),
            store: HashMap::new(),
            store_works: true,
            servers: HashMap::new(),
            asked: Vec::new(),
            log: Vec::new(),
            counter: 0,
            body: None,
        }
    }
}

impl World for Outside {
    fn now(&self) -> u64 {
        self.now
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.counter += 1;
            chunk.copy_from_slice(&Sha256::digest(self.counter.to_be_bytes())[..chunk.len()]);
        }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        match name {
            "login_config" => Some(self.config.to_string()),
            "login_keys" => Some(self.keys.clone()),
            "login_users" => Some(self.users.clone()),
            "login_upstream_secret" => Some("upstream-secret".into()),
            _ => None,
        }
    }

    fn body(&mut self, _limit: usize) -> Option<Vec<u8>> {
        self.body.take()
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreFailed> {
        if self.store_works { Ok(self.store.get(key).cloned()) } else { Err(StoreFailed) }
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreFailed> {
        if !self.store_works {
            return Err(StoreFailed);
        }
        self.store.insert(key.into(), value.into());
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Option<Fetched> {
        self.asked.push((fetch.url.into(), fetch.form.clone()));
        let (status, content_type, body) = self.servers.get(fetch.url)?;
        (body.len() <= fetch.max_bytes).then(|| Fetched {
            status: *status,
            content_type: Some(content_type.to_string()),
            body: body.clone().into_bytes(),
        })
    }

    fn log(&mut self, line: String) {
        self.log.push(line);
    }
}

/// Text as it is in a query or form.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn fields(pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// Somebody's browser.
#[derive(Default, Clone)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Browser {
    pub fn get(&mut self, outside: &mut Outside, target: &str) -> Response {
        self.send(outside, "GET", target, None)
    }

    pub fn post(&mut self, outside: &mut Outside, path: &str, pairs: &[(&str, &str)]) -> Response {
        self.send(outside, "POST", path, Some(fields(pairs)))
    }

    fn send(&mut self, outside: &mut Outside, method: &str, target: &str, form: Option<String>) -> Response {
        let target = target.strip_prefix(ISSUER).unwrap_or(target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = self.headers.clone();
        headers.push(("host".into(), b"tools.example".to_vec()));
        if !self.cookies.is_empty() {
            let line: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push(("cookie".into(), line.join("; ").into_bytes()));
        }
        if let Some(form) = form {
            headers.push(("content-type".into(), b"application/x-www-form-urlencoded".to_vec()));
            outside.body = Some(form.into_bytes());
        }
        let response = handle(&Request { method, path, query, headers: &headers }, outside);
        for (name, value) in &response.headers {
            if name == "set-cookie" {
                let (pair, attributes) = value.split_once(';').unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                match attributes.contains("Max-Age=0") {
                    true => self.cookies.remove(name),
                    false => self.cookies.insert(name.into(), value.into()),
                };
            }
        }
        response
    }

    /// Sign in on the page of an answer; what comes then.
    pub fn sign_in(
        &mut self,
        outside: &mut Outside,
        page: &Response,
        name: &str,
        password: &str,
    ) -> Response {
        let request = hidden(page, "request").expect("the page has a request");
        let answer = self.post(
            outside,
            "/login/sign-in",
            &[("request", &request), ("username", name), ("password", password)],
        );
        match answer.status {
            303 => {
                let location = header(&answer, "location").unwrap();
                self.get(outside, &location)
            }
            _ => answer,
        }
    }

    /// Press Allow on a consent page.
    pub fn allow(&mut self, outside: &mut Outside, page: &Response) -> Response {
        let request = hidden(page, "request").expect("the page has a request");
        self.post(outside, "/login/consent", &[("request", &request), ("decision", "allow")])
    }
}

pub fn header(response: &Response, name: &str) -> Option<String> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_string())
}

pub fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

pub fn value(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// The first hidden field of a page.
pub fn hidden(page: &Response, name: &str) -> Option<String> {
    let page = text(page);
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(rest.split_once('"')?.0.to_string())
}

/// A field of the query of a redirect.
pub fn answered(response: &Response, name: &str) -> Option<String> {
    let location = header(response, "location")?;
    let (_, query) = location.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// Register a client; its id.
pub fn register(outside: &mut Outside, metadata: Value) -> Response {
    let headers = [("content-type".to_string(), b"application/json".to_vec())];
    outside.body = Some(metadata.to_string().into_bytes());
    handle(&Request { method: "POST", path: "/login/register", query: "", headers: &headers }, outside)
}

pub fn client(outside: &mut Outside) -> String {
    let metadata = json!({
        "client_name": "Editor <b>", "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/cb"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    value(&register(outside, metadata))["client_id"].as_str().unwrap().into()
}

/// The parameters of a good authorization request.
pub fn request<'a>(client: &'a str, challenge: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("state", "st&te"),
        ("scope", "mcp:tools write offline_access"),
        ("resource", AUDIENCE),
    ]
}

pub fn challenge() -> String {
    base64::encode_url(&Sha256::digest(VERIFIER.as_bytes()))
}

pub fn authorize(outside: &mut Outside, browser: &mut Browser, pairs: &[(&str, &str)]) -> Response {
    browser.get(outside, &format!("/login/authorize?{}", fields(pairs)))
}

/// The whole way to a code for ann.
pub fn code(outside: &mut Outside, browser: &mut Browser, client: &str) -> String {
    let challenge = challenge();
    let page = authorize(outside, browser, &request(client, &challenge));
    let consent = browser.sign_in(outside, &page, "ann", PASSWORD);
    answered(&browser.allow(outside, &consent), "code").expect("a code")
}

pub fn token(outside: &mut Outside, pairs: &[(&str, &str)]) -> Response {
    Browser::default().post(outside, "/login/token", pairs)
}

pub fn exchange(outside: &mut Outside, client: &str, code: &str) -> Response {
    token(
        outside,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("resource", AUDIENCE),
        ],
    )
}

pub fn refresh(outside: &mut Outside, client: &str, token_text: &str) -> Response {
    token(outside, &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token_text)])
}

/// The claims of an access token, unverified.
pub fn claims(response: &Response) -> Value {
    let token = value(response)["access_token"].as_str().unwrap().to_string();
    serde_json::from_slice(&base64::decode_url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}
