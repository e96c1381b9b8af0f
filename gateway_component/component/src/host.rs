//! WASI and Spin behind the interfaces that the pure crates use.

use crate::client::Client;
use crate::outbound;
use authorizer::Env;
use mcp::{Failure, Host, Response, ToolRequest, ToolResponse};
use wasi::io;
use wasi::spin::{key_value::Store, variables};
use wasip2::cli::stderr::get_stderr;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// What the authorizer's fetches may take together with connecting.
const FETCH_TIMEOUT_MS: u64 = 5_000;

/// The host of one request; the store is opened when it is first needed.
pub struct WasiHost {
    request: IncomingRequest,
    /// How long its body says to be.
    announced: Option<u64>,
    pub client: Client,
    store: Option<Store>,
    log: Vec<String>,
}

impl WasiHost {
    pub fn new(request: IncomingRequest, announced: Option<u64>, out: ResponseOutparam) -> WasiHost {
        WasiHost { request, announced, client: Client::new(out), store: None, log: Vec::new() }
    }

    fn store(&mut self) -> Option<&Store> {
        if self.store.is_none() {
            self.store = Store::open("default").ok();
        }
        self.store.as_ref()
    }

    /// Write what was logged, in one piece so that lines of requests at the same time do not mix.
    pub fn write_log(&mut self) {
        if self.log.is_empty() {
            return;
        }
        let mut text = self.log.join("\n");
        text.push('\n');
        // Without a standard error there is nowhere to say so.
        let _ = io::print(&get_stderr(), &text);
        self.log.clear();
    }
}

impl Env for WasiHost {
    fn now_ns(&self) -> u64 {
        wasi::now_ns()
    }

    fn fetch(&mut self, url: &str, max_bytes: usize) -> Option<Vec<u8>> {
        outbound::fetch(url, max_bytes, FETCH_TIMEOUT_MS)
    }

    fn kv_get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.store()?.get(key).ok().flatten()
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) {
        if let Some(store) = self.store() {
            let _ = store.set(key, value);
        }
    }

    fn policy(&mut self) -> Option<(String, String)> {
        // Rego may hold two opening braces in a row, which would begin one of Spin's templates, so it comes as JSON.
        let policy = json::text::string_of(&variables::get("policy").ok()?)?;
        Some((policy, variables::get("policy_data").ok()?))
    }

    fn api_keys(&mut self) -> Option<String> {
        variables::get("api_keys").ok()
    }

    fn log(&mut self, line: String) {
        self.log.push(line);
    }
}

impl Host for WasiHost {
    fn body(&mut self, limit: usize) -> Option<Vec<u8>> {
        io::read(&self.request, self.announced, limit)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        variables::get(name).ok()
    }

    fn exchange(&mut self, requests: &[ToolRequest]) -> Vec<Result<ToolResponse, Failure>> {
        outbound::exchange(requests)
    }

    fn relay(
        &mut self,
        request: &ToolRequest,
        head: &Response,
        pass: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<ToolResponse, Failure> {
        let client = &mut self.client;
        outbound::relay(request, &mut |piece| {
            let bytes = pass(piece);
            if !bytes.is_empty() {
                client.push(head, &bytes);
            }
        })
    }

    fn ticks_ns(&self) -> u64 {
        monotonic_clock::now()
    }

    fn random(&mut self) -> u64 {
        wasip2::random::random::get_random_u64()
    }
}
