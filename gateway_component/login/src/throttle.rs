//! How often passwords may be tried.
//!
//! | counted by | free tries | then a pause that doubles up to |
//! |---|---|---|
//! | address | 10 | five minutes |
//! | name | 10 | thirty seconds |
//!
//! A right password makes the tries of its name forgotten, and is not counted for its address: otherwise whoever has an account
//! could try everybody else's, and sign in now and then. Nobody can lock a person out: a browser in which they have signed in before (its cookie says so) is not slowed down
//! by what others try under their name.

use crate::http::Exchange;
use crate::ledger::{Ledger, Record, StoreFailed};

const FREE_TRIES: u64 = 10;
const ADDRESS_PAUSE: u64 = 300;
const NAME_PAUSE: u64 = 30;
/// Seconds after which tries are forgotten.
const REMEMBERED: u64 = 900;

/// Who tries, by what is counted.
pub(crate) struct Tries {
    counted: Vec<(String, u64)>,
    /// What was known of each before this try.
    before: Vec<Option<Record>>,
}

impl Tries {
    /// What is counted of a try: the address it comes from and, unless the browser is known, the name.
    pub(crate) fn of(exchange: &Exchange, name: &str, is_known_browser: bool) -> Tries {
        let mut counted = vec![(format!("address {}", address(exchange)), ADDRESS_PAUSE)];
        if !is_known_browser {
            counted.push((format!("name {name}"), NAME_PAUSE));
        }
        Tries { counted, before: Vec::new() }
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
    pub(crate) fn count(&mut self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let until = exchange.world.now() + REMEMBERED;
        for (thing, _) in &self.counted {
            let before = Ledger::Attempts.get(exchange.world, thing)?;
            self.before.push(before);
            Ledger::Attempts.set(
                exchange.world,
                thing,
                before.map_or(0, |record| record.value) + 1,
                until,
            )?;
        }
        Ok(())
    }

    /// Forget the name's tries and this one of the address, because the password was right.
    pub(crate) fn forget(&self, exchange: &mut Exchange) -> Result<(), StoreFailed> {
        let gone = exchange.world.now() + 1;
        self.counted.iter().zip(&self.before).enumerate().try_for_each(|(at, ((thing, _), before))| {
            let (value, until) = match before {
                // The address comes first.
                Some(record) if at == 0 => (record.value, record.until),
                _ => (0, gone),
            };
            Ledger::Attempts.set(exchange.world, thing, value, until)
        })
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
