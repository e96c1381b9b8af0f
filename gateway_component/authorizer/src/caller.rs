//! A caller whose token is good, and what it may do: every JSON-RPC message is put to [`Caller`] before anything runs.
//!
//! A tool has one identity in policies whatever the path: its component and its own exposed name. The judged values are
//! those that the gateway has parsed and will use, never a second reading of the body.

use crate::claims::Identity;
use crate::config::Config;
use crate::discovery::{Challenge, challenge, step_up};
use crate::encoding::header_value;
use crate::error::{AuthError, Reason};
use crate::policy::Policy;
use crate::response::Code;
use crate::{Env, RequestView};
use serde_json::{Map, Value, json};

const MAX_HEADER: usize = 8 * 1024;
/// What no policy needs to see: credentials.
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-ftl-probe"];

/// A tool as policies and scopes know it.
#[derive(Clone, Copy)]
pub struct ToolIdentity<'a> {
    pub component: &'a str,
    /// The exposed name without the component's prefix.
    pub tool: &'a str,
    /// The scopes that this tool needs beyond those of the app.
    pub scopes: &'a [String],
}

/// One `tools/call`, as the gateway will execute it.
#[derive(Clone, Copy)]
pub struct ToolCall<'a> {
    pub tool: ToolIdentity<'a>,
    /// Looked at only if [`Caller::reads_arguments`].
    pub arguments: &'a Value,
}

/// A caller with a good token for this app.
pub struct Caller {
    identity: Identity,
    request: Value,
    engine: Engine,
}

/// The app's policy, compiled when the first message needs it.
enum Engine {
    /// The app has none.
    Absent,
    Unread,
    Ready(Box<Policy>),
    /// It cannot be used, so everything is denied.
    Broken,
}

impl Caller {
    pub(crate) fn new(config: &Config, request: &RequestView, identity: Identity) -> Caller {
        if !config.has_policy {
            return Caller { identity, request: Value::Null, engine: Engine::Absent };
        }
        let mut headers = Map::new();
        for (name, value) in request.headers {
            let name = name.to_ascii_lowercase();
            if SECRET_HEADERS.contains(&name.as_str()) {
                continue;
            }
            let value = String::from_utf8_lossy(value);
            // Repeated headers are one list (RFC 9110 §5.3), so that none hides behind another.
            match headers.get_mut(&name) {
                Some(Value::String(before)) => {
                    before.push_str(", ");
                    before.push_str(&value);
                }
                _ => {
                    headers.insert(name, json!(value));
                }
            }
        }
        let request = json!({
            "method": request.method,
            "path": request.path,
            "component": request.component,
            "headers": headers,
        });
        Caller { identity, request, engine: Engine::Unread }
    }

    /// The token's subject, for the audit log.
    pub fn subject(&self) -> &str {
        &self.identity.subject
    }

    /// Whether lists may differ between callers of this app. If not, the finished list is used as it is.
    pub fn narrows(&self, config: &Config) -> bool {
        let tools_have_scopes = match &config.scopes_supported {
            None => true,
            Some(scopes) => scopes.iter().any(|scope| !config.required_scopes.contains(scope)),
        };
        config.has_policy || tools_have_scopes
    }

    /// Whether the arguments of a call are looked at. If not, they need not be given.
    pub fn reads_arguments(&self) -> bool {
        !matches!(self.engine, Engine::Absent)
    }

    /// Whether this call may be made; else 403, with a step-up challenge if only scopes are missing.
    pub fn authorize_call(
        &mut self,
        config: &Config,
        request: &RequestView,
        call: &ToolCall,
        env: &mut dyn Env,
    ) -> Result<(), AuthError> {
        if !self.holds(call.tool.scopes) {
            return Err(step_up(config, request, &self.identity, call.tool.scopes));
        }
        self.allows_call(call, env).then_some(()).ok_or_else(|| forbidden(config, request))
    }

    /// Which of `tools` a list may show; 403 if the policy grants no list at all.
    ///
    /// `component` is the one that the path names. A list of the whole app that the policy does not grant as such is
    /// judged as the lists of its components, since it is nothing else.
    pub fn authorize_list(
        &mut self,
        config: &Config,
        request: &RequestView,
        component: Option<&str>,
        tools: &[ToolIdentity],
        env: &mut dyn Env,
    ) -> Result<Vec<bool>, AuthError> {
        let whole = self.allows("tools/list", component, env);
        let mut granted: Vec<(&str, bool)> = Vec::new();
        let mut visible = Vec::with_capacity(tools.len());
        for tool in tools {
            let listed = whole
                || component.is_none()
                    && match granted.iter().find(|(name, _)| *name == tool.component) {
                        Some((_, granted)) => *granted,
                        None => {
                            let allowed = self.allows("tools/list", Some(tool.component), env);
                            granted.push((tool.component, allowed));
                            allowed
                        }
                    };
            visible.push(listed && self.may_call(tool, env));
        }
        if whole || granted.iter().any(|(_, allowed)| *allowed) {
            Ok(visible)
        } else {
            Err(forbidden(config, request))
        }
    }

    /// Whether another message may be handled without a look at the tools: `initialize`, `ping`, `server/discover`,
    /// notifications, a GET.
    ///
    /// They reveal no tool and reach none, and a client cannot do without them. So they are granted to whom the policy
    /// grants anything: the method itself, a list, or a call of some tool ([`Caller::authorize_any`]).
    pub fn grants(&mut self, request: &RequestView, method: &str, env: &mut dyn Env) -> bool {
        let component = request.component;
        self.allows(method, component, env) || self.allows("tools/list", component, env)
    }

    /// Whether such a message may be handled by what the policy grants of these tools; else 403.
    pub fn authorize_any(
        &mut self,
        config: &Config,
        request: &RequestView,
        tools: &[ToolIdentity],
        env: &mut dyn Env,
    ) -> Result<(), AuthError> {
        let granted = tools
            .iter()
            .any(|tool| self.may_call(tool, env) || self.allows("tools/list", Some(tool.component), env));
        granted.then_some(()).ok_or_else(|| forbidden(config, request))
    }

    /// Whether a call of this tool may be made as far as is known without its arguments.
    pub fn may_call(&mut self, tool: &ToolIdentity, env: &mut dyn Env) -> bool {
        let arguments = json!({});
        self.holds(tool.scopes) && self.allows_call(&ToolCall { tool: *tool, arguments: &arguments }, env)
    }

    /// The headers that tell a tool who calls. Values are visible ASCII, everything else percent-encoded; claims are
    /// base64url of their JSON. A value beyond 8 KiB is left out.
    pub fn identity_headers(&self) -> Vec<(String, String)> {
        let identity = &self.identity;
        let scopes: Vec<String> = identity.scopes.iter().map(|scope| header_value(scope)).collect();
        let mut headers = vec![
            ("x-auth-subject", header_value(&identity.subject)),
            ("x-auth-user-id", header_value(&identity.subject)),
            ("x-auth-issuer", header_value(&identity.issuer)),
            ("x-auth-scopes", scopes.join(" ")),
            ("x-auth-claims", identity.payload.clone()),
        ];
        if let Some(client) = &identity.client {
            headers.push(("x-auth-client-id", header_value(client)));
        }
        headers.retain(|(_, value)| value.len() <= MAX_HEADER);
        headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn holds(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.identity.scopes.contains(scope))
    }

    fn allows_call(&mut self, call: &ToolCall, env: &mut dyn Env) -> bool {
        if !self.reads_arguments() {
            return true;
        }
        let mcp = json!({
            "method": "tools/call",
            "tool": call.tool.tool,
            "arguments": call.arguments,
        });
        self.decide(Some(call.tool.component), mcp, env)
    }

    fn allows(&mut self, method: &str, component: Option<&str>, env: &mut dyn Env) -> bool {
        self.decide(component, json!({"method": method}), env)
    }

    fn decide(&mut self, component: Option<&str>, mcp: Value, env: &mut dyn Env) -> bool {
        if let Engine::Absent = self.engine {
            return true;
        }
        if let Engine::Unread = self.engine {
            let now_ns = env.now_ns();
            self.engine = match env.policy().map(|(rego, data)| Policy::compile(&rego, &data, now_ns)) {
                Some(Ok(policy)) => Engine::Ready(Box::new(policy)),
                _ => Engine::Broken,
            };
        }
        let policy = match &mut self.engine {
            Engine::Ready(policy) => policy,
            Engine::Absent | Engine::Unread | Engine::Broken => return false,
        };
        let mut request = self.request.clone();
        request["component"] = json!(component);
        let identity = &self.identity;
        let input = json!({
            "token": {
                "sub": identity.subject,
                "iss": identity.issuer,
                "claims": identity.claims,
                "scopes": identity.scopes,
            },
            "request": request,
            "mcp": mcp,
        });
        policy.decide(&input).unwrap_or(false)
    }
}

fn forbidden(config: &Config, request: &RequestView) -> AuthError {
    let description = "the policy does not allow this";
    let response = challenge(config, request, &Challenge::new(403, Some(Code::AccessDenied), description));
    AuthError { response, reason: Reason::Policy }
}
