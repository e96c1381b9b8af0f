//! A fuzzer of the gateway's protocol and of the login: cases come from a seed, so every failure can be repeated by its
//! number.
//!
//! A case is a request, made by spoiling a good one ([`request`]), to an app whose tools answer anything at all
//! ([`host`]). What must hold of the answer is in [`revision`]. The login's cases are in [`login`](mod@login).

pub mod dice;
pub mod host;
pub mod json;
pub mod login;
pub mod request;
pub mod revision;

use dice::Dice;
use host::FuzzHost;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a run of cases went.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by HTTP status.
    pub statuses: std::collections::BTreeMap<u16, usize>,
    /// JSON-RPC results, and errors by code.
    pub outcomes: std::collections::BTreeMap<String, usize>,
}

/// Run one case. Err describes what is wrong, with the request.
pub fn case(seed: u64, number: u64, tally: &mut Tally) -> Result<(), String> {
    let mut dice = Dice::new(seed, number);
    let request = request::generate(&mut dice);
    let mut host = FuzzHost::new(dice);
    host.body = request.body.clone();
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let response = mcp::handle(&request.view(), &mut host);
        match host.opened.take() {
            None => response,
            Some(mut opened) => {
                opened.body.extend(response.body);
                opened
            }
        }
    }));
    let verdict = match &answered {
        Err(_) => Err("it panicked".to_string()),
        Ok(response) => revision::judge(&request, response, tally),
    };
    verdict.map_err(|problem| {
        let answer = answered.map_or_else(
            |_| String::new(),
            |response| format!("{} {}", response.status, String::from_utf8_lossy(&response.body)),
        );
        format!("case {number} of seed {seed}: {problem}\n{request}\nanswer: {answer}")
    })
}
