//! The crate `authorizer` within a request: who calls, and what that caller may see and do.

use crate::Host;
use crate::catalog::Listed;
use crate::config::Config;
use crate::http::message::{Request, Response};
use crate::http::metrics;
use crate::http::route::Endpoint;
use authorizer::{AuthError, Caller, Reason, RequestView, ToolCall, ToolIdentity, Verdict};

/// The rules of an app that is not public, and its caller.
pub(crate) struct Authorizer<'a> {
    rules: &'a authorizer::Config,
    config: &'a Config<'a>,
    caller: Box<Caller>,
    view: RequestView<'a>,
}

/// The rules of the app: None for a public one. Whatever cannot be read is the answer for everyone.
pub(crate) fn rules(config: &Config, host: &mut dyn Host) -> Result<Option<authorizer::Config>, Response> {
    if config.is_public() {
        return Ok(None);
    }
    let app = authorizer::App {
        name: config.shown_name(),
        resource: config.resource.clone(),
        seal: config.store_seal(host),
    };
    authorizer::Config::parse(config.auth.get(), app).map(Some).map_err(|problem| {
        host.log(format!("gateway_config.auth cannot be used: {}", problem.0));
        refuse(AuthError { response: authorizer::unavailable(), reason: Reason::Unavailable }, config, host)
    })
}

/// The answer to a request that is refused. Why is told in the log and counted: for the app's operator, not for clients.
fn refuse(refusal: AuthError, config: &Config, host: &mut dyn Host) -> Response {
    let AuthError { response, reason } = refusal;
    host.log(format!(
        "{{\"event\":\"refused\",\"app\":{},\"reason\":\"{}\",\"status\":{}}}",
        config.name.get(),
        reason.word(),
        response.status
    ));
    metrics::count_refusal(reason, config, host);
    response.into()
}

pub(crate) fn view<'a>(request: &Request<'a>, endpoint: Option<Endpoint<'a>>) -> RequestView<'a> {
    RequestView {
        method: request.method,
        path: request.path,
        component: endpoint.and_then(|endpoint| endpoint.component),
        headers: request.headers,
    }
}

impl<'a> Authorizer<'a> {
    /// Check the token. The answer to a bad one is the answer to the request.
    pub fn authenticate(
        rules: &'a authorizer::Config,
        config: &'a Config<'a>,
        view: RequestView<'a>,
        host: &mut dyn Host,
    ) -> Result<Authorizer<'a>, Response> {
        match authorizer::check(rules, &view, host) {
            Verdict::Allow(caller) => Ok(Authorizer { rules, config, caller, view }),
            Verdict::Deny(refusal) => Err(refuse(refusal, config, host)),
        }
    }

    pub fn subject(&self) -> &str {
        self.caller.subject()
    }

    pub fn identity_headers(&self) -> Vec<(String, String)> {
        self.caller.identity_headers()
    }

    /// Whether the arguments of calls are looked at.
    pub fn reads_arguments(&self) -> bool {
        self.caller.reads_arguments()
    }

    /// Whether lists differ between callers.
    pub fn narrows(&self) -> bool {
        self.caller.narrows(self.rules)
    }

    pub fn may_call(&mut self, call: &ToolCall, host: &mut dyn Host) -> Result<(), Response> {
        self.caller
            .authorize_call(self.rules, &self.view, call, host)
            .map_err(|refusal| refuse(refusal, self.config, host))
    }

    /// Which of `tools` the caller may see.
    pub fn visible(&mut self, tools: &[Listed], host: &mut dyn Host) -> Result<Vec<bool>, Response> {
        let identities: Vec<ToolIdentity> = tools.iter().map(Listed::identity).collect();
        self.caller
            .authorize_list(self.rules, &self.view, self.view.component, &identities, host)
            .map_err(|refusal| refuse(refusal, self.config, host))
    }

    /// Whether a message that names no tool may be answered. `tools` is asked for only when nothing else decides.
    pub fn may_send(
        &mut self,
        method: &str,
        tools: impl FnOnce(&mut dyn Host) -> Vec<Listed>,
        host: &mut dyn Host,
    ) -> Result<(), Response> {
        if self.caller.grants(&self.view, method, host) {
            return Ok(());
        }
        let tools = tools(host);
        let identities: Vec<ToolIdentity> = tools.iter().map(Listed::identity).collect();
        self.caller
            .authorize_any(self.rules, &self.view, &identities, host)
            .map_err(|refusal| refuse(refusal, self.config, host))
    }
}
