//! `/healthz` and `/readyz`.

use crate::Host;
use crate::catalog::dynamic::{metadata, metadata_request};
use crate::catalog::{self, Component, Record, SEPARATOR};
use crate::config::Config;
use crate::http::message::{Request, Response};
use authorizer::{Purpose, StoreSeal};
use json::text::quote;
use serde_json::Value;

const READY: &str = "{\"status\":\"ready\"}";

/// That this component runs, which its answer is the proof of.
pub(crate) fn alive(request: &Request) -> Response {
    cheap(request, "{\"status\":\"ok\"}")
}

/// That the application can serve.
///
/// | request | what is asked |
/// |---|---|
/// | with the app's probe word in `x-ftl-probe` | every tool, each time; the answer names those that are silent |
/// | with `x-ftl-probe-once` | every tool, until all have answered once; the answer names none |
/// | neither | nothing |
///
/// The kubelet asks by the second, which takes no secret: until every tool has answered in this pod it is not ready, so
/// a broken version takes no request. From then on a tool that falls silent is told to the operator and is no reason to
/// take the other tools out of service.
pub(crate) fn ready(request: &Request, config: &Config, host: &mut dyn Host) -> Response {
    let knows_the_word = request.method == "GET" && has_word(request, host);
    let once = request.method == "GET" && request.header("x-ftl-probe-once").is_some();
    if !knows_the_word && !once {
        return cheap(request, READY);
    }
    let mark = (!knows_the_word).then(|| Mark::of(config, host));
    if mark.as_ref().is_some_and(|mark| mark.is_set(host)) {
        return cheap(request, READY);
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
    if let Some(mark) = mark {
        if !silent.is_empty() {
            return Response::json(503, "{\"status\":\"degraded\"}".into()).with("cache-control", "no-store");
        }
        mark.set(host);
        return cheap(request, READY);
    }
    let (status, word) = if silent.is_empty() { (200, "ready") } else { (503, "degraded") };
    let body = format!("{{\"status\":\"{word}\",\"components\":{},\"silent\":[{silent}]}}", components.len());
    Response::json(status, body).with("cache-control", "no-store")
}

/// The entry of the store which says that all tools have answered once.
///
/// Where the store is shared and no key seals it, the mark is kept all the same: a tool that forges it makes its own
/// app ready too early, and nothing else. Without any mark each look of the kubelet would wake every tool.
struct Mark {
    seal: StoreSeal,
    name: String,
}

impl Mark {
    fn of(config: &Config, host: &mut dyn Host) -> Mark {
        let variable = host.variable("store_seal").unwrap_or_default();
        Mark { seal: StoreSeal::new(&variable, &config.app, false), name: config.app.to_string() }
    }

    fn is_set(&self, host: &mut dyn Host) -> bool {
        self.seal.get(host, Purpose::Readiness, &self.name).is_some()
    }

    fn set(&self, host: &mut dyn Host) {
        self.seal.set(host, Purpose::Readiness, &self.name, b"1");
    }
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

/// Whether a request brings the app's probe word, in a time that tells nothing about where they differ. An app without
/// one is not asked by it.
pub(crate) fn has_word(request: &Request, host: &mut dyn Host) -> bool {
    let bearer = || {
        // Prometheus has a field for a bearer token and none for a header of one's own.
        request.header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_string))
    };
    let given = request.header("x-ftl-probe").map(String::from).or_else(bearer).unwrap_or_default();
    if given.is_empty() {
        return false;
    }
    let word = probe_word(host);
    let differs = word.bytes().zip(given.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    !word.is_empty() && word.len() == given.len() && std::hint::black_box(differs) == 0
}

/// The word by which the app's operator is known; empty if there is none.
pub(crate) fn probe_word(host: &mut dyn Host) -> String {
    host.variable("probe_word").unwrap_or_default().trim().to_string()
}
