//! API keys: `ftl_`, 256 random bits in base62, and a checksum, by which scanners for secrets know a key for certain.
//!
//! The app is given a text with one key a line, of which it knows only the SHA-256:
//!
//! ```text
//! NAME SHA256-IN-HEX [scopes=a,b] [expires=2027-01-31T00:00:00Z]
//! ```
//!
//! Empty lines and those that begin with `#` say nothing. A line that cannot be read is no key. Two lines may have one
//! name, which is how a key is exchanged for another.

use crate::encoding::is_scope;
use crate::error::Reason;
use crate::time;
use json::{base64, hex};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// How every key begins.
pub(crate) const PREFIX: &str = "ftl_";
/// The issuer that policies and tools see for a caller with an API key. No token's issuer can be this, for it is no URL.
pub(crate) const ISSUER: &str = "urn:ftl:api-key";

/// 62^43 > 2^256.
const RANDOM_LENGTH: usize = 43;
/// 62^6 > 2^32.
const CHECKSUM_LENGTH: usize = 6;
const MAX_NAME: usize = 64;
/// Of SHA-256 in hex.
const HASH_LENGTH: usize = 64;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key of the app.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    /// Seconds since the epoch from which it no longer holds.
    pub(crate) expires: Option<u64>,
}

/// The key of the app that `given` is, at `now` (seconds since the epoch).
///
/// Every line is compared, and each in the same time whatever its hash is, so that time tells nothing about hashes.
pub(crate) fn find(lines: &str, given: &str, now: u64) -> Result<ApiKey, Reason> {
    if !is_well_formed(given) {
        return Err(Reason::Malformed);
    }
    let wanted = hex::encode(&Sha256::digest(given.as_bytes()));
    let mut found = None;
    for line in lines.lines() {
        if hash_of(line.as_bytes()).is_some_and(|hash| is_same_hash(hash, wanted.as_bytes()))
            && found.is_none()
        {
            found = Some(line);
        }
    }
    let key = found.and_then(parse).ok_or(Reason::Key)?;
    match key.expires {
        Some(expires) if now >= expires => Err(Reason::Expired),
        _ => Ok(key),
    }
}

/// The second word of a line, if it is as long as a hash and the line no comment. Most of what a call with a key costs
/// is this, once for each line.
fn hash_of(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    if line.first() == Some(&b'#') {
        return None;
    }
    let rest = &line[line.iter().position(u8::is_ascii_whitespace)?..];
    let (hash, rest) = rest.trim_ascii_start().split_at_checked(HASH_LENGTH)?;
    rest.first().is_none_or(u8::is_ascii_whitespace).then_some(hash)
}

impl ApiKey {
    /// The claims that policies and tools see, and base64url of their JSON.
    pub(crate) fn claims(&self) -> (Map<String, Value>, String) {
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(ISSUER));
        claims.insert("sub".into(), json!(self.name));
        claims.insert("scope".into(), json!(self.scopes.join(" ")));
        if let Some(expires) = self.expires {
            claims.insert("exp".into(), json!(expires));
        }
        let text = Value::Object(claims.clone()).to_string();
        (claims, base64::encode_url(text.as_bytes()))
    }
}

/// Whether two hashes are the same, in a time that tells nothing about where they differ. The one of the app may be in
/// capitals; `wanted` is not.
fn is_same_hash(hash: &[u8], wanted: &[u8]) -> bool {
    // Bit 5 is set in digits anyway, and turns capitals into small letters.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let words = |bytes: &[u8]| -> [u64; HASH_LENGTH / 8] {
        std::array::from_fn(|at| {
            bytes.get(at * 8..at * 8 + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        })
    };
    let (one, other) = (words(hash), words(wanted));
    let differs = one.iter().zip(other).fold(0, |differs, (one, other)| differs | ((one | SMALL) ^ other));
    hash.len() == HASH_LENGTH && wanted.len() == HASH_LENGTH && std::hint::black_box(differs) == 0
}

fn parse(line: &str) -> Option<ApiKey> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    words.next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-');
    if name.len() > MAX_NAME || !name.bytes().all(plain) {
        return None;
    }
    let mut key = ApiKey { name: name.into(), scopes: Vec::new(), expires: None };
    for word in words {
        match word.split_once('=')? {
            ("scopes", scopes) if key.scopes.is_empty() => {
                key.scopes = scopes.split(',').map(str::to_string).collect();
                key.scopes.sort();
                key.scopes.dedup();
            }
            ("expires", moment) if key.expires.is_none() => key.expires = Some(time::parse(moment)?),
            // What is not understood may be a restriction.
            _ => return None,
        }
    }
    key.scopes.iter().all(|scope| is_scope(scope)).then_some(key)
}

/// Whether a text is a key by its form: it costs nothing to turn away what is none.
fn is_well_formed(given: &str) -> bool {
    let Some(rest) = given.strip_prefix(PREFIX) else { return false };
    if rest.len() != RANDOM_LENGTH + CHECKSUM_LENGTH || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return false;
    }
    let (signed, checksum) = given.split_at(PREFIX.len() + RANDOM_LENGTH);
    checksum.as_bytes() == base62(crc32(signed.as_bytes()))
}

/// A number as six digits of base62.
fn base62(mut number: u32) -> [u8; CHECKSUM_LENGTH] {
    let mut digits = [ALPHABET[0]; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    digits
}

/// CRC-32 as in ISO 3309 (zlib's), of some fifty bytes.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(62), b"000010");
    }

    #[test]
    fn lines_are_read_whole_or_not_at_all() {
        let hash = "0".repeat(64);
        let parsed = parse(&format!("ci {hash} scopes=b,a expires=2027-01-31T00:00:00Z"));
        let expected =
            ApiKey { name: "ci".into(), scopes: vec!["a".into(), "b".into()], expires: Some(1_801_353_600) };
        assert_eq!(parsed, Some(expected));
        for rest in [
            "scopes=",
            "scopes=a,,b",
            "scopes=\"",
            "expires=soon",
            "expires=",
            "only=mail",
            "mail",
            "scopes=a scopes=b",
        ] {
            assert_eq!(parse(&format!("ci {hash} {rest}")), None, "{rest}");
        }
        assert_eq!(parse(&format!("c:i {hash}")), None);
        assert_eq!(parse(&format!("{} {hash}", "c".repeat(65))), None);
        assert_eq!(parse("ci"), None);
    }
}
