//! Spin's interfaces, of the version that every Spin from 2 to 4 has.

wit_bindgen::generate!({
    world: "spin",
    path: "wit",
    generate_all,
});

pub use fermyon::spin::{key_value, variables};
