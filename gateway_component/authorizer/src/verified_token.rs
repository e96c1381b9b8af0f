//! Tokens whose signature was verified, remembered in the key-value store.

use crate::Env;
use crate::jwks::FRESH_SECONDS;
use crate::store::{Protection, Purpose, StoreSeal};
use json::hex;
use sha2::{Digest, Sha256, Sha512_256};

/// How many verified tokens are remembered at most; a later one replaces the one in its slot.
const SLOTS: u16 = 4096;

/// A token that may have been verified before: found by a digest, until a moment at which the key set that verified it
/// must be looked at again.
///
/// The digest is keyed and not stored itself, so nobody else can make or prolong an entry. This is what every call with
/// a known token costs; a MAC of its own would double it.
pub(crate) struct VerifiedToken<'a> {
    seal: &'a StoreSeal,
    digest: [u8; 32],
    entry: String,
}

impl<'a> VerifiedToken<'a> {
    pub(crate) fn new(seal: &'a StoreSeal, token: &str) -> VerifiedToken<'a> {
        let key = match &seal.protection {
            Protection::Key(key) => key.as_slice(),
            Protection::Exclusive | Protection::None => &[],
        };
        // SHA-512/256: its output does not reveal its state, so a key in front makes it a MAC, and it takes two thirds
        // of the instructions that SHA-256 takes for a token.
        let mut hash = Sha512_256::new();
        for part in
            [b"ftl verified token".as_slice(), key, seal.app.as_bytes(), &seal.composed, token.as_bytes()]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let slot = u16::from_be_bytes([digest[0], digest[1]]) % SLOTS;
        let entry = seal.entry(Purpose::VerifiedToken, &hex::encode(&slot.to_be_bytes()));
        VerifiedToken { seal, digest, entry }
    }

    /// Whether this token's signature was verified, `now` (seconds) being before the moment until which that holds.
    pub(crate) fn is_known(&self, env: &mut dyn Env, now: u64) -> bool {
        if matches!(self.seal.protection, Protection::None) {
            return false;
        }
        let Some(entry) = env.kv_get(&self.entry) else { return false };
        let Some((until, tag)) = entry.split_first_chunk::<8>() else { return false };
        let until = u64::from_be_bytes(*until);
        // A moment too far ahead was written under another clock.
        now < until && until <= now + FRESH_SECONDS && tag == self.tag(until)
    }

    /// Remember it until `until` (seconds).
    pub(crate) fn remember(&self, env: &mut dyn Env, until: u64) {
        if !matches!(self.seal.protection, Protection::None) {
            env.kv_set(&self.entry, &[until.to_be_bytes().as_slice(), &self.tag(until)].concat());
        }
    }

    fn tag(&self, until: u64) -> [u8; 32] {
        Sha256::new().chain_update(self.digest).chain_update(until.to_be_bytes()).finalize().into()
    }
}
