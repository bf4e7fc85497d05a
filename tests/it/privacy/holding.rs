//! What is held stays, and is not read in the ordinary way.

use std::sync::Arc;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Permissions, Sight};
use waxseal::clock::SystemClock;

use super::{ANA, BOB, contact_of, erase, reaches, says, sends};
use crate::support::app::{api_key_for, api_key_with};
use crate::support::folder::Folder;
use crate::support::{TestApp, database};

/// Everything but what is held.
fn ordinary() -> Permissions {
    Permissions::admin().iter().filter(|one| *one != Permission::HeldRead).collect()
}

async fn status(app: &TestApp, key: &str, method: Method, path: &str) -> StatusCode {
    app.api_as(key, method, path).send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_two_keys_keeps_a_person_from_erasure_and_from_ordinary_readers_until_it_is_released() {
    let folder = Folder::new();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.hold.1", "Beweis").await;
    says(&app, BOB, "wamid.hold.2", "Hallo").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let channel = app.channel().await;
    for (to, text) in [(ANA, "Antwort an Ana"), (BOB, "Antwort an Bob")] {
        let message = json!({ "to": to, "type": "text", "text": { "body": text } });
        sends(&app, json!({ "channel_id": channel, "message": message })).await;
    }
    let file =
        app.api(Method::POST, &format!("/v1/media?contact_id={ana}")).header(CONTENT_TYPE, "image/png").body("pixels");
    let file = file.send().await.unwrap().json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let until = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    let until = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "phone": ANA, "reason": "Streit um eine Lieferung", "expires_at": until });
    let mut late = body.clone();
    late["expires_at"] = json!("2099-01-01T00:00:00Z");
    let answer = app.api(Method::POST, "/v1/privacy/holds").json(&late).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let answer = app.api(Method::POST, "/v1/privacy/holds").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let hold = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let approve = format!("/v1/privacy/holds/{hold}/approve");
    assert_eq!(status(&app, &app.key, Method::POST, &approve).await, StatusCode::CONFLICT, "not by who asked for it");
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    assert_eq!(status(&app, &second, Method::POST, &approve).await, StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &second, Method::POST, &approve).await, StatusCode::CONFLICT, "once");
    app.directory_is_read().await;

    let reader = api_key_for(&app.gateway, Powers::Scopes(ordinary()), Sight::FULL).await;
    for path in
        [format!("/v1/contacts/{ana}"), format!("/v1/contacts/{ana}/messages"), format!("/v1/contacts/{ana}/consent")]
    {
        assert_eq!(status(&app, &reader, Method::GET, &path).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(status(&app, &app.key, Method::GET, &path).await, StatusCode::OK, "{path}");
    }
    for path in ["/v1/events?limit=200", "/v1/contacts"] {
        let seen = app.api_as(&reader, Method::GET, path).send().await.unwrap().text().await.unwrap();
        assert!(!seen.contains(&ana) && !seen.contains("Beweis") && !seen.contains(ANA), "{path}: {seen}");
    }
    let seen = app.api_as(&reader, Method::GET, "/v1/messages").send().await.unwrap().text().await.unwrap();
    assert!(seen.contains("Antwort an Bob") && !seen.contains("Antwort an Ana"), "the others are read on: {seen}");
    assert!(app.get("/v1/messages").await.to_string().contains("Antwort an Ana"));
    let seen = app.api_as(&reader, Method::GET, "/v1/media").send().await.unwrap().text().await.unwrap();
    assert!(!seen.contains(&file), "{seen}");
    let one = format!("/v1/media/{file}");
    assert_eq!(status(&app, &reader, Method::GET, &format!("{one}/details")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&app, &app.key, Method::DELETE, &one).await, StatusCode::FORBIDDEN, "it stays");
    assert_eq!(status(&app, &app.key, Method::GET, &one).await, StatusCode::OK);
    assert!(app.get("/v1/events?limit=200").await.to_string().contains("Beweis"));

    let (erasure, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &erasure, "held").await;
    let listed = app.get("/v1/privacy/holds").await;
    assert_eq!(
        (&listed["data"][0]["reason"], &listed["data"][0]["in_force"]),
        (&json!("Streit um eine Lieferung"), &json!(true))
    );
    assert!(contact_of(&app, ANA).await.is_some(), "it is still there");
    let released = status(&app, &second, Method::DELETE, &format!("/v1/privacy/holds/{hold}")).await;
    assert_eq!(released, StatusCode::NO_CONTENT);
    reaches(&app, &erasure, "certified").await;
    assert!(contact_of(&app, ANA).await.is_none());
    let words = "SELECT string_agg(action, ',' ORDER BY entry_id) FROM audit_entry WHERE action LIKE 'hold%' OR action = 'erasure.held'";
    assert_eq!(
        database::text(&app.database, words).await,
        "hold.requested,hold.approved,erasure.held,holds.read,hold.released"
    );
}
