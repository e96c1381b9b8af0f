//! Public keys, from JWK (RFC 7517, 7518 §6, 8037) or PEM, and what each may verify.

use crate::algorithm::Algorithm;
use ed25519_dalek::pkcs8::DecodePublicKey;
use json::base64;
use rsa::BoxedUint;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::signature::Verifier;
use serde_json::{Map, Value};
use sha2::{Sha256, Sha384, Sha512};

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
const MAX_PEM_LENGTH: usize = 8 * 1024;

/// A key, with what its set says about it.
pub(crate) struct Key {
    pub(crate) id: Option<String>,
    /// The one algorithm that the set allows it for, if the set says so.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Rsa(rsa::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl Key {
    /// Read one member of a JWK set. The error says why it is not usable: it is not for verifying signatures, is too
    /// weak, is not understood, or brings its private half with it. A member that is null is absent, as some
    /// serializers write it; one of another type than RFC 7517's makes the key unusable.
    pub(crate) fn from_jwk(jwk: &Value) -> Result<Key, &'static str> {
        let jwk = jwk.as_object().ok_or("it is no object")?;
        let member = |name: &str| jwk.get(name).filter(|value| !value.is_null());
        let for_signatures = member("use").is_none_or(|usage| usage == "sig");
        let for_verifying = match member("key_ops") {
            None => true,
            // Nothing is said: .NET's serializer writes an empty list where there is none.
            Some(Value::Array(operations)) if operations.is_empty() => true,
            Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
            Some(_) => return Err("key_ops is no list"),
        };
        if !for_signatures || !for_verifying {
            return Err("it is not for verifying signatures");
        }
        if member("d").is_some() || member("k").is_some() {
            return Err("it is private");
        }
        let text = |name: &str, problem| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(problem),
        };
        Ok(Key {
            id: text("kid", "kid is no text")?,
            algorithm: text("alg", "alg is no text")?,
            material: Material::from_jwk(jwk).ok_or(
                "its kind or curve is not supported, or its numbers are not base64url of the right size",
            )?,
        })
    }

    /// Read a public key in PEM. The label between the dashes is not believed: the key's own structure decides.
    pub(crate) fn from_pem(pem: &str) -> Option<Key> {
        if pem.len() > MAX_PEM_LENGTH {
            return None;
        }
        let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
        let der = base64::decode(&body)?;
        let material = if let Ok(key) = rsa::PublicKey::from_public_key_der(&der) {
            Material::Rsa(sized(key)?)
        } else if let Ok(key) = rsa::PublicKey::from_pkcs1_der(&der) {
            Material::Rsa(sized(key)?)
        } else if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(&der) {
            Material::P256(key)
        } else if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_der(&der) {
            Material::P384(key)
        } else {
            Material::Ed25519(ed25519_dalek::VerifyingKey::from_public_key_der(&der).ok()?)
        };
        Some(Key { id: None, algorithm: None, material })
    }

    /// Whether this key may be used with `algorithm` at all (RFC 8725 §3.1: one key, its algorithms).
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let declared = match &self.algorithm {
            None => true,
            Some(name) => Algorithm::parse(name) == Some(algorithm),
        };
        declared
            && matches!(
                (&self.material, algorithm),
                (Material::Rsa(_), Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
                    | (Material::P256(_), Es256)
                    | (Material::P384(_), Es384)
                    | (Material::Ed25519(_), EdDsa)
            )
    }

    /// Verify a JWS signature (RFC 7518 §3.3–3.5, RFC 8037 §3.1). A pair that does not fit is `false`.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Rsa(key), Algorithm::Rs256) => pkcs1::<Sha256>(key, message, signature),
            (Material::Rsa(key), Algorithm::Rs384) => pkcs1::<Sha384>(key, message, signature),
            (Material::Rsa(key), Algorithm::Rs512) => pkcs1::<Sha512>(key, message, signature),
            (Material::Rsa(key), Algorithm::Ps256) => pss::<Sha256>(key, message, signature),
            (Material::Rsa(key), Algorithm::Ps384) => pss::<Sha384>(key, message, signature),
            (Material::Rsa(key), Algorithm::Ps512) => pss::<Sha512>(key, message, signature),
            (Material::P256(key), _) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Material::P384(key), _) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Material::Ed25519(key), _) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            (Material::Rsa(_), _) => false,
        }
    }
}

impl Material {
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Material> {
        let bytes = |name: &str| base64::decode_padded_url(jwk.get(name)?.as_str()?);
        let kind = jwk.get("kty")?.as_str()?;
        let curve = match jwk.get("crv") {
            None | Some(Value::Null) => None,
            Some(curve) => Some(curve.as_str()?),
        };
        match (kind, curve) {
            ("RSA", None) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                if modulus.len() > MAX_RSA_BITS / 8 + 1 || exponent.len() > 8 {
                    return None;
                }
                rsa::PublicKey::new_with_size_limits(
                    BoxedUint::from_be_slice_vartime(&modulus),
                    BoxedUint::from_be_slice_vartime(&exponent),
                    MIN_RSA_BITS..=MAX_RSA_BITS,
                )
                .ok()
                .map(Material::Rsa)
            }
            ("EC", Some("P-256")) => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(&bytes("x")?, &bytes("y")?, 32)?)
                    .ok()
                    .map(Material::P256)
            }
            ("EC", Some("P-384")) => {
                p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(&bytes("x")?, &bytes("y")?, 48)?)
                    .ok()
                    .map(Material::P384)
            }
            ("OKP", Some("Ed25519")) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes("x")?.try_into().ok()?).ok()?;
                (!key.is_weak()).then_some(Material::Ed25519(key))
            }
            _ => None,
        }
    }
}

/// An uncompressed SEC 1 point; both coordinates have the curve's full length (RFC 7518 §6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

fn sized(key: rsa::PublicKey) -> Option<rsa::PublicKey> {
    use rsa::traits::PublicKeyParts;
    (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&(key.n().bit_width() as usize)).then_some(key)
}

fn pkcs1<D>(key: &rsa::PublicKey, message: &[u8], signature: &[u8]) -> bool
where
    D: rsa::pkcs8::AssociatedOid + sha2::Digest,
    rsa::pkcs1v15::VerifyingKey<D>: Verifier<rsa::pkcs1v15::Signature>,
{
    rsa::pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| {
        rsa::pkcs1v15::VerifyingKey::<D>::new(key.clone()).verify(message, &signature).is_ok()
    })
}

fn pss<D>(key: &rsa::PublicKey, message: &[u8], signature: &[u8]) -> bool
where
    D: sha2::Digest,
    rsa::pss::VerifyingKey<D>: Verifier<rsa::pss::Signature>,
{
    rsa::pss::Signature::try_from(signature).is_ok_and(|signature| {
        rsa::pss::VerifyingKey::<D>::new(key.clone()).verify(message, &signature).is_ok()
    })
}
