//! What a client and a person see from metadata to a refreshed token.

mod common;

use common::*;
use serde_json::{Value, json};

#[test]
fn a_person_lets_a_client_in() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    let challenge = challenge();
    let page = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    assert_eq!(page.status, 200);
    let shown = text(&page);
    assert!(
        shown.contains("Sign in to Ann&#39;s &lt;tools&gt;")
            && shown.contains("\u{201c}Editor &lt;b&gt;\u{201d}")
    );
    let consent = browser.sign_in(&mut outside, &page, "ann", PASSWORD);
    let shown = text(&consent);
    for part in
        ["Call tools", "<code>write</code>", "http://127.0.0.1:33418", "signed in as <strong>ann</strong>"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let back = browser.allow(&mut outside, &consent);
    assert!(header(&back, "location").unwrap().starts_with("http://127.0.0.1:33418/callback?code="));
    assert_eq!(answered(&back, "state").as_deref(), Some("st&te"));
    assert_eq!(answered(&back, "iss").as_deref(), Some(ISSUER));
    let code = answered(&back, "code").unwrap();
    let given = exchange(&mut outside, &client, &code);
    assert_eq!(given.status, 200, "{}", text(&given));
    let claims = claims(&given);
    for (name, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("ann")),
        ("aud", json!(AUDIENCE)),
        ("scope", json!("mcp:tools write")),
        ("exp", json!(1_000_900)),
        ("email", json!("ann@example.org")),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let answer = value(&given);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
    let token = answer["refresh_token"].as_str().unwrap();
    let refreshed = refresh(&mut outside, &client, token);
    assert_eq!(refreshed.status, 200);
    assert_ne!(value(&refreshed)["refresh_token"], answer["refresh_token"]);
    // Signed in already: only the consent is asked for.
    let again = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    assert!(text(&again).contains("name=\"decision\""));
}

#[test]
fn a_person_does_not_let_a_client_in() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    let challenge = challenge();
    let page = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    let consent = browser.sign_in(&mut outside, &page, "ann", PASSWORD);
    let sealed = hidden(&consent, "request").unwrap();
    let back = browser.post(&mut outside, "/login/consent", &[("request", &sealed), ("decision", "deny")]);
    assert_eq!(answered(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(answered(&back, "iss").as_deref(), Some(ISSUER));
}

#[test]
fn the_token_is_what_the_gateway_verifies() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    let code = code(&mut outside, &mut browser, &client);
    let given = exchange(&mut outside, &client, &code);
    let keys = browser.get(&mut outside, "/login/jwks");
    let token = value(&given)["access_token"].as_str().unwrap().to_string();
    // verified_claims takes no access token, which is shown here by the reason, after the same reading of its parts.
    let refused = authorizer::verified_claims(&token, &value(&keys), &["ES256".into()]);
    assert_eq!(refused.unwrap_err(), authorizer::Reason::Type);
    let private = value(&keys).to_string().contains("\"d\"");
    assert!(!private && value(&keys)["keys"][0]["kid"] == "k1");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let signature =
        p256::ecdsa::Signature::from_slice(&json::base64::decode_url(signature).unwrap()).unwrap();
    use p256::ecdsa::signature::Verifier;
    public.verifying_key().verify(signed.as_bytes(), &signature).unwrap();
}

#[test]
fn metadata_are_where_clients_look() {
    let mut outside = Outside::default();
    let mut browser = Browser::default();
    let found = browser.get(&mut outside, "/.well-known/oauth-authorization-server");
    let document = value(&found);
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["authorization_endpoint"], format!("{ISSUER}/login/authorize"));
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["scopes_supported"], json!(["mcp:tools", "write"]));
    assert_eq!(header(&found, "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(document.get("subject_types_supported"), None);
    let openid = value(&browser.get(&mut outside, "/.well-known/openid-configuration"));
    assert_eq!(openid["subject_types_supported"], json!(["public"]));
    for other in ["/mcp", "/x", "/"] {
        let path = format!("/.well-known/oauth-authorization-server{other}");
        assert_eq!(browser.get(&mut outside, &path).status, 404, "{path}");
    }
    outside.config["issuer"] = json!("https://tools.example/x");
    outside.config["basePath"] = json!("/x");
    for path in ["", "/x"] {
        let found = browser.get(&mut outside, &format!("/.well-known/oauth-authorization-server{path}"));
        assert_eq!(value(&found)["token_endpoint"], "https://tools.example/x/login/token");
    }
    outside.config["registration"] = json!(false);
    let closed = value(&browser.get(&mut outside, "/.well-known/oauth-authorization-server"));
    assert_eq!(closed.get("registration_endpoint"), None);
    assert_eq!(register(&mut outside, json!({"redirect_uris": ["https://a.example/"]})).status, 403);
}

#[test]
fn a_client_has_the_secret_that_it_was_given() {
    let mut outside = Outside::default();
    for method in ["client_secret_post", "client_secret_basic"] {
        let registered = value(&register(
            &mut outside,
            json!({"redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": method}),
        ));
        let text = |name: &str| registered[name].as_str().unwrap().to_string();
        let (client, secret) = (text("client_id"), text("client_secret"));
        let code = code(&mut outside, &mut Browser::default(), &client);
        let mut pairs =
            vec![("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
        pairs.push(("client_id", &client));
        assert_eq!(token(&mut outside, &pairs).status, 401, "no secret");
        let mut caller = Browser::default();
        if method == "client_secret_post" {
            pairs.push(("client_secret", "wrong"));
            assert_eq!(token(&mut outside, &pairs).status, 401, "a wrong secret");
            pairs.pop();
            pairs.push(("client_secret", &secret));
        } else {
            let pair = format!("{}:{}", encode(&client), encode(&secret));
            let mut basic = json::base64::encode_url(pair.as_bytes()).replace('-', "+").replace('_', "/");
            while !basic.len().is_multiple_of(4) {
                basic.push('=');
            }
            caller.headers.push(("authorization".into(), format!("Basic {basic}").into_bytes()));
        }
        let given = caller.post(&mut outside, "/login/token", &pairs);
        assert_eq!(given.status, 200, "{method} {}", common::text(&given));
        assert_eq!(value(&given).get("refresh_token"), None, "it did not register for refresh tokens");
    }
}

#[test]
fn a_client_may_be_known_by_its_document() {
    let id = "https://client.example/oauth/metadata.json";
    let document = json!({
        "client_id": id, "client_name": "Good Client", "redirect_uris": ["https://client.example/cb", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    outside.servers.insert(id.into(), (200, "application/json", document.to_string()));
    let challenge = challenge();
    let page = authorize(&mut outside, &mut browser, &request(id, &challenge));
    let consent = browser.sign_in(&mut outside, &page, "ann", PASSWORD);
    // The answer goes to this computer, where any program can say that it is this client.
    assert!(text(&consent).contains("says that it is the app of <strong>client.example</strong>"));
    let pairs: Vec<(&str, &str)> = request(id, &challenge)
        .into_iter()
        .map(|(name, value)| (name, if name == "redirect_uri" { "https://client.example/cb" } else { value }))
        .collect();
    let vouched = authorize(&mut outside, &mut browser, &pairs);
    assert!(text(&vouched).contains("<p>It is the app of <strong>client.example</strong>"));
    let code = answered(&browser.allow(&mut outside, &consent), "code").unwrap();
    let given = exchange(&mut outside, id, &code);
    assert_eq!(claims(&given)["client_id"], id);
    // Read once for all of it; again only when it is old.
    assert_eq!(outside.asked.len(), 1);
    outside.now += 601;
    authorize(&mut outside, &mut browser, &request(id, &challenge));
    assert_eq!(outside.asked.len(), 2);
}

#[test]
fn keys_change_without_ending_anything() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    let code = code(&mut outside, &mut browser, &client);
    let answer = value(&exchange(&mut outside, &client, &code));
    outside.keys = keys(&[2, 1]);
    let refreshed = refresh(&mut outside, &client, answer["refresh_token"].as_str().unwrap());
    assert_eq!(refreshed.status, 200);
    let challenge = challenge();
    let consent = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    assert!(text(&consent).contains("name=\"decision\""), "the session goes on");
    let key: Value = value(&browser.get(&mut outside, "/login/jwks"));
    assert_eq!((&key["keys"][0]["kid"], &key["keys"][1]["kid"]), (&json!("k2"), &json!("k1")));
}

#[test]
fn pages_say_what_browsers_must_do_with_them() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    let challenge = challenge();
    let sign_in = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    let consent = browser.sign_in(&mut outside, &sign_in, "ann", PASSWORD);
    let sign_out = browser.get(&mut outside, "/login/sign-out");
    let error = browser.get(&mut outside, "/login/authorize");
    for (page, forms) in [
        (&sign_in, "form-action 'self';"),
        // Clients send people on to other places, and Chromium applies the rule to every redirect.
        (&consent, "'; frame-ancestors"),
        (&sign_out, "form-action 'self';"),
        (&error, "form-action 'none';"),
    ] {
        let policy = header(page, "content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'; style-src 'sha256-") && policy.contains(forms),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'"));
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(header(page, name).as_deref(), Some(value));
        }
        assert!(!text(page).contains("<script"));
    }
    let cookies: Vec<&str> = browser.cookies.keys().map(|name| &name[..16]).collect();
    assert_eq!(
        cookies,
        ["__Host-ftl-browse", "__Host-ftl-known-", "__Host-ftl-sessio"].map(|name| &name[..16])
    );
    let lines: Vec<String> = sign_in
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.to_string())
        .collect();
    assert!(
        lines[0].ends_with("; HttpOnly; SameSite=Lax; Secure") && lines[0].contains("; Path=/; "),
        "{lines:?}"
    );
}

#[test]
fn somebody_signs_out() {
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    let client = client(&mut outside);
    code(&mut outside, &mut browser, &client);
    let page = browser.get(&mut outside, "/login/sign-out");
    let ticket = hidden(&page, "ticket").unwrap();
    let other = Browser::default().post(&mut outside, "/login/sign-out", &[("ticket", &ticket)]);
    assert_eq!(other.status, 400, "another browser's ticket");
    let out = browser.post(&mut outside, "/login/sign-out", &[("ticket", &ticket)]);
    assert!(text(&out).contains("You are signed out"));
    let challenge = challenge();
    let page = authorize(&mut outside, &mut browser, &request(&client, &challenge));
    assert!(hidden(&page, "request").is_some() && text(&page).contains("name=\"password\""));
}
