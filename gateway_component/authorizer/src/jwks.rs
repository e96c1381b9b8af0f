//! The issuer's key set: fetched, kept for a bounded time, fetched again early when a token does not fit it.
//!
//! | age of the kept set | what happens |
//! |---|---|
//! | < 300 s | used; fetched again for an unknown `kid` or a failed signature, at most every 30 s |
//! | < 1 h | fetched again, at most every 10 s; used if that fails. Longer would not help: an issuer that is down issues no tokens, and theirs have expired by then |
//! | older, or none | fetched again, at most every 10 s; without success every token is refused with 503 |

use crate::Env;
use crate::keys::Key;
use crate::store::{Purpose, StoreSeal};
use json::{hex, strict};
use serde_json::{Value, json};
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

/// A set in its JSON form. The error says why it has no usable key; a key that is not usable spoils no other.
pub(crate) fn parse(set: &Value) -> Result<Vec<Key>, String> {
    let members = set.get("keys").and_then(Value::as_array).ok_or("it is no object with a list of keys")?;
    let mut keys = Vec::new();
    let mut first = None;
    for member in members.iter().take(MAX_KEYS) {
        match Key::from_jwk(member) {
            Ok(key) => keys.push(key),
            Err(problem) => first = first.or(Some(problem)),
        }
    }
    match (keys.is_empty(), first) {
        (false, _) => Ok(keys),
        (true, None) => Err("it has no key".into()),
        (true, Some(problem)) => {
            Err(format!("none of its {} keys is usable; the first: {problem}", members.len()))
        }
    }
}

/// Tell the operator of the app why nobody can call.
pub(crate) fn log_unusable(env: &mut dyn Env, url: &str, problem: &str) {
    env.log(json!({"event": "issuer_keys", "from": url, "error": problem}).to_string());
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
    seal: &'a StoreSeal,
    name: String,
}

impl<'a> Cache<'a> {
    pub(crate) fn new(url: &'a str, seal: &'a StoreSeal) -> Cache<'a> {
        Cache { url, seal, name: hex::encode(&Sha256::digest(url.as_bytes())[..12]) }
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
        let entry = self.seal.get(env, Purpose::KeySet, &self.name)?;
        let (fetched, set) = entry.split_first_chunk::<8>()?;
        let fetched = u64::from_be_bytes(*fetched);
        // A moment in the future was written under another clock.
        if fetched > now || now - fetched >= STALE_SECONDS {
            return None;
        }
        Some((fetched, parse(&strict::parse_bounded(set, MAX_DEPTH)?).ok()?))
    }

    fn fetch(&self, env: &mut dyn Env, now: u64, pause: u64, others: Others) -> Option<KeySet> {
        let tried = self
            .seal
            .get(env, Purpose::FetchAttempt, &self.name)
            .and_then(|entry| entry.try_into().ok())
            .map(u64::from_be_bytes);
        if tried.is_some_and(|tried| tried <= now && now - tried < pause) {
            return None;
        }
        if let Others::UseTheKept = others {
            self.seal.set(env, Purpose::FetchAttempt, &self.name, &now.to_be_bytes());
        }
        let fetched = self.download(env);
        if let Others::FetchToo = others {
            self.seal.set(env, Purpose::FetchAttempt, &self.name, &now.to_be_bytes());
        }
        match fetched {
            Ok((keys, body)) => {
                let entry = [&now.to_be_bytes(), body.as_slice()].concat();
                self.seal.set(env, Purpose::KeySet, &self.name, &entry);
                Some(KeySet { keys, until: now + FRESH_SECONDS, just_fetched: true })
            }
            Err(problem) => {
                log_unusable(env, self.url, &problem);
                None
            }
        }
    }

    fn download(&self, env: &mut dyn Env) -> Result<(Vec<Key>, Vec<u8>), String> {
        let body = env
            .fetch(self.url, MAX_SET_BYTES)
            .filter(|body| body.len() <= MAX_SET_BYTES)
            .ok_or("there was no answer of HTTP 200 in time, or a longer one than 256 KiB")?;
        let set = strict::parse_bounded(&body, MAX_DEPTH).ok_or("it is no JSON without duplicate members")?;
        Ok((parse(&set)?, body))
    }
}
