//! Schemas and values as they are walked: borrowed from their text, so that reading allocates no string and builds no
//! map.
//!
//! A tool's schema is read on every call, which costs more than checking the arguments against it.

use serde_json::{Number, Value};
use std::borrow::Cow;

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
    /// Of a schema, in which of members with the same name the last one counts, as in `serde_json`.
    pub(crate) fn new(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        if members.len() > FEW { Self::sorted(members) } else { Members(members) }
    }

    /// Likewise of a value, whose members are looked at by name and once each.
    pub(crate) fn sorted(mut members: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        if !members.is_sorted_by(|left, right| left.0 < right.0) {
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
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.get(name)
    }

    pub(crate) fn as_object(&self) -> Option<&Members<'a>> {
        if let Json::Object(members) = self { Some(members) } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&[Json<'a>]> {
        if let Json::Array(items) = self { Some(items) } else { None }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self { Some(text) } else { None }
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
            Value::Object(members) => Json::Object(Members::sorted(
                members
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), Json::from(value)))
                    .collect(),
            )),
        }
    }
}
