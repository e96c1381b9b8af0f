//! A schema as it is walked: borrowed from its text, so that reading it allocates no string and builds no map.
//!
//! A tool's schema is read on every call, which costs more than checking the arguments against it.

use crate::number;
use serde_json::{Number, Value};
use std::borrow::Cow;

/// Values within values; as deep as `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

/// The members of an object. Objects of few members keep the order of the text and are searched from end to end;
/// larger ones are sorted by name.
#[derive(Clone, Debug)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// More members than these are sorted. A search compares lengths first, so it is quick.
const FEW: usize = 24;

impl<'a> Members<'a> {
    /// Of members with the same name the last one counts, as in `serde_json`.
    fn new(mut members: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        if members.len() > FEW {
            members.reverse();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members.dedup_by(|later, earlier| later.0 == earlier.0);
        }
        Members(members)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.get_key_value(name).map(|(_, value)| value)
    }

    pub(crate) fn get_key_value(&self, name: &str) -> Option<(&str, &Json<'a>)> {
        let found = if self.0.len() > FEW {
            let at = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name));
            at.ok().map(|at| &self.0[at])
        } else {
            self.0.iter().rfind(|(known, _)| known.len() == name.len() && known == name)
        };
        found.map(|(name, value)| (name.as_ref(), value))
    }

    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &Json<'a>> {
        self.iter().map(|(_, value)| value)
    }
}

impl<'a> Json<'a> {
    /// Reads a JSON text; None if it is none, or nests too deeply.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let value = reader.value()?;
        reader.skip_space();
        (reader.at == text.len()).then_some(value)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.get(name)
    }

    pub(crate) fn as_object(&self) -> Option<&Members<'a>> {
        if let Json::Object(members) = self {
            Some(members)
        } else {
            None
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Json<'a>]> {
        if let Json::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The value that `serde_json` would have read.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::String(text.to_string()),
            Json::Array(items) => items.iter().map(Json::to_value).collect(),
            Json::Object(members) => Value::Object(
                members.iter().map(|(name, value)| (name.to_owned(), value.to_value())).collect(),
            ),
        }
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::String(Cow::Borrowed(text)),
            Value::Array(items) => Json::Array(items.iter().map(Json::from).collect()),
            Value::Object(members) => Json::Object(Members::new(
                members
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), Json::from(value)))
                    .collect(),
            )),
        }
    }
}

/// Reads RFC 8259; a method is None where the text is not that.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Whether the next byte is this one, which is then passed.
    fn eat(&mut self, expected: u8) -> bool {
        let eaten = self.peek() == Some(expected);
        self.at += usize::from(eaten);
        eaten
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    fn value(&mut self) -> Option<Json<'a>> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.string().map(Json::String),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.word("true").map(|()| Json::Bool(true)),
            b'f' => self.word("false").map(|()| Json::Bool(false)),
            b'n' => self.word("null").map(|()| Json::Null),
            _ => self.number().map(Json::Number),
        }
    }

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
        let mut items = Vec::with_capacity(4);
        self.skip_space();
        if self.eat(b']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            if !self.eat(b',') {
                return self.eat(b']').then_some(Json::Array(items));
            }
        }
    }

    fn object(&mut self) -> Option<Json<'a>> {
        let mut members = Vec::with_capacity(4);
        self.skip_space();
        if self.eat(b'}') {
            return Some(Json::Object(Members(members)));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return None;
            }
            members.push((name, self.value()?));
            self.skip_space();
            if !self.eat(b',') {
                return self.eat(b'}').then(|| Json::Object(Members::new(members)));
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let mut end = start + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f))?;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        // Escapes are rare in schemas, so their rules are left to serde_json.
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
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        number::parse(&self.text[start..self.at])
    }
}
