//! `gateway_config`: the small variable that every request reads.

use crate::Host;
use authorizer::StoreSeal;
use json::text::string;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the operator baked into the application. Whatever is needed to decide who may call must be there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config<'a> {
    #[serde(borrow)]
    pub name: &'a RawValue,
    #[serde(borrow)]
    pub version: &'a RawValue,
    #[serde(borrow, default)]
    pub title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub description: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub icons: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub website_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub instructions: Option<&'a RawValue>,
    /// Digest over what was composed: the key of everything that is remembered.
    pub app: Cow<'a, str>,
    #[serde(default = "yes")]
    pub validate: bool,
    #[serde(default = "yes")]
    pub audit: bool,
    #[serde(default = "thirty_seconds")]
    pub timeout_ms: u64,
    #[serde(default = "eight_mebibytes")]
    pub max_response_bytes: usize,
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    #[serde(default)]
    pub list_ttl_ms: u64,
    /// Components whose tools are asked for at run time.
    #[serde(default)]
    pub dynamic: Vec<Dynamic>,
    #[serde(default)]
    pub resource: Option<String>,
    /// Whether anybody else may write to the key-value store.
    #[serde(default = "yes")]
    pub store_shared: bool,
    /// `null` is `access: public`; its absence is an error, never public.
    /// Read by the authorizer, once somebody's call is to be decided about.
    #[serde(borrow)]
    pub auth: &'a RawValue,
}

/// A component whose tools are not known before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dynamic {
    pub id: String,
    /// For a call of one of its tools.
    pub timeout_ms: u64,
}

impl<'a> Config<'a> {
    pub fn parse(text: &'a str) -> Result<Config<'a>, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether everyone may call.
    pub fn is_public(&self) -> bool {
        self.auth.get() == "null"
    }

    /// What people know the app by.
    pub fn shown_name(&self) -> String {
        let title = self.title.and_then(string).filter(|title| !title.is_empty());
        title.or_else(|| string(self.name)).unwrap_or_default().into_owned()
    }

    /// The seal of what this app keeps in the key-value store.
    pub fn store_seal(&self, host: &mut dyn Host) -> StoreSeal {
        let variable = host.variable("store_seal").unwrap_or_default();
        StoreSeal::new(&variable, &self.app, self.store_shared)
    }

    /// The `Implementation` object of this server.
    pub fn server_info(&self) -> String {
        let mut text = String::with_capacity(256);
        text.push_str("{\"name\":");
        text.push_str(self.name.get());
        text.push_str(",\"version\":");
        text.push_str(self.version.get());
        for (key, value) in [
            ("title", self.title),
            ("description", self.description),
            ("icons", self.icons),
            ("websiteUrl", self.website_url),
        ] {
            if let Some(value) = value {
                text.push_str(",\"");
                text.push_str(key);
                text.push_str("\":");
                text.push_str(value.get());
            }
        }
        text.push('}');
        text
    }
}

fn yes() -> bool {
    true
}

fn thirty_seconds() -> u64 {
    30_000
}

fn eight_mebibytes() -> usize {
    8 << 20
}
