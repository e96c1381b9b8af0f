//! The answers to `initialize` and, since 2026-07-28, `server/discover`: who this server is and what it can do.

use crate::protocol::context::Context;
use crate::protocol::jsonrpc::RpcRequest;
use crate::protocol::revision::{LEGACY, SUPPORTED};
use json::text::string;

const CAPABILITIES: &str = ",\"capabilities\":{\"tools\":{\"listChanged\":false}}";

/// The result of `initialize`, in the client's revision or the newest that knows it.
pub(crate) fn initialize(context: &Context, message: &RpcRequest) -> String {
    let newest = LEGACY[LEGACY.len() - 1];
    let asked = message.params.protocol_version.and_then(string);
    let version =
        asked.and_then(|asked| LEGACY.iter().find(|known| **known == asked)).copied().unwrap_or(newest);
    let mut text = format!("{{\"protocolVersion\":\"{version}\"{CAPABILITIES},\"serverInfo\":");
    text.push_str(&context.config.server_info());
    instructions(&mut text, context);
    text.push('}');
    text
}

/// The result of `server/discover`.
pub(crate) fn discover(context: &Context) -> String {
    let mut text = format!("{{\"resultType\":\"complete\",\"supportedVersions\":{SUPPORTED}{CAPABILITIES}");
    instructions(&mut text, context);
    let scope = if context.authorizer.is_some() { "private" } else { "public" };
    text.push_str(&format!(",\"ttlMs\":{},\"cacheScope\":\"{scope}\"", context.config.list_ttl_ms));
    crate::call::result::write_meta(&mut text, None, Some(&context.config.server_info()));
    text.push('}');
    text
}

fn instructions(text: &mut String, context: &Context) {
    if let Some(instructions) = context.config.instructions {
        text.push_str(",\"instructions\":");
        text.push_str(instructions.get());
    }
}
