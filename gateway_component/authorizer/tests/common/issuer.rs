//! Keys of the tests' issuer and of a stranger, and the tokens they sign.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs8::DecodePrivateKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer as _};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use std::convert::Infallible;

/// Who signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    P256,
    P384,
    Ed25519,
    /// RS256 with a key that is not the issuer's.
    Stranger,
    /// ES256 with a key that is not the issuer's.
    StrangerP256,
    /// RS256 with a key of 1024 bits.
    Weak,
}

impl Signer {
    /// One of each of the issuer's keys.
    pub const ALL: [Signer; 4] = [Signer::Rs256, Signer::P256, Signer::P384, Signer::Ed25519];

    pub fn algorithm(self) -> &'static str {
        match self {
            Signer::Rs256 | Signer::Stranger | Signer::Weak => "RS256",
            Signer::Rs384 => "RS384",
            Signer::Rs512 => "RS512",
            Signer::Ps256 => "PS256",
            Signer::Ps384 => "PS384",
            Signer::Ps512 => "PS512",
            Signer::P256 | Signer::StrangerP256 => "ES256",
            Signer::P384 => "ES384",
            Signer::Ed25519 => "EdDSA",
        }
    }

    pub fn key_id(self) -> &'static str {
        match self {
            Signer::P256 => "p256",
            Signer::P384 => "p384",
            Signer::Ed25519 => "ed25519",
            Signer::Stranger | Signer::StrangerP256 => "stranger",
            Signer::Weak => "weak",
            _ => "rsa",
        }
    }

    pub fn pem(self) -> &'static str {
        match self {
            Signer::Stranger => include_str!("../keys/stranger.pem"),
            Signer::Weak => include_str!("../keys/weak.pem"),
            _ => include_str!("../keys/issuer.pem"),
        }
    }

    fn rsa(self) -> rsa::PrivateKey {
        let body: String = self.pem().lines().filter(|line| !line.starts_with('-')).collect();
        rsa::PrivateKey::from_pkcs8_der(&Base64::decode_vec(&body).unwrap()).unwrap()
    }

    fn p256(self) -> p256::ecdsa::SigningKey {
        let seed = if self == Signer::P256 { [7; 32] } else { [9; 32] };
        p256::ecdsa::SigningKey::from_slice(&seed).unwrap()
    }

    fn p384(self) -> p384::ecdsa::SigningKey {
        p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap()
    }

    fn ed25519(self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&[7; 32])
    }

    pub fn signature(self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Rs256 | Signer::Stranger | Signer::Weak => {
                rsa::pkcs1v15::SigningKey::<Sha256>::new(self.rsa()).sign(message).to_vec()
            }
            Signer::Rs384 => rsa::pkcs1v15::SigningKey::<Sha384>::new(self.rsa()).sign(message).to_vec(),
            Signer::Rs512 => rsa::pkcs1v15::SigningKey::<Sha512>::new(self.rsa()).sign(message).to_vec(),
            Signer::Ps256 => rsa::pss::SigningKey::<Sha256>::new(self.rsa())
                .sign_with_rng(&mut Counter(0), message)
                .to_vec(),
            Signer::Ps384 => rsa::pss::SigningKey::<Sha384>::new(self.rsa())
                .sign_with_rng(&mut Counter(0), message)
                .to_vec(),
            Signer::Ps512 => rsa::pss::SigningKey::<Sha512>::new(self.rsa())
                .sign_with_rng(&mut Counter(0), message)
                .to_vec(),
            Signer::P256 | Signer::StrangerP256 => {
                let signature: p256::ecdsa::Signature = self.p256().sign(message);
                signature.to_vec()
            }
            Signer::P384 => {
                let signature: p384::ecdsa::Signature = self.p384().sign(message);
                signature.to_vec()
            }
            Signer::Ed25519 => self.ed25519().sign(message).to_vec(),
        }
    }
}

/// The public key as a JWK with its `kid`.
pub fn jwk(signer: Signer) -> Value {
    let mut key = match signer {
        Signer::P256 | Signer::StrangerP256 => {
            let point = signer.p256().verifying_key().to_sec1_point(false);
            let bytes = point.as_bytes();
            json!({"kty": "EC", "crv": "P-256", "x": base64url(&bytes[1..33]), "y": base64url(&bytes[33..])})
        }
        Signer::P384 => {
            let point = signer.p384().verifying_key().to_sec1_point(false);
            let bytes = point.as_bytes();
            json!({"kty": "EC", "crv": "P-384", "x": base64url(&bytes[1..49]), "y": base64url(&bytes[49..])})
        }
        Signer::Ed25519 => {
            let key = signer.ed25519().verifying_key();
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key.as_bytes())})
        }
        _ => {
            let key = signer.rsa();
            let bytes = |number: &[u8]| {
                let start = number.iter().position(|byte| *byte != 0).unwrap();
                base64url(&number[start..])
            };
            json!({"kty": "RSA", "n": bytes(&key.n().to_be_bytes()), "e": bytes(&key.e().to_be_bytes())})
        }
    };
    key["kid"] = json!(signer.key_id());
    key["use"] = json!("sig");
    key
}

pub fn jwks(signers: &[Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| jwk(*signer)).collect::<Vec<_>>()})
}

pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// A compact JWS over any payload.
pub fn sign(signer: Signer, header: &Value, payload: &str) -> String {
    sign_text(signer, &header.to_string(), payload)
}

/// The same over a header that is not what `serde_json` would write.
pub fn sign_text(signer: Signer, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    let signature = signer.signature(signed.as_bytes());
    format!("{signed}.{}", base64url(&signature))
}

/// A JWS "signed" with HMAC under `secret`.
pub fn hs256(secret: &[u8], header: &Value, payload: &str) -> String {
    let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(payload.as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", base64url(&mac.finalize().into_bytes()))
}

/// A generator that only counts, so that the tokens of a test are the same in every run.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| (number & 0xffff_ffff) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            self.0 += 1;
            *byte = (self.0 & 0xff) as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
