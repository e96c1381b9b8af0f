//! Attacks by a caller with a good token: on the rules about subjects, on the policy, on a tool's scopes.

use crate::common::{Call, Case};
use crate::{DENIED, INVALID, Row, STEP_UP};
use serde_json::{Value, json};

fn legitimate(_: &mut Case) {}

fn subject(case: &mut Case, subject: &str) {
    case.claims["sub"] = json!(subject);
}

/// `access: org` for `org_42` with the member alice.
fn organization(case: &mut Case, subject: &str, claim: Option<Value>) {
    case.auth("access", json!("org"));
    case.auth("allowedSubjects", json!([]));
    case.auth("organization", json!({"claim": "org_id", "value": "org_42", "members": ["alice"]}));
    case.claims["sub"] = json!(subject);
    if let Some(claim) = claim {
        case.claims["org_id"] = claim;
    }
}

/// FTL's documented way to protect tools: everything but the listed ones.
const DENY_DANGEROUS: &str = r#"
package mcp.authorization
import rego.v1
default allow := false
deny if {
    input.mcp.method == "tools/call"
    input.mcp.tool in data.dangerous_tools
}
allow if not deny
"#;

/// Only the mail component, only `send`, and only to the own domain.
const ALLOW_ONE: &str = r#"
package mcp.authorization
import rego.v1
default allow := false
allow if {
    input.request.component == "mail"
    input.mcp.tool == "send"
    endswith(input.mcp.arguments.to, "@acme.dev")
}
"#;

const BY_HEADER: &str = r#"
package mcp.authorization
import rego.v1
default allow := false
allow if input.request.headers["x-tenant"] == "acme"
"#;

fn dangerous(case: &mut Case, component: &str, tool: &str) {
    case.with_policy(DENY_DANGEROUS, r#"{"dangerous_tools": ["delete_all"]}"#);
    case.call = Some(Call::new(component, tool));
}

fn mail(case: &mut Case, component: &str, tool: &str, to: Value) {
    case.with_policy(ALLOW_ONE, "");
    let mut call = Call::new(component, tool);
    call.arguments = json!({ "to": to });
    case.call = Some(call);
}

fn policy(case: &mut Case, body: &str) {
    case.with_policy(&format!("package mcp.authorization\nimport rego.v1\n{body}"), "{\"list\": [1]}");
    case.call = Some(Call::new("mail", "send"));
}

fn tenants(case: &mut Case, values: &[&str]) {
    case.with_policy(BY_HEADER, "");
    case.call = Some(Call::new("mail", "send"));
    case.headers.extend(values.iter().map(|value| ("x-tenant".to_string(), value.as_bytes().to_vec())));
}

fn tool_scope(case: &mut Case, scopes: &str) {
    case.claims["scope"] = json!(scopes);
    let mut call = Call::new("mail", "send");
    call.scopes = vec!["mail:send".into(), "mail:write".into()];
    case.call = Some(call);
}

pub const ROWS: &[Row] = &[
    Row { name: "another subject", refusal: DENIED, attack: |c| subject(c, "bob"), twin: legitimate },
    Row {
        name: "a subject in other letters",
        refusal: DENIED,
        attack: |c| subject(c, "Alice"),
        twin: legitimate,
    },
    Row {
        name: "a subject with a space",
        refusal: DENIED,
        attack: |c| subject(c, "alice "),
        twin: legitimate,
    },
    Row {
        name: "a subject with a NUL",
        refusal: DENIED,
        attack: |c| subject(c, "alice\0"),
        twin: legitimate,
    },
    Row {
        name: "a subject that looks the same",
        refusal: DENIED,
        attack: |c| subject(c, "\u{430}lice"),
        twin: legitimate,
    },
    Row {
        name: "a machine of another organization",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!("org_43"))),
        twin: |c| organization(c, "machine", Some(json!("org_42"))),
    },
    Row {
        name: "a member with another organization's token",
        refusal: DENIED,
        attack: |c| organization(c, "alice", Some(json!("org_43"))),
        twin: |c| organization(c, "alice", None),
    },
    Row {
        name: "a person who is no member",
        refusal: DENIED,
        attack: |c| organization(c, "bob", None),
        twin: |c| organization(c, "bob", Some(json!("org_42"))),
    },
    Row {
        name: "an organization that is null",
        refusal: DENIED,
        attack: |c| organization(c, "alice", Some(Value::Null)),
        twin: |c| organization(c, "alice", Some(json!("org_42"))),
    },
    Row {
        name: "an organization that is an object",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"org_42": true}))),
        twin: |c| organization(c, "machine", Some(json!(["org_41", "org_42"]))),
    },
    Row {
        name: "an organization's list without ours",
        refusal: DENIED,
        attack: |c| organization(c, "alice", Some(json!(["org_4", "org_421"]))),
        twin: |c| organization(c, "alice", Some(json!(["org_42"]))),
    },
    Row {
        name: "another organization as Keycloak describes it",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"org_41": {"id": "org_42"}}))),
        twin: |c| organization(c, "machine", Some(json!({"org_42": {"id": "41"}}))),
    },
    Row {
        name: "Keycloak's organizations without ours",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"org_4": {}, "org_421": {}}))),
        twin: |c| organization(c, "machine", Some(json!({"org_41": {}, "org_42": {}}))),
    },
    Row {
        name: "an organization that is denied by name",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"org_42": false}))),
        twin: |c| organization(c, "machine", Some(json!({"org_42": {}}))),
    },
    Row {
        name: "an organization whose key is null",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"org_42": null}))),
        twin: |c| organization(c, "machine", Some(json!({"org_42": ["member"]}))),
    },
    Row {
        name: "objects of other organizations",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!([{"id": "org_41"}, {"name": "org_43"}]))),
        twin: |c| organization(c, "machine", Some(json!([{"id": "org_41"}, {"name": "org_42"}]))),
    },
    Row {
        name: "an object with ours as another member",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!([{"id": "org_41", "parent": "org_42"}]))),
        twin: |c| organization(c, "machine", Some(json!([{"id": "41", "alias": "org_42"}]))),
    },
    Row {
        name: "an object in which ours is deeper",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!({"id": {"id": "org_42"}}))),
        twin: |c| organization(c, "machine", Some(json!({"id": "org_42"}))),
    },
    Row {
        name: "a list in a list",
        refusal: DENIED,
        attack: |c| organization(c, "machine", Some(json!([["org_42"]]))),
        twin: |c| organization(c, "machine", Some(json!(["org_42"]))),
    },
    Row {
        name: "subjects and an organization, of which one fails",
        refusal: DENIED,
        attack: |c| {
            organization(c, "machine", Some(json!("org_42")));
            c.auth("allowedSubjects", json!(["alice"]));
        },
        twin: |c| {
            organization(c, "machine", Some(json!("org_42")));
            c.auth("allowedSubjects", json!(["alice", "machine"]));
        },
    },
    Row {
        name: "a denied tool by the path of the whole app",
        refusal: DENIED,
        attack: |c| dangerous(c, "files", "delete_all"),
        twin: |c| dangerous(c, "files", "list"),
    },
    Row {
        name: "a denied tool by the path of its component",
        refusal: DENIED,
        attack: |c| {
            dangerous(c, "files", "delete_all");
            c.path = "/mcp/x/files".into();
            c.component = Some("files".into());
        },
        twin: |c| {
            dangerous(c, "files", "list");
            c.path = "/mcp/x/files".into();
            c.component = Some("files".into());
        },
    },
    Row {
        name: "a denied tool by the path for reading",
        refusal: DENIED,
        attack: |c| {
            dangerous(c, "files", "delete_all");
            c.path = "/mcp/readonly".into();
        },
        twin: |c| {
            dangerous(c, "files", "list");
            c.path = "/mcp/readonly".into();
        },
    },
    Row {
        name: "a denied tool with a content type that is no JSON",
        refusal: DENIED,
        attack: |c| {
            dangerous(c, "files", "delete_all");
            c.headers.push(("content-type".into(), b"text/plain".to_vec()));
        },
        twin: |c| {
            dangerous(c, "files", "list");
            c.headers.push(("content-type".into(), b"text/plain".to_vec()));
        },
    },
    Row {
        name: "a denied tool in an encoded body",
        refusal: DENIED,
        attack: |c| {
            dangerous(c, "files", "delete_all");
            c.headers.push(("content-encoding".into(), b"gzip".to_vec()));
        },
        twin: |c| {
            dangerous(c, "files", "list");
            c.headers.push(("content-encoding".into(), b"gzip".to_vec()));
        },
    },
    Row {
        name: "an allowed tool's name at another component",
        refusal: DENIED,
        attack: |c| mail(c, "evil", "send", json!("bob@acme.dev")),
        twin: |c| mail(c, "mail", "send", json!("bob@acme.dev")),
    },
    Row {
        name: "an allowed component in the path, another one's tool",
        refusal: DENIED,
        attack: |c| {
            mail(c, "files", "send", json!("bob@acme.dev"));
            c.path = "/mcp/x/mail".into();
            c.component = Some("mail".into());
        },
        twin: |c| {
            mail(c, "mail", "send", json!("bob@acme.dev"));
            c.path = "/mcp/x/mail".into();
            c.component = Some("mail".into());
        },
    },
    Row {
        name: "an allowed tool in other letters",
        refusal: DENIED,
        attack: |c| mail(c, "mail", "Send", json!("bob@acme.dev")),
        twin: |c| mail(c, "mail", "send", json!("bob@acme.dev")),
    },
    Row {
        name: "an allowed tool under its full name",
        refusal: DENIED,
        attack: |c| mail(c, "mail", "mail__send", json!("bob@acme.dev")),
        twin: |c| mail(c, "mail", "send", json!("bob@acme.dev")),
    },
    Row {
        name: "an argument that the policy does not allow",
        refusal: DENIED,
        attack: |c| mail(c, "mail", "send", json!("bob@evil.example")),
        twin: |c| mail(c, "mail", "send", json!("bob@acme.dev")),
    },
    Row {
        name: "an argument of a type that the policy does not expect",
        refusal: DENIED,
        attack: |c| mail(c, "mail", "send", json!(["@acme.dev"])),
        twin: |c| mail(c, "mail", "send", json!("@acme.dev")),
    },
    Row {
        name: "a header behind another of its name",
        refusal: DENIED,
        attack: |c| tenants(c, &["other", "acme"]),
        twin: |c| tenants(c, &["acme"]),
    },
    Row {
        name: "a header before another of its name",
        refusal: DENIED,
        attack: |c| tenants(c, &["acme", "other"]),
        twin: |c| tenants(c, &["acme"]),
    },
    Row {
        name: "a policy that says nothing",
        refusal: DENIED,
        attack: |c| policy(c, "other := true"),
        twin: |c| policy(c, "allow := true"),
    },
    Row {
        name: "a policy that says yes as a text",
        refusal: DENIED,
        attack: |c| policy(c, "allow := \"true\""),
        twin: |c| policy(c, "allow if \"true\""),
    },
    Row {
        name: "a policy that says yes as a number",
        refusal: DENIED,
        attack: |c| policy(c, "allow := 1"),
        twin: |c| policy(c, "allow if 1"),
    },
    Row {
        name: "a policy that says two things",
        refusal: DENIED,
        attack: |c| policy(c, "allow := x if { some x in [true, false] }"),
        twin: |c| policy(c, "allow := x if { some x in [true, true] }"),
    },
    Row {
        name: "a denial that fails in a built-in function",
        refusal: DENIED,
        attack: |c| policy(c, "deny if to_number(\"x\") == 1\nallow if not deny"),
        twin: |c| policy(c, "deny if to_number(\"2\") == 1\nallow if not deny"),
    },
    Row {
        name: "a policy that divides by zero",
        refusal: DENIED,
        attack: |c| policy(c, "deny if 1 / (data.list[0] - 1) == 1\nallow if not deny"),
        twin: |c| policy(c, "deny if 1 / (data.list[0] + 1) == 1\nallow if not deny"),
    },
    Row {
        name: "a good token, a good policy, and the subject rule fails",
        refusal: DENIED,
        attack: |c| {
            policy(c, "allow := true");
            c.auth("allowedSubjects", json!(["carol"]));
        },
        twin: |c| {
            policy(c, "allow := true");
            c.auth("allowedSubjects", json!(["carol", "alice"]));
        },
    },
    Row {
        name: "a policy that would allow, and a bad token",
        refusal: INVALID,
        attack: |c| {
            policy(c, "allow := true");
            c.token = Some("a.b.c".into());
        },
        twin: |c| policy(c, "allow := true"),
    },
    Row {
        name: "without a tool's scope",
        refusal: STEP_UP,
        attack: |c| tool_scope(c, "mcp:tools"),
        twin: |c| tool_scope(c, "mcp:tools mail:send mail:write"),
    },
    Row {
        name: "with one of a tool's two scopes",
        refusal: STEP_UP,
        attack: |c| tool_scope(c, "mcp:tools mail:send"),
        twin: |c| tool_scope(c, "mail:write mail:send mcp:tools"),
    },
];
