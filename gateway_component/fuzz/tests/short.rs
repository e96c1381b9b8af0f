//! A short run from a fixed seed; the long one is `cargo run --profile fuzz -p fuzz`.

use fuzz::{Tally, case};
use std::collections::BTreeMap;

#[test]
fn answers_hold_for_ten_thousand_cases() {
    let mut tally = Tally::default();
    let failures: Vec<String> = (0..10_000).filter_map(|number| case(1, number, &mut tally).err()).collect();
    assert!(failures.is_empty(), "{} failures, such as\n{}", failures.len(), failures[0]);
    // The cases reach every part: what is accepted, refused and passed on.
    for outcome in ["result", "-32700", "-32600", "-32601", "-32602", "-32020", "-32022"] {
        assert!(
            tally.outcomes.get(outcome).is_some_and(|count| *count > 10),
            "too little of {outcome}: {tally:?}"
        );
    }
    for status in [200, 202, 400, 401, 404, 405] {
        assert!(tally.statuses.contains_key(&status), "nothing with status {status}: {tally:?}");
    }
}

#[test]
fn the_login_holds_for_a_thousand_cases() {
    let mut statuses = BTreeMap::new();
    let failures: Vec<String> =
        (0..1_000).filter_map(|number| fuzz::login::case(1, number, &mut statuses).err()).collect();
    assert!(failures.is_empty(), "{} failures, such as\n{}", failures.len(), failures[0]);
    // The cases reach every part: pages, redirects, tokens, registrations, and what is refused.
    for status in [200, 201, 303, 400, 401, 404, 405, 503] {
        assert!(
            statuses.get(&status).is_some_and(|count| *count > 5),
            "too little of {status}: {statuses:?}"
        );
    }
}
