//! The messages of the protocol: JSON-RPC, the revisions, and every method but `tools/call`.

pub(crate) mod context;
pub(crate) mod endpoint;
pub(crate) mod initialize;
pub(crate) mod jsonrpc;
pub(crate) mod list;
pub(crate) mod revision;
