//! Fail closed: keys, store and clock are broken in turn. Nothing of it ever allows, and what was good before an outage
//! stays good for a bounded time only.

mod common;

use common::issuer::{Signer, jwk, jwks};
use common::{Case, NOW, header};
use serde_json::{Value, json};

fn status(case: &mut Case) -> u16 {
    match case.run() {
        Ok(_) => 200,
        Err(response) => response.status,
    }
}

fn publish(case: &mut Case, signers: &[Signer]) {
    case.world.jwks = Some(jwks(signers).to_string().into_bytes());
}

/// The issuer's P-256 `kid` now names a stranger's key.
fn rotated_under_the_same_kid() -> Vec<u8> {
    let mut key = jwk(Signer::StrangerP256);
    key["kid"] = json!("p256");
    json!({"keys": [key]}).to_string().into_bytes()
}

#[test]
fn broken_key_sets_never_allow() {
    let bodies: [(&str, Option<Vec<u8>>); 9] = [
        ("down, or slower than the time limit", None),
        ("empty", Some(Vec::new())),
        ("no keys", Some(b"{\"keys\": []}".to_vec())),
        ("HTML", Some(b"<!doctype html><title>Sign in</title>".to_vec())),
        ("another JSON", Some(b"[]".to_vec())),
        ("huge", Some(format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(300_000)).into_bytes())),
        ("deep", Some([b"[".repeat(10_000), b"]".repeat(10_000)].concat())),
        ("a member twice", {
            let set = jwks(&[Signer::P256]).to_string();
            Some(set.replacen("{\"keys\":", "{\"keys\":[],\"keys\":", 1).into_bytes())
        }),
        ("cut off", {
            let set = jwks(&[Signer::P256]).to_string();
            Some(set.as_bytes()[..set.len() - 5].to_vec())
        }),
    ];
    for (what, body) in bodies {
        let mut case = Case::new();
        case.world.jwks = body;
        let response = case.run().err().unwrap_or_else(|| panic!("{what}: allowed"));
        assert_eq!(response.status, 503, "{what}");
        assert!(header(&response, "retry-after").is_some(), "{what}");
        // The next request does not hammer the issuer; after a pause it is asked again and all is well.
        assert_eq!(status(&mut case), 503, "{what}");
        assert_eq!(case.world.fetched.len(), 1, "{what}");
        publish(&mut case, &[Signer::P256]);
        case.world.pass(10);
        assert_eq!(status(&mut case), 200, "{what}");
    }
}

#[test]
fn the_last_good_keys_live_through_an_outage_for_an_hour() {
    let mut case = Case::new();
    assert_eq!(status(&mut case), 200);
    case.world.jwks = None;
    case.claims["exp"] = json!(NOW + 100_000);
    for minutes in [4, 6, 30, 59] {
        case.world.now_ns = (NOW + minutes * 60) * 1_000_000_000;
        assert_eq!(status(&mut case), 200, "{minutes} minutes");
    }
    case.world.now_ns = (NOW + 3600) * 1_000_000_000;
    assert_eq!(status(&mut case), 503);
}

#[test]
fn an_outage_costs_the_issuer_one_request_in_ten_seconds() {
    let mut case = Case::new();
    assert_eq!(status(&mut case), 200);
    case.world.jwks = None;
    case.world.pass(400);
    case.world.fetched.clear();
    for number in 0..20 {
        case.claims["jti"] = json!(number);
        assert_eq!(status(&mut case), 200);
        case.world.pass(1);
    }
    assert_eq!(case.world.fetched.len(), 2);
}

#[test]
fn a_new_kid_is_fetched_once_and_then_known() {
    let mut case = Case::new();
    publish(&mut case, &[Signer::Rs256]);
    case.signed_by(Signer::Rs256);
    assert_eq!(status(&mut case), 200);
    publish(&mut case, &[Signer::Rs256, Signer::P256]);
    case.signed_by(Signer::P256);
    assert_eq!(status(&mut case), 401, "too early to ask again");
    case.world.pass(30);
    assert_eq!(status(&mut case), 200);
    assert_eq!(case.world.fetched.len(), 2);
}

#[test]
fn a_new_key_under_the_same_kid_is_noticed() {
    let mut case = Case::new();
    assert_eq!(status(&mut case), 200);
    case.world.jwks = Some(rotated_under_the_same_kid());
    case.world.pass(30);
    case.signer = Signer::StrangerP256;
    assert_eq!(status(&mut case), 200, "the issuer's key is what it publishes now");
    case.signer = Signer::P256;
    case.claims["jti"] = json!("another token with the old key");
    assert_eq!(status(&mut case), 401);
}

#[test]
fn unknown_kids_cannot_flood_the_issuer() {
    let mut case = Case::new();
    assert_eq!(status(&mut case), 200);
    case.world.fetched.clear();
    for number in 0..60 {
        case.world.pass(1);
        case.header["kid"] = json!(format!("kid-{number}"));
        assert_eq!(status(&mut case), 401);
    }
    assert_eq!(case.world.fetched.len(), 2, "once in thirty seconds");
}

#[test]
fn a_token_with_bad_claims_provokes_no_fetch() {
    let mut case = Case::new();
    case.claims["aud"] = json!("https://other.example");
    case.header["kid"] = json!("unknown");
    assert_eq!(status(&mut case), 401);
    assert!(case.world.fetched.is_empty());
}

#[test]
fn a_verified_token_is_remembered_no_longer_than_the_keys() {
    let mut case = Case::new();
    assert_eq!(status(&mut case), 200);
    let stored = case.world.store.len();
    // The key set is gone and the issuer is down: only the memory can allow.
    case.world.store.retain(|key, _| key.starts_with("ftl//token/"));
    assert!(case.world.store.len() < stored);
    case.world.jwks = None;
    case.world.pass(299);
    assert_eq!(status(&mut case), 200);
    case.world.pass(1);
    assert_eq!(status(&mut case), 503);
}

#[test]
fn a_remembered_token_still_expires() {
    let mut case = Case::new();
    case.claims["exp"] = json!(NOW + 10);
    assert_eq!(status(&mut case), 200);
    case.world.pass(69);
    assert_eq!(status(&mut case), 200);
    case.world.pass(1);
    assert_eq!(status(&mut case), 401);
}

#[test]
fn memory_is_bound_to_the_configuration() {
    let changes: [fn(&mut Case); 3] = [
        |case| case.auth("jwksUri", json!("https://login.acme.dev/other-keys")),
        |case| case.auth("algorithms", json!(["ES256"])),
        |case| case.config["resource"] = json!("https://tools.acme.dev/other/mcp"),
    ];
    for change in changes {
        let mut case = Case::new();
        assert_eq!(status(&mut case), 200);
        case.world.store.retain(|key, _| key.starts_with("ftl//token/"));
        case.world.jwks = None;
        change(&mut case);
        assert_eq!(status(&mut case), 503);
    }
}

#[test]
fn memory_is_bounded() {
    let mut case = Case::new();
    case.auth("jwksUri", Value::Null);
    case.auth("jwks", jwks(&[Signer::P256]));
    for number in 0..300 {
        case.claims["jti"] = json!(number);
        assert_eq!(status(&mut case), 200);
    }
    let keys: Vec<&String> = case.world.store.keys().collect();
    assert!(keys.iter().all(|key| key.starts_with("ftl//token/") && key.len() == 15), "{keys:?}");
    assert!(case.world.store.values().all(|value| value.len() <= 72));
}

#[test]
fn garbage_in_the_store_is_ignored() {
    for garbage in [&b""[..], b"x", &[0xff; 8], &[0xff; 40], &[0xff; 5000]] {
        let mut case = Case::new();
        assert_eq!(status(&mut case), 200);
        let keys: Vec<String> = case.world.store.keys().cloned().collect();
        for key in keys {
            case.world.store.insert(key, garbage.to_vec());
        }
        case.world.pass(60);
        assert_eq!(status(&mut case), 200, "{garbage:?}: fetched again");
        case.signer = Signer::StrangerP256;
        assert_eq!(status(&mut case), 401);
    }
}

#[test]
fn without_a_store_tokens_are_still_judged() {
    let mut case = Case::new();
    case.world.store_is_down = true;
    assert_eq!(status(&mut case), 200);
    case.signer = Signer::StrangerP256;
    assert_eq!(status(&mut case), 401);
    assert_eq!(case.world.fetched.len(), 2, "one fetch a request, none provoked on top");
    case.world.jwks = None;
    case.signer = Signer::P256;
    assert_eq!(status(&mut case), 503);
}

#[test]
fn a_clock_that_went_back_trusts_nothing_from_the_future() {
    let mut case = Case::new();
    case.claims["exp"] = json!(NOW + 600);
    case.claims["nbf"] = json!(0);
    case.claims["iat"] = json!(0);
    assert_eq!(status(&mut case), 200);
    case.world.now_ns = (NOW - 100_000) * 1_000_000_000;
    case.world.jwks = None;
    assert_eq!(status(&mut case), 503);
}
