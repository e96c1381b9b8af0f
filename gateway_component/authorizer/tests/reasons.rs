//! Each refusal has its word, which the log and the metrics have and the answer has not.

mod common;

use common::issuer::Signer;
use common::{Call, Case, NOW};
use serde_json::{Value, json};

fn with_policy(case: &mut Case) {
    case.with_policy("package mcp.authorization\ndefault allow := false", "");
    case.call = Some(Call::new("mail", "send"));
}

fn without(case: &mut Case, claim: &str) {
    case.claims.as_object_mut().expect("an object").remove(claim);
}

type Change = fn(&mut Case);

const REFUSED: &[(&str, Change)] = &[
    ("absent", |c| c.authorization = Some(Vec::new())),
    ("absent", |c| c.authorization = Some(vec![b"Basic YTpi".to_vec()])),
    ("ambiguous", |c| c.authorization = Some(vec![b"Bearer a".to_vec(), b"Bearer a".to_vec()])),
    ("malformed", |c| c.token = Some("not.a.token".into())),
    ("malformed", |c| without(c, "exp")),
    ("type", |c| c.header["typ"] = json!("logout+jwt")),
    ("type", |c| {
        c.header["typ"] = json!("JWT");
        c.claims["nonce"] = json!("n");
    }),
    ("algorithm", |c| c.header["alg"] = json!("none")),
    ("algorithm", |c| c.auth("algorithms", json!(["RS256"]))),
    ("binding", |c| c.claims["cnf"] = json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
    ("binding", |c| c.authorization = Some(vec![b"DPoP abc".to_vec()])),
    ("expired", |c| c.claims["exp"] = json!(NOW - 90)),
    ("not_yet_valid", |c| c.claims["nbf"] = json!(NOW + 90)),
    ("not_yet_valid", |c| c.claims["iat"] = json!(NOW + 90)),
    ("issuer", |c| c.claims["iss"] = json!("https://login.acme.dev/")),
    ("audience", |c| c.claims["aud"] = json!("https://tools.acme.dev/mcp/")),
    ("audience", |c| without(c, "aud")),
    ("subject", |c| without(c, "sub")),
    ("subject", |c| c.claims["sub"] = json!("mallory")),
    ("scope", |c| c.claims["scope"] = json!("openid")),
    ("scope", |c| {
        let mut call = Call::new("mail", "send");
        call.scopes = vec!["mail:send".into()];
        c.call = Some(call);
    }),
    ("key", |c| c.header["kid"] = json!("unknown")),
    ("signature", |c| c.signer = Signer::StrangerP256),
    ("policy", with_policy),
    ("unavailable", |c| c.world.jwks = None),
];

#[test]
fn each_refusal_has_its_word() {
    assert_eq!(Case::new().reason(), "allowed");
    for (word, change) in REFUSED {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(case.reason(), *word);
    }
}

#[test]
fn the_answer_does_not_tell_them_apart() {
    // All that a stranger can provoke without a good token reads the same, byte for byte.
    let answers: Vec<(u16, Vec<u8>)> = REFUSED
        .iter()
        .filter_map(|(_, change)| {
            let mut case = Case::new();
            change(&mut case);
            let response = case.run().err()?;
            let challenge = common::header(&response, "www-authenticate").unwrap_or_default();
            (response.status == 401 && challenge.contains("error="))
                .then_some((response.status, response.body))
        })
        .collect();
    assert!(answers.len() >= 14);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn words_are_unique_and_plain() {
    let mut words: Vec<&str> = authorizer::Reason::ALL.iter().map(|reason| reason.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), authorizer::Reason::ALL.len());
    assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
}

#[test]
fn scopes_to_ask_for_may_have_other_names_than_those_that_are_checked() {
    let mut case = Case::new();
    case.auth("requiredScopes", json!(["mcp.read"]));
    case.auth("scopesSupported", json!(["mcp.read", "mcp.write"]));
    let advertised = json!(["api://3fa8/mcp.read", "api://3fa8/mcp.write", "offline_access"]);
    case.auth("advertisedScopes", advertised.clone());
    case.claims["scope"] = json!("mcp.read");
    assert_eq!(case.reason(), "allowed", "what the token has is checked");
    case.claims["scope"] = json!("api://3fa8/mcp.read");
    let challenge = |case: &mut Case| {
        let response = case.run().err().expect("a refusal");
        common::header(&response, "www-authenticate").expect("a challenge").to_string()
    };
    assert!(challenge(&mut case).contains("scope=\"api://3fa8/mcp.read offline_access\""));
    case.claims["scope"] = json!("mcp.read");
    let mut call = Call::new("mail", "send");
    call.scopes = vec!["mcp.write".into()];
    case.call = Some(call);
    let stepped = challenge(&mut case);
    assert!(
        stepped.contains("scope=\"api://3fa8/mcp.read api://3fa8/mcp.write offline_access\""),
        "{stepped}"
    );
    let path = "/.well-known/oauth-protected-resource/mcp";
    let request = authorizer::RequestView { method: "GET", path, component: None, headers: &case.headers };
    let response = authorizer::well_known(&case.config(), &request).expect("metadata");
    let document: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(document["scopes_supported"], advertised);
}

#[test]
fn the_client_is_named_by_the_first_claim_that_does() {
    for (claims, client) in [
        (json!({"client_id": "a", "azp": "b", "cid": "c", "appid": "d"}), Some("a")),
        (json!({"azp": "b", "cid": "c", "appid": "d"}), Some("b")),
        (json!({"cid": "0oa1", "uid": "00u1"}), Some("0oa1")),
        (
            json!({"appid": "6731de76-14a6-49ae-97bc-6eba6914391e"}),
            Some("6731de76-14a6-49ae-97bc-6eba6914391e"),
        ),
        (json!({}), None),
    ] {
        let mut case = Case::new();
        without(&mut case, "client_id");
        for (name, value) in claims.as_object().expect("an object") {
            case.claims[name] = value.clone();
        }
        let headers = case.run().expect("a good token").identity_headers();
        let named =
            headers.iter().find(|(name, _)| name == "x-auth-client-id").map(|(_, value)| value.as_str());
        assert_eq!(named, client);
    }
}
