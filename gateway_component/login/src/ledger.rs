//! The few things that must be remembered, in a bounded number of entries of the key-value store.
//!
//! Spin's key-value store has neither an end of life nor an exchange that compares (fermyon:spin/key-value@2.0.0). So
//! records lie in a fixed number of slots, each of which forgets what is over whenever it is written; and two requests
//! at the very same moment may both see the record from before. For a code that means that both need the client's PKCE
//! verifier, which only the client has.

use crate::World;
use json::hex;
use sha2::{Digest, Sha256};

/// Slots of one ledger.
const SLOTS: u16 = 1024;
/// Records of one slot; beyond that the oldest of those with the least value goes. So nobody gets rid of a family that has
/// ended, or of many wrong passwords, by things of their own that lie in the same slot.
const MAX_RECORDS: usize = 64;
const RECORD: usize = 16 + 8 + 8 + 8;

/// What a ledger remembers about.
#[derive(Clone, Copy)]
pub(crate) enum Ledger {
    /// Codes that were used: `value` is 1.
    Codes,
    /// Families of refresh tokens: `value` is the generation that is good, or [`REVOKED`].
    Families,
    /// Wrong passwords: `value` is how many in a row.
    Attempts,
}

/// The value of a family that has ended.
pub(crate) const REVOKED: u64 = u64::MAX;

/// What is remembered about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) value: u64,
    /// When it was written, in seconds since the epoch.
    pub(crate) at: u64,
    /// From when it is forgotten.
    pub(crate) until: u64,
}

/// The store fails, so nothing can be known to happen only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFailed;

impl Ledger {
    fn name(self) -> &'static str {
        match self {
            Ledger::Codes => "codes",
            Ledger::Families => "families",
            Ledger::Attempts => "attempts",
        }
    }

    /// The record of a thing.
    pub(crate) fn get(self, world: &mut dyn World, thing: &str) -> Result<Option<Record>, StoreFailed> {
        let (slot, id) = self.place(thing);
        let records = read(world, &slot)?;
        Ok(records.into_iter().find(|(known, _)| *known == id).map(|(_, record)| record))
    }

    /// Remember something about a thing until a moment.
    pub(crate) fn set(
        self,
        world: &mut dyn World,
        thing: &str,
        value: u64,
        until: u64,
    ) -> Result<(), StoreFailed> {
        let (slot, id) = self.place(thing);
        let at = world.now();
        let mut records = read(world, &slot)?;
        records.retain(|(known, record)| *known != id && record.until > at);
        if records.len() >= MAX_RECORDS {
            let least = records.iter().enumerate().min_by_key(|(_, (_, record))| record.value);
            let at = least.map_or(0, |(at, _)| at);
            records.remove(at);
        }
        records.push((id, Record { value, at, until }));
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for (id, record) in records {
            bytes.extend_from_slice(&id);
            for number in [record.value, record.at, record.until] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        world.kv_set(&slot, &bytes)
    }

    /// The slot's key in the store, and the thing's name in it.
    fn place(self, thing: &str) -> (String, [u8; 16]) {
        let digest = Sha256::digest(thing.as_bytes());
        let slot = u16::from_be_bytes([digest[16], digest[17]]) % SLOTS;
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        (format!("login/{}/{}", self.name(), hex::encode(&slot.to_be_bytes())), id)
    }
}

fn read(world: &mut dyn World, slot: &str) -> Result<Vec<([u8; 16], Record)>, StoreFailed> {
    let now = world.now();
    let bytes = world.kv_get(slot)?.unwrap_or_default();
    let number = |record: &[u8], at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    let records = bytes.chunks_exact(RECORD).take(MAX_RECORDS).map(|record| {
        let mut id = [0; 16];
        id.copy_from_slice(&record[..16]);
        (id, Record { value: number(record, 16), at: number(record, 24), until: number(record, 32) })
    });
    Ok(records.filter(|(_, record)| record.until > now).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fetch, Fetched};
    use std::collections::HashMap;

    struct Store(HashMap<String, Vec<u8>>);

    impl World for Store {
        fn now(&self) -> u64 {
            1000
        }
        fn random(&mut self, _: &mut [u8]) {}
        fn variable(&mut self, _: &str) -> Option<String> {
            None
        }
        fn body(&mut self, _: usize) -> Option<Vec<u8>> {
            None
        }
        fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreFailed> {
            Ok(self.0.get(key).cloned())
        }
        fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreFailed> {
            self.0.insert(key.into(), value.into());
            Ok(())
        }
        fn fetch(&mut self, _: &Fetch) -> Option<Fetched> {
            None
        }
        fn log(&mut self, _: String) {}
    }

    #[test]
    fn what_weighs_most_is_forgotten_last() {
        let mut store = Store(HashMap::new());
        let ledger = Ledger::Families;
        ledger.set(&mut store, "ended", REVOKED, 2000).unwrap();
        let slot = ledger.place("ended").0;
        let others: Vec<String> = (0..)
            .map(|number| format!("other {number}"))
            .filter(|other| ledger.place(other).0 == slot)
            .take(MAX_RECORDS + 1)
            .collect();
        for other in &others {
            ledger.set(&mut store, other, 1, 2000).unwrap();
        }
        let value =
            |store: &mut Store, thing: &str| ledger.get(store, thing).unwrap().map(|record| record.value);
        assert_eq!(value(&mut store, "ended"), Some(REVOKED));
        assert_eq!(value(&mut store, &others[0]), None, "the oldest of the others went");
        assert_eq!(value(&mut store, &others[MAX_RECORDS]), Some(1));
        assert_eq!(store.0[&slot].len(), MAX_RECORDS * RECORD);
    }
}
