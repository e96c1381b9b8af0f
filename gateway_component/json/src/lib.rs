//! What the gateway's crates share: JSON that is read strictly, JSON text that is passed on, hexadecimal and base64.
//!
//! | module | contents |
//! |---|---|
//! | [`strict`] | values without duplicate keys and of bounded depth; texts that not every reader can read |
//! | [`object`](mod@object) | structs that are read from objects only |
//! | [`text`] | strings to and from JSON text; decimal numbers |
//! | [`hex`], [`base64`] | encodings |

pub mod base64;
pub mod hex;
pub mod object;
pub mod strict;
pub mod text;
