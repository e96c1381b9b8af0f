//! What others may write into the gateway's store: forged, copied, moved and old entries are worth nothing, and each
//! stands beside the twin that counts.

mod common;

use common::Case;
use common::issuer::{Signer, jwk, jwks};
use serde_json::{Value, json};
use std::collections::HashMap;

const KEY: &str = "uid-of-this-app:5f0c1d8e2b7a49630f1e2d3c4b5a6978";

type Store = HashMap<String, Vec<u8>>;

fn status(case: &mut Case) -> u16 {
    case.run().map_or_else(|response| response.status, |_| 200)
}

/// A case of an app whose store a tool may write to, too.
fn shared(store_seal: &str) -> Case {
    let mut case = Case::new();
    case.config["storeShared"] = json!(true);
    case.config["app"] = json!("sha256:composed");
    case.store_seal = store_seal.into();
    case
}

/// What the gateway of `case` keeps after it let in its caller.
fn kept_by(mut case: Case) -> Store {
    assert_eq!(status(&mut case), 200);
    case.world.store
}

/// Whether entries let in a caller for whom the issuer, which is down, would have to be asked.
fn counts(mut case: Case, store: Store) -> bool {
    case.world.store = store;
    case.world.jwks = None;
    status(&mut case) == 200
}

/// A stranger's case: its key is served as the issuer's, to a gateway with this seal.
fn stranger(store_seal: &str) -> Case {
    let mut case = shared(store_seal);
    let mut key = jwk(Signer::StrangerP256);
    key["kid"] = json!("p256");
    case.world.jwks = Some(json!({"keys": [key]}).to_string().into_bytes());
    case.signer = Signer::StrangerP256;
    case
}

#[test]
fn entries_of_this_gateway_count() {
    let store = kept_by(shared(KEY));
    assert_eq!(store.len(), 3, "{:?}", store.keys());
    assert!(counts(shared(KEY), store));
}

#[test]
fn entries_under_another_key_are_worth_nothing() {
    for guess in
        ["uid-of-this-app:5f0c1d8e2b7a49630f1e2d3c4b5a6979", "uid-of-this-app:sha256:composed", KEY_OF_ZEROS]
    {
        let store = kept_by(stranger(guess));
        let mut victim = shared(KEY);
        victim.signer = Signer::StrangerP256;
        assert!(!counts(victim, store), "{guess}");
    }
}

const KEY_OF_ZEROS: &str = "uid-of-this-app:00000000000000000000000000000000";

#[test]
fn entries_of_another_app_under_the_same_key_are_worth_nothing() {
    let other = KEY.replace("this", "that");
    let store = kept_by(shared(&other));
    // Even under the names that this app's gateway looks for.
    let renamed: Store =
        store.into_iter().map(|(name, value)| (name.replace("of-that-app", "of-this-app"), value)).collect();
    assert!(!counts(shared(KEY), renamed.clone()));
    assert!(renamed.keys().all(|name| name.starts_with("ftl/uid-of-this-app/")));
}

#[test]
fn entries_of_another_version_are_worth_nothing() {
    let mut before = shared(KEY);
    before.config["app"] = json!("sha256:another");
    assert!(!counts(shared(KEY), kept_by(before)));
}

#[test]
fn entries_in_each_others_place_are_worth_nothing() {
    let store = kept_by(shared(KEY));
    let names: Vec<String> = store.keys().cloned().collect();
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let mut swapped = store.clone();
        swapped.insert(names[one].clone(), store[&names[other]].clone());
        swapped.insert(names[other].clone(), store[&names[one]].clone());
        let token_moved = [one, other].iter().any(|at| names[*at].contains("/token/"));
        let keys_moved = [one, other].iter().any(|at| names[*at].contains("/jwks/"));
        // With either of them in its place, the token is known or can be judged.
        assert_eq!(counts(shared(KEY), swapped), !(token_moved && keys_moved), "{one} {other}");
    }
}

#[test]
fn a_token_in_all_slots_is_still_one_token() {
    let store = kept_by(shared(KEY));
    let (name, entry) = store.iter().find(|(name, _)| name.contains("/token/")).expect("it is remembered");
    let slots = name.rsplit_once('/').expect("a path").0;
    let everywhere: Store =
        (0..4096_u16).map(|slot| (format!("{slots}/{slot:04x}"), entry.clone())).collect();
    assert!(counts(shared(KEY), everywhere.clone()), "in its own slot it counts");
    let mut another = shared(KEY);
    another.claims["jti"] = json!("another");
    assert!(!counts(another, everywhere));
}

#[test]
fn a_remembered_token_cannot_be_prolonged() {
    let mut store = kept_by(shared(KEY));
    store.retain(|name, _| name.contains("/token/"));
    let late = |store: &Store| {
        let mut case = shared(KEY);
        case.world.pass(301);
        counts(case, store.clone())
    };
    assert!(counts(shared(KEY), store.clone()));
    assert!(!late(&store));
    for value in store.values_mut() {
        let until = u64::from_be_bytes(value[..8].try_into().expect("eight bytes")) + 301;
        value[..8].copy_from_slice(&until.to_be_bytes());
    }
    assert!(!late(&store));
}

#[test]
fn a_key_set_that_was_changed_in_the_store_is_none() {
    let mut store = kept_by(shared(KEY));
    store.retain(|name, _| name.contains("/jwks/"));
    assert!(counts(shared(KEY), store.clone()));
    for at in [0, 7, 8, 100] {
        let mut spoilt = store.clone();
        for value in spoilt.values_mut() {
            value[at] ^= 1;
        }
        assert!(!counts(shared(KEY), spoilt), "byte {at}");
    }
}

#[test]
fn without_a_key_nothing_is_kept_where_others_may_write() {
    for store_seal in
        ["", ":", "uid-of-this-app:", "uid-of-this-app:short", "no colon but long enough to be one"]
    {
        assert!(kept_by(shared(store_seal)).is_empty(), "{store_seal}");
        // And nothing is believed, as an older gateway may have left it or a tool may have written it.
        let mut exclusive = stranger(store_seal);
        exclusive.config["storeShared"] = json!(false);
        let mut victim = shared(store_seal);
        victim.signer = Signer::StrangerP256;
        assert!(!counts(victim, kept_by(exclusive)), "{store_seal}");
    }
    let mut silent = shared("");
    silent.config.as_object_mut().expect("an object").remove("storeShared");
    assert!(kept_by(silent).is_empty(), "a store of which nothing is known may be shared");
}

#[test]
fn without_a_key_a_store_of_ones_own_is_used() {
    let own = || {
        let mut case = shared("uid-of-this-app:");
        case.config["storeShared"] = json!(false);
        case
    };
    let store = kept_by(own());
    assert_eq!(store.len(), 3);
    assert!(counts(own(), store));
}

#[test]
fn the_key_is_in_no_entry() {
    let key = KEY.split_once(':').expect("a colon").1.as_bytes();
    for value in kept_by(shared(KEY)).values() {
        assert!(!value.windows(key.len()).any(|window| window == key));
    }
}

#[test]
fn a_key_set_without_a_usable_key_is_told_to_the_operator() {
    let sets: [(Value, &str); 4] = [
        (json!({"keys": []}), "it has no key"),
        (json!({"keys": [{"kty": "RSA", "kid": 1, "n": "AQAB", "e": "AQAB"}]}), "kid is no text"),
        (json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "it is private"),
        (json!({"keys": {}}), "it is no object with a list of keys"),
    ];
    for (set, problem) in sets {
        let mut case = Case::new();
        case.world.jwks = Some(set.to_string().into_bytes());
        assert_eq!(case.reason(), "unavailable");
        assert_eq!(case.world.log.len(), 1);
        let line: Value = serde_json::from_str(&case.world.log[0]).expect("JSON");
        assert_eq!(line["event"], "issuer_keys");
        assert_eq!(line["from"], common::JWKS_URL);
        assert!(line["error"].as_str().is_some_and(|error| error.contains(problem)), "{line}");
    }
    let mut twin = Case::new();
    twin.world.jwks = Some(jwks(&[Signer::P256]).to_string().into_bytes());
    assert_eq!(twin.reason(), "allowed");
    assert!(twin.world.log.is_empty());
}
