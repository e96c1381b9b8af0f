//! How often passwords may be tried.
//!
//! | counted by | free tries | then a pause that doubles up to |
//! |---|---|---|
//! | address | 10 | five minutes |
//! | name | 10 | thirty seconds |
//! | browser in which the name has signed in before | 10 | five minutes |
//!
//! A right password makes the tries of its name forgotten, and only itself of its address's: otherwise whoever has an
//! account could try everybody else's, and sign in now and then. Nobody can lock a person out of a browser in which they
//! have signed in before (its cookie says so): there only its own tries count.
//!
//! The address is right where a proxy that people cannot go around writes `X-Forwarded-For`. Behind a proxy that hides
//! it, all clients share one.

use crate::http::Exchange;
use crate::ledger::{Ledger, StoreFailed};

const FREE_TRIES: u64 = 10;
const ADDRESS_PAUSE: u64 = 300;
const NAME_PAUSE: u64 = 30;
/// Seconds after which tries are forgotten.
const REMEMBERED: u64 = 900;

/// Who tries, by what is counted.
pub(crate) struct Tries {
    counted: Vec<Counted>,
}

/// One thing whose tries are counted.
struct Counted {
    thing: String,
    /// The longest pause, in seconds.
    limit: u64,
    /// Whether others' tries are counted with it: a right password takes back its own and no other.
    is_shared: bool,
}

impl Tries {
    /// What is counted of a try: the address it comes from and the name; of a browser in which this name has signed in
    /// before, its own tries alone.
    pub(crate) fn of(exchange: &Exchange, name: &str, is_known_browser: bool) -> Tries {
        let counted = |thing, limit, is_shared| Counted { thing, limit, is_shared };
        let counted = if is_known_browser {
            vec![counted(format!("known browser of {name}"), ADDRESS_PAUSE, false)]
        } else {
            vec![
                counted(format!("address {}", address(exchange)), ADDRESS_PAUSE, true),
                counted(format!("name {name}"), NAME_PAUSE, false),
            ]
        };
        Tries { counted }
    }

    /// The seconds to wait before the next try; 0 for none.
    pub(crate) fn pause(&self, exchange: &mut Exchange) -> Result<u64, StoreFailed> {
        let now = exchange.world.now();
        let mut longest = 0;
        for Counted { thing, limit, .. } in &self.counted {
            let Some(record) = Ledger::Attempts.get(exchange.world, thing)? else { continue };
            let Some(beyond) = record.value.checked_sub(FREE_TRIES) else { continue };
            let pause = (1 << beyond.min(16)).min(*limit);
            longest = longest.max((record.at + pause).saturating_sub(now));
        }
        Ok(longest)
    }

    /// Count a try, before the password is looked at, so that many at the same time do not all come before the first.
    pub(crate) fn count(&self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let until = exchange.world.now() + REMEMBERED;
        for Counted { thing, .. } in &self.counted {
            let before = Ledger::Attempts.get(exchange.world, thing)?.map_or(0, |record| record.value);
            Ledger::Attempts.set(exchange.world, thing, before + 1, until)?;
        }
        Ok(())
    }

    /// Take back this try, because the password was right; of what nobody shares, all tries.
    pub(crate) fn forget(&self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let gone = exchange.world.now() + 1;
        for Counted { thing, is_shared, .. } in &self.counted {
            // Read again: others may have tried while the password was looked at.
            let (value, until) = match Ledger::Attempts.get(exchange.world, thing)? {
                Some(record) if *is_shared => (record.value.saturating_sub(1), record.until),
                _ => (0, gone),
            };
            Ledger::Attempts.set(exchange.world, thing, value, until)?;
        }
        Ok(())
    }
}

/// The address of the client: what the nearest proxy says that it saw (the last entry of X-Forwarded-For), else what Spin
/// saw. An IPv6 client has 2^64 addresses, so its network counts.
fn address(exchange: &Exchange) -> String {
    let request = exchange.request;
    let forwarded = request
        .headers
        .iter()
        .filter(|(name, _)| name == "x-forwarded-for")
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .next_back()
        .and_then(|value| value.rsplit(',').next());
    let seen = request.header("spin-client-addr");
    let text = forwarded.or(seen).unwrap_or_default().trim();
    let bare = text.parse::<std::net::SocketAddr>().map(|both| both.ip()).or_else(|_| text.parse());
    match bare {
        Ok(std::net::IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => format!("{:?}", &address.segments()[..4]),
        },
        Ok(address) => address.to_string(),
        Err(_) => "unknown".into(),
    }
}
