//! Promise: a key that is confined to channels sees and does nothing beyond them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{UNKNOWN, made_key, new_key, problem};
use crate::support::{Receiver, TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_confined_to_a_channel_sees_nothing_of_another() {
    let app = TestApp::spawn().await;
    let own = app.channel().await;
    let other =
        json!({ "phone_number_id": "999", "waba_id": "998", "name": "other", "access_token": "EAAofAnotherNumber1" });
    let other: Value = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap().json().await.unwrap();
    let other = other["id"].as_str().unwrap();
    app.webhook(webhook::text("4915199900011", "wamid.own", "meins")).await;
    let foreign = String::from_utf8(webhook::text("4915199900022", "wamid.other", "fremd")).unwrap();
    app.webhook(foreign.replace(crate::support::app::PHONE_NUMBER_ID, "999").into_bytes()).await;
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await["id"].as_str().unwrap().to_owned();
    let made =
        made_key(&app, json!({ "name": "x", "permissions": ["admin"], "unmasked": true, "channel_ids": [own] })).await;
    let key = made["key"].as_str().unwrap();

    let get =
        async |path: &str| -> Value { app.api_as(key, Method::GET, path).send().await.unwrap().json().await.unwrap() };
    database::settled(&app.database).await;
    let events = get("/v1/events").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(events["data"][0]["data"]["channel_id"], own.as_str());
    assert_eq!(get(&format!("/v1/events?channel_id={other}")).await["data"], json!([]));
    let contacts = get("/v1/contacts").await;
    assert_eq!(contacts["data"].as_array().unwrap().len(), 1);
    assert_eq!(contacts["data"][0]["phone"], "4915199900011");
    assert_eq!(get("/v1/channels").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(get("/v1/endpoints").await["data"], json!([]));

    let own_event = events["data"][0]["id"].as_str().unwrap();
    assert_eq!(
        get(&format!("/v1/events/{own_event}/deliveries")).await["data"],
        json!([]),
        "the endpoint is not for it"
    );
    let everything = app.get("/v1/events").await;
    let is_foreign = |event: &&Value| event["data"]["channel_id"] == other;
    let foreign_event = everything["data"].as_array().unwrap().iter().find(is_foreign).unwrap();
    let foreign_event = foreign_event["id"].as_str().unwrap();
    app.get(&format!("/v1/events/{foreign_event}/deliveries")).await;

    let all = app.get("/v1/contacts").await;
    let stranger = all["data"].as_array().unwrap().iter().find(|one| one["phone"] == "4915199900022").unwrap();
    let stranger = format!("/v1/contacts/{}", stranger["id"].as_str().unwrap());
    for path in [
        stranger.clone(),
        stranger + "/messages",
        format!("/v1/channels/{other}"),
        format!("/v1/endpoints/{endpoint}"),
        format!("/v1/endpoints/{endpoint}/dead-letters"),
        format!("/v1/endpoints/{endpoint}/attempts"),
        format!("/v1/endpoints/{endpoint}/replays"),
        format!("/v1/events/{foreign_event}/deliveries"),
    ] {
        problem(app.api_as(key, Method::GET, &path).send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
    }
    let message = |channel: &str| json!({ "channel_id": channel, "message": { "to": "4915199900011", "type": "text", "text": { "body": "x" } } });
    let mut refusals = Vec::new();
    for channel in [other, UNKNOWN] {
        let answer = app.api_as(key, Method::POST, "/v1/messages").json(&message(channel)).send().await.unwrap();
        refusals.push(problem(answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body").await);
    }
    assert_eq!(refusals[0], refusals[1], "a foreign channel is as unknown as any");
    let batch = json!({ "messages": [message(other)] });
    let answer = app.api_as(key, Method::POST, "/v1/messages/batch").json(&batch).send().await.unwrap();
    problem(answer, StatusCode::UNPROCESSABLE_ENTITY, "batch_refused").await;
    let mut later = message(other);
    later["send_at"] = json!((time::OffsetDateTime::now_utc() + time::Duration::DAY).format(&Rfc3339).unwrap());
    let queued = app.api(Method::POST, "/v1/messages").json(&later).send().await.unwrap();
    assert_eq!(queued.status(), StatusCode::ACCEPTED);
    let path = format!("/v1/messages/{}", queued.json::<Value>().await.unwrap()["id"].as_str().unwrap());
    for method in [Method::GET, Method::DELETE] {
        problem(app.api_as(key, method, &path).send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
    }
    let everything = json!({ "name": "x", "url": receiver.url() });
    let answer = app.api_as(key, Method::POST, "/v1/endpoints").json(&everything).send().await.unwrap();
    problem(answer, StatusCode::FORBIDDEN, "forbidden").await;
    let wider = json!({ "name": "x", "permissions": ["events:read"], "channel_ids": [other] });
    problem(new_key(&app, key, wider).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body").await;
    let heir: Value =
        new_key(&app, key, json!({ "name": "x", "permissions": ["events:read"] })).await.json().await.unwrap();
    let seen = app.api_as(heir["key"].as_str().unwrap(), Method::GET, "/v1/events").send().await.unwrap();
    assert_eq!(seen.json::<Value>().await.unwrap()["data"].as_array().unwrap().len(), 1, "confinement is inherited");
}
