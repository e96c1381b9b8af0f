//! Attacks, each beside what it looks like and must go on working.

mod common;

use common::*;
use json::base64;
use login::Response;
use serde_json::json;

/// A client, a browser in which ann is signed in, and its consent page.
struct Scene {
    outside: Outside,
    client: String,
    browser: Browser,
    consent: Response,
}

impl Scene {
    fn new() -> Scene {
        let (mut outside, mut browser) = (Outside::default(), Browser::default());
        let client = client(&mut outside);
        let page = authorize(&mut outside, &mut browser, &request(&client, &challenge()));
        let consent = browser.sign_in(&mut outside, &page, "ann", PASSWORD);
        Scene { outside, client, browser, consent }
    }

    fn code(&mut self) -> String {
        answered(&self.browser.allow(&mut self.outside, &self.consent), "code").unwrap()
    }
}

/// A good request with one parameter changed; an empty value takes it away.
fn changed<'a>(
    client: &'a str,
    challenge: &'a str,
    name: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut pairs: Vec<(&str, &str)> = request(client, challenge);
    pairs.retain(|(known, _)| *known != name);
    if !value.is_empty() {
        pairs.push((name, value));
    }
    pairs
}

#[test]
fn a_code_is_for_its_client_its_verifier_and_once() {
    let mut scene = Scene::new();
    let code = scene.code();
    let other = client(&mut scene.outside);
    for (what, client, code_text, verifier, uri) in [
        ("another client", &other, &code, VERIFIER, CALLBACK),
        (
            "another verifier",
            &scene.client,
            &code,
            "another-verifier-another-verifier-another-verifier",
            CALLBACK,
        ),
        ("the challenge as verifier", &scene.client, &code, &challenge(), CALLBACK),
        ("no verifier", &scene.client, &code, "", CALLBACK),
        ("another address", &scene.client, &code, VERIFIER, "https://app.example/cb"),
        ("another port", &scene.client, &code, VERIFIER, "http://127.0.0.1:1/callback"),
        ("a changed code", &scene.client, &format!("{code}A"), VERIFIER, CALLBACK),
    ] {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code_text),
            ("code_verifier", verifier),
            ("redirect_uri", uri),
        ];
        let refused = token(&mut scene.outside, &pairs);
        assert_eq!(refused.status, 400, "{what}");
        assert_eq!(value(&refused).get("access_token"), None, "{what}");
    }
    let given = exchange(&mut scene.outside, &scene.client, &code);
    assert_eq!(given.status, 200);
    let refresh_token = value(&given)["refresh_token"].as_str().unwrap().to_string();
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 400, "a second time");
    let ended = refresh(&mut scene.outside, &scene.client, &refresh_token);
    assert_eq!(ended.status, 400, "what the code gave ended with its second use");
}

#[test]
fn a_code_ends_soon() {
    let mut scene = Scene::new();
    let (early, late) = (scene.code(), scene.code());
    scene.outside.now += 59;
    assert_eq!(exchange(&mut scene.outside, &scene.client, &early).status, 200);
    scene.outside.now += 1;
    assert_eq!(exchange(&mut scene.outside, &scene.client, &late).status, 400);
}

#[test]
fn proof_of_possession_cannot_be_left_out_or_weakened() {
    let mut scene = Scene::new();
    let challenge = challenge();
    for (name, text) in [
        ("code_challenge", ""),
        ("code_challenge_method", ""),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", "s256"),
        ("code_challenge", "short"),
        ("code_challenge", "not base64url, but as long as a challenge is"),
    ] {
        let pairs = changed(&scene.client, &challenge, name, text);
        let refused = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!(answered(&refused, "error").as_deref(), Some("invalid_request"), "{name}={text}");
    }
}

#[test]
fn nothing_is_sent_to_an_address_that_is_not_the_clients() {
    let mut scene = Scene::new();
    let challenge = challenge();
    for uri in [
        "https://app.example/cb/",
        "https://app.example/cb?x",
        "https://app.example/cb#x",
        "https://app.example:444/cb",
        "https://app.example.evil.example/cb",
        "https://evil.example/cb",
        "https://app.example@evil.example/cb",
        "https://evil.example\\@app.example/cb",
        "https://app.example/%63b",
        "https://app.example/x/../cb",
        "https://\u{430}pp.example/cb",
        "https://xn--pp-7kc.example/cb",
        "http://app.example/cb",
        "//evil.example/cb",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.1/callback",
        "http://localhost/callback",
        "http://[::ffff:127.0.0.1]/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example/cb\r\nset-cookie: x=y",
        "",
    ] {
        let pairs = changed(&scene.client, &challenge, "redirect_uri", uri);
        let refused = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!((refused.status, header(&refused, "location")), (400, None), "{uri}");
        assert!(!text(&refused).contains("evil.example"), "{uri}: the page has no link there");
    }
    for uri in ["https://app.example/cb", "http://127.0.0.1/callback", "http://127.0.0.1:65535/callback"] {
        let pairs = changed(&scene.client, &challenge, "redirect_uri", uri);
        assert_eq!(authorize(&mut scene.outside, &mut scene.browser, &pairs).status, 200, "{uri}");
    }
}

#[test]
fn an_error_is_no_open_redirect() {
    let mut scene = Scene::new();
    let challenge = challenge();
    // Whoever registers an address could send people there by a link to this server with a mistake in it.
    let mut pairs = changed(&scene.client, &challenge, "redirect_uri", "https://app.example/cb");
    pairs.retain(|(name, _)| *name != "response_type");
    let shown = authorize(&mut scene.outside, &mut scene.browser, &pairs);
    assert_eq!((shown.status, header(&shown, "location")), (400, None));
    assert!(text(&shown).contains("href=\"https://app.example/cb?error=unsupported_response_type"));
    // An app on the person's own machine waits for the answer.
    let pairs = changed(&scene.client, &challenge, "response_type", "token");
    let sent = authorize(&mut scene.outside, &mut scene.browser, &pairs);
    assert_eq!(answered(&sent, "error").as_deref(), Some("unsupported_response_type"));
    assert_eq!(answered(&sent, "iss").as_deref(), Some(ISSUER));
    assert_eq!(answered(&sent, "state").as_deref(), Some("st&te"));
}

#[test]
fn a_parameter_that_occurs_twice_is_refused() {
    let mut scene = Scene::new();
    let challenge = challenge();
    for name in ["state", "scope", "resource", "code_challenge", "response_type"] {
        let mut pairs = request(&scene.client, &challenge);
        pairs.push((name, "x"));
        let refused = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!(answered(&refused, "error").as_deref(), Some("invalid_request"), "{name}");
    }
    for name in ["client_id", "redirect_uri"] {
        let mut pairs = request(&scene.client, &challenge);
        pairs.push((name, "x"));
        let refused = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!((refused.status, header(&refused, "location")), (400, None), "{name}");
    }
}

#[test]
fn nobody_decides_for_another_browser_or_another_session() {
    let mut scene = Scene::new();
    let own = hidden(&scene.consent, "request").unwrap();
    let allow = [("request", own.as_str()), ("decision", "allow")];
    // The attacker's own consent form, posted by the victim's browser (CSRF), and the other way round.
    let mut mallory = Browser::default();
    let page = authorize(&mut scene.outside, &mut mallory, &request(&scene.client, &challenge()));
    let theirs = mallory.sign_in(&mut scene.outside, &page, "bob", PASSWORD);
    let theirs = hidden(&theirs, "request").unwrap();
    let forged = [("request", theirs.as_str()), ("decision", "allow")];
    for (what, browser, form) in [
        ("their form in my browser", &mut scene.browser.clone(), &forged),
        ("my form in their browser", &mut mallory, &allow),
        ("my form without cookies", &mut Browser::default(), &allow),
    ] {
        let refused = browser.post(&mut scene.outside, "/login/consent", form);
        assert_eq!((refused.status, header(&refused, "location")), (400, None), "{what}");
    }
    for origin in
        ["https://evil.example", "null", "https://tools.example.evil.example", "http://tools.example"]
    {
        let mut browser = scene.browser.clone();
        browser.headers.push(("origin".into(), origin.as_bytes().to_vec()));
        assert_eq!(browser.post(&mut scene.outside, "/login/consent", &allow).status, 400, "{origin}");
    }
    // Without the consent's form: the request before it, nothing, or another kind of sealed text.
    let before = hidden(&page, "request").unwrap();
    let code = scene.code();
    for sealed in [before.as_str(), code.as_str(), scene.client.as_str(), "", "x"] {
        let form = [("request", sealed), ("decision", "allow")];
        assert_eq!(scene.browser.post(&mut scene.outside, "/login/consent", &form).status, 400);
    }
    scene.browser.headers.push(("origin".into(), ISSUER.as_bytes().to_vec()));
    assert_eq!(scene.browser.post(&mut scene.outside, "/login/consent", &allow).status, 303);
}

#[test]
fn consent_is_asked_each_time() {
    let mut scene = Scene::new();
    scene.code();
    for prompt in ["", "none", "consent"] {
        let challenge = challenge();
        let mut pairs = request(&scene.client, &challenge);
        pairs.push(("prompt", prompt));
        let answer = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!(answered(&answer, "code"), None, "{prompt}");
    }
}

#[test]
fn a_planted_session_is_none() {
    let mut scene = Scene::new();
    let before = scene.browser.cookies.clone();
    // Somebody plants the cookies of their session; the person signs in, and gets one of their own.
    let mut victim = Browser { cookies: before.clone(), ..Browser::default() };
    let pending = pending(&scene);
    let page = victim.post(&mut scene.outside, "/login/sign-out", &[("request", &pending)]);
    let consent = victim.sign_in(&mut scene.outside, &page, "bob", PASSWORD);
    assert!(text(&consent).contains("signed in as <strong>bob</strong>"));
    let session = |cookies: &std::collections::BTreeMap<String, String>| {
        cookies.iter().find(|(name, _)| name.contains("session")).map(|(_, value)| value.clone())
    };
    assert_ne!(session(&before), session(&victim.cookies));
    // A session cookie that occurs twice, or is another kind of sealed text, is none.
    let code = scene.code();
    let name = before.keys().find(|name| name.contains("session")).unwrap();
    let mut forged = scene.browser.clone();
    forged.cookies.insert(name.clone(), code);
    let page = authorize(&mut scene.outside, &mut forged, &request(&scene.client, &challenge()));
    assert!(text(&page).contains("name=\"password\""));
}

/// The sealed request of the scene's consent page, for signing in as somebody else.
fn pending(scene: &Scene) -> String {
    let page = text(&scene.consent);
    let (_, rest) = page.rsplit_once("name=\"request\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_string()
}

#[test]
fn passwords_cannot_be_sprayed() {
    let mut scene = Scene::new();
    let mut browser = Browser::default();
    let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
    let request = hidden(&page, "request").unwrap();
    let tries = |outside: &mut Outside, browser: &mut Browser, address: &str, name: &str, password: &str| {
        browser.headers = vec![("x-forwarded-for".into(), format!("6.6.6.6, {address}").into_bytes())];
        let form = [("request", request.as_str()), ("username", name), ("password", password)];
        browser.post(outside, "/login/sign-in", &form)
    };
    let outside = &mut scene.outside;
    // One address, many names: names that exist and names that do not are told the same.
    let mut answers = Vec::new();
    for number in 0..12 {
        let name = if number % 2 == 0 { "bob".to_string() } else { format!("nobody{number}") };
        answers.push(tries(outside, &mut browser, "10.0.0.1", &name, "wrong").status);
    }
    assert_eq!(answers, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    let slowed = tries(outside, &mut browser, "10.0.0.1", "bob", PASSWORD);
    assert_eq!(
        (slowed.status, header(&slowed, "retry-after").as_deref()),
        (429, Some("1")),
        "also the right one"
    );
    // Another address is not slowed down, but the name is, once it was tried from many.
    for number in 0..10 {
        tries(outside, &mut browser, &format!("10.0.1.{number}"), "ann", "wrong");
    }
    assert_eq!(tries(outside, &mut browser, "10.0.2.1", "ann", PASSWORD).status, 429);
    assert_eq!(tries(outside, &mut browser, "10.0.2.1", "bob", PASSWORD).status, 303);
    // In a browser in which ann has signed in before, nobody slows her down.
    let known = scene.browser.cookies.iter().find(|(name, _)| name.contains("known")).unwrap();
    let mut own = browser.clone();
    own.cookies.insert(known.0.clone(), known.1.clone());
    assert_eq!(tries(outside, &mut own, "10.0.2.1", "ann", PASSWORD).status, 303);
    // Nor for longer than half a minute elsewhere.
    scene.outside.now += 31;
    assert_eq!(tries(&mut scene.outside, &mut browser, "10.0.2.2", "ann", PASSWORD).status, 303);
}

#[test]
fn addresses_cannot_be_multiplied() {
    let mut scene = Scene::new();
    let mut browser = Browser::default();
    let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
    let request = hidden(&page, "request").unwrap();
    let mut statuses = Vec::new();
    for number in 0..11 {
        // One network of IPv6, and what a client itself writes before what the proxy saw.
        let forwarded = format!("10.9.9.{number}, 2001:db8:1:2::{number}");
        browser.headers = vec![("x-forwarded-for".into(), forwarded.into_bytes())];
        let name = format!("nobody{number}");
        let form = [("request", request.as_str()), ("username", &name), ("password", "x")];
        statuses.push(browser.post(&mut scene.outside, "/login/sign-in", &form).status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[test]
fn a_store_that_fails_lets_nobody_in() {
    let mut scene = Scene::new();
    let code = scene.code();
    scene.outside.store_works = false;
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 503);
    let mut browser = Browser::default();
    let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
    assert_eq!(browser.sign_in(&mut scene.outside, &page, "ann", PASSWORD).status, 503);
    scene.outside.store_works = true;
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 200, "the code was not used up");
}

#[test]
fn a_refresh_token_is_good_once() {
    let mut scene = Scene::new();
    let code = scene.code();
    let first = value(&exchange(&mut scene.outside, &scene.client, &code))["refresh_token"].clone();
    let first = first.as_str().unwrap();
    let second = value(&refresh(&mut scene.outside, &scene.client, first))["refresh_token"].clone();
    let second = second.as_str().unwrap();
    let other = client(&mut scene.outside);
    assert_eq!(refresh(&mut scene.outside, &other, second).status, 400, "another client's");
    assert_eq!(refresh(&mut scene.outside, &scene.client, first).status, 400, "used before");
    assert_eq!(
        refresh(&mut scene.outside, &scene.client, second).status,
        400,
        "the family has ended with that"
    );
    // Consents are families of their own.
    let code = scene.code();
    let again = value(&exchange(&mut scene.outside, &scene.client, &code))["refresh_token"].clone();
    assert_eq!(refresh(&mut scene.outside, &scene.client, again.as_str().unwrap()).status, 200);
}

#[test]
fn a_refresh_token_gives_no_more_than_was_allowed_and_not_for_ever() {
    let mut scene = Scene::new();
    let code = scene.code();
    let mut current = value(&exchange(&mut scene.outside, &scene.client, &code))["refresh_token"].clone();
    for (name, text, error) in [
        ("scope", "mcp:tools write admin", "invalid_scope"),
        ("resource", "https://other.example/mcp", "invalid_target"),
    ] {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", scene.client.as_str()),
            ("refresh_token", current.as_str().unwrap()),
            (name, text),
        ];
        assert_eq!(value(&token(&mut scene.outside, &pairs))["error"], error);
    }
    let narrowed = [
        ("grant_type", "refresh_token"),
        ("client_id", scene.client.as_str()),
        ("refresh_token", current.as_str().unwrap()),
        ("scope", "mcp:tools"),
    ];
    let given = token(&mut scene.outside, &narrowed);
    assert_eq!(claims(&given)["scope"], "mcp:tools");
    current = value(&given)["refresh_token"].clone();
    for _ in 0..3 {
        scene.outside.now += 21_600;
        let given = refresh(&mut scene.outside, &scene.client, current.as_str().unwrap());
        assert_eq!(given.status, 200);
        current = value(&given)["refresh_token"].clone();
    }
    scene.outside.now += 21_600;
    let over = refresh(&mut scene.outside, &scene.client, current.as_str().unwrap());
    assert_eq!(over.status, 400, "a day after the consent, whatever was refreshed");
}

#[test]
fn whoever_is_removed_or_has_a_new_password_is_signed_out() {
    let mut scene = Scene::new();
    let code = scene.code();
    let token_text = value(&exchange(&mut scene.outside, &scene.client, &code))["refresh_token"].clone();
    let users = scene.outside.users.clone();
    let (ann, bob) = users.split_once('\n').unwrap();
    for changed in [bob.to_string(), format!("{}A\n{bob}", ann.replace("$MDEy", "$MDEz"))] {
        scene.outside.users = changed;
        assert_eq!(refresh(&mut scene.outside, &scene.client, token_text.as_str().unwrap()).status, 400);
        let mut browser = scene.browser.clone();
        let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
        assert!(text(&page).contains("name=\"password\""), "the session is over");
    }
    scene.outside.users = users;
    assert_eq!(refresh(&mut scene.outside, &scene.client, token_text.as_str().unwrap()).status, 200);
}

#[test]
fn what_a_person_or_the_app_no_longer_has_is_not_granted_again() {
    let mut scene = Scene::new();
    let code = scene.code();
    let given = exchange(&mut scene.outside, &scene.client, &code);
    assert_eq!(claims(&given)["scope"], "mcp:tools write");
    let refresh_token = value(&given)["refresh_token"].as_str().unwrap().to_string();
    let users = scene.outside.users.clone();
    let line = users.lines().next().unwrap();
    for changed in [format!("{line} scopes=mcp:tools"), line.replace("ann@example.org", "eve@example.org")] {
        scene.outside.users = changed;
        assert_eq!(refresh(&mut scene.outside, &scene.client, &refresh_token).status, 400);
        let mut browser = scene.browser.clone();
        let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
        assert!(text(&page).contains("name=\"password\""), "the session is over");
    }
    scene.outside.users = users;
    let config = scene.outside.config.clone();
    scene.outside.config["audiences"] = json!(["https://tools.example/other"]);
    assert_eq!(refresh(&mut scene.outside, &scene.client, &refresh_token).status, 400);
    scene.outside.config = config;
    scene.outside.config["scopes"] = json!([{"name": "mcp:tools", "description": null}]);
    let given = refresh(&mut scene.outside, &scene.client, &refresh_token);
    assert_eq!(claims(&given)["scope"], "mcp:tools");
}

#[test]
fn a_client_of_a_host_that_is_no_longer_listed_gets_no_tokens() {
    let id = "https://client.example/m.json";
    let document = json!({"client_id": id, "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]});
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    outside.servers.insert(id.into(), (200, "application/json", document.to_string()));
    let page = authorize(&mut outside, &mut browser, &request(id, &challenge()));
    let consent = browser.sign_in(&mut outside, &page, "ann", PASSWORD);
    let code = answered(&browser.allow(&mut outside, &consent), "code").unwrap();
    let refresh_token = value(&exchange(&mut outside, id, &code))["refresh_token"].clone();
    let refresh_token = refresh_token.as_str().unwrap();
    outside.config["clientHosts"] = json!([]);
    assert_eq!(refresh(&mut outside, id, refresh_token).status, 401);
    outside.config["clientHosts"] = json!(["client.example"]);
    assert_eq!(refresh(&mut outside, id, refresh_token).status, 200);
}

#[test]
fn known_clients_are_not_kept_out_by_who_asks_for_many_documents() {
    let id = "https://client.example/m.json";
    let document = json!({"client_id": id, "redirect_uris": [CALLBACK]});
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    outside.servers.insert(id.into(), (200, "application/json", document.to_string()));
    assert_eq!(authorize(&mut outside, &mut browser, &request(id, &challenge())).status, 200);
    outside.now += 3600;
    for number in 0..40 {
        let other = format!("https://client.example/{number}");
        authorize(&mut outside, &mut browser, &request(&other, &challenge()));
    }
    assert_eq!(authorize(&mut outside, &mut browser, &request(id, &challenge())).status, 200);
    // In the next minute the document is asked for again, and what it says counts: it is gone.
    outside.now += 60;
    outside.servers.clear();
    assert_eq!(authorize(&mut outside, &mut browser, &request(id, &challenge())).status, 400);
}

#[test]
fn an_account_of_ones_own_gives_no_further_tries() {
    let mut scene = Scene::new();
    let mut browser = Browser::default();
    let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
    let request = hidden(&page, "request").unwrap();
    let mut statuses = Vec::new();
    for number in 0..12 {
        browser.headers = vec![("x-forwarded-for".into(), b"10.0.0.1".to_vec())];
        let (name, password) = match number % 4 {
            3 => ("bob".to_string(), PASSWORD),
            _ => (format!("nobody{number}"), "x"),
        };
        let form = [("request", request.as_str()), ("username", &name), ("password", password)];
        statuses.push(browser.post(&mut scene.outside, "/login/sign-in", &form).status);
    }
    assert_eq!(statuses, [401, 401, 401, 303, 401, 401, 401, 303, 401, 401, 401, 303]);
    let form = [("request", request.as_str()), ("username", "nobody"), ("password", "x")];
    assert_eq!(browser.post(&mut scene.outside, "/login/sign-in", &form).status, 401, "the tenth wrong one");
    assert_eq!(browser.post(&mut scene.outside, "/login/sign-in", &form).status, 429);
}

#[test]
fn a_revoked_family_stays_so() {
    let mut scene = Scene::new();
    let other = client(&mut scene.outside);
    let code = scene.code();
    let given = value(&exchange(&mut scene.outside, &scene.client, &code));
    let (access, refresh_token) =
        (given["access_token"].as_str().unwrap(), given["refresh_token"].as_str().unwrap());
    let revoke = |outside: &mut Outside, client: &str, token: &str| {
        Browser::default().post(outside, "/login/revoke", &[("client_id", client), ("token", token)]).status
    };
    assert_eq!(revoke(&mut scene.outside, &other, refresh_token), 200);
    let refreshed = refresh(&mut scene.outside, &scene.client, refresh_token);
    assert_eq!(refreshed.status, 200, "another client cannot revoke it");
    let refresh_token = value(&refreshed)["refresh_token"].clone();
    let refresh_token = refresh_token.as_str().unwrap();
    assert_eq!(revoke(&mut scene.outside, &scene.client, access), 400, "an access token ends by itself");
    assert_eq!(revoke(&mut scene.outside, &scene.client, refresh_token), 200);
    assert_eq!(refresh(&mut scene.outside, &scene.client, refresh_token).status, 400);
    assert_eq!(revoke(&mut scene.outside, &scene.client, refresh_token), 200, "nothing is left to revoke");
}

#[test]
fn scopes_and_audience_cannot_be_widened() {
    let mut scene = Scene::new();
    let challenge = challenge();
    for resource in ["https://other.example/mcp", "https://tools.example/mcp/x", "https://tools.example", "x"]
    {
        let pairs = changed(&scene.client, &challenge, "resource", resource);
        let refused = authorize(&mut scene.outside, &mut scene.browser, &pairs);
        assert_eq!(answered(&refused, "error").as_deref(), Some("invalid_target"), "{resource}");
    }
    let pairs = changed(&scene.client, &challenge, "scope", "admin openid write");
    let consent = authorize(&mut scene.outside, &mut scene.browser, &pairs);
    let code = answered(&scene.browser.allow(&mut scene.outside, &consent), "code").unwrap();
    let given = exchange(&mut scene.outside, &scene.client, &code);
    assert_eq!(claims(&given)["scope"], "mcp:tools write", "those that exist, and the required one");
    // Bob may grant mcp:tools alone.
    let mut bobs = Browser::default();
    let page = authorize(&mut scene.outside, &mut bobs, &request(&scene.client, &challenge));
    let consent = bobs.sign_in(&mut scene.outside, &page, "bob", PASSWORD);
    let code = answered(&bobs.allow(&mut scene.outside, &consent), "code").unwrap();
    let given = exchange(&mut scene.outside, &scene.client, &code);
    assert_eq!((&claims(&given)["sub"], &claims(&given)["scope"]), (&json!("bob"), &json!("mcp:tools")));
}

#[test]
fn sealed_texts_of_another_app_or_a_dropped_key_are_none() {
    let mut scene = Scene::new();
    let code = scene.code();
    let good = scene.outside.config.clone();
    // The same Secret for two apps: the issuer is part of the seal.
    scene.outside.config["issuer"] = json!("https://other.example");
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 401);
    scene.outside.config = good;
    scene.outside.keys = keys(&[2]);
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 401);
    scene.outside.keys = keys(&[2, 1]);
    assert_eq!(exchange(&mut scene.outside, &scene.client, &code).status, 200);
}

#[test]
fn documents_of_clients_cannot_be_copied_or_lead_elsewhere() {
    let challenge = challenge();
    let good = |id: &str| {
        json!({
            "client_id": id, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        })
    };
    let ask = |id: &str, answer: (u16, &'static str, String)| {
        let (mut outside, mut browser) = (Outside::default(), Browser::default());
        outside.servers.insert(id.into(), answer);
        let status = authorize(&mut outside, &mut browser, &request(id, &challenge)).status;
        (status, outside.asked.len())
    };
    let id = "https://client.example/m.json";
    let json_type = "application/json; charset=utf-8";
    assert_eq!(ask(id, (200, json_type, good(id).to_string())), (200, 1));
    // Hosts that are not listed are never asked: SSRF by client id.
    for other in [
        "https://evil.example/m.json",
        "https://client.example.evil.example/m.json",
        "https://169.254.169.254/m.json",
        "https://client.example@evil.example/m.json",
        "https://client.example:8443/m.json",
        "https://client.example/",
        "https://client.example",
        "https://localhost/m.json",
        "https://CLIENT.example/m.json",
        "https://client.example/../m.json",
        "https://client.example/a/./m.json",
        "https://client.example/m.json#x",
        "https://[::1]/m.json",
        "http://client.example/m.json",
    ] {
        assert_eq!(ask(other, (200, json_type, good(other).to_string())), (400, 0), "{other}");
    }
    let mut secret = good(id);
    secret["client_secret"] = json!("x");
    let mut method = good(id);
    method["token_endpoint_auth_method"] = json!("client_secret_post");
    for (what, answer) in [
        ("a copy", (200, json_type, good("https://other.example/m.json").to_string())),
        ("a redirect", (302, json_type, good(id).to_string())),
        ("a page", (200, "text/html", good(id).to_string())),
        ("a secret", (200, json_type, secret.to_string())),
        ("a method with a secret", (200, json_type, method.to_string())),
        ("a list", (200, json_type, "[]".into())),
        (
            "a duplicate",
            (200, json_type, good(id).to_string().replacen('{', "{\"client_id\":\"https://x\",", 1)),
        ),
        ("too long", (200, json_type, format!("{}{}", good(id), " ".repeat(70_000)))),
    ] {
        assert_eq!(ask(id, answer), (400, 1), "{what}");
    }
    let (mut outside, mut browser) = (Outside::default(), Browser::default());
    for number in 0..40 {
        let id = format!("https://client.example/{number}");
        authorize(&mut outside, &mut browser, &request(&id, &challenge));
    }
    assert_eq!(outside.asked.len(), 30, "nobody makes this server ask without end");
}

#[test]
fn what_an_upstream_provider_answers_is_for_this_browser_and_this_sign_in() {
    let mut outside = Outside::default();
    outside.config["upstream"] = json!({
        "issuer": "https://idp.example", "clientId": "us", "scopes": ["openid", "email"], "subjectClaim": "email",
        "authorizationEndpoint": "https://idp.example/authorize?tenant=1", "tokenEndpoint": "https://idp.example/token",
        "jwksUri": "https://idp.example/keys", "algorithms": ["ES256"], "name": "Example",
    });
    let client = client(&mut outside);
    let mut browser = Browser::default();
    let sent = authorize(&mut outside, &mut browser, &request(&client, &challenge()));
    let location = header(&sent, "location").unwrap();
    assert!(location.starts_with("https://idp.example/authorize?tenant=1&response_type=code&client_id=us"));
    let (state, nonce) = (answered(&sent, "state").unwrap(), answered(&sent, "nonce").unwrap());
    let signer = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = signer.verifying_key().to_sec1_point(false);
    let key = json!({
        "kty": "EC", "crv": "P-256", "x": base64::encode_url(point.x().unwrap()), "y": base64::encode_url(point.y().unwrap()),
    });
    outside.servers.insert(
        "https://idp.example/keys".into(),
        (200, "application/json", json!({"keys": [key]}).to_string()),
    );
    let answer = |outside: &mut Outside, header: serde_json::Value, claims: serde_json::Value| {
        use p256::ecdsa::signature::Signer;
        let part = |value: &serde_json::Value| base64::encode_url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature: p256::ecdsa::Signature = signer.sign(signed.as_bytes());
        let token = format!("{signed}.{}", base64::encode_url(&signature.to_bytes()));
        let body = json!({"access_token": "x", "id_token": token}).to_string();
        outside.servers.insert("https://idp.example/token".into(), (200, "application/json", body));
    };
    let claims = json!({
        "iss": "https://idp.example", "aud": "us", "exp": outside.now + 60, "nonce": nonce, "sub": "s",
        "email": "ann@example.org", "email_verified": true,
    });
    let good = json!({"alg": "ES256"});
    let callback = |state: &str, more: &[(&str, &str)]| {
        format!("/login/callback?{}", fields(&[&[("code", "c"), ("state", state)], more].concat()))
    };
    answer(&mut outside, good.clone(), claims.clone());
    for (what, target, mut other) in [
        ("another browser", callback(&state, &[]), Browser::default()),
        ("another provider (mix-up)", callback(&state, &[("iss", "https://evil.example")]), browser.clone()),
        ("a state of another kind", callback(&client, &[]), browser.clone()),
        ("no state", "/login/callback?code=c".to_string(), browser.clone()),
    ] {
        let refused = other.get(&mut outside, &target);
        assert_eq!((refused.status, header(&refused, "location")), (400, None), "{what}");
    }
    let mut nonce = claims.clone();
    nonce["nonce"] = json!("another");
    let mut unverified = claims.clone();
    unverified["email_verified"] = json!(false);
    for (what, header_text, claims) in [
        ("another sign-in's token", good.clone(), nonce),
        ("an address that nobody verified", good.clone(), unverified),
        ("an access token", json!({"alg": "ES256", "typ": "at+jwt"}), claims.clone()),
        ("an unsigned token", json!({"alg": "none"}), claims.clone()),
        ("a shared secret", json!({"alg": "HS256"}), claims.clone()),
    ] {
        answer(&mut outside, header_text, claims);
        let refused = browser.get(&mut outside, &callback(&state, &[]));
        assert_eq!((refused.status, header(&refused, "location")), (502, None), "{what}");
    }
    answer(&mut outside, good, claims);
    let back = browser.get(&mut outside, &callback(&state, &[("iss", "https://idp.example")]));
    let consent = browser.get(&mut outside, &header(&back, "location").unwrap());
    assert!(text(&consent).contains("signed in as <strong>ann@example.org</strong>"), "{}", text(&consent));
    assert!(browser.allow(&mut outside, &consent).status == 303);
    let form = outside.asked.iter().rev().find_map(|(_, form)| form.clone()).unwrap();
    assert!(form.contains("client_secret=upstream-secret") && form.contains("code_verifier="));
    // Another provider's people are others, also those who are signed in.
    let code = answered(&browser.allow(&mut outside, &consent), "code").unwrap();
    let given = exchange(&mut outside, &client, &code);
    let refresh_token = value(&given)["refresh_token"].as_str().unwrap().to_string();
    let issuer = outside.config["upstream"]["issuer"].clone();
    outside.config["upstream"]["issuer"] = json!("https://other.example");
    assert_eq!(refresh(&mut outside, &client, &refresh_token).status, 400);
    let page = authorize(&mut outside, &mut browser, &request(&client, &challenge()));
    assert!(
        header(&page, "location")
            .is_some_and(|location| location.starts_with("https://idp.example/authorize"))
    );
    outside.config["upstream"]["issuer"] = issuer;
    assert_eq!(refresh(&mut outside, &client, &refresh_token).status, 200);
    // Names and passwords have nothing to do with it.
    let form = [("request", "x"), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post(&mut outside, "/login/sign-in", &form).status, 400);
}

#[test]
fn nothing_secret_is_logged() {
    let mut scene = Scene::new();
    let code = scene.code();
    exchange(&mut scene.outside, &scene.client, &code);
    let mut browser = Browser::default();
    let page = authorize(&mut scene.outside, &mut browser, &request(&scene.client, &challenge()));
    browser.sign_in(&mut scene.outside, &page, "ann", "my wrong secret");
    let log = scene.outside.log.join("\n");
    assert!(log.contains("\"event\":\"sign_in\"") && log.contains("\"outcome\":\"wrong\""));
    for secret in ["ann", PASSWORD, "secret", &code, &scene.client, VERIFIER] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn variables_that_are_not_whole_close_the_login() {
    let good = keys(&[1]);
    for (what, text) in [
        ("no keys", String::new()),
        ("no JSON", "x".into()),
        ("two current keys", good.replacen("}]", "},", 1) + &good[good.find("[{").unwrap() + 1..]),
        ("no current key", good.replace("current", "next")),
        ("another version", good.replace("\"version\":1", "\"version\":2")),
        ("a public half of another key", good.replace("\"x\":\"", "\"x\":\"A")),
        ("a short seal", good.replace(&"01".repeat(32), "01")),
        ("a seal of other letters", good.replace(&"01".repeat(32), &"zz".repeat(32))),
    ] {
        let mut outside = Outside { keys: text, ..Outside::default() };
        let answer = Browser::default().get(&mut outside, "/login/jwks");
        assert_eq!(answer.status, 503, "{what}");
        assert!(outside.log[0].contains("login_keys"), "{what}");
    }
    let mut outside = Outside { keys: good, ..Outside::default() };
    assert_eq!(Browser::default().get(&mut outside, "/login/jwks").status, 200);
    outside.config["audiences"] = json!([]);
    assert_eq!(Browser::default().get(&mut outside, "/login/jwks").status, 503);
}

#[test]
fn another_person_is_asked_for_all_scopes() {
    let mut outside = Outside::default();
    let client = client(&mut outside);
    let mut browser = Browser::default();
    let page = authorize(&mut outside, &mut browser, &request(&client, &challenge()));
    let consent = browser.sign_in(&mut outside, &page, "bob", PASSWORD);
    assert!(!text(&consent).contains("<code>write</code>"), "bob may grant mcp:tools alone");
    let mut scene = Scene { outside, client, browser, consent };
    let pending = pending(&scene);
    let page = scene.browser.post(&mut scene.outside, "/login/sign-out", &[("request", &pending)]);
    let consent = scene.browser.sign_in(&mut scene.outside, &page, "ann", PASSWORD);
    assert!(text(&consent).contains("<code>write</code>"), "ann may grant both");
}

#[test]
fn forms_are_taken_from_the_origin_that_browsers_write() {
    for (issuer, origin) in
        [("https://Tools.Example:443", "https://tools.example"), ("http://localhost:80", "http://localhost")]
    {
        let mut outside = Outside::default();
        outside.config["issuer"] = json!(issuer);
        let client = client(&mut outside);
        let mut browser = Browser::default();
        let page = authorize(&mut outside, &mut browser, &request(&client, &challenge()));
        browser.headers.push(("origin".into(), origin.as_bytes().to_vec()));
        let sealed = hidden(&page, "request").unwrap();
        let form = [("request", sealed.as_str()), ("username", "ann"), ("password", PASSWORD)];
        assert_eq!(browser.post(&mut outside, "/login/sign-in", &form).status, 303, "{issuer}");
    }
}

#[test]
fn tries_at_an_address_do_not_hold_up_a_browser_that_is_known() {
    let mut scene = Scene::new();
    let mut stranger = Browser::default();
    let page = authorize(&mut scene.outside, &mut stranger, &request(&scene.client, &challenge()));
    let sealed = hidden(&page, "request").unwrap();
    for number in 0..12 {
        let name = format!("nobody{number}");
        let form = [("request", sealed.as_str()), ("username", &name), ("password", "x")];
        stranger.post(&mut scene.outside, "/login/sign-in", &form);
    }
    let wrong = [("request", sealed.as_str()), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(stranger.post(&mut scene.outside, "/login/sign-in", &wrong).status, 429);
    let own = pending(&scene);
    let page = scene.browser.post(&mut scene.outside, "/login/sign-out", &[("request", &own)]);
    let consent = scene.browser.sign_in(&mut scene.outside, &page, "ann", PASSWORD);
    assert!(text(&consent).contains("signed in as <strong>ann</strong>"));
    // Its own wrong tries hold it up like any other.
    let page = scene.browser.post(&mut scene.outside, "/login/sign-out", &[("request", &own)]);
    let sealed = hidden(&page, "request").unwrap();
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let form = [("request", sealed.as_str()), ("username", "ann"), ("password", "x")];
        statuses.push(scene.browser.post(&mut scene.outside, "/login/sign-in", &form).status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
