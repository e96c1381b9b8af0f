//! What all messages of one HTTP request share.

use crate::auth::Authorizer;
use crate::config::Config;
use crate::http::message::{Request, Response};
use crate::http::route::Endpoint;
use crate::protocol::jsonrpc::{INVALID_REQUEST, ProtocolError};
use crate::protocol::revision::Revision;
use crate::{Host, catalog};
use json::hex;

/// Why a message gets no result.
pub(crate) enum Reject {
    /// The message is answered with an error of the protocol.
    Message(ProtocolError),
    /// The whole HTTP request is answered with this.
    Request(Response),
}

impl From<ProtocolError> for Reject {
    fn from(error: ProtocolError) -> Reject {
        Reject::Message(error)
    }
}

pub(crate) struct Context<'a, 'h> {
    pub request: Request<'a>,
    pub config: &'a Config<'a>,
    pub endpoint: Endpoint<'a>,
    /// The components that the client chose with `X-MCP-Toolsets`.
    toolsets: Option<Vec<String>>,
    pub authorizer: Option<Authorizer<'a>>,
    /// Whether the client takes an event stream.
    pub accepts_stream: bool,
    /// The page's origin that may read the answer.
    pub origin: Option<&'a str>,
    pub host: &'h mut dyn Host,
    request_id: Option<String>,
}

impl<'a, 'h> Context<'a, 'h> {
    pub fn new(
        request: Request<'a>,
        config: &'a Config<'a>,
        mut endpoint: Endpoint<'a>,
        authorizer: Option<Authorizer<'a>>,
        host: &'h mut dyn Host,
    ) -> Context<'a, 'h> {
        // A wish for safety is granted unless it is clearly withdrawn.
        endpoint.readonly |= request
            .header("x-mcp-readonly")
            .is_some_and(|value| !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "false" | "0"));
        let toolsets = request.header("x-mcp-toolsets").map(|value| {
            value.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
        });
        Context {
            request,
            config,
            endpoint,
            toolsets: toolsets.filter(|names: &Vec<String>| !names.is_empty()),
            authorizer,
            accepts_stream: false,
            origin: None,
            host,
            request_id: None,
        }
    }

    /// 404 if the path names a component that the application does not have.
    pub fn require_component(&mut self) -> Result<(), Reject> {
        let Some(component) = self.endpoint.component else { return Ok(()) };
        if self.config.dynamic.iter().any(|dynamic| dynamic.id == component)
            || catalog::page(Some(component), 0, self.host).is_some()
        {
            return Ok(());
        }
        let error = ProtocolError::new(INVALID_REQUEST, "this application has no such component");
        Err(Reject::Request(Response::json(404, error.message(None))))
    }

    /// Whether a tool is among those that the path and the headers choose.
    pub fn shows(&self, component: &str, read_only: bool) -> bool {
        (read_only || !self.endpoint.readonly)
            && self.endpoint.component.is_none_or(|chosen| chosen == component)
            && self.toolsets.as_ref().is_none_or(|chosen| chosen.iter().any(|name| name == component))
    }

    /// Whether the list is another one than the path's.
    pub fn chooses(&self) -> bool {
        self.endpoint.readonly || self.toolsets.is_some()
    }

    /// The client's request id if it is a sensible one, else one of our own.
    pub fn request_id(&mut self) -> &str {
        let given = self.request.header("x-request-id");
        let host = &mut *self.host;
        self.request_id.get_or_insert_with(|| {
            given
                .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
                .map_or_else(|| own_id(host.random()), |id| id.into_owned())
        })
    }

    /// The request id, if something needed one.
    pub fn known_request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Who this server is, for revisions that say so in every result.
    pub fn server_info(&self, revision: Revision) -> Option<String> {
        revision.is_modern().then(|| self.config.server_info())
    }
}

fn own_id(random: u64) -> String {
    let mut id = String::with_capacity(16);
    hex::push(&mut id, &random.to_be_bytes());
    id
}
