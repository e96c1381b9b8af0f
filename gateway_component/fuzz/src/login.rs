//! The login's endpoints, attacked by requests whose parts come from good ones: of a client, a person and a browser that
//! went the whole way, with their sealed texts swapped, cut and sent to where they do not belong.
//!
//! What must hold: nothing panics; no answer is a 5xx but for a provider or a store that fails; no redirect leads to
//! anything but this login, its provider or an address of the client's; a page repeats no markup; and there is a token
//! only for whoever brings the client's own code or refresh token.

use crate::dice::Dice;
use login::{Fetch, Fetched, Request, Response, StoreFailed, World, handle};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

const ISSUER: &str = "https://tools.example";
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
/// By [`VERIFIER`]; RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// What a page must never repeat as it is.
const MARKUP: &str = "<x onload='1'>\"";
/// A key pair for tests: `d` is 32 times 7.
const KEYS: &str = include_str!("login_keys.json");
const PASSWORD_LINE: &str = include_str!("login_user.txt");
const PASSWORD: &str = "correct horse";

/// The world of a login, with a store that sometimes fails.
struct FuzzWorld {
    dice: Dice,
    store: HashMap<String, Vec<u8>>,
    store_fails: bool,
    body: Option<Vec<u8>>,
    config: String,
    document: String,
}

impl FuzzWorld {
    fn new(dice: Dice, has_upstream: bool) -> FuzzWorld {
        let upstream = json!({
            "issuer": "https://idp.example", "clientId": "us", "scopes": ["openid"], "subjectClaim": "sub",
            "authorizationEndpoint": "https://idp.example/a", "tokenEndpoint": "https://idp.example/t",
            "jwksUri": "https://idp.example/k", "algorithms": ["ES256"], "name": "Example",
        });
        let config = json!({
            "issuer": ISSUER, "basePath": "", "name": "tools", "title": null, "audiences": ["https://tools.example/mcp"],
            "scopes": [{"name": "mcp:tools", "description": null}], "requiredScopes": [],
            "accessTokenSeconds": 900, "refreshTokenSeconds": 86400, "sessionSeconds": 3600,
            "clientHosts": ["client.example"], "registration": true,
            "upstream": if has_upstream { upstream } else { Value::Null },
        });
        FuzzWorld {
            dice,
            store: HashMap::new(),
            store_fails: false,
            body: None,
            config: config.to_string(),
            document: String::new(),
        }
    }
}

impl World for FuzzWorld {
    fn now(&self) -> u64 {
        1_000_000
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.dice.bits() as u8);
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        match name {
            "login_config" => Some(self.config.clone()),
            "login_keys" => Some(KEYS.into()),
            "login_users" => Some(format!("ann {PASSWORD_LINE}")),
            _ => None,
        }
    }

    fn body(&mut self, _limit: usize) -> Option<Vec<u8>> {
        self.body.take()
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreFailed> {
        if self.store_fails { Err(StoreFailed) } else { Ok(self.store.get(key).cloned()) }
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreFailed> {
        if self.store_fails {
            return Err(StoreFailed);
        }
        self.store.insert(key.into(), value.into());
        Ok(())
    }

    fn fetch(&mut self, _fetch: &Fetch) -> Option<Fetched> {
        let body = self.document.clone().into_bytes();
        (!body.is_empty()).then(|| Fetched {
            status: 200,
            content_type: Some("application/json".into()),
            body,
        })
    }

    fn log(&mut self, _line: String) {}
}

/// What a client and a person have after they went the whole way.
struct Loot {
    cookies: BTreeMap<String, String>,
    client: String,
    /// Sealed texts of every kind, the code and the refresh token last.
    sealed: Vec<String>,
}

/// Run one case. Err describes what is wrong.
pub fn case(seed: u64, number: u64, statuses: &mut BTreeMap<u16, usize>) -> Result<(), String> {
    let mut dice = Dice::new(seed, number);
    let has_upstream = dice.once_in(4);
    let mut world = FuzzWorld::new(Dice::new(!seed, number), false);
    let loot = loot(&mut world).ok_or("the whole way does not work")?;
    world.config = FuzzWorld::new(Dice::new(seed, number), has_upstream).config;
    for _ in 0..4 {
        world.store_fails = dice.once_in(8);
        let sent = Sent::generate(&mut dice, &loot);
        world.document = sent.document.clone();
        let answered = catch_unwind(AssertUnwindSafe(|| sent.send(&mut world)));
        let problem = match &answered {
            Err(_) => Some("it panicked".to_string()),
            Ok(response) => {
                *statuses.entry(response.status).or_default() += 1;
                sent.judge(response, &loot, world.store_fails)
            }
        };
        if let Some(problem) = problem {
            return Err(format!("case {number} of seed {seed}: {problem}\n{sent:?}"));
        }
    }
    Ok(())
}

/// Register, sign in, allow and exchange.
fn loot(world: &mut FuzzWorld) -> Option<Loot> {
    let mut cookies = BTreeMap::new();
    let metadata = json!({
        "client_name": MARKUP, "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let mut send = |method: &'static str, target: String, kind: &'static str, body: Option<String>| {
        let sent = Sent {
            method,
            target,
            headers: vec![("content-type".into(), kind.as_bytes().to_vec())],
            cookies: cookies.clone(),
            body,
            document: String::new(),
        };
        let response = sent.send(world);
        for (name, value) in &response.headers {
            if let ("set-cookie", Some((name, rest))) = (name.as_ref(), value.split_once('=')) {
                cookies.insert(name.to_string(), rest.split(';').next().unwrap_or_default().to_string());
            }
        }
        response
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let registered = send("POST", "/login/register".into(), "application/json", Some(metadata.to_string()));
    let client = value(&registered)?["client_id"].as_str()?.to_string();
    let query = format!(
        "response_type=code&client_id={client}&redirect_uri={CALLBACK}&code_challenge={CHALLENGE}\
         &code_challenge_method=S256&scope=mcp:tools"
    );
    let page = send("GET", format!("/login/authorize?{query}"), FORM, None);
    let pending = hidden(&page)?;
    let form = format!("request={pending}&username=ann&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = send("POST", "/login/sign-in".into(), FORM, Some(form));
    let location = header(&signed_in, "location")?.strip_prefix(ISSUER)?.to_string();
    let decision = hidden(&send("GET", location, FORM, None))?;
    let allowed =
        send("POST", "/login/consent".into(), FORM, Some(format!("request={decision}&decision=allow")));
    let code = header(&allowed, "location")?.split_once("code=")?.1.split('&').next()?.to_string();
    let form =
        format!("grant_type=authorization_code&client_id={client}&code={code}&code_verifier={VERIFIER}");
    let given = send("POST", "/login/token".into(), FORM, Some(form));
    let refresh = value(&given)?["refresh_token"].as_str()?.to_string();
    let mut sealed: Vec<String> = vec![client.clone(), pending, decision];
    sealed.extend(cookies.values().cloned());
    sealed.extend([code, refresh]);
    Some(Loot { cookies, client, sealed })
}

fn value(response: &Response) -> Option<Value> {
    serde_json::from_slice(&response.body).ok()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
}

fn hidden(page: &Response) -> Option<String> {
    let text = String::from_utf8_lossy(&page.body);
    let (_, rest) = text.split_once("name=\"request\" value=\"")?;
    Some(rest.split_once('"')?.0.to_string())
}

/// A request as it is sent.
#[derive(Debug)]
struct Sent {
    method: &'static str,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    cookies: BTreeMap<String, String>,
    body: Option<String>,
    document: String,
}

impl Sent {
    fn generate(dice: &mut Dice, loot: &Loot) -> Sent {
        const PATHS: [&str; 13] = [
            "/login/authorize",
            "/login/sign-in",
            "/login/consent",
            "/login/token",
            "/login/register",
            "/login/revoke",
            "/login/callback",
            "/login/sign-out",
            "/login/jwks",
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration/x",
            "/login/",
            "/login/authorize/",
        ];
        const NAMES: [&str; 25] = [
            "response_type",
            "client_id",
            "redirect_uri",
            "code_challenge",
            "code_challenge_method",
            "state",
            "scope",
            "resource",
            "prompt",
            "request",
            "decision",
            "username",
            "password",
            "grant_type",
            "code",
            "code_verifier",
            "refresh_token",
            "token",
            "client_secret",
            "ticket",
            "iss",
            "error",
            "response_mode",
            "nonce",
            "request_uri",
        ];
        let fields = |dice: &mut Dice| {
            let mut fields: Vec<(&str, String)> = vec![
                ("response_type", "code".into()),
                ("client_id", loot.client.clone()),
                ("redirect_uri", CALLBACK.into()),
                ("code_challenge", CHALLENGE.into()),
                ("code_challenge_method", "S256".into()),
                ("request", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("state", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("decision", dice.pick(&["allow", "deny"]).into()),
                ("grant_type", dice.pick(&["authorization_code", "refresh_token"]).into()),
                ("code", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("refresh_token", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("token", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("ticket", loot.sealed[dice.roll(loot.sealed.len())].clone()),
                ("username", "ann".into()),
                ("code_verifier", VERIFIER.into()),
            ];
            for _ in 0..dice.roll(4) {
                let name = dice.pick(&NAMES);
                match dice.roll(3) {
                    0 => fields.retain(|(known, _)| *known != name),
                    _ => fields.push((name, spoiled(dice, loot))),
                }
            }
            let pairs: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
            pairs.join("&")
        };
        let path = dice.pick(&PATHS);
        let method = match path {
            _ if dice.once_in(12) => dice.pick(&["GET", "HEAD", "POST", "OPTIONS", "PUT"]),
            "/login/authorize" | "/login/callback" | "/login/jwks" => "GET",
            "/login/consent" | "/login/sign-out" => dice.pick(&["GET", "POST"]),
            "/login/sign-in" | "/login/token" | "/login/register" | "/login/revoke" => "POST",
            _ => "GET",
        };
        let target =
            if dice.once_in(3) || method == "GET" { format!("{path}?{}", fields(dice)) } else { path.into() };
        let is_registration = path == "/login/register" && !dice.once_in(8);
        let body =
            (method == "POST").then(|| if is_registration { metadata(dice, loot) } else { fields(dice) });
        let kind = if is_registration { "application/json" } else { "application/x-www-form-urlencoded" };
        let mut headers = vec![("content-type".to_string(), kind.as_bytes().to_vec())];
        if dice.once_in(4) {
            let name = dice.pick(&[
                "origin",
                "x-forwarded-for",
                "spin-client-addr",
                "authorization",
                "content-type",
            ]);
            headers.push((name.into(), spoiled(dice, loot).into_bytes()));
        }
        let mut cookies = loot.cookies.clone();
        if dice.once_in(3) {
            let names: Vec<String> = cookies.keys().cloned().collect();
            let name = &names[dice.roll(names.len())];
            match dice.once_in(2) {
                true => cookies.remove(name),
                false => cookies.insert(name.clone(), spoiled(dice, loot)),
            };
        }
        Sent { method, target, headers, cookies, body, document: metadata(dice, loot) }
    }

    fn send(&self, world: &mut FuzzWorld) -> Response {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let line: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = self.headers.clone();
        headers.push(("cookie".into(), line.join("; ").into_bytes()));
        world.body = self.body.clone().map(String::into_bytes);
        handle(&Request { method: self.method, path, query, headers: &headers }, world)
    }

    /// What is wrong with an answer.
    fn judge(&self, response: &Response, loot: &Loot, store_fails: bool) -> Option<String> {
        let status = response.status;
        // 502 is a provider's answer that cannot be used; 503 a store that fails, or too many tries to know.
        if status >= 500 && !(status == 502 || status == 503 && store_fails) {
            return Some(format!("status {status}"));
        }
        if let Some(location) = header(response, "location") {
            let leads = ["https://tools.example/login/", "https://idp.example/a?", "https://app.example/cb?"]
                .iter()
                .any(|start| location.starts_with(start));
            let loopback = location.strip_prefix("http://127.0.0.1").is_some_and(|rest| {
                let port = rest
                    .strip_prefix(':')
                    .map_or(rest, |port| port.trim_start_matches(|c: char| c.is_ascii_digit()));
                port.starts_with("/callback?")
            });
            // Metadata of documents and registrations of this case have further addresses of the same kinds.
            if !leads && !loopback && !self.document.contains(location.split('?').next().unwrap_or_default())
            {
                return Some(format!("a redirect to {location}"));
            }
        }
        let text = String::from_utf8_lossy(&response.body);
        let is_page = header(response, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
        if is_page && (text.contains("<x") || text.contains("<script")) {
            return Some("a page repeats markup".into());
        }
        if response.headers.iter().any(|(_, value)| value.contains(['\r', '\n'])) {
            return Some("a header has a line break".into());
        }
        if text.contains("\"access_token\"") {
            let body = self.body.clone().unwrap_or_default();
            let brought = loot.sealed.iter().rev().take(2).any(|sealed| body.contains(sealed.as_str()));
            if !brought || !body.contains(&loot.client) {
                return Some("a token for somebody who brings nothing".into());
            }
        }
        None
    }
}

/// A text that may be anything.
fn spoiled(dice: &mut Dice, loot: &Loot) -> String {
    let own = &loot.sealed[dice.roll(loot.sealed.len())];
    match dice.roll(8) {
        0 => own.clone(),
        1 => own[..dice.roll(own.len())].to_string(),
        2 => {
            let mut bytes = own.clone().into_bytes();
            let at = dice.roll(bytes.len());
            bytes[at] = dice.pick(b"AZaz09-_.=");
            String::from_utf8(bytes).unwrap_or_default()
        }
        3 => MARKUP.into(),
        4 => dice
            .pick(&[
                "https://evil.example/",
                "//evil.example",
                "https://app.example@evil.example/cb",
                "javascript:alert(1)",
                "https://app.example/cb",
                "http://127.0.0.1:1/callback",
                "http://127.0.0.1@evil.example/callback",
                "https://client.example/m.json",
                "https://client.example/../m",
                "cursor://x/y",
                "https://[::1",
                "a b\r\nc",
            ])
            .into(),
        5 => dice
            .pick(&["", "none", "plain", "S256", "code", "token", "openid", "mcp:tools", "null", "é\u{202e}"])
            .into(),
        6 => "a".repeat(dice.roll(9000)),
        _ => format!("{}", dice.bits()),
    }
}

/// Metadata of a client, mostly good.
fn metadata(dice: &mut Dice, loot: &Loot) -> String {
    let mut metadata = json!({
        "client_id": "https://client.example/m.json", "client_name": MARKUP,
        "redirect_uris": [CALLBACK, "https://app.example/cb"], "grant_types": ["authorization_code"],
    });
    for _ in 0..dice.roll(3) {
        let name = dice.pick(&[
            "client_id",
            "client_name",
            "redirect_uris",
            "grant_types",
            "response_types",
            "token_endpoint_auth_method",
        ]);
        metadata[name] = match dice.roll(4) {
            0 => Value::Null,
            1 => json!([spoiled(dice, loot), spoiled(dice, loot)]),
            2 => json!(dice.roll(9)),
            _ => json!(spoiled(dice, loot)),
        };
    }
    match dice.once_in(10) {
        true => spoiled(dice, loot),
        false => metadata.to_string(),
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
