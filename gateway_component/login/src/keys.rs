//! The variable `login_keys`: keys that sign tokens and seal what is handed out, with an overlap when they change.
//!
//! A key is `next` before it is `current`, so that every gateway knows it when the first token is signed by it, and
//! `previous` afterwards, so that nobody's session ends with it.

use crate::http::{Response, json};
use ::json::base64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde::Deserialize;
use serde_json::{Value, json as object};
use sha2::Sha256;

const NONCE: usize = 24;
/// How many keys there may be: three, and room for a hurried rotation.
const MAX_KEYS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    keys: Vec<Member>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    kid: String,
    state: State,
    sign: Jwk,
    seal: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum State {
    Next,
    Current,
    Previous,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    d: String,
    x: String,
    y: String,
}

struct Key {
    id: String,
    /// Read only where it signs: to find the public half takes as long as fifty pages.
    sign: Jwk,
    seal: [u8; 32],
}

/// The keys of one app's login.
pub(crate) struct Keys {
    /// The current one first.
    keys: Vec<Key>,
    issuer: String,
}

impl Keys {
    /// Read the variable for an issuer; what was sealed for another issuer cannot be opened. The error says what is wrong
    /// without repeating any of it.
    pub(crate) fn parse(text: &str, issuer: &str) -> Result<Keys, &'static str> {
        let document: Document = serde_json::from_str(text).map_err(|_| "it is no document of keys")?;
        if document.version != 1 {
            return Err("its version is not 1");
        }
        if document.keys.len() > MAX_KEYS {
            return Err("it has too many keys");
        }
        if document.keys.iter().filter(|member| member.state == State::Current).count() != 1 {
            return Err("it has not exactly one current key");
        }
        let mut members = document.keys;
        members.sort_by_key(|member| member.state != State::Current);
        let keys = members
            .into_iter()
            .map(|member| Some(Key { seal: seal_key(&member.seal)?, id: member.kid, sign: member.sign }))
            .collect::<Option<Vec<Key>>>()
            .ok_or("one of its seals is not usable")?;
        Ok(Keys { keys, issuer: issuer.to_string() })
    }

    /// The public keys (RFC 7517), of every state; `None` if one of the keys is not usable.
    pub(crate) fn public_set(&self) -> Option<Response> {
        let keys: Vec<Value> = self.keys.iter().map(|key| Some(key.signing()?.1)).collect::<Option<_>>()?;
        Some(json(200, &object!({"keys": keys})))
    }

    /// Sign a JWT (RFC 7519) with the current key: ES256, with a header of the given type. `None` if that key is not
    /// usable.
    pub(crate) fn sign(&self, kind: &str, claims: &Value) -> Option<String> {
        let key = &self.keys[0];
        let (signing, _) = key.signing()?;
        let header = object!({"alg": "ES256", "typ": kind, "kid": key.id}).to_string();
        let signed = format!(
            "{}.{}",
            base64::encode_url(header.as_bytes()),
            base64::encode_url(claims.to_string().as_bytes())
        );
        let signature: Signature = signing.sign(signed.as_bytes());
        Some(format!("{signed}.{}", base64::encode_url(&signature.to_bytes())))
    }

    /// Seal a text for a purpose with the current key. Only this login opens it, and only for the same purpose.
    pub(crate) fn seal(&self, purpose: &str, text: &[u8], nonce: [u8; NONCE]) -> Option<String> {
        let sealed = self.cipher(&self.keys[0], purpose)?;
        let payload = Payload { msg: text, aad: purpose.as_bytes() };
        let body = sealed.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(base64::encode_url(&[nonce.as_slice(), &body].concat()))
    }

    /// Open what was sealed for a purpose, by a key of any state.
    pub(crate) fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = base64::decode_url(sealed)?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE>()?;
        self.keys.iter().find_map(|key| {
            let payload = Payload { msg: body, aad: purpose.as_bytes() };
            self.cipher(key, purpose)?.decrypt(&XNonce::from(*nonce), payload).ok()
        })
    }

    /// A secret that only this login can make of a text: that of a confidential client.
    pub(crate) fn derived(&self, purpose: &str, text: &str) -> impl Iterator<Item = String> {
        self.keys.iter().filter_map(move |key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.subkey(key, purpose)?).ok()?;
            mac.update(text.as_bytes());
            Some(base64::encode_url(&mac.finalize().into_bytes()))
        })
    }

    fn cipher(&self, key: &Key, purpose: &str) -> Option<XChaCha20Poly1305> {
        XChaCha20Poly1305::new_from_slice(&self.subkey(key, purpose)?).ok()
    }

    /// A key for one issuer and one purpose (RFC 5869).
    fn subkey(&self, key: &Key, purpose: &str) -> Option<[u8; 32]> {
        let mut derived = [0; 32];
        let info = [b"ftl login", purpose.as_bytes(), self.issuer.as_bytes()];
        Hkdf::<Sha256>::new(None, &key.seal).expand(&info.join(&0), &mut derived).ok()?;
        Some(derived)
    }
}

impl Key {
    /// The key that signs, and its public half as a JWK.
    fn signing(&self) -> Option<(SigningKey, Value)> {
        if self.sign.kty != "EC" || self.sign.crv != "P-256" || self.id.is_empty() {
            return None;
        }
        let signing = SigningKey::from_slice(&base64::decode_url(&self.sign.d)?).ok()?;
        let point = signing.verifying_key().to_sec1_point(false);
        let (x, y) = (base64::encode_url(point.x()?), base64::encode_url(point.y()?));
        // Otherwise the gateway, which is told the public half, would refuse every token.
        if x != self.sign.x || y != self.sign.y {
            return None;
        }
        let public = object!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.id, "use": "sig", "alg": "ES256",
        });
        Some((signing, public))
    }
}

/// 32 bytes in hexadecimal.
fn seal_key(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
