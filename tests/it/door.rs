//! Promise: what a number shall not keep of people's data is left out before anything is stored or handed on; all else stays.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{PHONE_NUMBER_ID, WABA_ID};
use crate::support::process::waxseal;
use crate::support::{Receiver, TestApp, app, database};

const ANA: &str = "4915199900011";

fn webhook(messages: &Value) -> String {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": WABA_ID, "changes": [{ "field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": { "display_phone_number": "15550001234", "phone_number_id": PHONE_NUMBER_ID },
        "contacts": [{ "profile": { "name": "Ana Geheim" }, "wa_id": ANA }], "messages": messages } }] }] })
    .to_string()
}

fn message(id: &str, kind: &str, content: &Value) -> Value {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
    json!([{ "from": ANA, "id": format!("wamid.{id}"), "timestamp": now, "type": kind, kind: content, "future": 1.10,
             "referral": { "source_id": "anzeige-7", "ctwa_clid": id } }])
}

fn place(id: &str) -> Value {
    message(id, "location", &json!({ "latitude": 53.55, "longitude": 9.99, "name": "Zuhause" }))
}

async fn minimise(app: &TestApp, policy: Value) -> (StatusCode, Value) {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&json!({ "minimise": policy })).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_number_drops_is_stored_nowhere_and_handed_to_nobody() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "meta").await;
    let (status, channel) =
        minimise(&app, json!({ "names": "drop", "locations": "drop", "contacts": "drop", "referrals": "drop" })).await;
    assert_eq!((status, &channel["minimise"]["locations"]), (StatusCode::OK, &json!("drop")));
    app.directory_is_read().await;
    assert_eq!(app.webhook(webhook(&place("door.1"))).await, StatusCode::OK);
    let card = json!([{ "name": { "formatted_name": "Bob Fremd" }, "phones": [{ "phone": "4915199900022" }] }]);
    assert_eq!(app.webhook(webhook(&message("door.2", "contacts", &card))).await, StatusCode::OK);
    assert_eq!(app.webhook(webhook(&message("door.3", "text", &json!({ "body": "Moin" })))).await, StatusCode::OK);

    let told = receiver.wait_for(3).await;
    let texts: Vec<String> = told.iter().map(|one| one.json().to_string()).collect();
    let all = texts.join(" ");
    assert!(
        !["Geheim", "53.55", "Zuhause", "Fremd", "900022", "anzeige"].iter().any(|word| all.contains(word)),
        "{all}"
    );
    assert!(all.contains("Moin") && all.contains("\"location\"") && all.contains("\"future\":1.1"), "{all}");
    database::settled(&app.database).await;
    let stored = app.get("/v1/events?limit=200").await.to_string() + &app.get("/v1/contacts").await.to_string();
    assert!(!["Geheim", "53.55", "Fremd", "anzeige"].iter().any(|word| stored.contains(word)), "{stored}");
    assert!(stored.contains(ANA), "who they are stays: {stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hashed_can_be_compared_and_not_read_and_a_copy_that_comes_again_is_recognised() {
    let app = TestApp::spawn().await;
    assert_eq!(
        minimise(&app, json!({ "names": "hash", "locations": "hash", "referrals": "hash" })).await.0,
        StatusCode::OK
    );
    app.directory_is_read().await;
    let first = webhook(&place("door.4"));
    for body in [first.clone(), first, webhook(&place("door.5"))] {
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
    database::settled(&app.database).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    let events = events["data"].as_array().unwrap();
    assert_eq!(events.len(), 2, "a copy is a copy");
    let of = |event: &Value, member: &str| {
        let text = event.to_string();
        let from = text.split(&format!("\"{member}\":{{\"hash\":\"")).nth(1).unwrap_or_else(|| panic!("{text}"));
        from.split('"').next().unwrap().to_owned()
    };
    for member in ["location", "referral"] {
        assert_eq!(of(&events[0], member), of(&events[1], member), "{member}");
        assert_eq!(of(&events[0], member).len(), 32);
    }
    let text = json!(events).to_string();
    assert!(!["Geheim", "53.55", "anzeige"].iter().any(|word| text.contains(word)), "{text}");
    let contacts = app.get("/v1/contacts").await;
    assert!(contacts["data"][0]["name"].as_str().unwrap().starts_with("hash:"), "{contacts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_set_at_the_terminal_too_and_all_faults_are_told() {
    let app = TestApp::spawn().await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let id = app.channel().await;
    let mut set = waxseal(&["channel", "set", &id, "--drop", "names,locations", "--hash", "referrals"], &environment);
    assert!(set.output().await.unwrap().status.success());
    let list = String::from_utf8(waxseal(&["channel", "list"], &environment).output().await.unwrap().stdout).unwrap();
    assert!(list.contains("drop names, locations; hash referrals"), "{list}");
    app.directory_is_read().await;
    assert_eq!(app.get(&format!("/v1/channels/{id}")).await["minimise"]["names"], "drop");
    let (status, problem) = minimise(&app, json!({ "faces": "drop", "names": "melt" })).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (StatusCode::UNPROCESSABLE_ENTITY, 2));
    assert_eq!(minimise(&app, json!({})).await.1["minimise"]["names"], "keep");
}
