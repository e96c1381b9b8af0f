//! The result of a call, written from parts that are JSON text already.

use crate::call::answer::Asked;
use crate::protocol::jsonrpc::quote;
use serde_json::value::RawValue;

/// An error result with one text.
pub(crate) fn error(text: &str, asked: &Asked) -> String {
    let content = format!("[{{\"type\":\"text\",\"text\":{}}}]", quote(text));
    write(&content, None, Some(true), None, asked)
}

/// A result of checked parts.
pub(crate) fn write(
    content: &str,
    structured: Option<&str>,
    is_error: Option<bool>,
    meta: Option<&RawValue>,
    asked: &Asked,
) -> String {
    let mut text = String::with_capacity(content.len() + structured.map_or(0, str::len) + 256);
    text.push('{');
    if asked.revision.is_modern() {
        text.push_str("\"resultType\":\"complete\",");
    }
    text.push_str("\"content\":");
    text.push_str(content);
    if let Some(structured) = structured {
        text.push_str(",\"structuredContent\":");
        text.push_str(structured);
    }
    if let Some(is_error) = is_error {
        text.push_str(if is_error { ",\"isError\":true" } else { ",\"isError\":false" });
    }
    write_meta(&mut text, meta, asked.server_info.as_deref());
    text.push('}');
    text
}

/// The tool's own metadata, and who this server is where the revision has that.
pub(crate) fn write_meta(text: &mut String, meta: Option<&RawValue>, server_info: Option<&str>) {
    const KEY: &str = "\"io.modelcontextprotocol/serverInfo\"";
    let own = meta.map(|meta| meta.get()).filter(|meta| server_info.is_none() || !meta.contains(KEY));
    let inner = own.map(|meta| meta[1..meta.len() - 1].trim());
    match (own, server_info) {
        (None, None) => {}
        (Some(meta), None) => {
            text.push_str(",\"_meta\":");
            text.push_str(meta);
        }
        (_, Some(info)) => {
            text.push_str(",\"_meta\":{");
            text.push_str(KEY);
            text.push(':');
            text.push_str(info);
            if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
                text.push(',');
                text.push_str(inner);
            }
            text.push('}');
        }
    }
}
