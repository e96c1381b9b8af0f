//! Attacks on the choice of algorithm and key.

use crate::common::Case;
use crate::common::issuer::{Signer, base64url, hs256, jwk, jwks, sign};
use crate::{INVALID, NO_KEYS, Row};
use serde_json::{Value, json};

fn legitimate(_: &mut Case) {}

fn rs256(case: &mut Case) {
    case.signed_by(Signer::Rs256);
}

/// The issuer publishes exactly these keys.
fn publish(case: &mut Case, keys: &[Value]) {
    case.world.jwks = Some(json!({"keys": keys}).to_string().into_bytes());
}

/// The issuer's RSA key with one member changed, beside another so that the set is not empty.
fn publish_rsa_with(case: &mut Case, member: &str, value: Value) {
    rs256(case);
    let mut key = jwk(Signer::Rs256);
    key[member] = value;
    publish(case, &[key, jwk(Signer::P256)]);
}

/// A token by `signer` whose header says something else.
fn mislabelled(case: &mut Case, signer: Signer, algorithm: &str) {
    case.auth("algorithms", json!(["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA"]));
    case.signed_by(signer);
    case.header["alg"] = json!(algorithm);
}

fn signature_becomes(case: &mut Case, signature: &[u8]) {
    let token = case.token();
    let (signed, _) = token.rsplit_once('.').unwrap();
    case.token = Some(format!("{signed}.{}", base64url(signature)));
}

fn unsigned(case: &mut Case, algorithm: &str) {
    case.header["alg"] = json!(algorithm);
    let header = base64url(case.header.to_string().as_bytes());
    case.token = Some(format!("{header}.{}.", base64url(case.claims.to_string().as_bytes())));
}

fn hmac_with(case: &mut Case, secret: &[u8]) {
    case.header = json!({"alg": "HS256", "kid": "rsa"});
    case.token = Some(hs256(secret, &case.header, &case.claims.to_string()));
}

pub const ROWS: &[Row] = &[
    Row { name: "alg none", refusal: INVALID, attack: |c| unsigned(c, "none"), twin: legitimate },
    Row { name: "alg nOnE", refusal: INVALID, attack: |c| unsigned(c, "nOnE"), twin: rs256 },
    Row {
        name: "a good alg without signature",
        refusal: INVALID,
        attack: |c| unsigned(c, "ES256"),
        twin: legitimate,
    },
    Row { name: "an empty alg", refusal: INVALID, attack: |c| unsigned(c, ""), twin: legitimate },
    Row {
        name: "HS256 with the public key's PEM as secret",
        refusal: INVALID,
        attack: |c| hmac_with(c, Signer::Rs256.pem().as_bytes()),
        twin: rs256,
    },
    Row {
        name: "HS256 with the modulus as secret",
        refusal: INVALID,
        attack: |c| {
            let key = jwk(Signer::Rs256);
            hmac_with(c, key["n"].as_str().unwrap().as_bytes());
        },
        twin: rs256,
    },
    Row {
        name: "HS256 with a symmetric key of the set",
        refusal: INVALID,
        attack: |c| {
            publish(c, &[json!({"kty": "oct", "kid": "rsa", "k": base64url(b"secret")}), jwk(Signer::P256)]);
            hmac_with(c, b"secret");
        },
        twin: |c| {
            publish(c, &[json!({"kty": "oct", "kid": "o", "k": base64url(b"secret")}), jwk(Signer::P256)])
        },
    },
    Row {
        name: "an algorithm that is not configured",
        refusal: INVALID,
        attack: |c| c.signed_by(Signer::Ps256),
        twin: |c| {
            c.signed_by(Signer::Ps256);
            c.auth("algorithms", json!(["PS256"]));
        },
    },
    Row {
        name: "an RS256 signature called PS256",
        refusal: INVALID,
        attack: |c| mislabelled(c, Signer::Rs256, "PS256"),
        twin: |c| mislabelled(c, Signer::Rs256, "RS256"),
    },
    Row {
        name: "an RS256 signature called RS384",
        refusal: INVALID,
        attack: |c| mislabelled(c, Signer::Rs256, "RS384"),
        twin: |c| mislabelled(c, Signer::Rs384, "RS384"),
    },
    Row {
        name: "an ES256 signature for the P-384 key",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!("p384"),
        twin: |c| c.signed_by(Signer::P384),
    },
    Row {
        name: "an ES256 signature called EdDSA",
        refusal: INVALID,
        attack: |c| mislabelled(c, Signer::P256, "EdDSA"),
        twin: |c| c.signed_by(Signer::Ed25519),
    },
    Row {
        name: "an algorithm in other letters",
        refusal: INVALID,
        attack: |c| c.header["alg"] = json!("es256"),
        twin: legitimate,
    },
    Row {
        name: "no algorithm",
        refusal: INVALID,
        attack: |c| {
            c.header.as_object_mut().unwrap().remove("alg");
        },
        twin: legitimate,
    },
    Row {
        name: "a list of algorithms",
        refusal: INVALID,
        attack: |c| c.header["alg"] = json!(["ES256"]),
        twin: legitimate,
    },
    Row {
        name: "an ECDSA signature of zeros",
        refusal: INVALID,
        attack: |c| signature_becomes(c, &[0; 64]),
        twin: legitimate,
    },
    Row {
        name: "an ECDSA signature in DER",
        refusal: INVALID,
        attack: |c| {
            let signature = Signer::P256.signature(c.token().rsplit_once('.').unwrap().0.as_bytes());
            signature_becomes(
                c,
                &[&[0x30, 68, 2, 32], &signature[..32], &[2, 32], &signature[32..]].concat(),
            );
        },
        twin: legitimate,
    },
    Row {
        name: "an RSA signature with a byte in front",
        refusal: INVALID,
        attack: |c| {
            rs256(c);
            let signature = Signer::Rs256.signature(c.token().rsplit_once('.').unwrap().0.as_bytes());
            signature_becomes(c, &[&[0], signature.as_slice()].concat());
        },
        twin: rs256,
    },
    Row {
        name: "an RSA signature of 1",
        refusal: INVALID,
        attack: |c| {
            rs256(c);
            signature_becomes(c, &[&[0; 255], [1].as_slice()].concat());
        },
        twin: rs256,
    },
    Row {
        name: "a key that the set keeps for RS512",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "alg", json!("RS512")),
        twin: |c| publish_rsa_with(c, "alg", json!("RS256")),
    },
    Row {
        name: "a key for encryption",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "use", json!("enc")),
        twin: |c| publish_rsa_with(c, "use", json!("sig")),
    },
    Row {
        name: "a key whose operations do not have verify",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "key_ops", json!(["encrypt"])),
        twin: |c| publish_rsa_with(c, "key_ops", json!(["verify"])),
    },
    Row {
        name: "a key that says EC and is RSA",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "kty", json!("EC")),
        twin: |c| publish_rsa_with(c, "kty", json!("RSA")),
    },
    Row {
        name: "a key whose private half is published",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "d", json!("AQAB")),
        twin: |c| publish_rsa_with(c, "x5t", json!("AQAB")),
    },
    Row {
        name: "an RSA exponent of 1",
        refusal: INVALID,
        attack: |c| publish_rsa_with(c, "e", json!("AQ")),
        twin: |c| publish_rsa_with(c, "e", json!("AQAB")),
    },
    Row {
        name: "an RSA key of 1024 bits",
        refusal: INVALID,
        attack: |c| {
            publish(c, &[jwk(Signer::Weak), jwk(Signer::P256)]);
            c.signed_by(Signer::Weak);
        },
        twin: |c| {
            publish(c, &[jwk(Signer::Rs256), jwk(Signer::P256)]);
            rs256(c);
        },
    },
    Row {
        name: "an Ed25519 key of small order",
        refusal: INVALID,
        attack: |c| {
            let weak = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": base64url(&[0; 32])});
            publish(c, &[weak, jwk(Signer::P256)]);
            c.signed_by(Signer::Ed25519);
            signature_becomes(c, &[0; 64]);
        },
        twin: |c| c.signed_by(Signer::Ed25519),
    },
    Row {
        name: "nothing but unusable keys",
        refusal: NO_KEYS,
        attack: |c| publish(c, &[json!({"kty": "oct", "k": "AQAB"}), json!({"kty": "RSA"}), json!(1)]),
        twin: |c| {
            publish(
                c,
                &[json!({"kty": "oct", "k": "AQAB"}), json!({"kty": "RSA"}), json!(1), jwk(Signer::P256)],
            )
        },
    },
    Row {
        name: "a stranger's RSA key under the issuer's kid",
        refusal: INVALID,
        attack: |c| {
            c.signed_by(Signer::Stranger);
            c.header["kid"] = json!("rsa");
        },
        twin: rs256,
    },
    Row {
        name: "a stranger's EC key without kid",
        refusal: INVALID,
        attack: |c| {
            c.signer = Signer::StrangerP256;
            c.header = json!({"alg": "ES256"});
        },
        twin: |c| c.header = json!({"alg": "ES256"}),
    },
    Row {
        name: "an embedded jwk",
        refusal: INVALID,
        attack: |c| {
            c.signed_by(Signer::Stranger);
            c.header["jwk"] = jwk(Signer::Stranger);
        },
        twin: |c| c.header["jwk"] = jwk(Signer::Stranger),
    },
    Row {
        name: "an embedded jwk under the issuer's kid",
        refusal: INVALID,
        attack: |c| {
            c.signer = Signer::StrangerP256;
            c.header["jwk"] = jwk(Signer::StrangerP256);
        },
        twin: |c| c.header["jwk"] = jwk(Signer::P256),
    },
    Row {
        name: "a jku",
        refusal: INVALID,
        attack: |c| {
            c.signed_by(Signer::Stranger);
            c.header["jku"] = json!("https://evil.example/keys");
        },
        twin: |c| c.header["jku"] = json!("https://evil.example/keys"),
    },
    Row {
        name: "an x5u",
        refusal: INVALID,
        attack: |c| {
            c.signed_by(Signer::Stranger);
            c.header["x5u"] = json!("https://evil.example/cert");
        },
        twin: |c| c.header["x5u"] = json!("https://evil.example/cert"),
    },
    Row {
        name: "an x5c",
        refusal: INVALID,
        attack: |c| {
            c.signed_by(Signer::Stranger);
            c.header["x5c"] = json!(["MIIB"]);
        },
        twin: |c| c.header["x5c"] = json!(["MIIB"]),
    },
    Row {
        name: "another key's kid",
        refusal: INVALID,
        attack: |c| {
            rs256(c);
            publish(
                c,
                &[jwk(Signer::Rs256), jwk(Signer::P256), {
                    let mut other = jwk(Signer::Stranger);
                    other["kid"] = json!("other");
                    other
                }],
            );
            c.header["kid"] = json!("other");
        },
        twin: rs256,
    },
    Row {
        name: "an unknown kid",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!("p257"),
        twin: legitimate,
    },
    Row {
        name: "an empty kid",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!(""),
        twin: |c| {
            let mut key = jwk(Signer::P256);
            key["kid"] = json!("");
            publish(c, &[key]);
            c.header["kid"] = json!("");
        },
    },
    Row {
        name: "a kid that is a path",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!("../../../dev/null"),
        twin: |c| {
            let mut key = jwk(Signer::P256);
            key["kid"] = json!("../../../dev/null");
            publish(c, &[key]);
            c.header["kid"] = json!("../../../dev/null");
        },
    },
    Row {
        name: "a kid that is SQL",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!("' UNION SELECT 'key"),
        twin: legitimate,
    },
    Row {
        name: "a kid that is a number",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!(1),
        twin: |c| c.header = json!({"alg": "ES256"}),
    },
    Row {
        name: "a kid of a kilobyte",
        refusal: INVALID,
        attack: |c| c.header["kid"] = json!("k".repeat(1024)),
        twin: legitimate,
    },
    Row {
        name: "a stranger's key for a static public key",
        refusal: INVALID,
        attack: |c| {
            static_key(c);
            c.signer = Signer::StrangerP256;
        },
        twin: static_key,
    },
    Row {
        name: "a static public key and another algorithm's token",
        refusal: INVALID,
        attack: |c| {
            static_key(c);
            rs256(c);
        },
        twin: static_key,
    },
    Row {
        name: "a stranger's key for a fixed key set",
        refusal: INVALID,
        attack: |c| {
            fixed_set(c);
            c.signer = Signer::StrangerP256;
        },
        twin: fixed_set,
    },
    Row {
        name: "a signature over another token",
        refusal: INVALID,
        attack: |c| {
            let mut claims = c.claims.clone();
            claims["sub"] = json!("bob");
            let good = sign(Signer::P256, &c.header, &claims.to_string());
            let (_, signature) = good.rsplit_once('.').unwrap();
            let own = c.token();
            c.token = Some(format!("{}.{signature}", own.rsplit_once('.').unwrap().0));
        },
        twin: legitimate,
    },
];

/// One P-256 public key in PEM (the DER of its SubjectPublicKeyInfo is the fixed prefix and the point).
fn static_key(case: &mut Case) {
    use base64ct::{Base64, Base64UrlUnpadded, Encoding};
    let key = jwk(Signer::P256);
    let part = |name: &str| Base64UrlUnpadded::decode_vec(key[name].as_str().unwrap()).unwrap();
    let prefix = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    let der = [prefix.as_slice(), &part("x"), &part("y")].concat();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&der));
    case.auth("jwksUri", Value::Null);
    case.auth("publicKey", json!(pem));
}

fn fixed_set(case: &mut Case) {
    case.auth("jwksUri", Value::Null);
    case.auth("jwks", jwks(&[Signer::P256]));
}
