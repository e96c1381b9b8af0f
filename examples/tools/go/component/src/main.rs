//! Makes Go's bindings for a world of WIT, and a component of the core module that Go compiled.
//!
//! Go has no target for components: it compiles for WASI preview 1, and the adapter of Wasmtime gives a component
//! preview 1 by means of WASI 0.2. Both steps take what tools such as `wit-bindgen` and `wasm-tools` are made of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::Files;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

const USAGE: &str = "\
go-component bindings WIT WORLD GO_PACKAGE FOLDER
go-component component WIT WORLD MODULE COMPONENT";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["bindings", wit, world, package, folder] => bindings(wit, world, package, folder),
        ["component", wit, world, module, output] => component(wit, world, module, output),
        _ => bail!(USAGE),
    }
}

fn bindings(wit: &str, world: &str, package: &str, folder: &str) -> Result<()> {
    let (mut resolve, world) = read(wit, world)?;
    let mut files = Files::default();
    let options = wit_bindgen_go::Opts {
        pkg_name: Some(package.to_owned()),
        ..Default::default()
    };
    options.build().generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = Path::new(folder).join(name);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        fs::write(path, content)?;
    }
    Ok(())
}

fn component(wit: &str, world: &str, module: &str, output: &str) -> Result<()> {
    let (resolve, world) = read(wit, world)?;
    let mut module = fs::read(module)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    let component = ComponentEncoder::default()
        .module(&module)?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .validate(true)
        .encode()?;
    Ok(fs::write(output, component)?)
}

fn read(wit: &str, world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}
