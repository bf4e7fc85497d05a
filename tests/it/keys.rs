//! Promise: a key does what it was made for, from where, for as long and for as many people, and no more.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::app::Gateway;
use waxseal::clock::Clock;

use crate::authorisation::problem;
use crate::support::process::waxseal;
use crate::support::{Receiver, TestApp, app, database, wait, webhook};

async fn ask_for(app: &TestApp, body: &Value) -> Response {
    app.api(Method::POST, "/v1/keys").json(body).send().await.unwrap()
}

/// Id and text of a new key.
async fn new_key(app: &TestApp, body: Value) -> (String, String) {
    let answer = ask_for(app, &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED, "{body}");
    told(&answer.json().await.unwrap())
}

fn told(made: &Value) -> (String, String) {
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn status(app: &TestApp, key: &str, path: &str) -> StatusCode {
    app.api_as(key, Method::GET, path).send().await.unwrap().status()
}

async fn shown(app: &TestApp, id: &str) -> Value {
    let keys = app.get("/v1/keys?limit=200").await;
    keys["data"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone()
}

async fn change(app: &TestApp, id: &str, what: &str, body: &Value) -> Response {
    app.api(Method::POST, &format!("/v1/keys/{id}/{what}")).json(body).send().await.unwrap()
}

async fn people(app: &TestApp, count: usize) -> Vec<String> {
    for number in 0..count {
        let (from, wamid) = (format!("49151999000{number:02}"), format!("wamid.{number}"));
        assert_eq!(app.webhook(webhook::text(&from, &wamid, "Moin")).await, StatusCode::OK);
    }
    database::settled(&app.database).await;
    let contacts = app.get("/v1/contacts?limit=200").await;
    contacts["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_gets_no_more_people_than_its_budget_out_of_all_processes_together_and_is_locked() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let contacts = people(&app, 6).await;
    let second = Gateway::start(&app.config, clock.clone()).await.unwrap();
    let body = json!({ "name": "thief", "permissions": ["contacts:read", "channels:read"], "contacts_per_hour": 4 });
    let (id, key) = new_key(&app, body).await;
    second.base().directory.reload().await.unwrap();
    let there = |contact: &str| format!("http://{}/v1/contacts/{contact}", second.addresses.internal);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let first = app.api_as(&key, Method::GET, &format!("/v1/contacts/{}", contacts[0])).send().await.unwrap();
    let limit = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert_eq!([limit("ratelimit-policy"), limit("ratelimit")], [r#""contacts";q=4;w=3600"#, r#""contacts";r=3"#]);
    for contact in &contacts[..2] {
        assert_eq!(status(&app, &key, &format!("/v1/contacts/{contact}")).await, StatusCode::OK);
        assert_eq!(
            status(&app, &key, &format!("/v1/contacts/{contact}")).await,
            StatusCode::OK,
            "the same costs nothing"
        );
    }
    for contact in &contacts[2..4] {
        assert_eq!(client.get(there(contact)).bearer_auth(&key).send().await.unwrap().status(), StatusCode::OK);
    }
    let refused = app.api_as(&key, Method::GET, &format!("/v1/contacts/{}", contacts[4])).send().await.unwrap();
    problem(refused, StatusCode::TOO_MANY_REQUESTS, "read_budget_exceeded").await;
    let known = client.get(there(&contacts[0])).bearer_auth(&key).send().await.unwrap();
    problem(known, StatusCode::TOO_MANY_REQUESTS, "read_budget_exceeded").await;
    assert_eq!(status(&app, &key, "/v1/channels").await, StatusCode::TOO_MANY_REQUESTS, "a locked key does nothing");
    clock.advance(Duration::hours(2));
    assert_eq!(status(&app, &key, "/v1/channels").await, StatusCode::TOO_MANY_REQUESTS, "time does not unlock it");
    assert!(shown(&app, &id).await["locked_at"].is_string());
    let alarm = receiver
        .wait_for(7)
        .await
        .into_iter()
        .map(|one| one.json())
        .find(|event| event["type"] == "security.read_budget_exceeded");
    let alarm = alarm.expect("it is told");
    assert_eq!(alarm["data"]["item"], json!({ "key_id": id, "contacts_per_hour": 4 }));

    assert_eq!(change(&app, &id, "unlock", &json!({})).await.status(), StatusCode::NO_CONTENT);
    for contact in &contacts[..4] {
        assert_eq!(status(&app, &key, &format!("/v1/contacts/{contact}")).await, StatusCode::OK);
    }
    let page = app.api_as(&key, Method::GET, "/v1/contacts").send().await.unwrap();
    problem(page, StatusCode::TOO_MANY_REQUESTS, "read_budget_exceeded").await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_whole_again_after_an_hour() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let contacts = people(&app, 4).await;
    let body = json!({ "name": "x", "permissions": ["contacts:read"], "contacts_per_hour": 2 });
    let (_, key) = new_key(&app, body).await;
    for pair in contacts.chunks(2) {
        for contact in pair {
            assert_eq!(status(&app, &key, &format!("/v1/contacts/{contact}")).await, StatusCode::OK);
        }
        clock.advance(Duration::HOUR);
    }
    let left = "SELECT count(*) FROM key_read WHERE octet_length(contact_hash) <> 16";
    assert_eq!(database::count(&app.database, left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_valid_beside_the_new_one_for_its_grace_and_no_third_beside_them() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let grant = json!({ "name": "crm", "role": "service", "unmasked": true, "cidrs": ["127.0.0.0/8"] });
    let (id, old) = new_key(&app, grant).await;
    let answer = change(&app, &id, "rotate", &json!({ "grace_hours": 2 })).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let (heir, new) = told(&answer.json().await.unwrap());
    for key in [&old, &new] {
        assert_eq!(status(&app, key, "/v1/contacts").await, StatusCode::OK);
    }
    let json = shown(&app, &heir).await;
    assert_eq!((&json["role"], &json["unmasked"]), (&json!("service"), &json!(true)));
    assert_eq!((&json["cidrs"], &json["rotated_from"]), (&json!(["127.0.0.0/8"]), &json!(id)));
    for again in [&id, &heir] {
        problem(change(&app, again, "rotate", &json!({})).await, StatusCode::CONFLICT, "conflict").await;
    }
    clock.advance(Duration::hours(2));
    assert_eq!(status(&app, &old, "/v1/contacts").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &new, "/v1/contacts").await, StatusCode::OK);
    assert_eq!(change(&app, &heir, "rotate", &json!({ "grace_hours": 0 })).await.status(), StatusCode::CREATED);
    assert_eq!(status(&app, &new, "/v1/contacts").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_a_key_may_have_it_revoked_and_learns_nothing() {
    let app = TestApp::spawn().await;
    let (_, leaked) = new_key(&app, json!({ "name": "x", "role": "service" })).await;
    let report = async |key: &str| {
        let answer =
            app.without_key(Method::POST, "/v1/keys/report").json(&json!({ "key": key })).send().await.unwrap();
        let headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
        (answer.status(), headers, answer.text().await.unwrap())
    };
    let never = format!("{}{}", &leaked[..leaked.len() - 1], if leaked.ends_with('0') { '1' } else { '0' });
    let answers = [report(&never).await, report("x").await, report("").await];
    assert_eq!(status(&app, &leaked, "/v1/contacts").await, StatusCode::OK);
    let hit = report(&leaked).await;
    assert_eq!(hit.0, StatusCode::ACCEPTED);
    assert!(answers.iter().chain([&report(&leaked).await]).all(|answer| *answer == hit), "{answers:?}");
    assert_eq!(status(&app, &leaked, "/v1/contacts").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &app.key, "/v1/contacts").await, StatusCode::OK);
    // As much is written for what is no key, or no longer one: the time of the answer is that of the same statements.
    let (_, another) = new_key(&app, json!({ "name": "x", "role": "service" })).await;
    for reported in [another.as_str(), &never, &another, "x"] {
        let steps = async || database::count(&app.database, "SELECT version FROM settings_version").await;
        let before = steps().await;
        assert_eq!(report(reported).await, hit);
        assert_eq!(steps().await, before + 1, "the settings are stepped, and read again, for every report");
    }
    let mut last = StatusCode::ACCEPTED;
    for _ in 0..30 {
        last = report("x").await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_unknown_outside_of_its_networks_and_believes_a_proxy_that_is_trusted_alone() {
    let clock = std::sync::Arc::new(waxseal::clock::SystemClock);
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    let behind = TestApp::spawn_with(clock, &[("WAXSEAL_SERVER__TRUSTED_PROXIES", "127.0.0.0/8,::1/128")]).await;
    for (app, believed) in [(&app, false), (&behind, true)] {
        let (_, home) = new_key(app, json!({ "name": "x", "role": "service", "cidrs": ["127.0.0.1"] })).await;
        let (_, away) = new_key(app, json!({ "name": "x", "role": "service", "cidrs": ["192.0.2.0/24"] })).await;
        let from = async |key: &str, forwarded: Option<&str>| {
            let request = app.api_as(key, Method::GET, "/v1/contacts");
            let request =
                forwarded.map_or(request.try_clone().unwrap(), |from| request.header("x-forwarded-for", from));
            request.send().await.unwrap().status()
        };
        assert_eq!(from(&home, None).await, StatusCode::OK);
        assert_eq!(from(&away, None).await, StatusCode::UNAUTHORIZED);
        let told = if believed { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(from(&away, Some("198.51.100.1, 192.0.2.7")).await, told);
        assert_eq!(from(&away, Some("192.0.2.7, 198.51.100.1")).await, StatusCode::UNAUTHORIZED);
    }
    let mirror = app.api_as(&app.key, Method::POST, "/graph/v25.0/1/messages").json(&json!({})).send().await.unwrap();
    assert_eq!(mirror.status(), StatusCode::BAD_REQUEST);
    let (_, away) = new_key(&app, json!({ "name": "x", "role": "service", "cidrs": ["192.0.2.0/24"] })).await;
    let mirror = app.api_as(&away, Method::POST, "/graph/v25.0/1/messages").json(&json!({})).send().await.unwrap();
    assert_eq!(mirror.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_key_that_sees_more_lives_longer_or_is_used_from_elsewhere() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let year = clock.now() + Duration::days(366);
    let masked = json!({ "name": "maker", "permissions": ["admin"], "cidrs": ["127.0.0.0/8"] });
    let (_, maker) = new_key(&app, masked).await;
    let by =
        async |maker: &str, body: Value| app.api_as(maker, Method::POST, "/v1/keys").json(&body).send().await.unwrap();
    let clear = json!({ "name": "x", "permissions": ["events:read"], "unmasked": true });
    problem(by(&maker, clear).await, StatusCode::FORBIDDEN, "forbidden").await;
    for faulty in [
        json!({ "name": "x", "permissions": ["events:read"], "cidrs": ["10.0.0.0/8"] }),
        json!({ "name": "x", "role": "agent", "unmasked": true }),
        json!({ "name": "x", "role": "auditor", "field_class": "sensitive" }),
        json!({ "name": "x", "role": "agent", "permissions": ["events:read"] }),
        json!({ "name": "x", "role": "emperor" }),
        json!({ "name": "x" }),
        json!({ "name": "x", "role": "agent", "contacts_per_hour": 0 }),
        json!({ "name": "x", "role": "agent", "cidrs": ["nowhere"] }),
        json!({ "name": "x", "role": "agent", "expires_at": year.format(&Rfc3339).unwrap() }),
    ] {
        problem(by(&maker, faulty).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body").await;
    }
    let heir: Value = by(&maker, json!({ "name": "x", "role": "admin" })).await.json().await.unwrap();
    let heir = shown(&app, heir["id"].as_str().unwrap()).await;
    assert_eq!((&heir["unmasked"], &heir["cidrs"]), (&json!(false), &json!(["127.0.0.0/8"])));
    let (_, thrifty) = new_key(&app, json!({ "name": "x", "permissions": ["admin"], "contacts_per_hour": 9 })).await;
    problem(by(&thrifty, json!({ "name": "x", "role": "agent" })).await, StatusCode::FORBIDDEN, "forbidden").await;
    let (_, owner) = new_key(&app, json!({ "name": "x", "role": "owner" })).await;
    problem(by(&owner, json!({ "name": "x", "role": "admin" })).await, StatusCode::FORBIDDEN, "forbidden").await;
    problem(by(&owner, json!({ "name": "x", "role": "privacy_officer" })).await, StatusCode::FORBIDDEN, "forbidden")
        .await;
    assert_eq!(by(&owner, json!({ "name": "x", "role": "auditor" })).await.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_the_last_use_is_known_soon_and_no_finer() {
    let app = TestApp::spawn().await;
    let (id, key) = new_key(&app, json!({ "name": "x", "role": "service" })).await;
    assert_eq!(shown(&app, &id).await["last_used_on"], Value::Null);
    status(&app, &key, "/v1/channels").await;
    let patience = std::time::Duration::from_secs(30);
    wait::until("the day is stored", patience, async || shown(&app, &id).await["last_used_on"].is_string()).await;
    assert_eq!(shown(&app, &id).await["last_used_on"].as_str().unwrap().len(), "2026-11-22".len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_rotates_unlocks_and_revokes_the_same_keys() {
    let app = TestApp::spawn().await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let run = async |words: &[&str]| {
        let done = waxseal(&[&["key"], words].concat(), &environment).output().await.unwrap();
        app.directory_is_read().await;
        (done.status.success(), String::from_utf8(done.stdout).unwrap())
    };
    let secret = |out: &str| out.lines().last().unwrap().to_owned();
    let grant = [
        "create",
        "--name",
        "bot",
        "--role",
        "agent",
        "--cidr",
        "127.0.0.1",
        "--contacts-per-hour",
        "1",
        "--days",
        "30",
    ];
    let (done, out) = run(&grant).await;
    assert!(done, "{out}");
    let (id, key) = (out.split([' ', ';']).nth(1).unwrap().to_owned(), secret(&out));
    assert_eq!(status(&app, &key, "/v1/contacts").await, StatusCode::OK);
    people(&app, 2).await;
    assert_eq!(status(&app, &key, "/v1/contacts").await, StatusCode::TOO_MANY_REQUESTS);
    assert!(run(&["list"]).await.1.lines().any(|line| line.contains("agent") && line.ends_with("locked")));
    assert!(run(&["unlock", &id]).await.0 && !run(&["unlock", &id]).await.0);
    let (done, out) = run(&["rotate", &id, "--grace-hours", "0"]).await;
    assert!(done && !run(&["rotate", &id]).await.0);
    assert_eq!(status(&app, &key, "/v1/channels").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, &secret(&out), "/v1/channels").await, StatusCode::OK);
    assert!(run(&["revoke", out.split([' ', ';']).nth(1).unwrap()]).await.0);
    assert_eq!(status(&app, &secret(&out), "/v1/channels").await, StatusCode::UNAUTHORIZED);
    for faulty in [
        &["create", "--name", "x"][..],
        &["create", "--name", "x", "--role", "agent", "--unmasked"],
        &["create", "--name", "x", "--role", "agent", "--days", "366"],
        &["create", "--name", "x", "--role", "agent", "--scope", "admin"],
    ] {
        assert!(!run(faulty).await.0, "{faulty:?}");
    }
}
