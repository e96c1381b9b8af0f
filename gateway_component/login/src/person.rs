//! People with a password: the variable `login_users`, a line each:
//!
//! ```text
//! NAME $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH [scopes=a,b] [email=ann@example.org]
//! ```
//!
//! Empty lines and those that begin with `#` say nothing. A line that cannot be read is nobody.

use argon2::{Algorithm, Argon2, Params, Version};
use json::base64;
use sha2::{Digest, Sha256};

const MAX_NAME: usize = 64;
const MAX_PASSWORD: usize = 1024;
/// How much work a line may ask for.
const MAX_MEMORY_KIB: u32 = 65_536;
const MAX_PASSES: u32 = 4;
const MAX_HASH: usize = 64;

/// Somebody who may sign in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    /// The only scopes that may be granted; `None` for all.
    pub(crate) scopes: Option<Vec<String>>,
    /// Another one after each change of the line (password, scopes, address), so that what it gave ends with it.
    pub(crate) fingerprint: String,
    hash: Hash,
}

#[derive(Debug, PartialEq, Eq)]
struct Hash {
    memory: u32,
    passes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// The person of a name.
pub(crate) fn find(lines: &str, name: &str) -> Option<Person> {
    // The name of each line is compared in full, so time does not tell how much of a name is right.
    let mut found = None;
    for line in lines.lines() {
        let given = line.split_ascii_whitespace().next().unwrap_or_default();
        if crate::client::is_same(given, name) && found.is_none() {
            found = Some(line);
        }
    }
    parse(found?)
}

/// The person who has a name and a password. It takes as long for a name that nobody has.
pub(crate) fn verify(lines: &str, name: &str, password: &str) -> Option<Person> {
    let person = find(lines, name);
    let nobody;
    let hash = match &person {
        Some(person) => &person.hash,
        None => {
            nobody = somebody_elses(lines);
            &nobody
        }
    };
    let is_right = password.len() <= MAX_PASSWORD && hash.is_of(password);
    person.filter(|_| is_right)
}

/// A hash of nothing that costs what the first person's costs.
fn somebody_elses(lines: &str) -> Hash {
    let (memory, passes) =
        lines.lines().find_map(parse).map_or((19_456, 2), |person| (person.hash.memory, person.hash.passes));
    Hash { memory, passes, salt: vec![0; 16], hash: vec![0; 32] }
}

fn parse(line: &str) -> Option<Person> {
    let mut parts = line.split_ascii_whitespace();
    let name = parts.next()?;
    let is_name = name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte));
    if !is_name {
        return None;
    }
    let encoded = parts.next()?;
    let mut person = Person {
        name: name.into(),
        email: None,
        scopes: None,
        fingerprint: base64::encode_url(&Sha256::digest(line.trim().as_bytes())[..9]),
        hash: Hash::parse(encoded)?,
    };
    for part in parts {
        match part.split_once('=')? {
            ("email", value) if person.email.is_none() && !value.is_empty() => {
                person.email = Some(value.into())
            }
            ("scopes", value) if person.scopes.is_none() => {
                person.scopes =
                    Some(value.split(',').filter(|scope| !scope.is_empty()).map(String::from).collect());
            }
            // What is not understood may be a limit.
            _ => return None,
        }
    }
    Some(person)
}

impl Hash {
    /// Read a hash in the PHC string format.
    fn parse(text: &str) -> Option<Hash> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut costs = parts.next()?.split(',');
        let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let (memory, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
        let (salt, hash) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let is_bounded = costs.next().is_none()
            && parts.next().is_none()
            && memory <= MAX_MEMORY_KIB
            && passes <= MAX_PASSES
            && lanes == 1
            && (8..=MAX_HASH).contains(&salt.len())
            && (16..=MAX_HASH).contains(&hash.len());
        is_bounded.then_some(Hash { memory, passes, salt, hash })
    }

    fn is_of(&self, password: &str) -> bool {
        let Ok(params) = Params::new(self.memory, self.passes, 1, Some(self.hash.len())) else {
            return false;
        };
        let mut computed = vec![0; self.hash.len()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, &mut computed)
            .is_ok_and(|()| {
                computed.iter().zip(&self.hash).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
            })
    }
}

/// Base64 without padding.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.contains('=') {
        return None;
    }
    let padding = ["", "", "==", "="][text.len() % 4];
    base64::decode(&format!("{text}{padding}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By argon2-cffi: `PasswordHasher(2, 64, 1, salt_len=16).hash("correct horse", salt=b"0123456789abcdef")`.
    const HASH: &str = include_str!("../tests/argon2id.txt");

    #[test]
    fn a_password_is_recognized() {
        let lines = format!("# people\n\nann {} email=ann@example.org scopes=a,b\nbob {0}x\n", HASH.trim());
        let ann = verify(&lines, "ann", "correct horse").unwrap();
        assert_eq!(ann.email.as_deref(), Some("ann@example.org"));
        assert_eq!(ann.scopes, Some(vec!["a".into(), "b".into()]));
        for (name, password) in [
            ("ann", "correct horse "),
            ("ann", ""),
            ("anna", "correct horse"),
            ("", ""),
            ("#", "x"),
            ("bob", "correct horse"),
        ] {
            assert_eq!(verify(&lines, name, password), None, "{name} {password}");
        }
        assert_eq!(verify("", "ann", "correct horse"), None);
    }

    #[test]
    fn lines_that_ask_for_too_much_are_nobody() {
        let good = HASH.trim();
        assert!(parse(&format!("ann {good}")).is_some());
        for line in [
            format!("ann {}", good.replace("m=64", "m=1000000")),
            format!("ann {}", good.replace("t=2", "t=5")),
            format!("ann {}", good.replace("p=1", "p=2")),
            format!("ann {}", good.replace("argon2id", "argon2i")),
            format!("ann {good} scopes=a scopes=b"),
            format!("ann {good} admin"),
            format!("ann {good}=="),
            format!("a<n {good}"),
            "ann".into(),
        ] {
            assert_eq!(parse(&line), None, "{line}");
        }
    }
}
