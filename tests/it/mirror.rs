//! Promise: what an application may ask Meta, it may ask through the Graph mirror in the same words, gets the same answers, and
//! never holds Meta's token.

mod reach;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use waxseal::access::{Permission, Permissions};

use crate::support::TestApp;
use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, WABA_ID, api_key_with};

/// A template that the simulator has from the start.
pub const TEMPLATE: &str = "660000000000001";

/// A call of the documentation: method, path with placeholders, the permissions that are enough for a template and for a file.
pub struct Documented {
    pub method: Method,
    pub path: String,
    pub needs: Permission,
}

impl Documented {
    /// The path with these for its placeholders.
    pub fn at(&self, phone: &str, waba: &str, object: &str) -> String {
        let path = self.path.replace("{phone}", phone).replace("{waba}", waba).replace("{object}", object);
        format!(
            "/graph/v25.0{}",
            path.replace("{app}", "670843887433847").replace("{code}", "ABC1").replace("{upload}", "upload:MTph")
        )
    }
}

/// Every call of docs/graph-mirror.md, which a test keeps like the code.
pub fn documented() -> Vec<Documented> {
    let rows = include_str!("../../docs/graph-mirror.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let calls = rows.filter_map(|row| {
        let mut quoted = row.split('`');
        let (method, path) = quoted.next()?.split_once(" /")?;
        let needs = Permission::parse(quoted.nth(1)?)?;
        Some(Documented { method: method.parse().ok()?, path: format!("/{path}"), needs })
    });
    let calls: Vec<Documented> = calls.collect();
    assert!(calls.len() > 60, "{}", calls.len());
    calls
}

pub async fn json_of(request: RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    assert!(!text.contains(ACCESS_TOKEN), "Meta's token is shown: {text}");
    (status, headers, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

/// Asks the mirror with the admin key, and returns what is shown when all is well.
async fn ask(app: &TestApp, method: Method, path: &str, body: Value) -> Value {
    let request = app.api(method, &format!("/graph/v25.0/{path}"));
    let (status, _, shown) = json_of(if body.is_null() { request } else { request.json(&body) }).await;
    assert_eq!(status, StatusCode::OK, "{path} {shown}");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_call_needs_its_permission_and_no_other() {
    let app = TestApp::spawn().await;
    for call in documented() {
        let only = api_key_with(&app.gateway, std::iter::once(call.needs).collect()).await;
        // Things that Meta alone knows may be files, which the keys for files may do something with.
        let is_of_files = |one: &Permission| call.path == "/{object}" && one.as_str().starts_with("media:");
        let others: Permissions =
            Permissions::admin().iter().filter(|one| *one != call.needs && !is_of_files(one)).collect();
        let others = api_key_with(&app.gateway, others).await;
        let path = call.at(PHONE_NUMBER_ID, WABA_ID, TEMPLATE);
        let (status, _, shown) = json_of(app.api_as(&others, call.method.clone(), &path).json(&json!({}))).await;
        assert_eq!((status, &shown["error"]["code"]), (StatusCode::FORBIDDEN, &json!(10)), "{} {path}", call.method);
        assert!(shown["error"]["error_data"]["details"].as_str().unwrap().contains(call.needs.as_str()), "{shown}");
        let (status, _, shown) = json_of(app.api_as(&only, call.method.clone(), &path).json(&json!({}))).await;
        assert!(
            status != StatusCode::FORBIDDEN && status != StatusCode::UNAUTHORIZED,
            "{} {path} {shown}",
            call.method
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_through_the_mirror_is_read_through_it_as_meta_has_it() {
    let app = TestApp::spawn().await;
    let (phone, waba) = (PHONE_NUMBER_ID, WABA_ID);
    let whatsapp = |mut body: Value| {
        body["messaging_product"] = json!("whatsapp");
        body
    };
    let set = [
        (format!("{phone}/whatsapp_business_profile"), whatsapp(json!({ "about": "Hallo" }))),
        (format!("{phone}/settings"), json!({ "user_identity_change": { "enable_identity_key_check": true } })),
        (format!("{phone}/conversational_automation"), json!({ "prompts": ["Hallo"] })),
        (format!("{phone}/whatsapp_commerce_settings?is_cart_enabled=false"), json!({})),
        (
            format!("{phone}/whatsapp_business_encryption"),
            json!({ "business_public_key": "-----BEGIN PUBLIC KEY-----" }),
        ),
        (phone.to_owned(), json!({ "pin": "123456" })),
        (phone.to_owned(), json!({ "new_display_name": "Neu" })),
        (format!("{phone}/request_code"), json!({ "code_method": "SMS", "language": "de" })),
        (format!("{phone}/verify_code"), json!({ "code": "123456" })),
        (format!("{phone}/deregister"), json!({})),
        (format!("{phone}/register"), whatsapp(json!({ "pin": "123456" }))),
        (format!("{waba}/subscribed_apps"), json!({})),
        (TEMPLATE.to_owned(), json!({ "category": "MARKETING" })),
    ];
    for (path, body) in set {
        assert_eq!(ask(&app, Method::POST, &path, body).await["success"], true, "{path}");
    }
    let read = async |path: &str| ask(&app, Method::GET, path, Value::Null).await;
    assert_eq!(read(&format!("{phone}/whatsapp_business_profile?fields=about")).await["data"][0]["about"], "Hallo");
    assert!(read(&format!("{phone}/settings")).await["user_identity_change"].is_object());
    let number = read(&format!("{phone}?fields=is_pin_enabled,new_verified_name,conversational_automation")).await;
    assert_eq!((&number["is_pin_enabled"], &number["new_verified_name"]), (&json!(true), &json!("Neu")));
    assert_eq!(number["conversational_automation"]["prompts"], json!(["Hallo"]));
    assert_eq!(read(&format!("{phone}/whatsapp_commerce_settings")).await["data"][0]["is_cart_enabled"], false);
    assert_eq!(read(TEMPLATE).await["category"], "MARKETING");
    assert_eq!(read(&format!("{TEMPLATE}?fields=name")).await, json!({ "id": TEMPLATE, "name": "hello_world" }));
    let figures = read(&format!("{waba}?fields=id,analytics.start(1).end(2).granularity(DAY)")).await;
    assert!(figures["analytics"].is_object(), "{figures}");

    let flow = ask(&app, Method::POST, &format!("{waba}/flows"), json!({ "name": "f", "categories": ["OTHER"] })).await;
    let flow = flow["id"].as_str().unwrap();
    ask(&app, Method::POST, &format!("{flow}/publish"), Value::Null).await;
    assert_eq!(read(&format!("{flow}?fields=status")).await["status"], "PUBLISHED");
    let call = whatsapp(
        json!({ "to": "4915199900011", "action": "connect", "session": { "sdp_type": "offer", "sdp": "v=0" } }),
    );
    let call = ask(&app, Method::POST, &format!("{phone}/calls"), call).await;
    assert!(call["calls"][0]["id"].as_str().unwrap().starts_with("wacid."), "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_a_result_too_comes_whole() {
    let app = TestApp::spawn().await;
    let body =
        json!({ "messaging_product": "whatsapp", "block_users": [{ "user": "4915199900011" }, { "user": "x" }] });
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/block_users");
    let (status, _, shown) = json_of(app.api(Method::POST, &path).json(&body)).await;
    assert_eq!((status, &shown["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(139_100)));
    assert_eq!(shown["block_users"]["added_users"][0]["wa_id"], "4915199900011", "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_followed_by_their_links_alone_and_none_holds_metas_token() {
    let app = TestApp::spawn().await;
    let mut next = format!("http://{}/graph/v25.0/{WABA_ID}/message_templates?limit=2&fields=name", app.at.internal);
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let (status, headers, page) = json_of(reqwest::Client::new().get(&next).bearer_auth(&app.key)).await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers.contains_key("x-app-usage"), "Meta's usage is passed on");
        names.extend(page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(link) = page["paging"]["next"].as_str() else { break };
        assert!(link.starts_with(&format!("http://{}/graph/v25.0/", app.at.internal)), "{link}");
        next = link.to_owned();
    }
    names.sort();
    names.dedup();
    assert_eq!((pages, names.len()), (2, 4), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_is_shown_that_we_hold_the_secret_of_the_app() {
    let app = TestApp::spawn().await;
    app.control(Method::PUT, "settings", json!({ "proof": "required" })).await;
    ask(&app, Method::GET, PHONE_NUMBER_ID, Value::Null).await;
    let template = json!({ "messaging_product": "whatsapp", "to": "4915199900011", "type": "template",
        "template": { "name": "hello_world", "language": { "code": "en_US" } } });
    ask(&app, Method::POST, &format!("{PHONE_NUMBER_ID}/messages"), template).await;
    // Of two apps nobody says which one the token belongs to, and a wrong proof would be refused.
    let other = json!({ "name": "other", "app_secret": "0f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8b" });
    assert_eq!(app.api(Method::POST, "/v1/apps").json(&other).send().await.unwrap().status(), StatusCode::CREATED);
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}");
    assert_eq!(json_of(app.api(Method::GET, &path)).await.0, StatusCode::BAD_REQUEST);
    app.control(Method::PUT, "settings", json!({ "proof": "optional" })).await;
    assert_eq!(json_of(app.api(Method::GET, &path)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_wherever_an_sdk_puts_it() {
    let app = TestApp::spawn().await;
    let (key, path) = (&app.key, format!("/graph/v25.0/{PHONE_NUMBER_ID}/settings"));
    let with_query = app.without_key(Method::GET, &format!("{path}?access_token={key}"));
    assert_eq!(json_of(with_query).await.0, StatusCode::OK);
    let oauth = app.without_key(Method::GET, &path).header("authorization", format!("OAuth {key}"));
    assert_eq!(json_of(oauth).await.0, StatusCode::OK);
    let feature = json!({ "access_token": key, "calling": { "status": "ENABLED" } });
    // The simulator takes exactly one member, and so sees that ours is gone.
    assert_eq!(json_of(app.without_key(Method::POST, &path).json(&feature)).await.0, StatusCode::OK);
    let form = |text: String| {
        app.without_key(Method::POST, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/request_code"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(text)
    };
    assert_eq!(json_of(form(format!("code_method=SMS&language=de&access_token={key}"))).await.0, StatusCode::OK);
    for wrong in [
        form("code_method=SMS".to_owned()),
        app.without_key(Method::GET, &format!("{path}?access_token={ACCESS_TOKEN}")),
    ] {
        let (status, _, shown) = json_of(wrong).await;
        assert_eq!((status, &shown["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!(190)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_says_whether_it_may_have_been_done() {
    let app = TestApp::spawn().await;
    let (phone, key) = (format!("/graph/v25.0/{PHONE_NUMBER_ID}"), app.key.clone());
    for (method, path, status, code, transient) in [
        (Method::POST, format!("{phone}/settings"), StatusCode::BAD_GATEWAY, 131_000, false),
        (Method::GET, phone.clone(), StatusCode::SERVICE_UNAVAILABLE, 2, true),
    ] {
        app.control(Method::PUT, "faults", json!({ "account": "lost_answer", "times": 1 })).await;
        let (told, _, shown) = json_of(app.api_as(&key, method, &path).json(&json!({ "calling": {} }))).await;
        assert_eq!((told, &shown["error"]["code"]), (status, &json!(code)), "{path}");
        assert_eq!(shown["error"]["is_transient"], transient);
    }
    // It was done.
    assert!(ask(&app, Method::GET, &format!("{PHONE_NUMBER_ID}/settings"), Value::Null).await["calling"].is_object());
    app.control(Method::PUT, "faults", json!({ "account": { "code": 80_007 }, "times": 1 })).await;
    let (_, headers, shown) = json_of(app.api(Method::GET, &phone)).await;
    assert_eq!(shown["error"]["code"], 80_007);
    assert!(headers.contains_key("x-business-use-case-usage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_something_at_meta_leaves_an_entry() {
    let app = TestApp::spawn().await;
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/deregister");
    let (_, headers, _) = json_of(app.api(Method::POST, &path)).await;
    let entry = headers["x-audit-index"].to_str().unwrap().to_owned();
    let log = app.get("/v1/audit?action=graph.changed").await;
    let left = log["data"].as_array().unwrap().iter().find(|one| one["id"] == entry.as_str()).cloned();
    let left = left.unwrap_or_else(|| panic!("{log}"));
    assert!(left.to_string().contains("deregister"), "{left}");
    let (_, headers, _) = json_of(app.api(Method::GET, &format!("/graph/v25.0/{PHONE_NUMBER_ID}"))).await;
    assert!(!headers.contains_key("x-audit-index"), "what shows nobody's data leaves none");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_inspects_its_token_is_told_of_the_channels() {
    let app = TestApp::spawn().await;
    let path = format!("/graph/v25.0/debug_token?input_token={}", app.key);
    let told = app.get(&path).await;
    assert_eq!(told["data"]["is_valid"], true, "{told}");
    assert!(!told.to_string().contains(ACCESS_TOKEN));
}
