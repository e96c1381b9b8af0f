//! What is wrong with a value, in words that let a model correct its call.

use crate::json::Json;
use std::fmt;
use std::io::{self, Write};

/// Characters of a given value, a schema's constant or a name that a message shows.
const SHOWN: usize = 80;
/// Alternatives (names, constants) that a message lists.
const LISTED: usize = 12;

/// One way in which the value differs from what the schema allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) to the part of the value; empty for the whole.
    pub path: String,
    /// What was expected there, and what was given.
    pub message: String,
    /// How far the value is from what was meant; tells which of several alternatives was nearest.
    pub(crate) distance: u32,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The way from the root of the value to the part in question, kept on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// How many steps below the root it is.
    pub(crate) fn depth(&self) -> usize {
        std::iter::successors(self.parent, |path| path.parent).count()
    }

    pub(crate) fn to_pointer(self) -> String {
        let mut steps = Vec::new();
        let mut next = Some(&self);
        while let Some(path) = next {
            steps.push(path.step);
            next = path.parent;
        }
        let mut pointer = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Index(index) => pointer.push_str(&format!("/{index}")),
                Step::Key(key) => {
                    pointer.push('/');
                    pointer.push_str(&shorten(&key.replace('~', "~0").replace('/', "~1")));
                }
            }
        }
        pointer
    }
}

/// The text, cut with an ellipsis where it is long.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A value as JSON, cut where it is long without writing all of it.
pub(crate) fn show(value: &Json) -> String {
    let mut cut = Cut(Vec::new());
    // An error only says that the text was long enough.
    let _ = write_json(value, &mut cut);
    shorten(&String::from_utf8_lossy(&cut.0))
}

/// A part of a schema as JSON, its members by name like those of every value.
pub(crate) fn show_schema(part: &Json) -> String {
    show(&Json::from(&part.to_value()))
}

/// A text that takes no more once it is longer than what is shown.
struct Cut(Vec<u8>);

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > SHOWN * 4 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_json(value: &Json, out: &mut Cut) -> io::Result<()> {
    match value {
        Json::Null => out.write_all(b"null"),
        Json::Bool(flag) => write!(out, "{flag}"),
        Json::Number(number) => write!(out, "{number}"),
        Json::String(text) => Ok(serde_json::to_writer(out, text.as_ref())?),
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.write_all(if at == 0 { b"[" } else { b"," })?;
                write_json(item, out)?;
            }
            out.write_all(if items.is_empty() { b"[]" } else { b"]" })
        }
        Json::Object(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                out.write_all(if at == 0 { b"{" } else { b"," })?;
                serde_json::to_writer(&mut *out, name)?;
                out.write_all(b":")?;
                write_json(member, out)?;
            }
            out.write_all(if members.is_empty() { b"{}" } else { b"}" })
        }
    }
}

/// The JSON type of a value with its article-free name, and the value: `string "abc"`.
pub(crate) fn given(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(_) => format!("boolean {}", show(value)),
        Json::Number(_) => format!("number {}", show(value)),
        Json::String(_) => format!("string {}", show(value)),
        Json::Array(items) if items.is_empty() => "an empty array".to_owned(),
        Json::Array(_) => format!("array {}", show(value)),
        Json::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Json::Object(_) => format!("object {}", show(value)),
    }
}

/// `"a", "b", "c"` or, where there are many, the first ones and how many more there are.
pub(crate) fn list<'v>(names: impl ExactSizeIterator<Item = &'v str>) -> String {
    let rest = names.len().saturating_sub(LISTED);
    let mut text =
        names.take(LISTED).map(|name| format!("\"{}\"", shorten(name))).collect::<Vec<_>>().join(", ");
    if rest > 0 {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}

/// What a subschema asks for, in a few words, where its keywords say it plainly.
pub(crate) fn expectation(schema: &Json) -> Option<String> {
    let map = schema.as_object()?;
    if let Some(constant) = map.get("const") {
        return Some(show_schema(constant));
    }
    if let Some(Json::Array(constants)) = map.get("enum") {
        return Some(one_of(constants));
    }
    let kinds = map.get("type")?;
    matches!(kinds, Json::String(_) | Json::Array(_)).then(|| types(kinds))
}

/// The value of `type` in words: `string or null`. Empty if it is neither a name nor a list.
pub(crate) fn types(value: &Json) -> String {
    match value {
        Json::String(name) => name.to_string(),
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

/// `one of "metric", "imperial"`.
pub(crate) fn one_of(constants: &[Json]) -> String {
    let mut text = constants.iter().take(LISTED).map(show_schema).collect::<Vec<_>>().join(", ");
    if constants.len() > LISTED {
        text.push_str(&format!(" and {} more", constants.len() - LISTED));
    }
    if constants.len() == 1 { text } else { format!("one of {text}") }
}
