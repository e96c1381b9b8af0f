//! `/metrics`: what this pod serves, in Prometheus' text format 0.0.4.
//!
//! That it answers is the best of it: Prometheus' own `up` then tells of every pod. A stateless gateway counts nothing;
//! calls and their durations are in the audit log and in the host's telemetry. Whoever reaches the app may read this,
//! so it names neither tools nor components.

use crate::Host;
use crate::catalog;
use crate::config::Config;
use crate::message::{Request, Response};

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
    Response::text(200, "text/plain; version=0.0.4; charset=utf-8", text).with("cache-control", "no-store")
}
