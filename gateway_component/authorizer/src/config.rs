//! `auth` of `gateway_config`, parsed once per request into narrow types. Anything odd is an error, never a default
//! that would let more callers in.

use crate::algorithm::Algorithm;
use crate::encoding::is_loopback;
use crate::store::StoreSeal;
use json::object::{Object, object};
use serde::Deserialize;
use serde_json::Value;

/// Why the configuration cannot be used; for the log, never for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(pub &'static str);

/// The rules of an app that is not public.
pub struct Config {
    pub(crate) access: Access,
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Vec<String>,
    /// By what tokens are judged; `None` if no token is accepted, only API keys.
    pub(crate) keys: Option<KeySource>,
    pub(crate) api_keys: bool,
    /// The header types of tokens that are accepted, in small letters; empty for the usual ones.
    pub(crate) token_types: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) required_scopes: Vec<String>,
    pub(crate) allowed_subjects: Vec<String>,
    /// Whether every subject of the issuer may call, where none is listed: its people were made for this app.
    pub(crate) every_subject: bool,
    pub(crate) organization: Option<Organization>,
    pub(crate) has_policy: bool,
    pub(crate) leeway: f64,
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) server_metadata: Option<String>,
    pub(crate) scopes_supported: Option<Vec<String>>,
    /// What clients are told to ask for, where that is not what the token has.
    pub(crate) advertised_scopes: Vec<String>,
    pub(crate) resource: Option<Resource>,
    pub(crate) name: String,
    /// Bound to all of the configuration: what is kept under one is unknown to every other.
    pub(crate) seal: StoreSeal,
}

/// FTL's access modes, `public` aside.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
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

/// What else of `gateway_config` the rules hang on.
pub struct App {
    /// What people know the app by.
    pub name: String,
    /// The URL of the MCP endpoint.
    pub resource: Option<String>,
    /// By what is protected what is kept between requests.
    pub seal: StoreSeal,
}

/// `auth`, whose absent and null members are the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    access: Access,
    issuer: Option<String>,
    audiences: Option<Vec<String>>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    public_key: Option<String>,
    algorithms: Option<Vec<String>>,
    required_scopes: Option<Vec<String>>,
    allowed_subjects: Option<Vec<String>>,
    organization: Option<Object<OrganizationRule>>,
    has_policy: Option<bool>,
    leeway_seconds: Option<f64>,
    authorization_servers: Option<Vec<String>>,
    authorization_server_metadata: Option<String>,
    scopes_supported: Option<Vec<String>>,
    advertised_scopes: Option<Vec<String>>,
    api_keys: Option<bool>,
    token_types: Option<Vec<String>>,
    every_subject: Option<bool>,
}

#[derive(Deserialize)]
struct OrganizationRule {
    claim: Option<String>,
    value: Option<String>,
    members: Option<Vec<String>>,
}

impl Config {
    /// Read the object `auth`, which an app that is not public has.
    pub fn parse(auth: &str, app: App) -> Result<Config, ConfigError> {
        let auth: Auth = object(auth).ok_or(ConfigError("it cannot be read"))?;
        let resource = match app.resource {
            None => None,
            Some(url) => Some(Resource::parse(&url).ok_or(ConfigError("resource is not a URL"))?),
        };
        let config = Config {
            access: auth.access,
            issuer: text(auth.issuer),
            audiences: texts(auth.audiences)?,
            keys: key_source(text(auth.jwks_uri), auth.jwks, text(auth.public_key))?,
            api_keys: auth.api_keys.unwrap_or(false),
            token_types: texts(auth.token_types)?.iter().map(|name| media_type(name)).collect(),
            algorithms: texts(auth.algorithms)?
                .iter()
                .map(|name| Algorithm::parse(name).ok_or(ConfigError("algorithm is not supported")))
                .collect::<Result<_, _>>()?,
            required_scopes: texts(auth.required_scopes)?,
            allowed_subjects: texts(auth.allowed_subjects)?,
            organization: auth.organization.map(|rule| organization(rule.0)).transpose()?,
            has_policy: auth.has_policy.unwrap_or(false),
            leeway: Some(auth.leeway_seconds.unwrap_or(60.0))
                .filter(|seconds| (0.0..=MAX_LEEWAY).contains(seconds))
                .ok_or(ConfigError("leewaySeconds is not between 0 and 300"))?,
            authorization_servers: texts(auth.authorization_servers)?,
            server_metadata: text(auth.authorization_server_metadata),
            scopes_supported: auth.scopes_supported.map(|scopes| texts(Some(scopes))).transpose()?,
            advertised_scopes: texts(auth.advertised_scopes)?,
            resource,
            name: app.name,
            seal: app.seal,
            every_subject: auth.every_subject.unwrap_or(false),
        };
        config.demand_a_rule()?;
        Ok(config)
    }

    /// Fail closed: a token must be bound to this app, and something must say whose token it may be.
    fn demand_a_rule(&self) -> Result<(), ConfigError> {
        if self.keys.is_none() && !self.api_keys {
            return Err(ConfigError("no source of keys"));
        }
        if self.keys.is_some() && self.audiences.is_empty() {
            return Err(ConfigError("no audience"));
        }
        if self.keys.is_some() && self.algorithms.is_empty() {
            return Err(ConfigError("no algorithm"));
        }
        let usable = match self.access {
            // Whoever has an API key was given it for this app.
            Access::Private => {
                !self.allowed_subjects.is_empty() || self.has_policy || self.api_keys || self.every_subject
            }
            Access::Org => self.organization.is_some(),
            Access::Custom => self.has_policy,
        };
        usable.then_some(()).ok_or(ConfigError("no rule says who may call"))
    }
}

fn key_source(
    url: Option<String>,
    set: Option<Value>,
    pem: Option<String>,
) -> Result<Option<KeySource>, ConfigError> {
    match (url, set, pem) {
        (None, None, None) => Ok(None),
        (Some(url), None, None) if is_secure(&url) => Ok(Some(KeySource::Url(url))),
        (Some(_), None, None) => Err(ConfigError("jwksUri is not HTTPS")),
        (None, Some(set), None) if set.is_object() => Ok(Some(KeySource::Set(set))),
        (None, Some(_), None) => Err(ConfigError("jwks is not an object")),
        (None, None, Some(pem)) => Ok(Some(KeySource::Pem(pem))),
        _ => Err(ConfigError("more than one source of keys")),
    }
}

/// HTTPS, or plain HTTP to this machine (a development issuer).
fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
        || url
            .strip_prefix("http://")
            .is_some_and(|rest| is_loopback(rest.split(['/', '?', '#']).next().unwrap_or_default()))
}

fn organization(rule: OrganizationRule) -> Result<Organization, ConfigError> {
    let missing = ConfigError("organization lacks its claim or value");
    Ok(Organization {
        claim: text(rule.claim).ok_or(missing)?,
        value: text(rule.value).ok_or(missing)?,
        members: texts(rule.members)?,
    })
}

/// A header type as it is compared: `application/` may be left out (RFC 7515 §4.1.9).
pub(crate) fn media_type(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("application/").map(str::to_string).unwrap_or(name)
}

/// An empty text is none.
fn text(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty())
}

fn texts(given: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    let texts = given.unwrap_or_default();
    let empty = texts.iter().any(String::is_empty);
    if empty { Err(ConfigError("a list has an empty entry")) } else { Ok(texts) }
}
