//! What the crate says: metadata, challenges, identity headers, lists.

mod common;

use authorizer::{RequestView, is_reserved_header, well_known};
use common::{Call, Case, ISSUER, RESOURCE, header};
use serde_json::{Value, json};

fn get(case: &Case, method: &str, path: &str) -> Option<authorizer::Response> {
    let request = RequestView { method, path, component: None, headers: &case.headers };
    well_known(&case.config(), &request)
}

fn metadata(case: &Case, path: &str) -> Value {
    let response = get(case, "GET", path).unwrap();
    assert_eq!(response.status, 200, "{path}");
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    serde_json::from_slice(&response.body).unwrap()
}

const ROOT: &str = "/.well-known/oauth-protected-resource";

#[test]
fn metadata_names_the_resource_of_its_own_path() {
    let mut case = Case::new();
    case.auth("scopesSupported", json!(["mcp:tools", "mail:send"]));
    for (path, resource) in [
        ("", RESOURCE.to_string()),
        ("/mcp", RESOURCE.to_string()),
        ("/mcp/readonly", format!("{RESOURCE}/readonly")),
        ("/mcp/x/weather", format!("{RESOURCE}/x/weather")),
        ("/mcp/x/weather/readonly", format!("{RESOURCE}/x/weather/readonly")),
    ] {
        let document = metadata(&case, &format!("{ROOT}{path}"));
        assert_eq!(document["resource"], json!(resource));
        assert_eq!(document["authorization_servers"], json!([ISSUER]));
        assert_eq!(document["scopes_supported"], json!(["mcp:tools", "mail:send"]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["resource_name"], json!("assistant-tools"));
    }
}

#[test]
fn metadata_exists_for_routed_paths_only() {
    let case = Case::new();
    for path in
        ["/", "/other", "/mcp/", "/mcp/x", "/mcp/x/", "/mcp/x/A", "/mcp/x/a/b", "/mcp/x/a\"b", "/mcp2"]
    {
        let response = get(&case, "GET", &format!("{ROOT}{path}")).unwrap();
        assert_eq!(response.status, 404, "{path}");
    }
    assert!(get(&case, "GET", "/.well-known/oauth-protected-resource2").is_none());
    assert!(get(&case, "GET", "/mcp").is_none());
    assert_eq!(get(&case, "POST", ROOT).unwrap().status, 405);
    assert_eq!(get(&case, "OPTIONS", ROOT).unwrap().status, 204);
}

#[test]
fn a_path_in_front_of_a_proxy_is_kept() {
    let mut case = Case::new();
    case.config["resource"] = json!("https://acme.dev/tools/mcp");
    let document = metadata(&case, &format!("{ROOT}/tools/mcp/x/weather"));
    assert_eq!(document["resource"], json!("https://acme.dev/tools/mcp/x/weather"));
    case.path = "/mcp/x/weather".into();
    case.authorization = Some(vec![]);
    let response = case.run().err().unwrap();
    let challenge = header(&response, "www-authenticate").unwrap();
    assert!(
        challenge.contains(
            "resource_metadata=\"https://acme.dev/.well-known/oauth-protected-resource/tools/mcp/x/weather\""
        ),
        "{challenge}"
    );
}

#[test]
fn the_host_header_is_believed_about_this_machine_only() {
    let mut case = Case::new();
    case.config["resource"] = Value::Null;
    for host in ["127.0.0.1:3000", "localhost:3000", "[::1]:3000", "127.0.0.1"] {
        case.headers = vec![("host".into(), host.as_bytes().to_vec())];
        assert_eq!(metadata(&case, ROOT)["resource"], json!(format!("http://{host}/mcp")));
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:3000@evil.example",
        "localhost:x\"",
        "localhost:3000/evil",
        "[::1]evil",
        "10.0.0.1",
        "",
    ] {
        case.headers = vec![("host".into(), host.as_bytes().to_vec())];
        assert_eq!(get(&case, "GET", ROOT).unwrap().status, 404, "{host}");
        case.authorization = Some(vec![]);
        let response = case.run().err().unwrap();
        assert_eq!(header(&response, "www-authenticate"), Some("Bearer scope=\"mcp:tools\""), "{host}");
    }
    case.headers = vec![("host".into(), b"localhost".to_vec()), ("host".into(), b"localhost".to_vec())];
    assert_eq!(get(&case, "GET", ROOT).unwrap().status, 404, "two hosts");
}

#[test]
fn a_configured_resource_is_never_changed_by_a_host() {
    let mut case = Case::new();
    case.headers = vec![
        ("host".into(), b"evil.example".to_vec()),
        ("x-forwarded-host".into(), b"evil.example".to_vec()),
        ("forwarded".into(), b"host=evil.example".to_vec()),
    ];
    assert_eq!(metadata(&case, ROOT)["resource"], json!(RESOURCE));
}

#[test]
fn old_clients_are_sent_to_the_issuer_and_its_document_is_not_repeated() {
    let mut case = Case::new();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
    ] {
        assert_eq!(get(&case, "GET", path).unwrap().status, 404, "the issuer has none");
    }
    let url = format!("{ISSUER}/.well-known/openid-configuration");
    case.auth("authorizationServerMetadata", json!(url));
    let response = get(&case, "GET", "/.well-known/oauth-authorization-server").unwrap();
    assert_eq!(response.status, 307);
    assert_eq!(header(&response, "location"), Some(url.as_str()));
    assert!(response.body.is_empty());
}

#[test]
fn a_challenge_without_token_has_no_error() {
    let mut case = Case::new();
    case.authorization = Some(vec![]);
    let response = case.run().err().unwrap();
    assert_eq!(response.status, 401);
    assert_eq!(
        header(&response, "www-authenticate"),
        Some(
            "Bearer scope=\"mcp:tools\", \
             resource_metadata=\"https://tools.acme.dev/.well-known/oauth-protected-resource/mcp\""
        )
    );
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
}

#[test]
fn a_step_up_names_what_is_needed_and_what_the_caller_would_lose() {
    let mut case = Case::new();
    case.auth("scopesSupported", json!(["mcp:tools", "mail:read", "mail:send"]));
    case.claims["scope"] = json!("openid offline_access mail:read mcp:tools");
    let mut call = Call::new("mail", "send");
    call.scopes = vec!["mail:send".into()];
    case.call = Some(call);
    let response = case.run().err().unwrap();
    let challenge = header(&response, "www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"mcp:tools mail:send mail:read\""), "{challenge}");
    assert!(challenge.contains("error=\"insufficient_scope\""));
}

#[test]
fn answers_are_constant_texts() {
    let mut first = Case::new();
    first.claims["aud"] = json!("https://secret.example");
    let mut second = Case::new();
    second.header["kid"] = json!("\"><script>");
    let mut third = Case::new();
    third.token = Some("x\u{7f}".into());
    let answers: Vec<_> = [first, second, third].iter_mut().map(|case| case.run().err().unwrap()).collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn a_scope_that_is_no_scope_never_enters_a_challenge() {
    let mut case = Case::new();
    case.auth("requiredScopes", json!(["mcp:tools", "x\", error=\"y", "a\r\nb"]));
    case.authorization = Some(vec![]);
    let response = case.run().err().unwrap();
    assert!(header(&response, "www-authenticate").unwrap().starts_with("Bearer scope=\"mcp:tools\", "));
}

#[test]
fn identity_headers_cannot_be_forged() {
    for name in
        ["x-auth-subject", "X-Auth-Subject", "x_auth_subject", "X-AUTH_claims", "x-auth-", "x-auth-new"]
    {
        assert!(is_reserved_header(name), "{name}");
    }
    for name in ["authorization", "x-authentic", "xauth", "mcp-session-id", "x-auth"] {
        assert!(!is_reserved_header(name), "{name}");
    }
    let mut case = Case::new();
    let subject = "alice\r\nx-auth-scopes: admin\0 \u{e9}%41";
    case.claims["sub"] = json!(subject);
    case.auth("allowedSubjects", json!([subject]));
    case.claims["scope"] = json!("mcp:tools caf\u{e9}");
    let headers = case.run().unwrap_or_else(|_| panic!("refused")).identity_headers();
    for (name, value) in &headers {
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{name}: {value}");
    }
    let value = |wanted: &str| {
        headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(value("x-auth-subject"), ["alice%0D%0Ax-auth-scopes:%20admin%00%20%C3%A9%2541"]);
    assert_eq!(value("x-auth-user-id"), value("x-auth-subject"), "FTL's name for the same");
    assert_eq!(value("x-auth-issuer"), [ISSUER]);
    assert_eq!(value("x-auth-scopes"), ["caf%C3%A9 mcp:tools"]);
    assert_eq!(value("x-auth-client-id"), ["desktop"]);
    use base64ct::{Base64UrlUnpadded, Encoding};
    let claims = Base64UrlUnpadded::decode_vec(value("x-auth-claims")[0]).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["sub"], json!(subject));
}

#[test]
fn claims_that_do_not_fit_are_left_out() {
    let mut case = Case::new();
    case.claims["large"] = json!("x".repeat(7000));
    let headers = case.run().unwrap_or_else(|_| panic!("refused")).identity_headers();
    assert!(headers.iter().all(|(name, value)| name != "x-auth-claims" && value.len() <= 8192));
    assert!(headers.iter().any(|(name, _)| name == "x-auth-subject"));
}

const TOOLS: [(&str, &str); 4] = [("mail", "send"), ("mail", "read"), ("files", "read"), ("files", "delete")];

#[test]
fn a_list_shows_what_the_caller_may_call() {
    let mut case = Case::new();
    case.with_policy(
        r#"
package mcp.authorization
import rego.v1
allow if input.mcp.method == "tools/list"
allow if input.mcp.tool == "read"
allow if { input.mcp.tool == "send"; input.mcp.arguments.to == "me" }
"#,
        "",
    );
    assert_eq!(case.list(&TOOLS).unwrap(), [false, true, true, false]);
}

#[test]
fn a_list_that_is_not_granted_is_refused() {
    let mut case = Case::new();
    case.with_policy("package mcp.authorization\nimport rego.v1\nallow if input.mcp.tool == \"read\"", "");
    assert_eq!(case.list(&TOOLS).err().unwrap().status, 403);
}

#[test]
fn the_whole_list_is_the_lists_of_the_granted_components() {
    let mut case = Case::new();
    case.with_policy(
        "package mcp.authorization\nimport rego.v1\nallow if input.request.component == \"mail\"",
        "",
    );
    assert_eq!(case.list(&TOOLS).unwrap(), [true, true, false, false]);
    case.path = "/mcp/x/files".into();
    case.component = Some("files".into());
    assert_eq!(case.list(&TOOLS[2..]).err().unwrap().status, 403);
}

#[test]
fn housekeeping_is_for_whom_something_is_granted() {
    let mut case = Case::new();
    case.with_policy(
        "package mcp.authorization\nimport rego.v1\nallow if { input.token.sub == \"alice\"; input.mcp.tool == \"read\" }",
        "",
    );
    assert!(case.other("initialize", &TOOLS).is_ok());
    assert!(case.other("initialize", &TOOLS[..1]).is_err(), "nothing that may be called");
    case.claims["sub"] = json!("bob");
    assert_eq!(case.other("initialize", &TOOLS).err().unwrap().status, 403);
}

#[test]
fn lists_differ_between_callers_only_where_something_can_differ() {
    let mut case = Case::new();
    case.auth("scopesSupported", json!(["mcp:tools"]));
    let caller = case.run().unwrap_or_else(|_| panic!("refused"));
    assert!(!caller.narrows(&case.config()));
    case.auth("scopesSupported", json!(["mcp:tools", "mail:send"]));
    assert!(caller.narrows(&case.config()));
    case.auth("scopesSupported", Value::Null);
    assert!(caller.narrows(&case.config()), "unknown is not none");
}
