//! The login as a component: `wasi:http` in, variables, key-value store and requests out. Every rule is in the crate
//! `login`; this one only moves bytes.

use login::{Fetch, Fetched, Request, StoreFailed, World};
use wasi::outbound::{self, Outgoing};
use wasi::spin::{key_value::Store, variables};
use wasi::{answer, io};
use wasip2::cli::stderr::get_stderr;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::random::get_random_bytes;

/// What a request to another server may take together with connecting.
const FETCH_TIMEOUT_MS: u64 = 5_000;

struct Login;
wasip2::http::proxy::export!(Login);

impl Guest for Login {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = wasi::request::method(request.method());
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers = wasi::request::headers(&request);
        let head = Request { method: &method, path, query, headers: &headers };
        let mut world = WasiWorld { request, store: None, log: String::new() };
        let response = login::handle(&head, &mut world);
        let body = if method == "HEAD" { &[] } else { response.body.as_slice() };
        answer::send(out, response.status, &response.headers, body);
        // The client has its answer by now. Without a standard error there is nowhere to say so.
        let _ = io::print(&get_stderr(), &world.log);
        // The instance ends here, and the host frees what it holds at once.
        std::mem::forget(world);
    }
}

/// The world of one request; the store is opened when it is first needed.
struct WasiWorld {
    request: IncomingRequest,
    store: Option<Store>,
    log: String,
}

impl WasiWorld {
    fn store(&mut self) -> Result<&Store, StoreFailed> {
        if self.store.is_none() {
            self.store = Some(Store::open("default").map_err(|_| StoreFailed)?);
        }
        self.store.as_ref().ok_or(StoreFailed)
    }
}

impl World for WasiWorld {
    fn now(&self) -> u64 {
        wasi::now_ns() / 1_000_000_000
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&get_random_bytes(bytes.len() as u64));
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        variables::get(name).ok()
    }

    fn body(&mut self, limit: usize) -> Option<Vec<u8>> {
        io::read(&self.request, None, limit)
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreFailed> {
        self.store()?.get(key).map_err(|_| StoreFailed)
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreFailed> {
        self.store()?.set(key, value).map_err(|_| StoreFailed)
    }

    fn fetch(&mut self, fetch: &Fetch) -> Option<Fetched> {
        let (scheme, authority, path) = outbound::split(fetch.url)?;
        let form = fetch.form.as_ref().map(|_| ("content-type", "application/x-www-form-urlencoded"));
        let given = fetch.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers =
            given.chain(form).map(|(name, value)| (name.into(), value.as_bytes().to_vec())).collect();
        let received = outbound::receive(
            outbound::send(Outgoing {
                scheme,
                authority,
                path,
                headers,
                body: fetch.form.as_ref().map(|form| form.as_bytes()),
                timeout_ms: FETCH_TIMEOUT_MS,
                max_bytes: fetch.max_bytes,
            })
            .ok()?,
        )
        .ok()?;
        let body = received.read(None).ok()?;
        Some(Fetched { status: received.response.status(), content_type: received.content_type(), body })
    }

    fn log(&mut self, line: String) {
        self.log.push_str(&line);
        self.log.push('\n');
    }
}
