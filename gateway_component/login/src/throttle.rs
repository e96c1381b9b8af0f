//! How often passwords may be tried.
//!
//! | counted by | free tries | then a pause that doubles up to |
//! |---|---|---|
//! | address | 10 | five minutes |
//! | name | 10 | thirty seconds |
//!
//! Nobody can lock a person out: a browser in which they have signed in before (its cookie says so) is not slowed down
//! by what others try under their name.

use crate::http::Exchange;
use crate::ledger::{Ledger, StoreFailed};

const FREE_TRIES: u64 = 10;
const ADDRESS_PAUSE: u64 = 300;
const NAME_PAUSE: u64 = 30;
/// Seconds after which tries are forgotten.
const REMEMBERED: u64 = 900;

/// Who tries, by what is counted.
pub(crate) struct Tries {
    counted: Vec<(String, u64)>,
}

impl Tries {
    /// What is counted of a try: the address it comes from and, unless the browser is known, the name.
    pub(crate) fn of(exchange: &Exchange, name: &str, is_known_browser: bool) -> Tries {
        let mut counted = vec![(format!("address {}", address(exchange)), ADDRESS_PAUSE)];
        if !is_known_browser {
            counted.push((format!("name {name}"), NAME_PAUSE));
        }
        Tries { counted }
    }

    /// The seconds to wait before the next try; 0 for none.
    pub(crate) fn pause(&self, exchange: &mut Exchange) -> Result<u64, StoreFailed> {
        let now = exchange.world.now();
        let mut longest = 0;
        for (thing, limit) in &self.counted {
            let Some(record) = Ledger::Attempts.get(exchange.world, thing)? else { continue };
            let Some(beyond) = record.value.checked_sub(FREE_TRIES) else { continue };
            let pause = (1 << beyond.min(16)).min(*limit);
            longest = longest.max((record.at + pause).saturating_sub(now));
        }
        Ok(longest)
    }

    /// Count a try, before the password is looked at: many at the same time count as many.
    pub(crate) fn count(&self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let until = exchange.world.now() + REMEMBERED;
        for (thing, _) in &self.counted {
            let before = Ledger::Attempts.get(exchange.world, thing)?.map_or(0, |record| record.value);
            Ledger::Attempts.set(exchange.world, thing, before + 1, until)?;
        }
        Ok(())
    }

    /// Forget the tries, because the password was right.
    pub(crate) fn forget(&self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let now = exchange.world.now();
        self.counted.iter().try_for_each(|(thing, _)| Ledger::Attempts.set(exchange.world, thing, 0, now + 1))
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
