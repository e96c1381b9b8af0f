//! What is kept in the key-value store between requests, and how much it can be trusted.
//!
//! A tool may have been granted the gateway's own store, so every entry is sealed with a key that only the gateway
//! knows. Where there is no such key and the store is shared, nothing is kept. Entries are bounded in number: a
//! remembered signature lives in one of [`SLOTS`] slots that its digest chooses, and a later one replaces it.

use crate::encoding::hex;
use crate::Env;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// How many verified signatures are remembered at most.
pub(crate) const SLOTS: u16 = 4096;

const MAC_LENGTH: usize = 32;

/// How entries of the store are protected.
pub(crate) enum Seal {
    /// With an HMAC under this key.
    Key([u8; 32]),
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
            _ => Seal::Key(Sha256::digest([b"ftl gateway store\n", secret].concat()).into()),
        }
    }

    fn mac(&self, key: &str, value: &[u8]) -> Option<Hmac<Sha256>> {
        let Seal::Key(secret) = self else { return None };
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
    if let Seal::Key(_) = seal {
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
        Seal::Key(_) => {
            if let Some(mac) = seal.mac(key, value) {
                env.kv_set(key, &[value, mac.finalize().into_bytes().as_slice()].concat());
            }
        }
    }
}

/// A token whose signature may be remembered: by its digest, bound to the configuration, until a moment at which
/// the key set that verified it must be looked at again.
pub(crate) struct Remembered {
    digest: [u8; 32],
    key: String,
}

impl Remembered {
    pub(crate) fn new(config_digest: &[u8; 32], token: &str) -> Remembered {
        let digest: [u8; 32] =
            Sha256::new().chain_update(config_digest).chain_update(token.as_bytes()).finalize().into();
        let slot = u16::from_be_bytes([digest[0], digest[1]]) % SLOTS;
        Remembered { digest, key: format!("ftl-auth-token-{}", hex(&slot.to_be_bytes())) }
    }

    /// Whether this token's signature was verified, `now` (seconds) being before the moment until which that holds.
    pub(crate) fn holds(&self, seal: &Seal, env: &mut dyn Env, now: u64) -> bool {
        let Some(entry) = get(seal, env, &self.key) else { return false };
        let Some((digest, until)) = entry.split_first_chunk::<32>() else { return false };
        let Ok(until) = <[u8; 8]>::try_from(until) else { return false };
        let until = u64::from_be_bytes(until);
        // A moment too far ahead was written under another clock.
        digest == &self.digest && now < until && until <= now + crate::jwks::FRESH_SECONDS
    }

    /// Remember it until `until` (seconds).
    pub(crate) fn keep(&self, seal: &Seal, env: &mut dyn Env, until: u64) {
        let entry = [self.digest.as_slice(), &until.to_be_bytes()].concat();
        set(seal, env, &self.key, &entry);
    }
}
