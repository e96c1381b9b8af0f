//! `cargo run --profile fuzz -p fuzz -- [CASES [SEED]]`: a million cases by default, on every core.

use fuzz::{Tally, case};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One case of the login comes with so many of the protocol.
const LOGIN_SHARE: u64 = 50;

fn main() -> std::process::ExitCode {
    let mut arguments =
        std::env::args().skip(1).map(|text| text.parse::<u64>().expect("CASES and SEED are numbers"));
    let cases = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or(1);
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicU64::new(0);
    let started = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<(Tally, Vec<String>)> = std::thread::scope(|scope| {
        let work = || {
            let mut tally = Tally::default();
            let mut failures = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= cases || failures.len() >= 10 {
                    return (tally, failures);
                }
                failures.extend(case(seed, number, &mut tally).err());
                // A case of the login goes the whole way first, so there are fewer of them.
                if number.is_multiple_of(LOGIN_SHARE) {
                    failures.extend(fuzz::login::case(seed, number, &mut tally.statuses).err());
                }
            }
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|worker| worker.join().expect("a worker catches panics")).collect()
    });
    let mut total = Tally::default();
    let mut failed = false;
    for (tally, failures) in results {
        tally
            .statuses
            .into_iter()
            .for_each(|(status, count)| *total.statuses.entry(status).or_default() += count);
        tally
            .outcomes
            .into_iter()
            .for_each(|(code, count)| *total.outcomes.entry(code).or_default() += count);
        failures.iter().for_each(|failure| println!("{failure}\n"));
        failed |= !failures.is_empty();
    }
    println!("{cases} cases of seed {seed} in {:.1} s: {total:?}", started.elapsed().as_secs_f32());
    if failed { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
}
