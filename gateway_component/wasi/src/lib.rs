//! What the components share of WASI 0.2 and Spin.
//!
//! | module | contents |
//! |---|---|
//! | [`request`] | what a request says: its method, its headers with its authority |
//! | [`answer`] | an answer whose body leaves with its head |
//! | [`outbound`] | requests to other servers, each with a time limit |
//! | [`io`] | bodies in and out, with bounds |
//! | [`spin`] | variables and the key-value store |
//! | `allocator` | the allocator of whatever uses this crate |

// Elsewhere this crate is only checked, never run.
#[cfg(target_family = "wasm")]
mod allocator;
pub mod answer;
pub mod io;
pub mod outbound;
pub mod request;
pub mod spin;

use wasip2::clocks::wall_clock;

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    let now = wall_clock::now();
    now.seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(now.nanoseconds))
}
