//! The result of a call, written from parts that are JSON text already.
//!
//! `server_info` is who this server is, in revisions that say so in every result (since 2026-07-28); None in older ones.

use json::text::quote;
use serde_json::value::RawValue;

/// An error result with one text.
pub(crate) fn error(text: &str, server_info: Option<&str>) -> String {
    let content = format!("[{{\"type\":\"text\",\"text\":{}}}]", quote(text));
    write(&content, None, Some(true), None, server_info)
}

/// A result of checked parts.
pub(crate) fn write(
    content: &str,
    structured: Option<&str>,
    is_error: Option<bool>,
    meta: Option<&RawValue>,
    server_info: Option<&str>,
) -> String {
    let mut text = String::with_capacity(content.len() + structured.map_or(0, str::len) + 256);
    text.push('{');
    if server_info.is_some() {
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
    write_meta(&mut text, meta, server_info);
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
