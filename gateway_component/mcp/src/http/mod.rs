//! HTTP: messages, paths, browsers' origins, event streams, and the pages that are not MCP.

pub(crate) mod cors;
pub(crate) mod health;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod page;
pub(crate) mod route;
pub(crate) mod sse;
