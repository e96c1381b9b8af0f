//! Attacks on what a well-signed token claims: for another app, from another issuer, too late, too early, for nobody.

use crate::common::{Case, NOW};
use crate::{INVALID, Row, STEP_UP};
use serde_json::{Value, json};

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
    Row {
        name: "a token bound to a DPoP key",
        refusal: INVALID,
        attack: |c| set(c, "cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        twin: |c| set(c, "cnf", json!(null)),
    },
    Row {
        name: "a token bound to a client's certificate",
        refusal: INVALID,
        attack: |c| set(c, "cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
        twin: |c| set(c, "cnf", json!(null)),
    },
    Row {
        name: "a token bound to a key in itself",
        refusal: INVALID,
        attack: |c| set(c, "cnf", json!({"jwk": {"kty": "EC"}})),
        twin: |c| set(c, "jkt", json!("not a confirmation")),
    },
    Row {
        name: "a token bound to what is not known",
        refusal: INVALID,
        attack: |c| set(c, "cnf", json!({})),
        twin: |c| set(c, "cnf", json!(null)),
    },
    Row {
        name: "a binding that is no object",
        refusal: INVALID,
        attack: |c| set(c, "cnf", json!("thumbprint")),
        twin: |c| set(c, "cnf", json!(null)),
    },
    Row {
        name: "Keycloak's DPoP token",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("DPoP"))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("Bearer"))
        },
    },
    Row {
        name: "Keycloak's ID token",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("ID"))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("Bearer"));
            set(c, "nonce", json!("n"))
        },
    },
    Row {
        name: "Keycloak's refresh token",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("Refresh"))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "typ", json!("Bearer"))
        },
    },
    Row {
        name: "Keycloak's offline token",
        refusal: INVALID,
        attack: |c| set(c, "typ", json!("Offline")),
        twin: |c| set(c, "typ", json!("Bearer")),
    },
    Row {
        name: "Cognito's ID token",
        refusal: INVALID,
        attack: |c| set(c, "token_use", json!("id")),
        twin: |c| set(c, "token_use", json!("access")),
    },
    Row {
        name: "ForgeRock's ID token",
        refusal: INVALID,
        attack: |c| set(c, "tokenName", json!("id_token")),
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "tokenName", json!("access_token"));
            set(c, "nonce", json!("n"))
        },
    },
    Row {
        name: "a refresh token",
        refusal: INVALID,
        attack: |c| set(c, "token_type", json!("refresh")),
        twin: |c| set(c, "token_type", json!("Bearer")),
    },
    Row {
        name: "an ID token with a nonce",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "nonce", json!("n-0S6_WzA2Mj"))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "nonce", json!(null))
        },
    },
    Row {
        name: "an ID token without a header type",
        refusal: INVALID,
        attack: |c| {
            c.header.as_object_mut().unwrap().remove("typ");
            set(c, "nonce", json!("n"))
        },
        twin: |c| c.header.as_object_mut().unwrap().remove("typ").map(|_| ()).unwrap(),
    },
    Row {
        name: "an ID token with the hash of its access token",
        refusal: INVALID,
        attack: |c| set(c, "at_hash", json!("MTIzNDU2Nzg5MDEyMzQ1Ng")),
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "acr", json!("1"))
        },
    },
    Row {
        name: "an ID token with the hash of its code",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "c_hash", json!("LDktKdoQak3Pk0cnXxCltA"))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "auth_time", json!(1))
        },
    },
    Row {
        name: "a logout token by its events",
        refusal: INVALID,
        attack: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}))
        },
        twin: |c| {
            c.header["typ"] = json!("JWT");
            set(c, "sid", json!("08a5019c"))
        },
    },
    Row {
        name: "a plain type where RFC 9068's is demanded",
        refusal: INVALID,
        attack: |c| {
            c.auth("tokenTypes", json!(["at+jwt"]));
            c.header["typ"] = json!("JWT");
        },
        twin: |c| {
            c.auth("tokenTypes", json!(["application/at+jwt"]));
            c.header["typ"] = json!("at+JWT");
        },
    },
    Row {
        name: "no type where one is demanded",
        refusal: INVALID,
        attack: |c| {
            c.auth("tokenTypes", json!(["at+jwt", "JWT"]));
            c.header.as_object_mut().unwrap().remove("typ");
        },
        twin: |c| {
            c.auth("tokenTypes", json!(["at+jwt", "JWT"]));
            c.header["typ"] = json!("jwt");
        },
    },
    Row {
        name: "a type of one's own that is not named",
        refusal: INVALID,
        attack: |c| c.header["typ"] = json!("acme+jwt"),
        twin: |c| {
            c.auth("tokenTypes", json!(["acme+jwt"]));
            c.header["typ"] = json!("acme+jwt");
        },
    },
];
