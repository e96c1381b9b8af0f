//! What is kept in the key-value store between requests, and how much it can be trusted.
//!
//! A tool may have been granted the gateway's own store, so every entry is sealed with a secret that only the gateway
//! knows. Where there is none and the store is shared, nothing is kept. Entries are bounded in number: a remembered
//! signature lives in one of [`SLOTS`] slots that its digest chooses, and a later one replaces it.

use crate::Env;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512_256};

/// How many verified signatures are remembered at most.
pub(crate) const SLOTS: u16 = 4096;

const MAC_LENGTH: usize = 32;

/// How entries of the store are protected.
pub(crate) enum Seal {
    /// With this secret.
    Secret(Vec<u8>),
    /// By the store itself, which only the gateway has.
    Store,
    /// Not at all, so the store is not used.
    None,
}

impl Seal {
    pub(crate) fn new(secret: &[u8], store_is_shared: bool) -> Seal {
        match (secret, store_is_shared) {
            ([], true) => Seal::None,
            ([], false) => Seal::Store,
            _ => Seal::Secret(secret.to_vec()),
        }
    }

    fn secret(&self) -> &[u8] {
        match self {
            Seal::Secret(secret) => secret,
            Seal::Store | Seal::None => &[],
        }
    }

    fn mac(&self, key: &str, value: &[u8]) -> Option<Hmac<Sha256>> {
        let Seal::Secret(secret) = self else { return None };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        // The key is part of what is sealed: an entry moved to another key is worthless.
        mac.update(key.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        Some(mac)
    }
}

/// Read an entry; `None` if it is absent, or not sealed by this gateway.
pub(crate) fn get(seal: &Seal, env: &mut dyn Env, key: &str) -> Option<Vec<u8>> {
    if matches!(seal, Seal::None) {
        return None;
    }
    let mut entry = env.kv_get(key)?;
    if let Seal::Secret(_) = seal {
        let at = entry.len().checked_sub(MAC_LENGTH)?;
        let tag = entry.split_off(at);
        seal.mac(key, &entry)?.verify_slice(&tag).ok()?;
    }
    Some(entry)
}

/// Write an entry, sealed.
pub(crate) fn set(seal: &Seal, env: &mut dyn Env, key: &str, value: &[u8]) {
    match seal {
        Seal::None => {}
        Seal::Store => env.kv_set(key, value),
        Seal::Secret(_) => {
            if let Some(mac) = seal.mac(key, value) {
                env.kv_set(key, &[value, mac.finalize().into_bytes().as_slice()].concat());
            }
        }
    }
}

/// A token whose signature may be remembered: by a digest, bound to the configuration, until a moment at which the key
/// set that verified it must be looked at again.
///
/// The digest is of the secret, too, and is not stored itself, so nobody else can make or prolong an entry. This is what
/// every call with a known token costs; a MAC of its own would double it.
pub(crate) struct Remembered {
    digest: [u8; 32],
    key: String,
}

impl Remembered {
    pub(crate) fn new(config: &[u8], seal: &Seal, token: &str) -> Remembered {
        // Half as long as SHA-512, which takes two thirds of the instructions that SHA-256 takes for a token.
        let mut hash = Sha512_256::new();
        for part in [seal.secret(), config, token.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let slot = u16::from_be_bytes([digest[0], digest[1]]) % SLOTS;
        Remembered { digest, key: format!("ftl-auth-token-{slot:04x}") }
    }

    /// Whether this token's signature was verified, `now` (seconds) being before the moment until which that holds.
    pub(crate) fn holds(&self, seal: &Seal, env: &mut dyn Env, now: u64) -> bool {
        if matches!(seal, Seal::None) {
            return false;
        }
        let Some(entry) = env.kv_get(&self.key) else { return false };
        let Some((until, tag)) = entry.split_first_chunk::<8>() else { return false };
        let until = u64::from_be_bytes(*until);
        // A moment too far ahead was written under another clock.
        now < until && until <= now + crate::jwks::FRESH_SECONDS && tag == self.tag(until)
    }

    /// Remember it until `until` (seconds).
    pub(crate) fn keep(&self, seal: &Seal, env: &mut dyn Env, until: u64) {
        if !matches!(seal, Seal::None) {
            env.kv_set(&self.key, &[until.to_be_bytes().as_slice(), &self.tag(until)].concat());
        }
    }

    fn tag(&self, until: u64) -> [u8; 32] {
        Sha256::new().chain_update(self.digest).chain_update(until.to_be_bytes()).finalize().into()
    }
}
