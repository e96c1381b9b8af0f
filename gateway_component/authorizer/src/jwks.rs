//! The issuer's key set: fetched, kept for a bounded time, fetched again early when a token does not fit it.
//!
//! | age of the kept set | what happens |
//! |---|---|
//! | < 300 s | used; fetched again for an unknown `kid` or a failed signature, at most every 30 s |
//! | < 1 h | fetched again, at most every 10 s; used if that fails. Longer would not help: an issuer that is down issues no tokens, and theirs have expired by then |
//! | older, or none | fetched again, at most every 10 s; without success every token is refused with 503 |

use crate::encoding::hex;
use crate::keys::Key;
use crate::memory::{get, set, Seal};
use crate::{strict_json, Env};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Seconds for which a fetched set is used without another look.
pub(crate) const FRESH_SECONDS: u64 = 300;
/// Seconds for which a fetched set is used while the issuer does not answer.
pub(crate) const STALE_SECONDS: u64 = 3600;
/// Seconds between two fetches that tokens provoke.
pub(crate) const PROVOKED_SECONDS: u64 = 30;
/// Seconds between two fetches of a set that is due.
pub(crate) const RETRY_SECONDS: u64 = 10;

const MAX_SET_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;
const MAX_DEPTH: usize = 8;

/// Keys, and until when they may be used without another look.
pub(crate) struct KeySet {
    pub(crate) keys: Vec<Key>,
    /// Seconds since the epoch.
    pub(crate) until: u64,
    /// Whether they came from the issuer within this request, so that fetching again is pointless.
    pub(crate) just_fetched: bool,
}

/// A set in its JSON form; `None` unless it has at least one usable key.
pub(crate) fn parse(set: &Value) -> Option<Vec<Key>> {
    let keys: Vec<Key> =
        set.get("keys")?.as_array()?.iter().take(MAX_KEYS).filter_map(Key::from_jwk).collect();
    (!keys.is_empty()).then_some(keys)
}

/// What requests that come during a fetch are to do.
enum Others {
    UseTheKept,
    /// There is nothing else to use: a new pod's first requests come together.
    FetchToo,
}

/// The store's keys of one URL's set: the set with the moment it was fetched, and the moment of the last try.
pub(crate) struct Cache<'a> {
    url: &'a str,
    seal: &'a Seal,
    set_key: String,
    tried_key: String,
}

impl<'a> Cache<'a> {
    pub(crate) fn new(url: &'a str, seal: &'a Seal) -> Cache<'a> {
        let name = hex(&Sha256::digest(url.as_bytes())[..12]);
        Cache {
            url,
            seal,
            set_key: format!("ftl-auth-jwks-{name}"),
            tried_key: format!("ftl-auth-jwks-tried-{name}"),
        }
    }

    /// The keys to verify with now (`now` in seconds); `None` if there are none to trust.
    pub(crate) fn current(&self, env: &mut dyn Env, now: u64) -> Option<KeySet> {
        let kept = self.kept(env, now);
        if let Some((fetched, keys)) = kept {
            if now - fetched < FRESH_SECONDS {
                return Some(KeySet { keys, until: fetched + FRESH_SECONDS, just_fetched: false });
            }
            if let Some(set) = self.fetch(env, now, RETRY_SECONDS, Others::UseTheKept) {
                return Some(set);
            }
            let until = (now + RETRY_SECONDS).min(fetched + STALE_SECONDS);
            return Some(KeySet { keys, until, just_fetched: false });
        }
        self.fetch(env, now, RETRY_SECONDS, Others::FetchToo)
    }

    /// The issuer's keys as they are now, because a token does not fit the kept ones; `None` if the last fetch is
    /// too recent or this one fails.
    pub(crate) fn provoked(&self, env: &mut dyn Env, now: u64) -> Option<KeySet> {
        self.fetch(env, now, PROVOKED_SECONDS, Others::UseTheKept)
    }

    fn kept(&self, env: &mut dyn Env, now: u64) -> Option<(u64, Vec<Key>)> {
        let entry = get(self.seal, env, &self.set_key)?;
        let (fetched, set) = entry.split_first_chunk::<8>()?;
        let fetched = u64::from_be_bytes(*fetched);
        // A moment in the future was written under another clock.
        if fetched > now || now - fetched >= STALE_SECONDS {
            return None;
        }
        Some((fetched, parse(&strict_json::parse(set, MAX_DEPTH)?)?))
    }

    fn fetch(&self, env: &mut dyn Env, now: u64, pause: u64, others: Others) -> Option<KeySet> {
        let tried = get(self.seal, env, &self.tried_key)
            .and_then(|entry| entry.try_into().ok())
            .map(u64::from_be_bytes);
        if tried.is_some_and(|tried| tried <= now && now - tried < pause) {
            return None;
        }
        if let Others::UseTheKept = others {
            set(self.seal, env, &self.tried_key, &now.to_be_bytes());
        }
        let fetched = env
            .fetch(self.url, MAX_SET_BYTES)
            .filter(|body| body.len() <= MAX_SET_BYTES)
            .and_then(|body| Some((parse(&strict_json::parse(&body, MAX_DEPTH)?)?, body)));
        if let Others::FetchToo = others {
            set(self.seal, env, &self.tried_key, &now.to_be_bytes());
        }
        let (keys, body) = fetched?;
        set(self.seal, env, &self.set_key, &[&now.to_be_bytes(), body.as_slice()].concat());
        Some(KeySet { keys, until: now + FRESH_SECONDS, just_fetched: true })
    }
}
