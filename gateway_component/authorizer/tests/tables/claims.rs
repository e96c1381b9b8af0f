//! Attacks on what a well-signed token claims: for another app, from another issuer, too late, too early, for nobody.

use crate::common::{Case, NOW};
use crate::{Row, INVALID, STEP_UP};
use serde_json::{json, Value};

fn legitimate(_: &mut Case) {}

fn without(case: &mut Case, claim: &str) {
    case.claims.as_object_mut().unwrap().remove(claim);
}

fn set(case: &mut Case, claim: &str, value: Value) {
    case.claims[claim] = value;
}

/// A number as this text, which `serde_json` might not write.
fn raw_expiry(case: &mut Case, text: &str) {
    set(case, "exp", json!("EXP"));
    let claims = case.claims.to_string().replace("\"EXP\"", text);
    case.token = Some(crate::common::issuer::sign(case.signer, &case.header, &claims));
}

fn two_audiences(case: &mut Case) {
    case.auth("audiences", json!(["https://tools.acme.dev/mcp", "api://tools"]));
}

fn at(case: &mut Case, path: &str, component: &str) {
    case.path = path.into();
    case.component = Some(component.into());
}

pub const ROWS: &[Row] = &[
    Row {
        name: "another app's audience",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!("https://other.acme.dev/mcp")),
        twin: legitimate,
    },
    Row {
        name: "many audiences without this app's",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!(["https://a.example", "https://b.example"])),
        twin: |c| set(c, "aud", json!(["https://a.example", "https://tools.acme.dev/mcp"])),
    },
    Row {
        name: "an audience beside two accepted ones",
        refusal: INVALID,
        attack: |c| {
            two_audiences(c);
            set(c, "aud", json!("api://tools2"));
        },
        twin: |c| {
            two_audiences(c);
            set(c, "aud", json!("api://tools"));
        },
    },
    Row { name: "no audience", refusal: INVALID, attack: |c| without(c, "aud"), twin: legitimate },
    Row {
        name: "an empty list of audiences",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!([])),
        twin: legitimate,
    },
    Row {
        name: "an audience with a slash more",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!("https://tools.acme.dev/mcp/")),
        twin: legitimate,
    },
    Row {
        name: "an audience in other letters",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!("https://TOOLS.acme.dev/mcp")),
        twin: legitimate,
    },
    Row {
        name: "the start of an audience",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!("https://tools.acme.dev")),
        twin: legitimate,
    },
    Row {
        name: "an audience that is an object",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!({"https://tools.acme.dev/mcp": true})),
        twin: legitimate,
    },
    Row {
        name: "an audience in a list in a list",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!([["https://tools.acme.dev/mcp"]])),
        twin: |c| set(c, "aud", json!(["https://tools.acme.dev/mcp"])),
    },
    Row {
        name: "an audience beside a number",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!(["https://tools.acme.dev/mcp", 1])),
        twin: |c| set(c, "aud", json!(["https://tools.acme.dev/mcp", "1"])),
    },
    Row {
        name: "a thousand audiences",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!(vec!["https://tools.acme.dev/mcp"; 200])),
        twin: |c| set(c, "aud", json!(vec!["https://tools.acme.dev/mcp"; 20])),
    },
    Row {
        name: "one component's audience at another's path",
        refusal: INVALID,
        attack: |c| {
            set(c, "aud", json!("https://tools.acme.dev/mcp/x/weather"));
            at(c, "/mcp/x/mail", "mail");
        },
        twin: |c| {
            set(c, "aud", json!("https://tools.acme.dev/mcp/x/weather"));
            at(c, "/mcp/x/weather", "weather");
        },
    },
    Row {
        name: "one component's audience for the whole app",
        refusal: INVALID,
        attack: |c| set(c, "aud", json!("https://tools.acme.dev/mcp/x/weather")),
        twin: |c| at(c, "/mcp/x/weather", "weather"),
    },
    Row {
        name: "a component's audience where the app's own URL is not accepted",
        refusal: INVALID,
        attack: |c| {
            c.auth("audiences", json!(["api://tools"]));
            set(c, "aud", json!("https://tools.acme.dev/mcp/x/weather"));
            at(c, "/mcp/x/weather", "weather");
        },
        twin: |c| {
            c.auth("audiences", json!(["api://tools"]));
            set(c, "aud", json!("api://tools"));
            at(c, "/mcp/x/weather", "weather");
        },
    },
    Row {
        name: "another issuer",
        refusal: INVALID,
        attack: |c| set(c, "iss", json!("https://evil.example")),
        twin: legitimate,
    },
    Row {
        name: "the issuer with a slash more",
        refusal: INVALID,
        attack: |c| set(c, "iss", json!("https://login.acme.dev/")),
        twin: legitimate,
    },
    Row {
        name: "an issuer that starts like ours",
        refusal: INVALID,
        attack: |c| set(c, "iss", json!("https://login.acme.dev.evil.example")),
        twin: legitimate,
    },
    Row {
        name: "no issuer",
        refusal: INVALID,
        attack: |c| without(c, "iss"),
        twin: |c| {
            // FTL allows to leave the issuer open; then the keys alone decide.
            c.auth("issuer", Value::Null);
            without(c, "iss");
        },
    },
    Row {
        name: "a list of issuers",
        refusal: INVALID,
        attack: |c| set(c, "iss", json!(["https://login.acme.dev"])),
        twin: legitimate,
    },
    Row {
        name: "expired at the end of the leeway",
        refusal: INVALID,
        attack: |c| set(c, "exp", json!(NOW - 60)),
        twin: |c| set(c, "exp", json!(NOW - 59)),
    },
    Row {
        name: "expired without leeway",
        refusal: INVALID,
        attack: |c| {
            c.auth("leewaySeconds", json!(0));
            set(c, "exp", json!(NOW));
        },
        twin: |c| {
            c.auth("leewaySeconds", json!(0));
            set(c, "exp", json!(NOW as f64 + 0.5));
        },
    },
    Row { name: "no expiry", refusal: INVALID, attack: |c| without(c, "exp"), twin: legitimate },
    Row {
        name: "no expiry but null",
        refusal: INVALID,
        attack: |c| set(c, "exp", Value::Null),
        twin: legitimate,
    },
    Row {
        name: "an expiry that is text",
        refusal: INVALID,
        attack: |c| set(c, "exp", json!((NOW + 600).to_string())),
        twin: legitimate,
    },
    Row {
        name: "a negative expiry",
        refusal: INVALID,
        attack: |c| set(c, "exp", json!(-1)),
        twin: legitimate,
    },
    Row {
        name: "an infinite expiry",
        refusal: INVALID,
        attack: |c| raw_expiry(c, "1e999"),
        twin: |c| raw_expiry(c, "1.9000006e9"),
    },
    Row {
        name: "an expiry beyond exact numbers",
        refusal: INVALID,
        attack: |c| raw_expiry(c, "99999999999999999999"),
        twin: |c| raw_expiry(c, "9007199254740992"),
    },
    Row {
        name: "not valid yet, by more than the leeway",
        refusal: INVALID,
        attack: |c| set(c, "nbf", json!(NOW + 61)),
        twin: |c| set(c, "nbf", json!(NOW + 60)),
    },
    Row {
        name: "a beginning that is text",
        refusal: INVALID,
        attack: |c| set(c, "nbf", json!("0")),
        twin: |c| without(c, "nbf"),
    },
    Row {
        name: "issued in the future",
        refusal: INVALID,
        attack: |c| set(c, "iat", json!(NOW + 3600)),
        twin: |c| without(c, "iat"),
    },
    Row { name: "no subject", refusal: INVALID, attack: |c| without(c, "sub"), twin: legitimate },
    Row {
        name: "an empty subject",
        refusal: INVALID,
        attack: |c| set(c, "sub", json!("")),
        twin: legitimate,
    },
    Row {
        name: "a subject that is a list",
        refusal: INVALID,
        attack: |c| set(c, "sub", json!(["alice"])),
        twin: legitimate,
    },
    Row {
        name: "a subject of two kilobytes",
        refusal: INVALID,
        attack: |c| set(c, "sub", json!("alice".repeat(400))),
        twin: legitimate,
    },
    Row {
        name: "scopes that are an object",
        refusal: INVALID,
        attack: |c| set(c, "scp", json!({"mcp:tools": true})),
        twin: |c| set(c, "scp", json!(["mcp:tools"])),
    },
    Row {
        name: "without the scope that every use needs",
        refusal: STEP_UP,
        attack: |c| set(c, "scope", json!("openid")),
        twin: |c| {
            without(c, "scope");
            set(c, "scp", json!("openid mcp:tools"));
        },
    },
    Row {
        name: "without any scope",
        refusal: STEP_UP,
        attack: |c| without(c, "scope"),
        twin: |c| {
            without(c, "scope");
            set(c, "scp", json!(["mcp:tools"]));
        },
    },
    Row {
        name: "a scope that starts like the needed one",
        refusal: STEP_UP,
        attack: |c| set(c, "scope", json!("mcp:tools:read mcp mcp:Tools")),
        twin: |c| set(c, "scope", json!("mcp:tools:read mcp:tools")),
    },
    Row {
        name: "scopes parted by something else than a space",
        refusal: STEP_UP,
        attack: |c| set(c, "scope", json!("openid,mcp:tools")),
        twin: |c| set(c, "scope", json!("  mcp:tools  openid")),
    },
];
