//! Standard input: a core WebAssembly module, as toolchains for Spin's WASI preview 1 targets emit it (with
//! `component-type` sections). Standard output: the component. Standard error and exit code 1: why it cannot be one.
//!
//! The operator runs this in its sandbox, so that bytes from a registry are never parsed by native code.

use std::io::{self, Read, Write};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// A module with `_start` runs once as a command; one without serves calls as a reactor.
fn adapter(module: &[u8]) -> &'static [u8] {
    let exports_start = module.windows(7).any(|window| window == b"\x06_start");
    if exports_start { WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER } else { WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER }
}

fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter(module)))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

fn run() -> Result<(), String> {
    let mut module = Vec::new();
    io::stdin().lock().read_to_end(&mut module).map_err(|error| error.to_string())?;
    let component = componentize(&module)?;
    // Flushed by hand: nothing runs after this function that would do it.
    let mut stdout = io::stdout().lock();
    stdout.write_all(&component).and_then(|()| stdout.flush()).map_err(|error| error.to_string())
}

struct Componentize;

wasip2::cli::command::export!(Componentize);

// A library that exports `wasi:cli/run` by hand: a program's start-up object is part of no Debian package.
impl wasip2::exports::cli::run::Guest for Componentize {
    fn run() -> Result<(), ()> {
        run().map_err(|message| eprintln!("{message}"))
    }
}
