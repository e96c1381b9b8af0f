//! An issuer, the world around the gateway, and one request: what every test of this crate is made of.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod issuer;

use authorizer::{
    App, AuthError, Caller, Config, ConfigError, Env, RequestView, Response, StoreSeal, ToolCall,
    ToolIdentity, Verdict, check,
};
use issuer::{Signer, jwks, sign};
use serde_json::{Value, json};
use std::collections::HashMap;

pub const NOW: u64 = 1_900_000_000;
pub const ISSUER: &str = "https://login.acme.dev";
pub const RESOURCE: &str = "https://tools.acme.dev/mcp";
pub const JWKS_URL: &str = "https://login.acme.dev/keys";

/// The world, as tests break it.
pub struct World {
    pub now_ns: u64,
    /// What the issuer's key endpoint answers; `None` is an outage.
    pub jwks: Option<Vec<u8>>,
    pub fetched: Vec<String>,
    pub store: HashMap<String, Vec<u8>>,
    pub store_is_down: bool,
    pub policy: Option<(String, String)>,
    pub api_keys: Option<String>,
    pub log: Vec<String>,
}

impl World {
    pub fn new() -> World {
        World {
            now_ns: NOW * 1_000_000_000,
            jwks: Some(jwks(&Signer::ALL).to_string().into_bytes()),
            fetched: Vec::new(),
            store: HashMap::new(),
            store_is_down: false,
            policy: None,
            api_keys: None,
            log: Vec::new(),
        }
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now_ns += seconds * 1_000_000_000;
    }
}

impl Env for World {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn fetch(&mut self, url: &str, max_bytes: usize) -> Option<Vec<u8>> {
        self.fetched.push(url.to_string());
        self.jwks.clone().filter(|body| body.len() <= max_bytes)
    }

    fn kv_get(&mut self, key: &str) -> Option<Vec<u8>> {
        if self.store_is_down { None } else { self.store.get(key).cloned() }
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) {
        if !self.store_is_down {
            self.store.insert(key.to_string(), value.to_vec());
        }
    }

    fn policy(&mut self) -> Option<(String, String)> {
        self.policy.clone()
    }

    fn api_keys(&mut self) -> Option<String> {
        self.api_keys.clone()
    }

    fn log(&mut self, line: String) {
        self.log.push(line);
    }
}

/// One request with everything that decides about it. [`Case::new`] is legitimate; a test changes a part.
pub struct Case {
    pub world: World,
    pub config: Value,
    /// The variable `store_seal`: uid, colon, sealing key.
    pub store_seal: String,
    pub header: Value,
    pub claims: Value,
    pub signer: Signer,
    /// Instead of the token that header, claims and signer give.
    pub token: Option<String>,
    /// Instead of `Bearer TOKEN`; the value of one header each.
    pub authorization: Option<Vec<Vec<u8>>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub path: String,
    pub component: Option<String>,
    pub call: Option<Call>,
}

/// A tool call: its canonical identity, the scopes that the tool asks for, and the arguments.
#[derive(Clone)]
pub struct Call {
    pub component: String,
    pub tool: String,
    pub scopes: Vec<String>,
    pub arguments: Value,
}

impl Call {
    pub fn new(component: &str, tool: &str) -> Call {
        Call { component: component.into(), tool: tool.into(), scopes: Vec::new(), arguments: json!({}) }
    }
}

impl Case {
    pub fn new() -> Case {
        Case {
            world: World::new(),
            config: json!({
                "name": "assistant-tools",
                "resource": RESOURCE,
                "storeShared": false,
                "auth": {
                    "access": "private",
                    "issuer": ISSUER,
                    "audiences": [RESOURCE],
                    "jwksUri": JWKS_URL,
                    "publicKey": null,
                    "algorithms": ["RS256", "ES256", "ES384", "EdDSA"],
                    "requiredScopes": ["mcp:tools"],
                    "allowedSubjects": ["alice"],
                    "organization": null,
                    "hasPolicy": false,
                    "leewaySeconds": 60,
                    "authorizationServers": [ISSUER],
                },
            }),
            store_seal: String::new(),
            header: json!({"alg": "ES256", "kid": "p256", "typ": "at+jwt"}),
            claims: json!({
                "iss": ISSUER,
                "aud": RESOURCE,
                "sub": "alice",
                "exp": NOW + 600,
                "nbf": NOW - 10,
                "iat": NOW - 10,
                "scope": "openid mcp:tools",
                "client_id": "desktop",
            }),
            signer: Signer::P256,
            token: None,
            authorization: None,
            headers: vec![("host".into(), b"tools.acme.dev".to_vec())],
            path: "/mcp".into(),
            component: None,
            call: None,
        }
    }

    /// Let `signer` sign, with its own algorithm and `kid`.
    pub fn signed_by(&mut self, signer: Signer) {
        self.signer = signer;
        self.header["alg"] = json!(signer.algorithm());
        self.header["kid"] = json!(signer.key_id());
    }

    /// `access: custom` with this policy alone.
    pub fn with_policy(&mut self, rego: &str, data: &str) {
        self.auth("access", json!("custom"));
        self.auth("allowedSubjects", json!([]));
        self.auth("hasPolicy", json!(true));
        self.world.policy = Some((rego.into(), data.into()));
    }

    pub fn auth(&mut self, name: &str, value: Value) {
        self.config["auth"][name] = value;
    }

    pub fn token(&self) -> String {
        self.token.clone().unwrap_or_else(|| sign(self.signer, &self.header, &self.claims.to_string()))
    }

    pub fn all_headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = self.headers.clone();
        let values = match &self.authorization {
            Some(values) => values.clone(),
            None => vec![format!("Bearer {}", self.token()).into_bytes()],
        };
        headers.extend(values.into_iter().map(|value| ("authorization".to_string(), value)));
        headers
    }

    pub fn config(&self) -> Config {
        rules(&self.config, &self.store_seal).unwrap_or_else(|error| panic!("{}", error.0))
    }

    /// The decision about the request, and about the call if there is one, as the client gets it.
    pub fn run(&mut self) -> Result<Box<Caller>, Response> {
        self.judge().map_err(|refusal| refusal.response)
    }

    /// The word that the log has for a refusal.
    pub fn reason(&mut self) -> &'static str {
        self.judge().err().map_or("allowed", |refusal| refusal.reason.word())
    }

    /// The decision with its reason.
    pub fn judge(&mut self) -> Result<Box<Caller>, AuthError> {
        let headers = self.all_headers();
        let config = self.config();
        let path = self.path.clone();
        let component = self.component.clone();
        let request =
            RequestView { method: "POST", path: &path, component: component.as_deref(), headers: &headers };
        let mut caller = match check(&config, &request, &mut self.world) {
            Verdict::Allow(caller) => caller,
            Verdict::Deny(refusal) => return Err(refusal),
        };
        if let Some(call) = &self.call {
            let tool = ToolIdentity { component: &call.component, tool: &call.tool, scopes: &call.scopes };
            let call = ToolCall { tool, arguments: &call.arguments };
            caller.authorize_call(&config, &request, &call, &mut self.world)?;
        }
        Ok(caller)
    }

    /// The mask of a list of these tools.
    pub fn list(&mut self, tools: &[(&str, &str)]) -> Result<Vec<bool>, Response> {
        let mut caller = self.run()?;
        let (headers, config, path) = (self.all_headers(), self.config(), self.path.clone());
        let component = self.component.clone();
        let component = component.as_deref();
        let request = RequestView { method: "POST", path: &path, component, headers: &headers };
        let tools: Vec<ToolIdentity> =
            tools.iter().map(|(component, tool)| ToolIdentity { component, tool, scopes: &[] }).collect();
        caller
            .authorize_list(&config, &request, component, &tools, &mut self.world)
            .map_err(|refusal| refusal.response)
    }

    /// Whether another method than a call or a list is granted.
    pub fn other(&mut self, method: &str, tools: &[(&str, &str)]) -> Result<(), Response> {
        let mut caller = self.run()?;
        let (headers, config, path) = (self.all_headers(), self.config(), self.path.clone());
        let component = self.component.clone();
        let request =
            RequestView { method: "POST", path: &path, component: component.as_deref(), headers: &headers };
        if caller.grants(&request, method, &mut self.world) {
            return Ok(());
        }
        let tools: Vec<ToolIdentity> =
            tools.iter().map(|(component, tool)| ToolIdentity { component, tool, scopes: &[] }).collect();
        caller.authorize_any(&config, &request, &tools, &mut self.world).map_err(|refusal| refusal.response)
    }
}

/// A header of a response.
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The rules in a `gateway_config`; one without a digest has another one whatever is changed in it.
pub fn rules(config: &Value, store_seal: &str) -> Result<Config, ConfigError> {
    let app = App {
        name: config["name"].as_str().unwrap_or_default().into(),
        resource: config["resource"].as_str().map(String::from),
        seal: StoreSeal::new(
            store_seal,
            config["app"].as_str().unwrap_or(&config.to_string()),
            config["storeShared"].as_bool().unwrap_or(true),
        ),
    };
    Config::parse(&config["auth"].to_string(), app)
}
