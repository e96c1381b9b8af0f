//! The attack table: each row is one attack, refused with its status and error code, beside its legitimate twin, which
//! passes. A row that refused its twin too would prove nothing.

mod common;
mod tables;

use common::{Case, header};

/// What an attack is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthError(pub u16, pub Option<&'static str>);

/// The token is not good.
pub const INVALID: AuthError = AuthError(401, Some("invalid_token"));
/// There is no token.
pub const ABSENT: AuthError = AuthError(401, None);
/// The caller or the call is not allowed.
pub const DENIED: AuthError = AuthError(403, Some("access_denied"));
/// Another scope would help.
pub const STEP_UP: AuthError = AuthError(403, Some("insufficient_scope"));
/// Two credentials in one request.
pub const AMBIGUOUS: AuthError = AuthError(400, Some("invalid_request"));
/// There is nothing to judge by.
pub const NO_KEYS: AuthError = AuthError(503, None);

/// One attack and its twin, both as changes of the same legitimate case.
pub struct Row {
    pub name: &'static str,
    pub refusal: AuthError,
    pub attack: fn(&mut Case),
    pub twin: fn(&mut Case),
}

fn run(rows: &[Row]) {
    let mut failures = Vec::new();
    for row in rows {
        let mut attack = Case::new();
        (row.attack)(&mut attack);
        match attack.run() {
            Ok(_) => failures.push(format!("{}: ALLOWED", row.name)),
            Err(response) => {
                let AuthError(status, code) = row.refusal;
                let challenge = header(&response, "www-authenticate").unwrap_or_default();
                let right_code = match code {
                    Some(code) => challenge.contains(&format!("error=\"{code}\"")),
                    None => !challenge.contains("error="),
                };
                let right_challenge = status == 503
                    || challenge.starts_with("Bearer ")
                        && challenge.contains("scope=\"")
                        && challenge.contains("resource_metadata=\"https://tools.acme.dev/.well-known/");
                if response.status != status || !right_code || !right_challenge {
                    failures.push(format!("{}: {} {challenge}", row.name, response.status));
                }
            }
        }
        let mut twin = Case::new();
        (row.twin)(&mut twin);
        if let Err(response) = twin.run() {
            let challenge = header(&response, "www-authenticate").unwrap_or_default();
            failures.push(format!("{}: the twin is refused: {} {challenge}", row.name, response.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn algorithms_and_keys() {
    run(tables::keys::ROWS);
}

#[test]
fn the_form_of_a_token() {
    run(tables::form::ROWS);
}

#[test]
fn claims() {
    run(tables::claims::ROWS);
}

#[test]
fn rules_and_policies() {
    run(tables::rules::ROWS);
}

#[test]
fn the_table_is_large_enough_and_names_are_unique() {
    let tables = [tables::keys::ROWS, tables::form::ROWS, tables::claims::ROWS, tables::rules::ROWS];
    let mut names: Vec<&str> = tables.iter().flat_map(|rows| rows.iter().map(|row| row.name)).collect();
    let rows = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows, "two rows have one name");
    assert!(rows >= 60, "{rows} rows");
}
