//! Fail closed: a policy, a configuration or a key that is not whole lets nobody in; and all that is supported works.

mod common;

use authorizer::Env;
use common::issuer::Signer;
use common::{Call, Case, World, rules};
use serde_json::{Value, json};

fn status(case: &mut Case) -> u16 {
    match case.run() {
        Ok(_) => 200,
        Err(response) => response.status,
    }
}

#[test]
fn a_policy_that_cannot_be_had_denies() {
    let texts: [(&str, Option<(&str, &str)>); 7] = [
        ("the variable is missing", None),
        ("empty", Some(("", ""))),
        ("no Rego", Some(("allow everyone", ""))),
        ("another package", Some(("package other\nallow := true", ""))),
        ("data that is no JSON", Some(("package mcp.authorization\nallow := true", "{"))),
        ("data that is a list", Some(("package mcp.authorization\nallow := true", "[]"))),
        ("data that overwrites the rule", {
            Some((
                "package mcp.authorization\nallow := false",
                r#"{"mcp": {"authorization": {"allow": true}}}"#,
            ))
        }),
    ];
    for (what, texts) in texts {
        let mut case = Case::new();
        case.with_policy("", "");
        case.world.policy = texts.map(|(rego, data)| (rego.to_string(), data.to_string()));
        case.call = Some(Call::new("mail", "send"));
        assert_eq!(status(&mut case), 403, "{what}");
        case.call = None;
        assert!(case.list(&[("mail", "send")]).is_err(), "{what}");
        assert!(case.other("initialize", &[("mail", "send")]).is_err(), "{what}");
    }
}

#[test]
fn a_configuration_that_is_not_whole_is_none() {
    type Spoil = fn(&mut Value);
    let breaks: &[(&str, Spoil)] = &[
        ("no auth", |c| {
            c.as_object_mut().unwrap().remove("auth");
        }),
        ("auth is false", |c| c["auth"] = json!(false)),
        ("auth is empty", |c| c["auth"] = json!({})),
        ("access is public", |c| c["auth"]["access"] = json!("public")),
        ("access is unknown", |c| c["auth"]["access"] = json!("Private")),
        ("no audience", |c| c["auth"]["audiences"] = json!([])),
        ("audiences are a text", |c| c["auth"]["audiences"] = json!("a")),
        ("an empty audience", |c| c["auth"]["audiences"] = json!([""])),
        ("no algorithm", |c| c["auth"]["algorithms"] = json!([])),
        ("none", |c| c["auth"]["algorithms"] = json!(["RS256", "none"])),
        ("HS256", |c| c["auth"]["algorithms"] = json!(["HS256"])),
        ("no keys", |c| c["auth"]["jwksUri"] = Value::Null),
        ("two sources of keys", |c| c["auth"]["publicKey"] = json!("-----BEGIN PUBLIC KEY-----")),
        ("keys over HTTP", |c| c["auth"]["jwksUri"] = json!("http://login.acme.dev/keys")),
        ("keys over HTTP, disguised", |c| c["auth"]["jwksUri"] = json!("http://localhost.evil.example/keys")),
        ("keys from a file", |c| c["auth"]["jwksUri"] = json!("file:///etc/keys")),
        ("no subjects", |c| c["auth"]["allowedSubjects"] = json!([])),
        ("an empty subject", |c| c["auth"]["allowedSubjects"] = json!([""])),
        ("org without organization", |c| c["auth"]["access"] = json!("org")),
        ("custom without policy", |c| c["auth"]["access"] = json!("custom")),
        ("an organization without claim", |c| {
            c["auth"]["organization"] = json!({"claim": "", "value": "org"});
        }),
        ("a leeway of a day", |c| c["auth"]["leewaySeconds"] = json!(86_400)),
        ("a negative leeway", |c| c["auth"]["leewaySeconds"] = json!(-1)),
        ("required scopes are a text", |c| c["auth"]["requiredScopes"] = json!("mcp:tools")),
        ("hasPolicy is a text", |c| c["auth"]["hasPolicy"] = json!("true")),
        ("a resource that is no URL", |c| c["resource"] = json!("tools.acme.dev")),
        ("a resource with a query", |c| c["resource"] = json!("https://tools.acme.dev/mcp?x")),
        ("auth is a list", |c| c["auth"] = json!([])),
        ("every subject is a text", |c| c["auth"]["everySubject"] = json!("true")),
    ];
    for (what, spoil) in breaks {
        let mut config = Case::new().config;
        assert!(rules(&config, "").is_ok());
        spoil(&mut config);
        assert!(rules(&config, "").is_err(), "{what}");
    }
}

#[test]
fn a_broken_static_key_denies() {
    for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", Signer::Weak.pem()] {
        let mut case = Case::new();
        case.auth("jwksUri", Value::Null);
        case.auth("publicKey", json!(pem));
        if pem.is_empty() {
            assert!(rules(&case.config, "").is_err());
        } else {
            assert_eq!(status(&mut case), 503);
        }
    }
}

#[test]
fn a_development_issuer_on_this_machine_may_use_http() {
    for url in ["http://127.0.0.1:4000/keys", "http://localhost:4000/keys", "http://[::1]:4000/keys"] {
        let mut case = Case::new();
        case.auth("jwksUri", json!(url));
        assert_eq!(status(&mut case), 200);
        assert_eq!(case.world.fetched, [url]);
    }
}

#[test]
fn every_supported_algorithm_works() {
    let mut case = Case::new();
    case.auth(
        "algorithms",
        json!(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]),
    );
    use Signer::{Ed25519, P256, P384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    for signer in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, P256, P384, Ed25519] {
        case.signed_by(signer);
        assert_eq!(status(&mut case), 200, "{signer:?}");
        case.header["alg"] = json!("RS256");
        if signer != Rs256 {
            assert_eq!(status(&mut case), 401, "{signer:?} called RS256");
        }
    }
}

#[test]
fn the_world_of_these_tests_bounds_bodies_as_the_component_does() {
    let mut world = World::new();
    world.jwks = Some(vec![0; 11]);
    assert!(world.fetch("https://x", 10).is_none());
}

#[test]
fn every_subject_of_the_apps_own_issuer_may_call_unless_some_are_listed() {
    let mut case = Case::new();
    case.auth("allowedSubjects", json!([]));
    assert!(rules(&case.config, "").is_err(), "nobody is meant");
    case.auth("everySubject", json!(true));
    assert_eq!(status(&mut case), 200);
    case.auth("allowedSubjects", json!(["somebody-else"]));
    assert_eq!(status(&mut case), 403);
}
