//! Content blocks of a tool's result.

use json::object::{Object, object};
use json::text::holds;
use json::text::string;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mime_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    blob: Option<&'a RawValue>,
}

fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let blocks: Vec<Object<Block>> = serde_json::from_str(text).ok()?;
    Some(blocks.into_iter().map(|block| block.0).collect())
}

/// The content if every block of it is one that MCP knows; members that are null are left out, as clients demand.
pub(crate) fn checked(text: &str) -> Option<Cow<'_, str>> {
    let blocks = blocks(text)?;
    let is_text = |value: Option<&RawValue>| value.is_some_and(|value| value.get().starts_with('"'));
    let known =
        blocks.iter().all(|block| match &*block.kind {
            "text" => is_text(block.text),
            "image" | "audio" => is_text(block.data) && is_text(block.mime_type),
            "resource_link" => is_text(block.uri) && is_text(block.name),
            "resource" => block.resource.and_then(|resource| object::<Resource>(resource.get())).is_some_and(
                |resource| is_text(resource.uri) && (is_text(resource.text) != is_text(resource.blob)),
            ),
            _ => false,
        });
    if !known {
        return None;
    }
    if !holds(text, 'n', &["ull"]) {
        return Some(Cow::Borrowed(text));
    }
    let mut blocks: Vec<serde_json::Map<String, Value>> = serde_json::from_str(text).ok()?;
    for block in &mut blocks {
        block.retain(|_, value| !value.is_null());
        if let Some(Value::Object(resource)) = block.get_mut("resource") {
            resource.retain(|_, value| !value.is_null());
        }
    }
    serde_json::to_string(&blocks).ok().map(Cow::Owned)
}

/// The JSON object that the only block of the content is the text of: what tools answered before structured content.
pub(crate) fn only_object(content: &str) -> Option<String> {
    let blocks = blocks(content)?;
    let [Block { text: Some(text), .. }] = blocks.as_slice() else { return None };
    let inner = string(text)?;
    let object =
        inner.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(&inner).is_ok();
    object.then(|| inner.trim().to_string())
}
