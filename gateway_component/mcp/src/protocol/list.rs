//! `tools/list`: a baked page as it is, unless the caller may see only a part.

use crate::Host;
use crate::call::result::write_meta;
use crate::catalog::dynamic;
use crate::catalog::{self, SEPARATOR};
use crate::protocol::context::{Context, Reject};
use crate::protocol::jsonrpc::{INTERNAL_ERROR, INVALID_PARAMS, ProtocolError, RpcRequest};
use crate::protocol::revision::Revision;
use json::text::{quote, string};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A longer list is given in pages of about this many bytes; the operator's pages are so long, too.
const PAGE: usize = 256 << 10;
/// Metadata key that names the components whose tools are missing from a list, and why.
const UNAVAILABLE: &str = "ftl.tools/unavailable";

/// JSON text of the whole answer, written once: lists are long.
pub(crate) fn list(
    context: &mut Context,
    revision: Revision,
    message: &RpcRequest,
) -> Result<String, Reject> {
    let start = match message.params.cursor {
        None => 0,
        Some(cursor) => {
            string(cursor).and_then(|cursor| position(&cursor, context)).ok_or_else(bad_cursor)?
        }
    };
    let component = context.endpoint.component;
    let missing = || Reject::from(ProtocolError::new(INTERNAL_ERROR, "the list of tools cannot be read"));
    let (found, unavailable) = discovered(context);
    let narrow =
        context.chooses() || context.authorizer.as_ref().is_some_and(|authorizer| authorizer.narrows());
    let authorized = context.authorizer.is_some();
    let baked =
        if !narrow && found.is_empty() { catalog::page(component, start, context.host) } else { None };
    let (tools, next) = if let Some(page) = baked.filter(|page| page.tools.len() <= PAGE) {
        if let Some(authorizer) = &mut context.authorizer {
            let tools = |host: &mut dyn Host| catalog::index(component, host).unwrap_or_default();
            authorizer.may_send("tools/list", tools, context.host).map_err(Reject::Request)?;
        }
        (page.tools, page.next.map(|next| cursor(next, &context.config.app)))
    } else {
        let pages = match catalog::pages(component, context.host) {
            Some(pages) => pages,
            None if component.is_some() => Vec::new(),
            None => return Err(missing()),
        };
        let mut items: Vec<&RawValue> = Vec::new();
        for page in &pages {
            items.append(&mut serde_json::from_str(page).map_err(|_| missing())?);
        }
        let own: Vec<Box<RawValue>> = found
            .iter()
            .map(|(component, tool)| named(component, tool, context.endpoint.component.is_none()))
            .collect();
        items.extend(own.iter().map(|item| &**item));
        if narrow {
            let mut index = catalog::index(component, context.host).ok_or_else(missing)?;
            index.extend(found.iter().map(|(component, tool)| dynamic::listed(component, tool)));
            if index.len() != items.len() {
                return Err(missing());
            }
            let mut keep: Vec<bool> =
                index.iter().map(|tool| context.shows(&tool.component, tool.read_only)).collect();
            if let Some(authorizer) = &mut context.authorizer {
                let visible = authorizer.visible(&index, context.host).map_err(Reject::Request)?;
                keep.iter_mut().zip(visible).for_each(|(keep, visible)| *keep &= visible);
            }
            let mut keep = keep.into_iter();
            items.retain(|_| keep.next().unwrap_or(false));
        }
        page(&items, start, context.config.app.as_ref())?
    };
    let mut text = String::with_capacity(tools.len() + 1024);
    text.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
    text.push_str(message.id);
    text.push_str(",\"result\":{");
    text.push_str(if revision.is_modern() { "\"resultType\":\"complete\",\"tools\":" } else { "\"tools\":" });
    text.push_str(&tools);
    if let Some(next) = next {
        text.push_str(",\"nextCursor\":");
        text.push_str(&quote(&next));
    }
    if revision.is_modern() {
        // An incomplete list must be asked for again; one that depends on who asks is not for shared caches.
        let ttl = if unavailable.is_empty() { context.config.list_ttl_ms } else { 0 };
        let scope = if authorized || narrow { "private" } else { "public" };
        text.push_str(&format!(",\"ttlMs\":{ttl},\"cacheScope\":\"{scope}\""));
    }
    let own = (!unavailable.is_empty()).then(|| {
        let mut meta = Map::new();
        meta.insert(UNAVAILABLE.into(), Value::Object(unavailable));
        serde_json::value::to_raw_value(&meta).unwrap_or_default()
    });
    write_meta(&mut text, own.as_deref(), context.server_info(revision).as_deref());
    text.push_str("}}");
    Ok(text)
}

type Found = Vec<(String, Map<String, Value>)>;

/// The tools of dynamic components, and the components that could not be asked, with the reason.
fn discovered(context: &mut Context) -> (Found, Map<String, Value>) {
    let mut found = Vec::new();
    let mut unavailable = Map::new();
    if context.config.dynamic.is_empty() {
        return (found, unavailable);
    }
    for (component, tools) in dynamic::tools(context) {
        match tools {
            Ok(tools) => found.extend(tools.into_iter().map(|tool| (component.clone(), tool))),
            Err(reason) => {
                unavailable.insert(component, reason.into());
            }
        }
    }
    (found, unavailable)
}

fn named(component: &str, tool: &Map<String, Value>, prefixed: bool) -> Box<RawValue> {
    let mut tool = tool.clone();
    if prefixed {
        let short = tool["name"].as_str().unwrap_or_default();
        let name = format!("{component}{SEPARATOR}{short}");
        tool.insert("name".into(), name.into());
    }
    serde_json::value::to_raw_value(&tool).unwrap_or_default()
}

/// The items from `start` that make one page, and the cursor of the next.
fn page(items: &[&RawValue], start: usize, app: &str) -> Result<(String, Option<String>), Reject> {
    if start > 0 && start >= items.len() {
        return Err(bad_cursor());
    }
    let mut text = String::from("[");
    for (at, item) in items.iter().enumerate().skip(start) {
        if at > start {
            if text.len() + item.get().len() > PAGE {
                text.push(']');
                return Ok((text, Some(cursor(at, app))));
            }
            text.push(',');
        }
        text.push_str(item.get());
    }
    text.push(']');
    Ok((text, None))
}

fn cursor(at: usize, app: &str) -> String {
    format!("{at}.{}", tag(app))
}

/// Where a cursor points: only one that this version of the application gave out is good.
fn position(cursor: &str, context: &Context) -> Option<usize> {
    let (at, given) = cursor.split_once('.')?;
    let position = at.parse::<usize>().ok().filter(|position| *position > 0)?;
    (given == tag(context.config.app.as_ref()) && at == position.to_string()).then_some(position)
}

fn tag(app: &str) -> &str {
    let digest = app.rsplit(':').next().unwrap_or(app);
    digest.get(..12).unwrap_or(digest)
}

fn bad_cursor() -> Reject {
    ProtocolError::new(INVALID_PARAMS, "this cursor was not given out by this server").into()
}
