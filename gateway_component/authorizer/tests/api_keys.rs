//! API keys: alone, beside an issuer, and against whoever has none.

mod common;

use common::{Call, Case, NOW, header};
use serde_json::{Value, json};

/// Two keys as `ftl-operator key create` prints them; the second one's line is in no app.
const KEY: &str = "ftl_000000000000000000000000000000000000000000121Jhd7";
const OTHER: &str = "ftl_00000000000000000000000000000000000000000024WpMF5";
const HASH: &str = "43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c";

fn status(case: &mut Case) -> u16 {
    case.run().map_or_else(|response| response.status, |_| 200)
}

/// An app for which API keys are the only way in.
fn alone() -> Case {
    let mut case = Case::new();
    case.config["auth"] = json!({"access": "private", "apiKeys": true});
    case.world.api_keys = Some(format!("# people\n\nci {HASH}\n"));
    bearer(&mut case, KEY);
    case
}

/// An app that takes tokens and API keys.
fn beside() -> Case {
    let mut case = Case::new();
    case.auth("apiKeys", json!(true));
    case.auth("requiredScopes", json!([]));
    case.auth("allowedSubjects", json!(["alice", "ci"]));
    case.world.api_keys = Some(format!("ci {HASH}"));
    case
}

fn bearer(case: &mut Case, credential: &str) {
    case.authorization = Some(vec![format!("Bearer {credential}").into_bytes()]);
}

fn by_header(case: &mut Case, credential: &str) {
    case.authorization = Some(Vec::new());
    case.headers.push(("x-api-key".into(), credential.as_bytes().to_vec()));
}

/// The case with other words after its key's hash.
fn with_options(options: &str) -> Case {
    let mut case = alone();
    case.world.api_keys = Some(format!("ci {HASH} {options}"));
    case
}

#[test]
fn a_key_is_taken_from_either_header() {
    assert_eq!(status(&mut alone()), 200);
    let mut case = alone();
    by_header(&mut case, KEY);
    assert_eq!(status(&mut case), 200);
    let mut case = beside();
    assert_eq!(status(&mut case), 200, "the token");
    bearer(&mut case, KEY);
    assert_eq!(status(&mut case), 200, "the key");
    by_header(&mut case, KEY);
    assert_eq!(status(&mut case), 200, "the key by its header");
    assert!(
        case.world.fetched.len() <= 1 && case.world.store.len() <= 3,
        "a key asks nobody and stores nothing"
    );
}

#[test]
fn the_name_is_the_subject() {
    let caller = with_options("scopes=mail:read,mcp:tools").run().expect("a good key");
    assert_eq!(caller.subject(), "ci");
    let headers = caller.identity_headers();
    let value = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(value("x-auth-subject"), Some("ci"));
    assert_eq!(value("x-auth-issuer"), Some("urn:ftl:api-key"));
    assert_eq!(value("x-auth-scopes"), Some("mail:read mcp:tools"));
    assert_eq!(value("x-auth-client-id"), None);
    assert!(headers.iter().all(|(_, value)| !value.contains("ftl_")));
}

#[test]
fn what_is_no_key_of_the_app_is_refused() {
    let spoilt = KEY.replace("ftl_0", "ftl_1");
    let attacks: [(&str, &str, &str); 12] = [
        ("another key", OTHER, "key"),
        ("a wrong checksum", &spoilt, "malformed"),
        ("its hash", HASH, "malformed"),
        ("its name", "ci", "malformed"),
        ("nothing but the beginning", "ftl_", "malformed"),
        ("a key with more", &format!("{KEY}0"), "malformed"),
        ("a key with less", &KEY[..52], "malformed"),
        ("a key of other letters", &KEY.replace("_0", "_+"), "malformed"),
        ("a key in capitals", &KEY.to_uppercase(), "malformed"),
        ("letters of other scripts", "ftl_\u{661}\u{662}", "malformed"),
        ("two keys", &format!("{KEY} {KEY}"), "malformed"),
        ("a key and a line", &format!("{KEY}\nci"), "malformed"),
    ];
    for (what, given, word) in attacks {
        let mut case = alone();
        bearer(&mut case, given);
        assert_eq!(case.reason(), word, "{what}");
        assert_eq!(status(&mut case), 401, "{what}");
        let mut case = alone();
        by_header(&mut case, given);
        assert_eq!(case.reason(), word, "{what}, by its header");
    }
}

#[test]
fn lines_that_cannot_be_read_let_nobody_in() {
    for lines in [
        "",
        "# ci 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c",
        "ci",
        "43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c",
        "43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c ci",
        "c:i 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c",
        "ci 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c only=mail",
        "ci 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c expires=soon",
        "ci 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c expires=2027-01-31",
        "ci sha256:43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c",
        "ci 43dfedf0b1b4c4d409ae97a220cb8724e27aa9488ba5ce2695bb7d344364f19c0",
    ] {
        let mut case = alone();
        case.world.api_keys = Some(lines.to_string());
        assert_eq!(case.reason(), "key", "{lines}");
    }
    let mut case = alone();
    case.world.api_keys = None;
    assert_eq!((case.reason(), status(&mut case)), ("unavailable", 503));
    for lines in [
        format!("\r\nci\t{}\r\n", HASH.to_uppercase()),
        format!("broken\nx y z\nci {HASH} scopes=a"),
        format!("other {}\n  ci   {HASH}  \n", "0".repeat(64)),
    ] {
        let mut case = alone();
        case.world.api_keys = Some(lines);
        assert_eq!(case.reason(), "allowed");
    }
}

#[test]
fn keys_expire_to_the_second() {
    // 2030-03-17T17:46:40Z is NOW.
    assert_eq!(with_options("expires=2030-03-17T17:46:41Z").reason(), "allowed");
    assert_eq!(with_options("expires=2030-03-17T18:46:41+01:00").reason(), "allowed");
    assert_eq!(with_options("expires=2030-03-17T17:46:40Z").reason(), "expired");
    let mut case = with_options("expires=2030-03-17T17:46:41Z");
    assert_eq!(status(&mut case), 200);
    case.world.now_ns = (NOW + 1) * 1_000_000_000;
    assert_eq!(case.reason(), "expired", "no leeway: there is one clock");
}

#[test]
fn a_key_is_subject_to_all_rules() {
    let mut case = alone();
    case.auth("allowedSubjects", json!(["other"]));
    assert_eq!(case.reason(), "subject");
    case.auth("allowedSubjects", json!(["ci"]));
    assert_eq!(case.reason(), "allowed");

    let mut case = alone();
    case.auth("requiredScopes", json!(["mcp:tools"]));
    assert_eq!((case.reason(), status(&mut case)), ("scope", 403));
    case.world.api_keys = Some(format!("ci {HASH} scopes=mcp:tools"));
    assert_eq!(case.reason(), "allowed");
    let mut call = Call::new("mail", "send");
    call.scopes = vec!["mail:send".into()];
    case.call = Some(call);
    assert_eq!(case.reason(), "scope");

    let organization = |members: Value| json!({"claim": "org_id", "value": "acme", "members": members});
    let mut case = alone();
    case.auth("access", json!("org"));
    case.auth("organization", organization(json!(["alice"])));
    assert_eq!(case.reason(), "subject");
    case.auth("organization", organization(json!(["ci"])));
    assert_eq!(case.reason(), "allowed");

    let mut case = alone();
    case.auth("access", json!("custom"));
    case.auth("hasPolicy", json!(true));
    case.call = Some(Call::new("mail", "send"));
    for (rule, word) in [
        ("input.token.iss == \"urn:ftl:api-key\"", "allowed"),
        ("input.token.sub == \"ci\"", "allowed"),
        ("input.request.headers[\"x-api-key\"]", "policy"),
        ("input.request.headers.authorization", "policy"),
    ] {
        by_header(&mut case, KEY);
        case.headers.dedup();
        let rego = format!("package mcp.authorization\ndefault allow := false\nallow if {rule}");
        case.world.policy = Some((rego, String::new()));
        assert_eq!(case.reason(), word, "{rule}");
    }
}

#[test]
fn more_than_one_credential_is_ambiguous() {
    let mut case = beside();
    case.headers.push(("x-api-key".into(), KEY.into()));
    assert_eq!((case.reason(), status(&mut case)), ("ambiguous", 400));
    let mut case = alone();
    case.headers.push(("x-api-key".into(), KEY.into()));
    assert_eq!(case.reason(), "ambiguous", "also the same one twice");
    let mut case = alone();
    case.authorization = Some(Vec::new());
    for _ in 0..2 {
        case.headers.push(("X-Api-Key".into(), KEY.into()));
    }
    assert_eq!(case.reason(), "ambiguous");
    let mut case = alone();
    case.authorization = Some(vec![b"Basic Zm9yOnByb3h5".to_vec()]);
    case.headers.push(("x-api-key".into(), KEY.into()));
    assert_eq!(case.reason(), "allowed", "the other one is for a proxy");
}

#[test]
fn an_app_without_api_keys_knows_none() {
    let mut case = beside();
    case.auth("apiKeys", json!(false));
    case.headers.push(("x-api-key".into(), KEY.into()));
    assert_eq!(case.reason(), "allowed", "the header is somebody else's, the token counts");
    bearer(&mut case, KEY);
    assert_eq!(case.reason(), "malformed");
    case.authorization = Some(Vec::new());
    assert_eq!(case.reason(), "absent");
}

#[test]
fn a_token_does_not_become_a_key() {
    // A token that claims to come from where API keys do, in an app that leaves the issuer open.
    let mut case = beside();
    case.auth("allowedSubjects", json!([]));
    assert_eq!(case.reason(), "subject", "without subjects, only keys are let in");
    case.auth("issuer", Value::Null);
    case.claims["iss"] = json!("urn:ftl:api-key");
    assert_eq!(case.reason(), "subject");
    bearer(&mut case, KEY);
    assert_eq!(case.reason(), "allowed");
    let mut case = alone();
    case.authorization = None;
    assert_eq!(case.reason(), "malformed", "where there is no issuer, no token counts");
}

#[test]
fn with_keys_alone_nobody_is_sent_to_a_login() {
    let mut case = alone();
    case.authorization = Some(Vec::new());
    let response = case.run().err().expect("a refusal");
    assert_eq!(response.status, 401);
    assert_eq!(header(&response, "www-authenticate"), Some("Bearer realm=\"API key\""));
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(
        body["error_description"],
        "an API key is required, as bearer token or in the header X-API-Key; there is no login"
    );
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let request =
            authorizer::RequestView { method: "GET", path, component: None, headers: &case.headers };
        let answer = authorizer::well_known(&case.config(), &request).expect("an answer");
        assert_eq!(answer.status, 404, "{path}");
    }
    let mut case = beside();
    case.authorization = Some(Vec::new());
    let response = case.run().err().expect("a refusal");
    assert!(header(&response, "www-authenticate").is_some_and(|value| value.contains("resource_metadata=")));
}
