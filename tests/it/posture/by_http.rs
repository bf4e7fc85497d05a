//! Promise: the posture is told through the API as at the command line, to whoever may read the log, and asking for it is no way to keep the
//! gateway busy.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Role, Sight};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::{ANA, Terminal, of};
use crate::support::app::api_key_for;
use crate::support::folder::Folder;
use crate::support::{TestApp, database, webhook};

async fn asked(app: &TestApp, key: &str, path: &str) -> (StatusCode, Value) {
    let answer = app.api_as(key, Method::GET, path).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    database::settled(&app.database).await;
    app.get(&format!("/v1/audit?action={action}")).await["data"].as_array().unwrap().clone()
}

fn names(told: &Value) -> BTreeSet<&str> {
    told["controls"].as_array().unwrap().iter().map(|one| one["control"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_is_told_what_the_command_line_tells_without_paths_addresses_and_people() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let places = ["a", "b"].map(|name| folder.path().join(name).display().to_string()).join(",");
    let terminal =
        Terminal::open(&[("WAXSEAL_KEYS__CELL_FILES", &places), ("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    let app = &terminal.app;
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.posture.http", "Geheime Worte")).await, StatusCode::OK);
    let auditor = api_key_for(&app.gateway, Powers::Role(Role::Auditor), Role::Auditor.sight()).await;
    let (status, told) = asked(app, &auditor, "/v1/posture").await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let (_, at_terminal) = terminal.posture().await;
    assert_eq!(names(&told), names(&at_terminal));
    assert_eq!(told["stores"], at_terminal["stores"]);
    for (name, state) in
        [("separate-stores", "red"), ("content-sealed", "green"), ("kms", "green"), ("training", "yours")]
    {
        assert_eq!(of(&told, name).0, state, "{told}");
        assert_eq!(of(&at_terminal, name).0, state, "{at_terminal}");
    }
    let count = |state: &str| told["controls"].as_array().unwrap().iter().filter(|one| one["state"] == state).count();
    for state in ["green", "red", "yours"] {
        assert_eq!(told[state], count(state));
    }
    let text = told.to_string();
    let (folder, server) = (folder.path().display().to_string(), app.database.split('/').next_back().unwrap());
    for word in [folder.as_str(), server, "127.0.0.1", ANA, "Geheim", "postgres"] {
        assert!(!text.contains(word), "{word}: {text}");
    }

    let (told, found) = (entries(app, "posture.told").await, entries(app, "posture.found").await);
    assert_eq!((told.len(), &told[0]["said"]["actor"]), (1, &json!("key")), "{told:?}");
    let by: BTreeSet<&str> = found.iter().map(|one| one["said"]["actor"].as_str().unwrap()).collect();
    assert_eq!(by, BTreeSet::from(["gateway", "operator"]), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_measured_once_for_all_who_ask_and_told_with_its_age() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    let first = futures_util::future::join_all((0..8).map(|_| app.get("/v1/posture"))).await;
    assert!(first.iter().all(|told| told["measured_at"] == first[0]["measured_at"]), "{first:?}");
    assert_eq!(entries(&app, "posture.measured").await.len(), 1);
    assert_eq!(entries(&app, "posture.told").await.len(), 8);

    clock.advance(Duration::seconds(50));
    let again = app.get("/v1/posture").await;
    assert_eq!((&again["measured_at"], &again["age_seconds"]), (&first[0]["measured_at"], &json!(50)));
    let record = app.get("/v1/privacy/record").await;
    assert_eq!(record["measured_at"].as_str().unwrap()[..19], first[0]["measured_at"].as_str().unwrap()[..19]);
    assert_eq!(entries(&app, "posture.measured").await.len(), 1);

    // However long it took on this machine: it is fresh for ten times as long.
    clock.advance(Duration::HOUR);
    let later = app.get("/v1/posture").await;
    assert_ne!(later["measured_at"], first[0]["measured_at"]);
    assert!(later["age_seconds"].as_i64().unwrap() < 50, "{later}");
    assert_eq!(entries(&app, "posture.measured").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_measured_now_is_no_green_of_before() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    assert_eq!(of(&app.get("/v1/posture").await, "no-plaintext").0, "green");
    clock.advance(Duration::HOUR);
    database::sabotage(&app.database, "ALTER TABLE event_payload RENAME TO elsewhere").await;
    let answer = app.api(Method::GET, "/v1/posture").send().await.unwrap();
    assert!(answer.status().is_server_error(), "{}", answer.status());
    database::sabotage(&app.database, "ALTER TABLE elsewhere RENAME TO event_payload").await;
    assert_eq!(of(&app.get("/v1/posture").await, "no-plaintext").0, "green");
    database::sabotage(&app.database, "ALTER DOMAIN sealed DROP CONSTRAINT sealed_check").await;
    clock.advance(Duration::HOUR);
    assert_eq!(of(&app.get("/v1/posture").await, "no-plaintext").0, "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_needs_its_permission_and_a_key_that_is_confined_is_told_neither() {
    let app = TestApp::spawn().await;
    let key = async |permissions: &[Permission]| {
        let powers = Powers::Scopes(permissions.iter().copied().collect());
        api_key_for(&app.gateway, powers, Sight::FULL).await
    };
    let (log, privacy) = (key(&[Permission::AuditRead]).await, key(&[Permission::PrivacyRead]).await);
    let service = api_key_for(&app.gateway, Powers::Role(Role::Service), Role::Service.sight()).await;
    let body =
        json!({ "name": "x", "permissions": ["audit:read", "privacy:read"], "channel_ids": [app.channel().await] });
    let made: Value = app.api(Method::POST, "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    let confined = made["key"].as_str().unwrap().to_owned();
    for (path, may, may_not) in [
        ("/v1/posture", &log, [&privacy, &service, &confined]),
        ("/v1/privacy/record", &privacy, [&log, &service, &confined]),
    ] {
        assert_eq!(asked(&app, may, path).await.0, StatusCode::OK, "{path}");
        for key in may_not {
            let (status, refused) = asked(&app, key, path).await;
            assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{path}");
        }
    }
    assert_eq!(entries(&app, "posture.told").await.len() + entries(&app, "record.told").await.len(), 2);
}
