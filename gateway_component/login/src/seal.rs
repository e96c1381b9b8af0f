//! What is handed out and comes back: each kind of thing is sealed for its own purpose and ends at its own time.

use crate::http::Exchange;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A sealed text longer than this is none. The longest legitimate one is a registered client.
const MAX_SEALED: usize = 8 << 10;

/// A thing that is handed out sealed.
pub(crate) trait Sealed: Serialize + DeserializeOwned {
    /// Differs between kinds, so that none can stand for another.
    const PURPOSE: &'static str;
}

#[derive(Serialize, Deserialize)]
struct Dated<T> {
    /// Seconds since the epoch from which it no longer holds.
    e: u64,
    t: T,
}

impl Exchange<'_> {
    /// Seal a thing that holds for some seconds.
    pub(crate) fn seal<T: Sealed>(&mut self, thing: &T, seconds: u64) -> Option<String> {
        let dated = Dated { e: self.world.now().saturating_add(seconds), t: thing };
        let text = serde_json::to_vec(&dated).ok()?;
        let mut nonce = [0; 24];
        self.world.random(&mut nonce);
        self.keys.seal(T::PURPOSE, &text, nonce)
    }

    /// Open a thing; `None` if it is another, another login's, changed, or over.
    pub(crate) fn open<T: Sealed>(&self, sealed: &str) -> Option<T> {
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let dated: Dated<T> = serde_json::from_slice(&self.keys.open(T::PURPOSE, sealed)?).ok()?;
        (self.world.now() < dated.e).then_some(dated.t)
    }

    /// An identifier that nobody can guess.
    pub(crate) fn identifier(&mut self) -> String {
        let mut bytes = [0; 16];
        self.world.random(&mut bytes);
        json::base64::encode_url(&bytes)
    }
}
