//! Reads RFC 8259.

use crate::json::{Json, Members};
use crate::number;
use serde_json::Number;
use std::borrow::Cow;

/// Values within values; as deep as `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// What the reader does with members of one object that have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DuplicateKeys {
    /// The last one counts when one is looked for. Members stay in order.
    InOrder,
    /// The last one is kept.
    LastCounts,
    Refused,
}

impl<'a> Json<'a> {
    /// Reads a schema's JSON text; None if it is none, or nests too deeply.
    pub fn parse(text: &'a str) -> Option<Self> {
        Reader::new(text, DuplicateKeys::InOrder).whole()
    }

    /// Likewise a value's; of members with the same name the last one counts.
    pub fn parse_value(text: &'a str) -> Option<Self> {
        Reader::new(text, DuplicateKeys::LastCounts).whole()
    }

    /// Likewise a value's, in which no two members of an object have the same name.
    pub fn parse_unique(text: &'a str) -> Option<Self> {
        Reader::new(text, DuplicateKeys::Refused).whole()
    }
}

/// A place in a text; a method is None where the text is not JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    duplicates: DuplicateKeys,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, duplicates: DuplicateKeys) -> Self {
        Reader { text, at: 0, depth: 0, duplicates }
    }

    /// The value that is the whole text.
    fn whole(mut self) -> Option<Json<'a>> {
        let first = self.next_byte()?;
        let value = self.value(first)?;
        self.next_byte().is_none().then_some(value)
    }

    /// The next byte that is no space, which is not passed.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    /// The value that begins here, with this byte.
    fn value(&mut self, first: u8) -> Option<Json<'a>> {
        match first {
            b'"' => self.string().map(Json::String),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.word("true").map(|()| Json::Bool(true)),
            b'f' => self.word("false").map(|()| Json::Bool(false)),
            b'n' => self.word("null").map(|()| Json::Null),
            _ => self.number().map(Json::Number),
        }
    }

    #[inline]
    fn nested(&mut self, read: fn(&mut Self) -> Option<Json<'a>>) -> Option<Json<'a>> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Option<Json<'a>> {
        let mut next = self.next_byte()?;
        if next == b']' {
            self.at += 1;
            return Some(Json::Array(Vec::new()));
        }
        let mut items = Vec::with_capacity(4);
        loop {
            items.push(self.value(next)?);
            let after = self.next_byte()?;
            self.at += 1;
            match after {
                b',' => next = self.next_byte()?,
                b']' => return Some(Json::Array(items)),
                _ => return None,
            }
        }
    }

    fn object(&mut self) -> Option<Json<'a>> {
        if self.next_byte()? == b'}' {
            self.at += 1;
            return Some(Json::Object(Members::new(Vec::new())));
        }
        let mut members = Vec::with_capacity(4);
        loop {
            if self.next_byte()? != b'"' {
                return None;
            }
            let name = self.string()?;
            if self.next_byte()? != b':' {
                return None;
            }
            self.at += 1;
            let first = self.next_byte()?;
            members.push((name, self.value(first)?));
            let after = self.next_byte()?;
            self.at += 1;
            match after {
                b',' => {}
                b'}' => return self.members(members).map(Json::Object),
                _ => return None,
            }
        }
    }

    fn members(&self, members: Vec<(Cow<'a, str>, Json<'a>)>) -> Option<Members<'a>> {
        if self.duplicates == DuplicateKeys::InOrder {
            return Some(Members::new(members));
        }
        let given = members.len();
        let members = Members::sorted(members);
        (self.duplicates == DuplicateKeys::LastCounts || members.iter().len() == given).then_some(members)
    }

    /// The string whose opening quotation mark is here.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let mut end = special(self.text.as_bytes(), start)?;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        // Escapes are rare, so their rules are left to serde_json.
        loop {
            match *self.text.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        serde_json::from_str(self.text.get(start - 1..self.at)?).ok().map(Cow::Owned)
    }

    fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let length = self.text.as_bytes()[start..]
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        self.at += length;
        number::parse(&self.text[start..self.at])
    }
}

/// Where the first byte from `at` on is that ends a run of plain characters: a quotation mark, a backslash or a control
/// character. Eight bytes are looked at together.
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        // A byte is zero where taking one from it borrows into its highest bit; a borrow that goes on only marks later
        // bytes, and the first one is what counts.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let found = bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f))?;
    Some(at + found)
}
