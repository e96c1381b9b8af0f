//! The variable `login_config`, which the operator composes.

use json::base64;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What this login is for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The app's public URL without a slash at its end; the `iss` of every token.
    pub(crate) issuer: String,
    /// The prefix that the route removes from paths: `/x`, or empty.
    pub(crate) base_path: String,
    /// The app's name.
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    /// Values of `resource` that a client may ask for (RFC 8707); the first one where it asks for none.
    pub(crate) audiences: Vec<String>,
    /// The scopes that may be granted.
    pub(crate) scopes: Vec<ScopeConfig>,
    /// Those that every token gets, whatever was asked for.
    pub(crate) required_scopes: Vec<String>,
    pub(crate) access_token_seconds: u64,
    pub(crate) refresh_token_seconds: u64,
    pub(crate) session_seconds: u64,
    /// Hosts whose documents about clients are read.
    pub(crate) client_hosts: Vec<String>,
    /// Whether clients may register (RFC 7591).
    pub(crate) registration: bool,
    pub(crate) upstream: Option<Upstream>,
}

/// A scope, and what it lets a client do, for people.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScopeConfig {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
}

/// The OpenID provider at which people sign in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// `sub` or `email`.
    pub(crate) subject_claim: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_uri: String,
    /// Signature algorithms of its ID tokens.
    pub(crate) algorithms: Vec<String>,
    /// How people know it.
    pub(crate) name: String,
}

impl Upstream {
    /// Another one for each provider, client or kind of subject: whoever signed in by another is somebody else here.
    pub(crate) fn fingerprint(&self) -> String {
        let parts = [&self.issuer, &self.client_id, &self.subject_claim].map(String::as_str).join("\n");
        base64::encode_url(&Sha256::digest(parts.as_bytes())[..9])
    }
}

impl Config {
    /// Read the variable. The error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if config.audiences.is_empty() {
            return Err("it names no audience".into());
        }
        Ok(config)
    }

    /// A URL of this app, as browsers and clients see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// How people know the app.
    pub(crate) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// Whether browsers reach the app by TLS. Without it, which is for loopback only, no cookie can be `Secure`.
    pub(crate) fn is_secure(&self) -> bool {
        self.issuer.starts_with("https://")
    }

    /// The audience that a `resource` means; `None` if it is another app's.
    pub(crate) fn audience(&self, resource: Option<&str>) -> Option<&str> {
        match resource {
            None => self.audiences.first().map(String::as_str),
            Some(resource) => {
                let bare = resource.trim_end_matches('/');
                self.audiences.iter().find(|known| known.trim_end_matches('/') == bare).map(String::as_str)
            }
        }
    }
}
