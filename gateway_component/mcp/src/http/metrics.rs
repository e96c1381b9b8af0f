//! `/metrics`: what this pod serves, in Prometheus' text format 0.0.4.
//!
//! The main signal is Prometheus' own `up`, which says for every pod whether this page answers. Calls and their
//! durations are in the audit log and in the host's telemetry; an instance that lives for one request counts only
//! refusals, in the key-value store. Everyone who reaches the app may read the page, so it names neither tools nor
//! components. Where the app has a probe word, only those who know it see the refusals.

use crate::Host;
use crate::catalog;
use crate::config::Config;
use crate::http::health;
use crate::http::message::{Request, Response};
use authorizer::{Purpose, Reason};

pub(crate) fn show(request: &Request, config: &Config, host: &mut dyn Host) -> Response {
    match request.method {
        "GET" => {}
        "HEAD" => return Response::empty(200),
        _ => return Response::empty(405).with("allow", "GET, HEAD"),
    }
    let Some(components) = catalog::components(host) else {
        return Response::json(503, "{\"error\":\"the catalog cannot be read\"}".into());
    };
    // A label's value ends at a quotation mark; a digest has none.
    let digest: String = config.app.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    let dynamic = components.iter().filter(|component| component.dynamic).count();
    let tools: usize = components.iter().map(|component| component.tools.len()).sum();
    let mut text = String::new();
    let mut gauge = |name: &str, labels: &str, help: &str, value: usize| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}\n"));
    };
    gauge(
        "ftl_app_info",
        &format!("{{digest=\"{digest}\"}}"),
        "Always 1; the digest is that of everything that was composed.",
        1,
    );
    gauge("ftl_app_components", "", "Components with tools.", components.len());
    gauge(
        "ftl_app_dynamic_components",
        "",
        "Those of them that are asked for their tools at run time.",
        dynamic,
    );
    gauge("ftl_app_tools", "", "Exposed tools, without those of dynamic components.", tools);
    if health::probe_word(host).is_empty() || health::has_word(request, host) {
        text.push_str(&refusals(config, host));
    }
    Response::text(200, "text/plain; version=0.0.4; charset=utf-8", text).with("cache-control", "no-store")
}

/// Count a refused request. Two at the same moment may count as one: the store has no better operation.
pub(crate) fn count_refusal(reason: Reason, config: &Config, host: &mut dyn Host) {
    let seal = config.store_seal(host);
    let before = seal.get(host, Purpose::RefusalCount, reason.word()).and_then(number).unwrap_or(0);
    let now = before.saturating_add(1).to_be_bytes();
    seal.set(host, Purpose::RefusalCount, reason.word(), &now);
}

fn refusals(config: &Config, host: &mut dyn Host) -> String {
    if config.is_public() {
        return String::new();
    }
    let seal = config.store_seal(host);
    let mut text = String::new();
    for reason in Reason::ALL {
        let word = reason.word();
        if let Some(count) = seal.get(host, Purpose::RefusalCount, word).and_then(number) {
            text.push_str(&format!("ftl_app_refused_total{{reason=\"{word}\"}} {count}\n"));
        }
    }
    if !text.is_empty() {
        let about = "Requests that were refused, by reason; those at the same moment may count once.";
        text.insert_str(
            0,
            &format!("# HELP ftl_app_refused_total {about}\n# TYPE ftl_app_refused_total counter\n"),
        );
    }
    text
}

fn number(value: Vec<u8>) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}
