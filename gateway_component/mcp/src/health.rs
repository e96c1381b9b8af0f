//! `/healthz` and `/readyz`.

use crate::catalog::{self, Component, Record, SEPARATOR};
use crate::config::Config;
use crate::dynamic::{metadata, metadata_request};
use crate::message::{Request, Response};
use crate::{Host, jsonrpc::quote};
use serde_json::Value;

/// That this component runs, which its answer is the proof of.
pub(crate) fn alive(request: &Request) -> Response {
    cheap(request, "{\"status\":\"ok\"}")
}

/// That the application can serve. A caller with the application's own probe token makes it ask every tool.
///
/// The kubelet, which asks again and again, adds the header `x-ftl-probe-once`: until every tool has answered in
/// this pod it is not ready, so a broken version takes no request; from then on a tool that falls silent is told
/// to the operator and is no reason to take the other tools out of service.
pub(crate) fn ready(request: &Request, config: &Config, host: &mut dyn Host) -> Response {
    let given = request.header("x-ftl-probe").unwrap_or_default();
    if given.is_empty() || request.method != "GET" || !is_token(&given, host) {
        return cheap(request, "{\"status\":\"ready\"}");
    }
    let once = request.header("x-ftl-probe-once").map(|_| format!("ready/{}", config.app));
    if once.as_ref().is_some_and(|key| host.kv_get(key).is_some()) {
        return cheap(request, "{\"status\":\"ready\"}");
    }
    let Some(components) = catalog::components(host) else {
        return Response::json(
            503,
            "{\"status\":\"degraded\",\"error\":\"the catalog cannot be read\"}".into(),
        );
    };
    let requests: Vec<_> = components
        .iter()
        .map(|component| metadata_request(component.id.clone(), config.max_response_bytes, "readyz"))
        .collect();
    let answers = host.exchange(&requests);
    let mut silent = String::new();
    for (component, answer) in components.iter().zip(answers) {
        let problem = match metadata(answer) {
            Err(reason) => Some(reason),
            Ok((tools, _)) => {
                let missing = missing(component, &tools, host);
                (!missing.is_empty()).then(|| format!("it no longer has: {}", missing.join(", ")))
            }
        };
        if let Some(problem) = problem {
            if !silent.is_empty() {
                silent.push(',');
            }
            silent.push_str(&format!(
                "{{\"component\":{},\"error\":{}}}",
                quote(&component.id),
                quote(&problem)
            ));
        }
    }
    if let (true, Some(key)) = (silent.is_empty(), once) {
        host.kv_set(&key, b"1");
    }
    let (status, word) = if silent.is_empty() { (200, "ready") } else { (503, "degraded") };
    let body = format!("{{\"status\":\"{word}\",\"components\":{},\"silent\":[{silent}]}}", components.len());
    Response::json(status, body).with("cache-control", "no-store")
}

/// The exposed tools that the component does not have under its own names for them.
fn missing<'c>(
    component: &'c Component,
    tools: &[serde_json::Map<String, Value>],
    host: &mut dyn Host,
) -> Vec<&'c str> {
    let has = |name: &str| tools.iter().any(|tool| tool.get("name").and_then(Value::as_str) == Some(name));
    let mut missing = Vec::new();
    for exposed in component.tools.iter().filter(|_| !component.dynamic) {
        let own = catalog::record(&format!("{}{SEPARATOR}{exposed}", component.id), host)
            .and_then(|text| Record::parse(&text).ok().map(|record| record.tool.into_owned()));
        if !own.as_deref().is_some_and(has) {
            missing.push(exposed.as_str());
        }
    }
    missing
}

fn cheap(request: &Request, body: &'static str) -> Response {
    match request.method {
        "GET" => Response::json(200, body.into()).with("cache-control", "no-store"),
        "HEAD" => Response::empty(200).with("cache-control", "no-store"),
        _ => Response::empty(405).with("allow", "GET, HEAD"),
    }
}

/// Whether a text is the probe token, in a time that tells nothing about where they differ.
fn is_token(given: &str, host: &mut dyn Host) -> bool {
    let token = host.variable("probe_token").unwrap_or_default();
    let differs = token.bytes().zip(given.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    !token.is_empty() && token.len() == given.len() && std::hint::black_box(differs) == 0
}
