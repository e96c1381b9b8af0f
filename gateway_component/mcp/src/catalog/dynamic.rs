//! Tools that could not be asked for at compose time: asked at run time, kept in the key-value store under the
//! application's digest, so that each version of the application asks once.

use crate::Host;
use crate::call::tool_request::path_of;
use crate::catalog::{Listed, Record, SEPARATOR};
use crate::config::{Config, Dynamic};
use crate::http::message::{Failure, ToolRequest, ToolResponse};
use crate::protocol::context::Context;
use authorizer::{Purpose, StoreSeal};
use json::text::quote;
use serde_json::{Map, Value, json};

use std::borrow::Cow;

const TIMEOUT_MS: u64 = 10_000;
const MAX_NAME: usize = 128;
/// As many as the operator takes from a component that it can ask itself.
const MAX_TOOLS: usize = 512;

/// The tools of one component, as it describes them; Err with the reason why they are not known.
pub(crate) type Tools = Result<Vec<Map<String, Value>>, String>;

/// The tools of all dynamic components that the request is about, in the order of the configuration.
pub(crate) fn tools(context: &mut Context) -> Vec<(String, Tools)> {
    let asked: Vec<String> = context
        .config
        .dynamic
        .iter()
        .map(|dynamic| dynamic.id.clone())
        .filter(|id| context.endpoint.component.is_none_or(|component| component == id.as_str()))
        .collect();
    discover(context, asked)
}

/// What a call of a dynamic tool needs, in the form of the catalog's records.
pub(crate) fn record(context: &mut Context, full: &str) -> Option<String> {
    let Dynamic { id, timeout_ms } = context
        .config
        .dynamic
        .iter()
        .find(|it| full.strip_prefix(it.id.as_str()).is_some_and(|rest| rest.starts_with(SEPARATOR)))?;
    let (component, timeout_ms) = (id.clone(), *timeout_ms);
    let name = &full[component.len() + SEPARATOR.len()..];
    let (_, tools) = discover(context, vec![component.clone()]).pop()?;
    let tool = tools.ok()?.into_iter().find(|tool| tool["name"] == name)?;
    let call = json!({
        "component": component,
        "tool": name,
        "name": name,
        "readOnly": is_read_only(&tool),
        "timeoutMs": timeout_ms,
    });
    Some(Record::write(&call, &tool["inputSchema"], tool.get("outputSchema")))
}

/// A dynamic tool as lists are filtered by.
pub(crate) fn listed(component: &str, tool: &Map<String, Value>) -> Listed {
    Listed {
        component: component.to_string(),
        tool: tool["name"].as_str().unwrap_or_default().to_string(),
        read_only: is_read_only(tool),
        scopes: Vec::new(),
    }
}

fn is_read_only(tool: &Map<String, Value>) -> bool {
    tool.get("annotations").and_then(|hints| hints.get("readOnlyHint")) == Some(&Value::Bool(true))
}

fn discover(context: &mut Context, components: Vec<String>) -> Vec<(String, Tools)> {
    let seal = context.config.store_seal(context.host);
    let mut found: Vec<(String, Option<Tools>)> = components
        .into_iter()
        .map(|component| {
            let known = remembered(context.config, &seal, &component, context.host);
            (component, known.map(Ok))
        })
        .collect();
    let unknown: Vec<usize> = (0..found.len()).filter(|at| found[*at].1.is_none()).collect();
    if !unknown.is_empty() {
        let request_id = context.request_id().to_string();
        let max_bytes = context.config.max_response_bytes;
        let requests: Vec<ToolRequest> =
            unknown.iter().map(|at| metadata_request(found[*at].0.clone(), max_bytes, &request_id)).collect();
        let answers = context.host.exchange(&requests);
        for (at, answer) in unknown.into_iter().zip(answers) {
            let (component, tools) = &mut found[at];
            let answer = metadata(answer);
            if let Ok((_, bytes)) = &answer {
                remember(context.config, &seal, component, bytes, context.host);
            }
            if let Err(reason) = &answer {
                context.host.log(format!(
                    "{{\"event\":\"discovery\",\"component\":{},\"error\":{}}}",
                    quote(component),
                    quote(reason)
                ));
            }
            *tools = Some(answer.map(|(tools, _)| tools));
        }
    }
    found.into_iter().filter_map(|(component, tools)| Some((component, tools?))).collect()
}

/// The question for a component's tools.
pub(crate) fn metadata_request(
    component: String,
    max_bytes: usize,
    request_id: &str,
) -> ToolRequest<'static> {
    ToolRequest {
        component: Cow::Owned(component),
        method: "GET",
        path: path_of(""),
        headers: vec![
            ("accept".into(), "application/json".into()),
            ("x-request-id".into(), request_id.to_string()),
        ],
        body: "",
        timeout_ms: TIMEOUT_MS,
        max_bytes,
    }
}

/// A component's tools, and their JSON text.
type Described = (Vec<Map<String, Value>>, Vec<u8>);

/// The tools in the answer to that question.
pub(crate) fn metadata(answer: Result<ToolResponse, Failure>) -> Result<Described, String> {
    match answer {
        Err(Failure::Timeout) => Err(format!("it did not answer within {TIMEOUT_MS} ms")),
        Err(Failure::TooLarge) => Err("its description is too long".into()),
        Err(Failure::Broken) => Err("it could not be reached or broke off".into()),
        Ok(response) if response.status != 200 => Err(format!("it answered HTTP {}", response.status)),
        Ok(response) => parse(&response.body).map(|tools| (tools, response.body)),
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    let mut tools: Vec<Map<String, Value>> = serde_json::from_slice(bytes)
        .map_err(|error| format!("its description is not a JSON array of tools: {error}"))?;
    if tools.len() > MAX_TOOLS {
        return Err(format!("it has more than {MAX_TOOLS} tools"));
    }
    let mut names: Vec<String> = Vec::new();
    for tool in &mut tools {
        tool.retain(|_, value| !value.is_null());
        let Some(Value::String(name)) = tool.get("name") else { return Err("a tool has no name".into()) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return Err("a tool's name is not 1 to 128 of A-Z a-z 0-9 _ . -".into());
        }
        if names.contains(name) {
            return Err(format!("two tools are named {name}"));
        }
        names.push(name.clone());
        tool.entry("inputSchema").or_insert_with(|| json!({"type": "object"}));
        if let Some(member) = malformed(tool) {
            return Err(format!(
                "{member} of the tool {} is not what the protocol has",
                names[names.len() - 1]
            ));
        }
    }
    Ok(tools)
}

/// The first member of a tool that clients would refuse, and with it the whole list.
fn malformed(tool: &Map<String, Value>) -> Option<&'static str> {
    let is_schema = |schema: &Value| schema["type"] == "object";
    type Rule = fn(&Value) -> bool;
    let rules: [(&str, Rule); 7] = [
        ("inputSchema", is_schema),
        ("outputSchema", is_schema),
        ("title", Value::is_string),
        ("description", Value::is_string),
        ("annotations", Value::is_object),
        ("icons", Value::is_array),
        ("_meta", Value::is_object),
    ];
    rules
        .into_iter()
        .find(|(name, rule)| tool.get(*name).is_some_and(|value| !rule(value)))
        .map(|(name, _)| name)
}

/// What the component said before. Another component may write to the store, so only what this gateway sealed is
/// believed: no component describes another one's tools.
fn remembered(
    config: &Config,
    seal: &StoreSeal,
    component: &str,
    host: &mut dyn Host,
) -> Option<Vec<Map<String, Value>>> {
    let text = seal.get(host, Purpose::ToolList, &format!("{}/{component}", config.app))?;
    parse(&text).ok()
}

fn remember(config: &Config, seal: &StoreSeal, component: &str, text: &[u8], host: &mut dyn Host) {
    seal.set(host, Purpose::ToolList, &format!("{}/{component}", config.app), text);
}
