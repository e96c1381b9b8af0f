//! FTL's documented policies and configurations, rebuilt from what its documents promise
//! (fastertools/ftl-cli: docs/authorization.md, components/mcp-authorizer/README.md, README_POLICY_AUTHORIZATION.md,
//! policies/): each gives the decisions that the texts promise, here with one identity for a tool on every path.

mod common;

use authorizer::policy_check;
use common::{Call, Case};
use serde_json::{Value, json};

const HOUR: u64 = 3_600_000_000_000;

fn decide_at(now_ns: u64, rego: &str, data: Value, inputs: &[Value]) -> Vec<bool> {
    let request = json!({"policy": rego, "data": data, "inputs": inputs});
    let answer: Value =
        serde_json::from_slice(&policy_check(request.to_string().as_bytes(), now_ns)).unwrap();
    assert_eq!(answer["error"], Value::Null);
    serde_json::from_value(answer["decisions"].clone()).unwrap()
}

fn decide(rego: &str, data: Value, inputs: &[Value]) -> Vec<bool> {
    decide_at(12 * HOUR, rego, data, inputs)
}

fn error(rego: &str, data: Value) -> String {
    let request = json!({"policy": rego, "data": data, "inputs": [{}]});
    let answer: Value = serde_json::from_slice(&policy_check(request.to_string().as_bytes(), 0)).unwrap();
    assert_eq!(answer["decisions"], json!([]));
    answer["error"].as_str().expect("an error").to_string()
}

fn person(subject: &str, claims: Value) -> Value {
    json!({"token": {"sub": subject, "iss": "https://i", "claims": claims, "scopes": []}, "request": {"component": null}})
}

fn message(mut input: Value, component: Option<&str>, method: &str, tool: Option<&str>) -> Value {
    input["request"]["component"] = json!(component);
    input["mcp"] = json!({ "method": method });
    if let Some(tool) = tool {
        input["mcp"]["tool"] = json!(tool);
        input["mcp"]["arguments"] = json!({});
    }
    input
}

#[test]
fn private_mode_is_for_the_owner() {
    // Both spellings that the documents use: without and with `if`.
    for head in ["allow {", "allow if {"] {
        let rego = format!(
            "package mcp.authorization\ndefault allow = false\n{head}\n  input.token.sub == data.owner\n}}"
        );
        assert_eq!(
            decide(&rego, json!({"owner": "me"}), &[person("me", json!({})), person("you", json!({}))]),
            [true, false]
        );
        assert_eq!(decide(&rego, json!({}), &[person("me", json!({}))]), [false], "no owner, nobody");
    }
}

#[test]
fn organization_mode_is_for_members_and_its_machines() {
    let rego = "package mcp.authorization
default allow = false
allow {
    not input.token.claims.org_id
    input.token.sub == data.members[_]
}
allow {
    input.token.claims.org_id
    input.token.claims.org_id == data.org_id
}";
    let inputs = [
        person("anna", json!({})),
        person("otto", json!({})),
        person("ci", json!({"org_id": "org_1"})),
        person("ci", json!({"org_id": "org_2"})),
        person("anna", json!({"org_id": "org_2"})),
    ];
    assert_eq!(
        decide(rego, json!({"org_id": "org_1", "members": ["anna", "berta"]}), &inputs),
        [true, false, true, false, false]
    );
}

#[test]
fn the_built_in_organization_mode_decides_as_the_policy_does() {
    for (subject, claim, allowed) in [
        ("anna", None, true),
        ("otto", None, false),
        ("ci", Some("org_1"), true),
        ("ci", Some("org_2"), false),
        ("anna", Some("org_2"), false),
    ] {
        let mut case = Case::new();
        case.auth("access", json!("org"));
        case.auth("allowedSubjects", json!([]));
        case.auth("organization", json!({"claim": "org_id", "value": "org_1", "members": ["anna", "berta"]}));
        case.claims["sub"] = json!(subject);
        if let Some(claim) = claim {
            case.claims["org_id"] = json!(claim);
        }
        assert_eq!(case.run().is_ok(), allowed, "{subject} {claim:?}");
    }
}

const BY_ROLE: &str = r#"package mcp.authorization
default allow = false
allow {
  input.token.claims.role == "admin"
}
allow {
  input.token.claims.role == "user"
  input.mcp.method == "tools/list"
}"#;

#[test]
fn custom_mode_by_role() {
    let user = person("u", json!({"role": "user"}));
    let admin = person("a", json!({"role": "admin"}));
    let inputs = [
        message(admin.clone(), None, "tools/call", Some("dangerous_tool")),
        admin,
        message(user.clone(), None, "tools/list", None),
        message(user, Some("c"), "tools/call", Some("safe_tool")),
        message(person("x", json!({})), None, "tools/list", None),
    ];
    assert_eq!(decide(BY_ROLE, Value::Null, &inputs), [true, true, true, false, false]);
}

#[test]
fn a_role_that_may_only_list_can_connect_to_do_so() {
    let mut case = Case::new();
    case.with_policy(BY_ROLE, "");
    case.claims["role"] = json!("user");
    assert!(case.other("initialize", &[("files", "read")]).is_ok());
    assert_eq!(case.list(&[("files", "read")]).unwrap(), [false], "and sees nothing that it may not call");
    case.claims["role"] = json!("guest");
    assert!(case.other("initialize", &[("files", "read")]).is_err());
}

#[test]
fn roles_and_lists_of_tools() {
    let rego = r#"package mcp.authorization
allow { input.token.claims.role == "admin" }
allow {
  input.token.claims.role == "user"
  input.mcp.tool == data.user_tools[_]
}"#;
    let user = person("u", json!({"role": "user"}));
    let inputs = [
        message(user.clone(), Some("c"), "tools/call", Some("safe_tool")),
        message(user.clone(), Some("c"), "tools/call", Some("admin_tool")),
        message(user, None, "tools/list", None),
        person("a", json!({"role": "admin"})),
    ];
    let data = json!({"admin_tools": ["admin_tool"], "user_tools": ["safe_tool", "read_tool"]});
    assert_eq!(decide(rego, data, &inputs), [true, false, false, true]);
}

#[test]
fn component_scoped_access() {
    let rego = r#"package mcp.authorization
allow {
  input.request.component == "public-api"
  input.token.scopes[_] == "read"
}
allow {
  input.request.component == "admin-api"
  input.token.claims.admin == true
}"#;
    let mut reader = person("r", json!({}));
    reader["token"]["scopes"] = json!(["write", "read"]);
    let admin = person("a", json!({"admin": true}));
    let inputs = [
        message(reader.clone(), Some("public-api"), "tools/list", None),
        message(reader, Some("admin-api"), "tools/list", None),
        message(admin.clone(), Some("admin-api"), "tools/list", None),
        message(admin, Some("public-api"), "tools/list", None),
        message(person("x", json!({"admin": "true"})), Some("admin-api"), "tools/list", None),
    ];
    assert_eq!(decide(rego, Value::Null, &inputs), [true, false, true, false, false]);
}

#[test]
fn tool_specific_authorization() {
    let rego = r#"package mcp.authorization
dangerous_tools := ["delete_all", "drop_table"]
safe_tools := ["list", "read", "search"]
allow {
  input.mcp.method == "tools/call"
  input.mcp.tool == safe_tools[_]
}
allow {
  input.mcp.method == "tools/call"
  input.mcp.tool == dangerous_tools[_]
  input.token.claims.role == "admin"
}"#;
    let user = person("u", json!({}));
    let inputs = [
        message(user.clone(), Some("c"), "tools/call", Some("read")),
        message(user.clone(), Some("c"), "tools/call", Some("drop_table")),
        message(person("a", json!({"role": "admin"})), Some("c"), "tools/call", Some("drop_table")),
        message(user, Some("c"), "tools/call", Some("unlisted")),
    ];
    assert_eq!(decide(rego, Value::Null, &inputs), [true, false, true, false]);
}

#[test]
fn time_based_access() {
    // The document divides the nanoseconds before it asks for the clock, which is the year 1970 for ever; this is what
    // its text means.
    let rego = "package mcp.authorization
import future.keywords.if
allow if {
  hour := time.clock(time.now_ns())[0]
  hour >= 9
  hour < 17
  input.token.sub == data.owner
}";
    let data = json!({"owner": "me"});
    let inputs = [person("me", json!({})), person("you", json!({}))];
    for (hour, owner) in [(8, false), (9, true), (16, true), (17, false), (24 + 10, true)] {
        assert_eq!(decide_at(hour * HOUR, rego, data.clone(), &inputs), [owner, false], "{hour}");
    }
}

#[test]
fn time_functions_are_utc() {
    let rego = |condition: &str| format!("package mcp.authorization\nimport rego.v1\nallow if {condition}");
    // 2024-02-29T23:59:58Z, a Thursday.
    let now = 1_709_251_198_000_000_000;
    for condition in [
        "time.date(time.now_ns()) == [2024, 2, 29]",
        "time.clock(time.now_ns()) == [23, 59, 58]",
        "time.weekday(time.now_ns()) == \"Thursday\"",
        "time.date(time.now_ns() + 2000000000) == [2024, 3, 1]",
        "time.date(0) == [1970, 1, 1]",
        "time.date(-1) == [1969, 12, 31]",
        "time.weekday(-1) == \"Wednesday\"",
        "time.date(4107542399000000000) == [2100, 2, 28]",
        "time.date(4107542400000000000) == [2100, 3, 1]",
    ] {
        assert_eq!(decide_at(now, &rego(condition), Value::Null, &[json!({})]), [true], "{condition}");
    }
}

const BASIC_COMPONENT: &str = r#"package mcp.authorization
import rego.v1
default allow := false
allow if {
    input.request.component
    input.request.component in data.user_components[input.token.sub]
}
allow if "admin" in input.token.claims.roles"#;

#[test]
fn assigned_components() {
    let data = json!({"user_components": {"alice": ["reporter"]}});
    let alice = person("alice", json!({"roles": []}));
    let inputs = [
        message(alice.clone(), Some("reporter"), "tools/call", Some("generate_report")),
        message(alice.clone(), Some("billing"), "tools/call", Some("generate_report")),
        message(alice, None, "tools/list", None),
        message(person("bob", json!({})), Some("reporter"), "tools/list", None),
        message(person("root", json!({"roles": ["admin"]})), None, "tools/list", None),
    ];
    assert_eq!(decide(BASIC_COMPONENT, data, &inputs), [true, false, false, false, true]);
}

#[test]
fn assigned_components_hold_on_every_path() {
    for (path, component) in [("/mcp", None), ("/mcp/x/reporter", Some("reporter"))] {
        let mut case = Case::new();
        case.with_policy(BASIC_COMPONENT, r#"{"user_components": {"alice": ["reporter"]}}"#);
        case.path = path.into();
        case.component = component.map(str::to_string);
        case.call = Some(Call::new("reporter", "generate_report"));
        assert!(case.run().is_ok(), "{path}");
        case.call = Some(Call::new("billing", "pay"));
        assert!(case.run().is_err(), "{path}");
    }
}

#[test]
fn scopes_named_after_components() {
    let rego = r#"package mcp.authorization
import rego.v1
default allow := false
allow if {
    required_scope := sprintf("mcp:%s:read", [input.request.component])
    required_scope in input.token.scopes
}
allow if {
    input.mcp.method == "tools/call"
    input.mcp.tool in data.write_tools
    required_scope := sprintf("mcp:%s:write", [input.request.component])
    required_scope in input.token.scopes
}"#;
    let mut writer = person("w", json!({}));
    writer["token"]["scopes"] = json!(["mcp:files:write"]);
    let mut reader = person("r", json!({}));
    reader["token"]["scopes"] = json!(["mcp:files:read"]);
    let inputs = [
        message(writer.clone(), Some("files"), "tools/call", Some("save")),
        message(writer, Some("files"), "tools/call", Some("load")),
        message(reader.clone(), Some("files"), "tools/call", Some("load")),
        message(reader.clone(), Some("mail"), "tools/call", Some("load")),
        message(reader, None, "tools/list", None),
    ];
    assert_eq!(decide(rego, json!({"write_tools": ["save"]}), &inputs), [true, false, true, false, false]);
}

#[test]
fn subjects_and_claims_of_earlier_configurations() {
    let rego = r#"package mcp.authorization
import rego.v1
default allow := false
allow if {
    input.token.sub in ["user1", "user2", "user3"]
    input.token.claims.department == "engineering"
    input.token.claims.level == 3
}"#;
    let inputs = [
        person("user2", json!({"department": "engineering", "level": 3})),
        person("user2", json!({"department": "engineering", "level": "3"})),
        person("user4", json!({"department": "engineering", "level": 3})),
        person("user1", json!({"level": 3})),
    ];
    assert_eq!(decide(rego, Value::Null, &inputs), [true, false, false, false]);
}

/// The shape of FTL's shipped example policy: components by user or role, tools by user or role, denied tools. Its own
/// way to ask for "no component" is `not input.request.component`, which never holds, since the documented value is null
/// and Rego's null is not false; `== null` is what its comment means.
const SHIPPED: &str = r#"package mcp.authorization
import rego.v1
default allow := false

may_use_component if "admin" in input.token.claims.roles
may_use_component if {
    input.request.component == null
    "mcp:access" in input.token.scopes
}
may_use_component if input.request.component in data.user_components[input.token.sub]
may_use_component if {
    some role in input.token.claims.roles
    role in data.component_roles[input.request.component]
}

may_use_tool if not input.mcp
may_use_tool if input.mcp.method in ["tools/list", "prompts/list", "resources/list"]
may_use_tool if input.mcp.tool in data.user_tools[input.token.sub][input.request.component]
may_use_tool if {
    data.tool_permissions[input.request.component][input.mcp.tool].required_role in input.token.claims.roles
}

denied if {
    input.mcp.tool in data.dangerous_tools
    not "super_admin" in input.token.claims.roles
}

allow if { may_use_component; may_use_tool; not denied }

reason contains "component" if not may_use_component
"#;

#[test]
fn the_shipped_example() {
    let data = json!({
        "user_components": {"alice": ["reporter", "analytics"], "bob": ["reporter"]},
        "component_roles": {"data": ["engineer"], "ml": ["scientist"]},
        "tool_permissions": {"data": {"process": {"required_role": "engineer"}, "delete": {"required_role": "engineer"}}},
        "user_tools": {"alice": {"reporter": ["generate"]}},
        "dangerous_tools": ["delete"],
    });
    let alice = person("alice", json!({"roles": []}));
    let engineer = person("e", json!({"roles": ["engineer"]}));
    let chief = person("c", json!({"roles": ["engineer", "super_admin"]}));
    let mut visitor = person("v", json!({"roles": []}));
    visitor["token"]["scopes"] = json!(["mcp:access"]);
    let cases = [
        (message(alice.clone(), Some("reporter"), "tools/call", Some("generate")), true),
        (message(alice.clone(), Some("reporter"), "tools/call", Some("schedule")), false),
        (message(alice.clone(), Some("analytics"), "tools/list", None), true),
        (message(alice.clone(), Some("data"), "tools/list", None), false),
        (message(alice, None, "tools/list", None), false),
        (message(engineer.clone(), Some("data"), "tools/call", Some("process")), true),
        (message(engineer.clone(), Some("data"), "tools/call", Some("delete")), false),
        (message(engineer, Some("ml"), "tools/list", None), false),
        (message(chief, Some("data"), "tools/call", Some("delete")), true),
        (visitor.clone(), true),
        (message(visitor, None, "tools/list", None), true),
        (message(person("bob", json!({})), Some("reporter"), "resources/list", None), true),
    ];
    let inputs: Vec<Value> = cases.iter().map(|(input, _)| input.clone()).collect();
    let expected: Vec<bool> = cases.iter().map(|(_, allow)| *allow).collect();
    assert_eq!(decide(SHIPPED, data, &inputs), expected);
}

#[test]
fn documented_configurations_of_tokens() {
    // Scopes in `scope` or `scp`; several audiences; a static key; an issuer left open.
    let mut case = Case::new();
    case.auth("requiredScopes", json!(["read", "write"]));
    case.claims["scope"] = json!("read");
    case.claims["scp"] = json!(["write"]);
    assert!(case.run().is_ok());
    case.auth("audiences", json!(["a", "b"]));
    case.claims["aud"] = json!("b");
    assert!(case.run().is_ok());
    case.auth("issuer", Value::Null);
    case.claims["iss"] = json!("https://anything.example");
    assert!(case.run().is_ok());
    case.auth("audiences", json!(["a"]));
    assert!(case.run().is_err());
}

#[test]
fn errors_name_the_cause_for_the_author() {
    assert!(error("package mcp.authorization\nallow if {", Value::Null).contains("policy.rego"));
    assert!(error("package other\nallow := true", Value::Null).contains("data.mcp.authorization"));
    assert!(error("package mcp.authorization\nallow := no_such(1)", Value::Null).contains("no_such"));
    assert!(error("package mcp.authorization\nallow := 1", Value::Null).contains("boolean"));
    assert!(error("package mcp.authorization\nallow := true", json!("{")).contains("policyData"));
    assert!(error("package mcp.authorization\nallow := true", json!({"mcp": 1})).contains("mcp"));
    let answer: Value = serde_json::from_slice(&policy_check(b"garbage", 0)).unwrap();
    assert!(answer["error"].is_string());
}

#[test]
fn a_policy_without_the_rule_is_told_from_one_that_denies() {
    assert!(error("package mcp.authorization\nimport rego.v1\nother := true", Value::Null).contains("allow"));
}
