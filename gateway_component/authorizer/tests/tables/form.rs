//! Attacks on the form of a token and of the header that carries it.

use crate::common::Case;
use crate::common::issuer::{Signer, base64url, sign_text};
use crate::{ABSENT, AMBIGUOUS, INVALID, Row};
use serde_json::json;

fn legitimate(_: &mut Case) {}

/// A signed token whose payload is this text in place of the claims.
fn payload(case: &mut Case, text: &str) {
    case.token = Some(sign_text(Signer::P256, &case.header.to_string(), text));
}

/// A signed token whose header is this text.
fn jose(case: &mut Case, text: &str) {
    case.token = Some(sign_text(Signer::P256, text, &case.claims.to_string()));
}

/// The claims' text with something put before its last brace.
fn claims_and(case: &Case, more: &str) -> String {
    let text = case.claims.to_string();
    format!("{},{more}}}", text.strip_suffix('}').unwrap())
}

fn parts(case: &Case) -> [String; 3] {
    let token = case.token();
    let parts: Vec<&str> = token.split('.').collect();
    [parts[0].into(), parts[1].into(), parts[2].into()]
}

fn authorization(case: &mut Case, values: &[&str]) {
    case.authorization = Some(values.iter().map(|value| value.as_bytes().to_vec()).collect());
}

/// A claim that makes the token about so many bytes long.
fn padded(case: &mut Case, bytes: usize) {
    case.claims["padding"] = json!("p".repeat(bytes * 3 / 4 - 600));
}

fn nested(levels: usize) -> String {
    format!("\"deep\":{}{}", "[".repeat(levels), "]".repeat(levels))
}

pub const ROWS: &[Row] = &[
    Row {
        name: "no Authorization",
        refusal: ABSENT,
        attack: |c| c.authorization = Some(vec![]),
        twin: legitimate,
    },
    Row {
        name: "Basic",
        refusal: ABSENT,
        attack: |c| authorization(c, &["Basic YWxpY2U6"]),
        twin: legitimate,
    },
    Row {
        name: "the token without its scheme",
        refusal: ABSENT,
        attack: |c| authorization(c, &[&c.token()]),
        twin: |c| authorization(c, &[&format!("bearer {}", c.token())]),
    },
    Row {
        name: "Bearer and nothing",
        refusal: INVALID,
        attack: |c| authorization(c, &["Bearer "]),
        twin: legitimate,
    },
    Row {
        name: "garbage",
        refusal: INVALID,
        attack: |c| authorization(c, &["Bearer garbage"]),
        twin: legitimate,
    },
    Row {
        name: "a token and a word",
        refusal: INVALID,
        attack: |c| authorization(c, &[&format!("Bearer {} x", c.token())]),
        twin: legitimate,
    },
    Row {
        name: "bytes that are no text",
        refusal: INVALID,
        attack: |c| c.authorization = Some(vec![b"Bearer \xff\xfe".to_vec()]),
        twin: legitimate,
    },
    Row {
        name: "a good token after a bad one",
        refusal: AMBIGUOUS,
        attack: |c| authorization(c, &["Bearer garbage", &format!("Bearer {}", c.token())]),
        twin: legitimate,
    },
    Row {
        name: "a good token before another scheme",
        refusal: AMBIGUOUS,
        attack: |c| authorization(c, &[&format!("Bearer {}", c.token()), "Basic YWxpY2U6"]),
        twin: legitimate,
    },
    Row {
        name: "the same good token twice",
        refusal: AMBIGUOUS,
        attack: |c| {
            let value = format!("Bearer {}", c.token());
            authorization(c, &[&value, &value]);
        },
        twin: legitimate,
    },
    Row {
        name: "two tokens in one header",
        refusal: INVALID,
        attack: |c| authorization(c, &[&format!("Bearer {0}, Bearer {0}", c.token())]),
        twin: legitimate,
    },
    Row {
        name: "a token of the size of a book",
        refusal: INVALID,
        attack: |c| padded(c, 17 * 1024),
        twin: |c| padded(c, 15 * 1024),
    },
    Row {
        name: "two parts",
        refusal: INVALID,
        attack: |c| c.token = Some(parts(c)[..2].join(".")),
        twin: legitimate,
    },
    Row {
        name: "four parts",
        refusal: INVALID,
        attack: |c| c.token = Some(format!("{}.AAAA", c.token())),
        twin: legitimate,
    },
    Row {
        name: "five parts, as an encrypted token has",
        refusal: INVALID,
        attack: |c| c.token = Some(format!("{}..AAAA", c.token())),
        twin: legitimate,
    },
    Row {
        name: "padding",
        refusal: INVALID,
        attack: |c| c.token = Some(format!("{}=", c.token())),
        twin: legitimate,
    },
    Row {
        name: "bits after the end of the signature",
        refusal: INVALID,
        attack: |c| {
            let mut token = c.token();
            // 64 bytes leave 4 unused bits in the last letter.
            let last = token.pop().unwrap();
            token.push(if last == 'A' { 'B' } else { char::from(last as u8 + 1) });
            c.token = Some(token);
        },
        twin: legitimate,
    },
    Row {
        name: "the alphabet of plain base64",
        refusal: INVALID,
        attack: |c| {
            let [header, payload, _] = parts(c);
            c.token = Some(format!("{header}.{payload}.{}", "+/".repeat(43)));
        },
        twin: legitimate,
    },
    Row {
        name: "a changed payload",
        refusal: INVALID,
        attack: |c| {
            let [header, _, signature] = parts(c);
            c.claims["scope"] = json!("mcp:tools admin");
            c.token = Some(format!("{header}.{}.{signature}", base64url(c.claims.to_string().as_bytes())));
        },
        twin: |c| c.claims["scope"] = json!("mcp:tools admin"),
    },
    Row {
        name: "a changed header",
        refusal: INVALID,
        attack: |c| {
            let [_, payload, signature] = parts(c);
            c.header["x"] = json!(1);
            c.token = Some(format!("{}.{payload}.{signature}", base64url(c.header.to_string().as_bytes())));
        },
        twin: |c| c.header["x"] = json!(1),
    },
    Row {
        name: "a payload that is a list",
        refusal: INVALID,
        attack: |c| payload(c, "[]"),
        twin: legitimate,
    },
    Row {
        name: "a payload that is no JSON",
        refusal: INVALID,
        attack: |c| payload(c, "alice"),
        twin: legitimate,
    },
    Row {
        name: "something after the payload",
        refusal: INVALID,
        attack: |c| payload(c, &format!("{}{{}}", c.claims)),
        twin: |c| payload(c, &format!("{} ", c.claims)),
    },
    Row { name: "a header that is no JSON", refusal: INVALID, attack: |c| jose(c, "{"), twin: legitimate },
    Row {
        name: "the subject twice",
        refusal: INVALID,
        attack: |c| payload(c, &claims_and(c, r#""sub":"alice""#)),
        twin: |c| payload(c, &claims_and(c, r#""sub2":"alice""#)),
    },
    Row {
        name: "the subject twice, once escaped",
        refusal: INVALID,
        attack: |c| {
            c.claims["sub"] = json!("bob");
            payload(c, &claims_and(c, r#""s\u0075b":"alice""#));
        },
        twin: |c| payload(c, &claims_and(c, r#""s\u0075b2":"bob""#)),
    },
    Row {
        name: "a duplicate inside a claim",
        refusal: INVALID,
        attack: |c| payload(c, &claims_and(c, r#""roles":{"a":1,"a":2}"#)),
        twin: |c| payload(c, &claims_and(c, r#""roles":{"a":1,"b:":"\":{"}"#)),
    },
    Row {
        name: "the algorithm twice",
        refusal: INVALID,
        attack: |c| jose(c, r#"{"alg":"none","alg":"ES256","kid":"p256"}"#),
        twin: |c| jose(c, r#"{"alg":"ES256","kid":"p256"}"#),
    },
    Row {
        name: "deep nesting",
        refusal: INVALID,
        attack: |c| payload(c, &claims_and(c, &nested(100))),
        twin: |c| payload(c, &claims_and(c, &nested(5))),
    },
    Row {
        name: "nesting that would exhaust a stack",
        refusal: INVALID,
        attack: |c| payload(c, &"[".repeat(8000)),
        twin: legitimate,
    },
    Row {
        name: "a critical extension",
        refusal: INVALID,
        attack: |c| {
            c.header["crit"] = json!(["urn:x"]);
            c.header["urn:x"] = json!(true);
        },
        twin: |c| c.header["urn:x"] = json!(true),
    },
    Row {
        name: "an empty list of critical extensions",
        refusal: INVALID,
        attack: |c| c.header["crit"] = json!([]),
        twin: legitimate,
    },
    Row {
        name: "an unencoded payload",
        refusal: INVALID,
        attack: |c| c.header["b64"] = json!(false),
        twin: legitimate,
    },
    Row {
        name: "a proof in place of a token",
        refusal: INVALID,
        attack: |c| c.header["typ"] = json!("dpop+jwt"),
        twin: |c| c.header["typ"] = json!("JWT"),
    },
    Row {
        name: "a logout token",
        refusal: INVALID,
        attack: |c| c.header["typ"] = json!("logout+jwt"),
        twin: |c| c.header["typ"] = json!("application/at+JWT"),
    },
    Row {
        name: "a type that is no text",
        refusal: INVALID,
        attack: |c| c.header["typ"] = json!(["JWT"]),
        twin: |c| {
            c.header.as_object_mut().unwrap().remove("typ");
        },
    },
];
