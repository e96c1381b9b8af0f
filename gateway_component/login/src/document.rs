//! Client ID Metadata Documents: a client's id is the https URL of a document that describes it
//! (draft-ietf-oauth-client-id-metadata-document, which MCP 2025-11-25 refers to).
//!
//! Anybody may make this server read a document, so only listed hosts are asked, a few times a minute, and what was read
//! is kept for a while.

use crate::client::{Client, Method};
use crate::form::Url;
use crate::http::{Exchange, Fetch};
use crate::ledger::Ledger;
use crate::seal::Sealed;
use json::{hex, strict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

const MAX_ID: usize = 512;
const MAX_DOCUMENT: usize = 64 << 10;
const MAX_DEPTH: usize = 8;
/// Seconds for which a document is used without another look.
const FRESH_SECONDS: u64 = 600;
/// Seconds for which it is used where too many others were asked for: who asks for many cannot keep known clients out.
const KEPT_SECONDS: u64 = 86_400;
/// Documents that are kept at the same time; a further one replaces another.
const SLOTS: u8 = 64;
/// Documents that are fetched within a minute.
const MAX_FETCHES: u64 = 30;

#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    /// Until when it is used without another look, in seconds since the epoch.
    fresh: u64,
    client: Client,
}

impl Sealed for Kept {
    // Sealed, because a tool may have been granted the key-value store in which it lies.
    const PURPOSE: &'static str = "document";
}

/// The client of an id that is a URL; `None` if its host is not listed, or its document is not there or not good.
pub(crate) fn find(exchange: &mut Exchange, id: &str) -> Option<Client> {
    let url = Url::parse(id).filter(|_| id.len() <= MAX_ID)?;
    let path = url.rest.split('?').next().unwrap_or_default();
    let is_plain = url.scheme == "https"
        && url.port.is_none()
        && path.len() > 1
        && !path.split('/').any(|part| part == "." || part == "..");
    let host = url.host.to_string();
    if !is_plain || !is_listed(exchange, &url) {
        exchange.log("client_document", "host_not_listed", None);
        return None;
    }
    let slot = format!("login/documents/{}", hex::encode(&[Sha256::digest(id.as_bytes())[0] % SLOTS]));
    let kept = exchange.world.kv_get(&slot).ok().flatten().and_then(|value| String::from_utf8(value).ok());
    let kept = kept.and_then(|text| exchange.open::<Kept>(&text)).filter(|kept| kept.id == id);
    let now = exchange.world.now();
    if kept.as_ref().is_some_and(|kept| now < kept.fresh) {
        return kept.map(|kept| kept.client);
    }
    if !may_fetch(exchange) {
        exchange.log("client_document", "too_often", None);
        return kept.map(|kept| kept.client);
    }
    let Some(mut client) = fetch(exchange, id) else {
        exchange.log("client_document", "not_usable", None);
        return None;
    };
    client.host = Some(host);
    let kept = Kept { id: id.to_string(), fresh: now + FRESH_SECONDS, client };
    if let Some(text) = exchange.seal(&kept, KEPT_SECONDS) {
        // Without a store the next request reads the document again.
        let _ = exchange.world.kv_set(&slot, text.as_bytes());
    }
    Some(kept.client)
}

/// Whether documents of a URL's host are read.
pub(crate) fn is_listed(exchange: &Exchange, url: &Url) -> bool {
    exchange.config.client_hosts.iter().any(|host| host == url.host)
}

fn may_fetch(exchange: &mut Exchange) -> bool {
    let now = exchange.world.now();
    let minute = format!("documents in minute {}", now / 60);
    let Ok(record) = Ledger::Attempts.get(exchange.world, &minute) else { return false };
    let count = record.map_or(0, |record| record.value);
    count < MAX_FETCHES && Ledger::Attempts.set(exchange.world, &minute, count + 1, now + 120).is_ok()
}

fn fetch(exchange: &mut Exchange, id: &str) -> Option<Client> {
    let fetched = exchange.world.fetch(&Fetch {
        url: id,
        headers: vec![("accept", "application/json".into())],
        form: None,
        max_bytes: MAX_DOCUMENT,
    })?;
    let media_type = fetched.content_type.as_deref()?.split(';').next()?.trim().to_ascii_lowercase();
    if fetched.status != 200 || !(media_type == "application/json" || media_type.ends_with("+json")) {
        return None;
    }
    let Value::Object(metadata) = strict::parse_bounded(&fetched.body, MAX_DEPTH)? else { return None };
    // The document says itself whose it is, so a copy elsewhere is nobody's.
    if metadata.get("client_id")?.as_str()? != id || metadata.contains_key("client_secret") {
        return None;
    }
    Client::read(&metadata).ok().filter(|client| client.method == Method::Public)
}
