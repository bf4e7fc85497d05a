//! How far the mirror reaches: what is not the caller's is not there, what is on no list is not passed on, and Meta's token goes to Meta.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::{self, Grant, Powers};
use waxseal::access::{Permission, Permissions, Sight};
use waxseal::clock::SystemClock;
use waxseal::ids::TenantId;

use super::{TEMPLATE, documented, json_of};
use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, TestApp, WABA_ID, api_key_with};

async fn key_of(app: &TestApp, grant: Grant) -> String {
    let base = app.gateway.base();
    let made = api_key::generate(Grant { sight: Sight::FULL, ..grant }, base.clock.now());
    base.directory.save_api_key(made.record).await.unwrap();
    made.shown.expose().to_owned()
}

fn all() -> Powers {
    Powers::Scopes(Permissions::admin())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_accounts_of_others_are_unknown_like_what_never_existed() {
    let app = TestApp::spawn().await;
    let base = app.gateway.base();
    let other = json!({ "phone_number_id": "999", "waba_id": "998", "name": "other", "access_token": ACCESS_TOKEN });
    let other: Value = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap().json().await.unwrap();
    let stranger = TenantId::from_uuid("01890000-0000-7000-8000-00000000000f".parse().unwrap());
    base.store.ensure_tenant(stranger, "other", base.clock.now()).await.unwrap();
    let confined = Grant {
        channels: vec![other["id"].as_str().unwrap().parse().unwrap()],
        ..Grant::new(TenantId::DEFAULT, "x".to_owned(), all())
    };
    for grant in [Grant::new(stranger, "x".to_owned(), all()), confined] {
        let key = key_of(&app, grant).await;
        for call in documented().iter().filter(|call| call.path.contains("{phone}") || call.path.contains("{waba}")) {
            let mut told = Vec::new();
            for path in [call.at(PHONE_NUMBER_ID, WABA_ID, TEMPLATE), call.at("777", "776", TEMPLATE)] {
                let (status, _, shown) = json_of(app.api_as(&key, call.method.clone(), &path).json(&json!({}))).await;
                assert_eq!((status, &shown["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(100)), "{path} {shown}");
                let told_id = |shown: &Value| {
                    shown["error"]["message"].to_string().replace("777", PHONE_NUMBER_ID).replace("776", WABA_ID)
                };
                told.push((shown["error"]["type"].clone(), shown["error"]["error_subcode"].clone(), told_id(&shown)));
            }
            assert_eq!(told[0], told[1], "{} {}", call.method, call.path);
        }
        // Nor is anything said in the name of a channel that is not the caller's.
        let named = format!("/graph/v25.0/{TEMPLATE}?phone_number_id={PHONE_NUMBER_ID}");
        assert_eq!(json_of(app.api_as(&key, Method::GET, &named)).await.2["error"]["type"], "GraphMethodException");
    }
    assert_eq!(app.control(Method::GET, "ledger", json!(null)).await["messages"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_several_accounts_says_in_whose_name_meta_is_asked() {
    let app = TestApp::spawn().await;
    let other =
        json!({ "phone_number_id": "999", "waba_id": "998", "name": "other", "access_token": "EAAofAnotherNumber1" });
    app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap();
    let ask = async |path: &str| json_of(app.api(Method::GET, &format!("/graph/v25.0/{path}"))).await;
    let (status, _, shown) = ask(TEMPLATE).await;
    assert_eq!((status, &shown["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(100)));
    assert!(shown["error"]["message"].as_str().unwrap().contains("phone_number_id"), "{shown}");
    assert_eq!(ask(&format!("{TEMPLATE}?phone_number_id={PHONE_NUMBER_ID}")).await.0, StatusCode::OK);
    // The other token is none of Meta's.
    assert_eq!(ask(&format!("{TEMPLATE}?phone_number_id=999")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_a_list_needs_what_the_list_needs_and_names_need_a_key_that_sees_them() {
    let app = TestApp::spawn().await;
    let key = api_key_with(&app.gateway, std::iter::once(Permission::NumbersRead).collect()).await;
    let status =
        async |key: &str, path: &str| json_of(app.api_as(key, Method::GET, &format!("/graph/v25.0/{path}"))).await.0;
    assert_eq!(status(&key, &format!("{WABA_ID}?fields=name")).await, StatusCode::OK);
    let nested = format!("{WABA_ID}?fields=name,phone_numbers%7Bid,block_users%7D");
    assert_eq!(status(&key, &nested).await, StatusCode::FORBIDDEN);
    let reads = std::iter::once(Permission::ContactsRead).collect();
    let grant = Grant { sight: Sight::MASKED, ..Grant::new(TenantId::DEFAULT, "x".to_owned(), Powers::Scopes(reads)) };
    let made = api_key::generate(grant, app.gateway.base().clock.now());
    app.gateway.base().directory.save_api_key(made.record).await.unwrap();
    let list = format!("{PHONE_NUMBER_ID}/block_users");
    assert_eq!(status(made.shown.expose(), &list).await, StatusCode::FORBIDDEN, "who sees numbers masked");
    let clear = api_key_with(&app.gateway, std::iter::once(Permission::ContactsRead).collect()).await;
    assert_eq!(status(&clear, &list).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_no_list_is_refused_until_the_configuration_names_it() {
    let path = format!("/graph/v25.0/{WABA_ID}/assigned_users");
    let app = TestApp::spawn().await;
    for (method, path) in [
        (Method::GET, path.as_str()),
        (Method::PUT, &path),
        (Method::GET, "/graph/v25.0/oauth/access_token?grant_type=x"),
        (Method::GET, "/graph/v25.0/me/accounts"),
        (Method::POST, "/graph/v25.0/"),
        (Method::GET, "/graph"),
        (Method::GET, "/graph/v25.0/%2e%2e/x"),
        (Method::DELETE, &format!("/graph/v25.0/{PHONE_NUMBER_ID}")),
        (Method::GET, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/subscribed_apps?method=delete")),
        (Method::GET, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/settings?method=post")),
    ] {
        let answer = app.api(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{method} {path}");
        assert!(answer.json::<Value>().await.unwrap()["error"]["code"].is_number());
    }
    let allow = [("WAXSEAL_GRAPH__ALLOW", "GET /{waba}/assigned_users,GET /debug_token")];
    let app = TestApp::spawn_with(std::sync::Arc::new(SystemClock), &allow).await;
    // The simulator has no such call: its refusal shows that it was asked.
    let (_, _, shown) = json_of(app.api(Method::GET, &path)).await;
    assert_eq!(shown["error"]["code"], 2500, "{shown}");
    assert!(shown["error"]["message"].as_str().unwrap().contains("/v25.0/"), "{shown}");
    let others: Permissions = Permissions::admin().iter().filter(|one| *one != Permission::GraphAny).collect();
    let others = api_key_with(&app.gateway, others).await;
    assert_eq!(json_of(app.api_as(&others, Method::GET, &path)).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_without_a_channel_is_no_template_to_be_changed() {
    let app = TestApp::spawn().await;
    // The simulator's number, taken from us: Meta knows it, and our token opens it.
    let channel = app.channel().await;
    let other = json!({ "phone_number_id": "999", "waba_id": "998", "name": "other" });
    let other: Value = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap().json().await.unwrap();
    let token = json!({ "access_token": ACCESS_TOKEN });
    let other = format!("/v1/channels/{}", other["id"].as_str().unwrap());
    assert_eq!(app.api(Method::PATCH, &other).json(&token).send().await.unwrap().status(), StatusCode::OK);
    let gone = app.api(Method::DELETE, &format!("/v1/channels/{channel}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    for (method, path) in
        [(Method::GET, ""), (Method::GET, "?fields=display_phone_number"), (Method::POST, ""), (Method::DELETE, "")]
    {
        let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}{path}");
        let (status, _, shown) = json_of(app.api(method, &path).json(&json!({ "pin": "123456" }))).await;
        assert_eq!(
            (status, &shown["error"]["type"]),
            (StatusCode::BAD_REQUEST, &json!("GraphMethodException")),
            "{shown}"
        );
    }
}
