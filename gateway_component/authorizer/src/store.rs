//! What the gateway keeps in its key-value store between requests, and how far it can be trusted.
//!
//! A tool may have been granted the gateway's store, and two apps may share one. So every entry is sealed by a key of
//! its own, which only this app's gateway is given (a Secret), and bound to the app, to what it was composed of, to the
//! purpose of the entry and to its name. An entry that was forged, copied from another app or another version, or moved
//! to another name or purpose is no entry. Without a key nothing is kept in a store that anybody else may write.

use crate::Env;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The least length of a sealing key, in bytes. A shorter one counts as none.
const MIN_KEY: usize = 16;
const MAC_LENGTH: usize = 32;

/// What an entry of the store is for. An entry of one purpose is worth nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An issuer's key set.
    KeySet,
    /// The moment at which an issuer was last asked.
    FetchAttempt,
    /// That a token was verified.
    VerifiedToken,
    /// What a dynamic component said about its tools.
    ToolList,
    /// That all tools have answered once.
    Readiness,
    /// How many calls were refused for one reason.
    RefusalCount,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::KeySet => "jwks",
            Purpose::FetchAttempt => "jwks-tried",
            Purpose::VerifiedToken => "token",
            Purpose::ToolList => "tools",
            Purpose::Readiness => "ready",
            Purpose::RefusalCount => "refused",
        }
    }
}

/// The seal of one app's entries.
pub struct StoreSeal {
    pub(crate) protection: Protection,
    /// Differs between apps; empty where nobody said which app this is (outside a cluster).
    pub(crate) app: String,
    /// Differs between whatever an app is composed of.
    pub(crate) composed: Vec<u8>,
}

pub(crate) enum Protection {
    Key(Vec<u8>),
    /// Nobody else can write to the store.
    Exclusive,
    /// Others can write to the store and there is no key: it is not used.
    None,
}

impl StoreSeal {
    /// The seal of an app.
    ///
    /// `variable` is the gateway's variable `store_seal`: the app's uid, a colon, and the sealing key; both may be
    /// empty. `composed` is the digest of what the app is composed of. `shared` says whether anybody else may write to
    /// the store.
    pub fn new(variable: &str, composed: &str, shared: bool) -> StoreSeal {
        let (app, key) = variable.split_once(':').unwrap_or_default();
        let key = key.trim();
        let protection = match (key.len() >= MIN_KEY, shared) {
            (true, _) => Protection::Key(key.as_bytes().to_vec()),
            (false, false) => Protection::Exclusive,
            (false, true) => Protection::None,
        };
        StoreSeal { protection, app: app.to_string(), composed: composed.as_bytes().to_vec() }
    }

    /// The value of an entry; `None` if it is absent, was not sealed by this app's gateway for this purpose and name,
    /// or the store is not used.
    pub fn get(&self, env: &mut dyn Env, purpose: Purpose, name: &str) -> Option<Vec<u8>> {
        match self.protection {
            Protection::None => None,
            Protection::Exclusive => env.kv_get(&self.entry(purpose, name)),
            Protection::Key(ref key) => {
                let mut value = env.kv_get(&self.entry(purpose, name))?;
                let at = value.len().checked_sub(MAC_LENGTH)?;
                let tag = value.split_off(at);
                self.mac(key, purpose, name, &value)?.verify_slice(&tag).ok()?;
                Some(value)
            }
        }
    }

    /// Keep a value; a store that fails, or that is not used, forgets it.
    pub fn set(&self, env: &mut dyn Env, purpose: Purpose, name: &str, value: &[u8]) {
        match self.protection {
            Protection::None => {}
            Protection::Exclusive => env.kv_set(&self.entry(purpose, name), value),
            Protection::Key(ref key) => {
                if let Some(mac) = self.mac(key, purpose, name, value) {
                    let sealed = [value, mac.finalize().into_bytes().as_slice()].concat();
                    env.kv_set(&self.entry(purpose, name), &sealed);
                }
            }
        }
    }

    /// The store's name of an entry: apps that share a store do not overwrite each other's.
    pub(crate) fn entry(&self, purpose: Purpose, name: &str) -> String {
        format!("ftl/{}/{}/{name}", self.app, purpose.name())
    }

    fn mac(&self, key: &[u8], purpose: Purpose, name: &str, value: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        for part in [
            b"ftl store entry".as_slice(),
            purpose.name().as_bytes(),
            self.app.as_bytes(),
            &self.composed,
            name.as_bytes(),
            value,
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Some(mac)
    }
}
