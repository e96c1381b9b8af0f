//! Variables, key-value stores and SQLite through every interface that has them.

use crate::Reply;

wit_bindgen::generate!({
    world: "imports",
    path: "wit",
    generate_all,
});

use fermyon::spin::{key_value, sqlite, variables};
use wasi::config::store as config;
use wasi::keyvalue::{atomics, batch, store as keyvalue};

pub fn run(what: &str, query: &str) -> Reply {
    let text = match what {
        "variable" => format!("{:?}", variables::get(query)),
        "config" => format!("{:?}", config::get(query)),
        "config-all" => format!("{:?}", config::get_all()),
        "open" => format!("{:?}", key_value::Store::open(query).map(|_| ())),
        "kv" => through_spin(query).map_err(|error| format!("{error:?}"))?,
        "keyvalue" => through_wasi(query).map_err(|error| format!("{error:?}"))?,
        "increment" => increment(query).map_err(|error| format!("{error:?}"))?,
        "swap" => swap(query).map_err(|error| format!("{error:?}"))?,
        "sqlite" => format!("{:?}", sqlite::Connection::open(query).map(|_| ())),
        _ => return Ok((404, Vec::new())),
    };
    Ok((200, text.into_bytes()))
}

fn through_spin(label: &str) -> Result<String, key_value::Error> {
    let store = key_value::Store::open(label)?;
    store.set("a", &[0, 1, 255])?;
    store.set("b", b"")?;
    let mut text = format!("{:?} {:?} {:?} ", store.get("a")?, store.get("b")?, store.get("c")?);
    text += &format!("{:?} {:?} ", store.get_keys()?, store.exists("a")?);
    store.delete("a")?;
    store.delete("a")?;
    text += &format!("{:?} {:?}", store.exists("a")?, store.get_keys()?);
    Ok(text)
}

fn through_wasi(label: &str) -> Result<String, keyvalue::Error> {
    let bucket = keyvalue::open(label)?;
    batch::set_many(&bucket, &[("k".into(), b"1".to_vec()), ("l".into(), b"2".to_vec())])?;
    let text = format!("{:?} {:?}", batch::get_many(&bucket, &["k".into(), "z".into()])?, bucket.list_keys(None)?.keys);
    batch::delete_many(&bucket, &["k".into()])?;
    Ok(format!("{text} {:?} {:?}", bucket.get("k")?, bucket.exists("l")?))
}

fn increment(label: &str) -> Result<String, keyvalue::Error> {
    let bucket = keyvalue::open(label)?;
    Ok(format!("{}", atomics::increment(&bucket, "count", 1)?))
}

fn swap(label: &str) -> Result<String, keyvalue::Error> {
    let bucket = keyvalue::open(label)?;
    let first = atomics::Cas::new(&bucket, "swapped")?;
    let second = atomics::Cas::new(&bucket, "swapped")?;
    let won = atomics::swap(first, b"first").is_ok();
    let lost = match atomics::swap(second, b"second") {
        Err(atomics::CasError::CasFailed(cas)) => format!("{:?}", cas.current()?),
        other => format!("{:?}", other.is_ok()),
    };
    Ok(format!("{won} {lost}"))
}
