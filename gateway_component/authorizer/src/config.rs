//! `gateway_config.auth`, parsed once per request into narrow types. Anything odd is an error, never a default
//! that would let more callers in.

use crate::algorithm::Algorithm;
use crate::encoding::is_loopback;
use crate::memory::Seal;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Why the configuration cannot be used; for the log, never for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(pub &'static str);

/// The rules of an app that is not public.
pub struct Config {
    pub(crate) access: Access,
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) keys: KeySource,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) required_scopes: Vec<String>,
    pub(crate) allowed_subjects: Vec<String>,
    pub(crate) organization: Option<Organization>,
    pub(crate) has_policy: bool,
    pub(crate) leeway: f64,
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) server_metadata: Option<String>,
    pub(crate) scopes_supported: Option<Vec<String>>,
    pub(crate) resource: Option<Resource>,
    pub(crate) name: String,
    /// Differs wherever anything above does: what is remembered under one configuration is unknown to every other.
    pub(crate) digest: Vec<u8>,
    pub(crate) seal: Seal,
}

/// FTL's access modes, `public` aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Private,
    Org,
    Custom,
}

/// Where the issuer's keys come from; exactly one source.
pub(crate) enum KeySource {
    /// Fetched and cached.
    Url(String),
    /// A JWK set fixed at compose time (a cluster's own issuer, which the gateway cannot reach).
    Set(Value),
    /// One public key in PEM.
    Pem(String),
}

/// The `organization` rule.
pub(crate) struct Organization {
    pub(crate) claim: String,
    pub(crate) value: String,
    pub(crate) members: Vec<String>,
}

/// The canonical URL of the MCP endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Scheme and authority, such as `https://tools.acme.dev`.
    pub(crate) origin: String,
    /// The path below it, such as `/mcp`; no slash at its end.
    pub(crate) path: String,
}

impl Resource {
    /// Parse an absolute URL without query or fragment; `https`, or `http` (a route inside a cluster).
    pub(crate) fn parse(url: &str) -> Option<Resource> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic())
            && !url.contains(['?', '#', '"', '\\', '@', '<', '>']);
        (matches!(scheme, "https" | "http") && !authority.is_empty() && plain).then(|| Resource {
            origin: format!("{scheme}://{authority}"),
            path: path.trim_end_matches('/').to_string(),
        })
    }
}

const MAX_LEEWAY: f64 = 300.0;

impl Config {
    /// Read `gateway_config`: `Ok(None)` only when `auth` is there and `null`, which is what `access: public` writes.
    ///
    /// `secret` is a value that only the gateway of this app knows (the variable `probe_token`; empty if there is
    /// none). It seals what the crate keeps in the key-value store, since a tool may have been granted the same store.
    pub fn parse(gateway_config: &Value, secret: &[u8]) -> Result<Option<Config>, ConfigError> {
        let root = gateway_config.as_object().ok_or(ConfigError("not an object"))?;
        let auth = match root.get("auth") {
            None => return Err(ConfigError("auth is missing")),
            Some(Value::Null) => return Ok(None),
            Some(Value::Object(auth)) => auth,
            Some(_) => return Err(ConfigError("auth is neither null nor an object")),
        };
        let resource = match root.get("resource") {
            None | Some(Value::Null) => None,
            Some(Value::String(url)) => {
                Some(Resource::parse(url).ok_or(ConfigError("resource is not a URL"))?)
            }
            Some(_) => return Err(ConfigError("resource is not a string")),
        };
        let config = Config {
            access: match auth.get("access").and_then(Value::as_str) {
                Some("private") => Access::Private,
                Some("org") => Access::Org,
                Some("custom") => Access::Custom,
                _ => return Err(ConfigError("access is not known")),
            },
            issuer: optional_text(auth, "issuer")?,
            audiences: texts(auth, "audiences")?,
            keys: key_source(auth)?,
            algorithms: texts(auth, "algorithms")?
                .iter()
                .map(|name| Algorithm::parse(name).ok_or(ConfigError("algorithm is not supported")))
                .collect::<Result<_, _>>()?,
            required_scopes: texts(auth, "requiredScopes")?,
            allowed_subjects: texts(auth, "allowedSubjects")?,
            organization: organization(auth)?,
            has_policy: flag(auth, "hasPolicy")?.unwrap_or(false),
            leeway: match auth.get("leewaySeconds") {
                None | Some(Value::Null) => 60.0,
                Some(value) => value
                    .as_f64()
                    .filter(|seconds| (0.0..=MAX_LEEWAY).contains(seconds))
                    .ok_or(ConfigError("leewaySeconds is not between 0 and 300"))?,
            },
            authorization_servers: texts(auth, "authorizationServers")?,
            server_metadata: optional_text(auth, "authorizationServerMetadata")?,
            scopes_supported: match auth.get("scopesSupported") {
                None | Some(Value::Null) => None,
                Some(_) => Some(texts(auth, "scopesSupported")?),
            },
            resource,
            name: optional_text(root, "title")?.or(optional_text(root, "name")?).unwrap_or_default(),
            digest: digest(root, auth),
            seal: Seal::new(secret, flag(auth, "storeShared")?.unwrap_or(false)),
        };
        config.demand_a_rule()?;
        Ok(Some(config))
    }

    /// Fail closed: a token must be bound to this app, and something must say whose token it may be.
    fn demand_a_rule(&self) -> Result<(), ConfigError> {
        if self.audiences.is_empty() {
            return Err(ConfigError("no audience"));
        }
        if self.algorithms.is_empty() {
            return Err(ConfigError("no algorithm"));
        }
        let usable = match self.access {
            Access::Private => !self.allowed_subjects.is_empty() || self.has_policy,
            Access::Org => self.organization.is_some(),
            Access::Custom => self.has_policy,
        };
        usable.then_some(()).ok_or(ConfigError("no rule says who may call"))
    }
}

/// The digest that the whole app was composed under, which the operator wrote; without one, of what is read here.
fn digest(root: &Map<String, Value>, auth: &Map<String, Value>) -> Vec<u8> {
    if let Some(Value::String(app)) = root.get("app") {
        return app.as_bytes().to_vec();
    }
    let resource = root.get("resource").cloned().unwrap_or_default();
    Sha256::digest(format!("{}\n{resource}", Value::Object(auth.clone()))).to_vec()
}

fn key_source(auth: &Map<String, Value>) -> Result<KeySource, ConfigError> {
    let set = match auth.get("jwks") {
        None | Some(Value::Null) => None,
        Some(set @ Value::Object(_)) => Some(set.clone()),
        Some(_) => return Err(ConfigError("jwks is not an object")),
    };
    match (optional_text(auth, "jwksUri")?, set, optional_text(auth, "publicKey")?) {
        (Some(url), None, None) if is_secure(&url) => Ok(KeySource::Url(url)),
        (Some(_), None, None) => Err(ConfigError("jwksUri is not HTTPS")),
        (None, Some(set), None) => Ok(KeySource::Set(set)),
        (None, None, Some(pem)) => Ok(KeySource::Pem(pem)),
        _ => Err(ConfigError("not exactly one source of keys")),
    }
}

/// HTTPS, or plain HTTP to this machine (a development issuer).
fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
        || url
            .strip_prefix("http://")
            .is_some_and(|rest| is_loopback(rest.split(['/', '?', '#']).next().unwrap_or_default()))
}

fn organization(auth: &Map<String, Value>) -> Result<Option<Organization>, ConfigError> {
    let rule = match auth.get("organization") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(rule)) => rule,
        Some(_) => return Err(ConfigError("organization is not an object")),
    };
    let missing = ConfigError("organization lacks its claim or value");
    Ok(Some(Organization {
        claim: optional_text(rule, "claim")?.ok_or(missing)?,
        value: optional_text(rule, "value")?.ok_or(missing)?,
        members: texts(rule, "members")?,
    }))
}

/// A string; absent, null and empty are all "none".
fn optional_text(object: &Map<String, Value>, key: &str) -> Result<Option<String>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(_) => Err(ConfigError("a text has another type")),
    }
}

fn texts(object: &Map<String, Value>, key: &str) -> Result<Vec<String>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item.as_str() {
                Some(text) if !text.is_empty() => Ok(text.to_string()),
                _ => Err(ConfigError("a list has an entry that is not a text")),
            })
            .collect(),
        Some(_) => Err(ConfigError("a list has another type")),
    }
}

fn flag(object: &Map<String, Value>, key: &str) -> Result<Option<bool>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(ConfigError("a flag is not a boolean")),
    }
}
