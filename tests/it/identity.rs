//! Promise: one person is one contact, whatever Meta calls them today, and nobody gets another's history.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::receiver::Received;
use crate::support::{Receiver, TestApp, database, webhook};

/// Who writes. What is absent, Meta does not say.
#[derive(Clone, Copy, Default)]
struct Who<'a> {
    number: Option<&'a str>,
    user_id: Option<&'a str>,
    username: Option<&'a str>,
    name: &'a str,
}

async fn write(app: &TestApp, who: Who<'_>, body: &str) {
    let mut contact = json!({ "profile": { "name": who.name } });
    let mut item = webhook::text_item("", &format!("wamid.{body}"), body);
    item.as_object_mut().unwrap().remove("from");
    if let Some(number) = who.number {
        (contact["wa_id"], item["from"]) = (json!(number), json!(number));
    }
    if let Some(id) = who.user_id {
        (contact["user_id"], item["from_user_id"]) = (json!(id), json!(id));
    }
    if let Some(username) = who.username {
        contact["profile"]["username"] = json!(username);
    }
    let post = webhook::messages(json!({ "contacts": [contact], "messages": [item] }));
    assert_eq!(app.webhook(post).await, StatusCode::OK);
}

async fn change_number(app: &TestApp, from: &str, to: &str) {
    let mut item = webhook::text_item(from, &format!("wamid.change.{from}"), "");
    item["type"] = json!("system");
    item["system"] = json!({ "type": "user_changed_number", "wa_id": to, "body": "changed" });
    item.as_object_mut().unwrap().remove("text");
    assert_eq!(app.webhook(webhook::messages(json!({ "messages": [item] }))).await, StatusCode::OK);
}

/// The contacts, oldest first.
async fn contacts(app: &TestApp) -> Vec<Value> {
    let mut list = app.get("/v1/contacts").await["data"].as_array().unwrap().clone();
    list.reverse();
    list
}

/// What a contact wrote, oldest first.
async fn said(app: &TestApp, contact: &Value) -> Vec<String> {
    let path = format!("/v1/contacts/{}/messages", contact["id"].as_str().unwrap());
    let page = app.get(&path).await;
    let entries = page["data"].as_array().unwrap().iter().rev();
    let bodies = entries.filter_map(|entry| entry["event"]["data"]["item"]["text"]["body"].as_str());
    bodies.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_number_is_a_contact() {
    let app = TestApp::spawn().await;
    let ana = Who { user_id: Some("DE.9000000000000001"), name: "Ana", ..Who::default() };
    write(&app, ana, "eins").await;
    write(&app, ana, "zwei").await;
    let list = contacts(&app).await;
    assert_eq!(list.len(), 1);
    assert_eq!((&list[0]["phone"], &list[0]["user_id"]), (&json!(null), &json!("DE.9000000000000001")));
    assert_eq!(said(&app, &list[0]).await, ["eins", "zwei"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_and_an_id_that_turn_out_to_be_one_person_are_merged_and_it_is_told() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let ana = Who { name: "Ana", ..Who::default() };
    let (number, id) = (Some("4915199900011"), Some("DE.9000000000000001"));
    write(&app, Who { number, ..ana }, "eins").await;
    write(&app, Who { user_id: id, ..ana }, "zwei").await;
    let two = contacts(&app).await;
    assert_eq!(two.len(), 2);
    write(&app, Who { number, user_id: id, ..ana }, "drei").await;

    let one = contacts(&app).await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["id"], two[0]["id"], "the older one is kept");
    assert_eq!((&one[0]["phone"], &one[0]["user_id"]), (&json!(number), &json!(id)));
    let gone = format!("/v1/contacts/{}", two[1]["id"].as_str().unwrap());
    assert_eq!(app.get(&gone).await["merged_into"], one[0]["id"]);
    assert_eq!(said(&app, &one[0]).await, ["eins", "zwei", "drei"]);
    assert_eq!(said(&app, &two[1]).await, ["eins", "zwei", "drei"]);

    let told = receiver.wait_for(4).await;
    let merged: Vec<Value> =
        told.iter().map(Received::json).filter(|event| event["type"] == "contact.merged").collect();
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0]["data"]["contact_id"], one[0]["id"]);
    let text = merged[0].to_string();
    assert!(text.contains(two[1]["id"].as_str().unwrap()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_changes_their_number_stays_the_same_contact_and_gives_the_old_one_up() {
    let app = TestApp::spawn().await;
    let ana = Who { number: Some("4915199900011"), name: "Ana", ..Who::default() };
    write(&app, ana, "eins").await;
    change_number(&app, "4915199900011", "4915199900022").await;
    write(&app, Who { number: Some("4915199900022"), ..ana }, "zwei").await;
    let list = contacts(&app).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["phone"], "4915199900022");
    assert_eq!(said(&app, &list[0]).await, ["eins", "zwei"]);

    // Not even what is remembered for speed gives the old number's next owner the former one's history.
    write(&app, Who { name: "Bob", ..ana }, "drei").await;
    let list = contacts(&app).await;
    assert_eq!(list.len(), 2);
    assert_eq!((&list[1]["phone"], &list[1]["name"]), (&json!("4915199900011"), &json!("Bob")));
    assert_eq!(said(&app, &list[1]).await, ["drei"]);
    assert_eq!(list[0]["name"], "Ana");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_given_up_and_taken_in_one_post_changes_hands() {
    let app = TestApp::spawn().await;
    write(&app, Who { number: Some("4915199900011"), name: "Ana", ..Who::default() }, "eins").await;
    let mut change = webhook::text_item("4915199900011", "wamid.change", "");
    change["type"] = json!("system");
    change["system"] = json!({ "type": "user_changed_number", "wa_id": "4915199900022", "body": "changed" });
    let next = webhook::text_item("4915199900011", "wamid.next", "zwei");
    assert_eq!(app.webhook(webhook::messages(json!({ "messages": [change, next] }))).await, StatusCode::OK);
    let list = contacts(&app).await;
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0]["phone"], &list[1]["phone"]), (&json!("4915199900022"), &json!("4915199900011")));
    assert_eq!(said(&app, &list[1]).await, ["zwei"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_somebody_else_has_now_brings_no_history_along() {
    let app = TestApp::spawn().await;
    let number = Some("4915199900011");
    write(&app, Who { number, user_id: Some("DE.9000000000000001"), name: "Ana", ..Who::default() }, "eins").await;
    write(&app, Who { number, user_id: Some("DE.9000000000000002"), name: "Bob", ..Who::default() }, "zwei").await;
    write(&app, Who { number, name: "Bob", ..Who::default() }, "drei").await;
    let list = contacts(&app).await;
    assert_eq!(list.len(), 2);
    assert_eq!(said(&app, &list[0]).await, ["eins"]);
    assert_eq!(said(&app, &list[1]).await, ["zwei", "drei"]);
    assert_eq!(list[0]["name"], "Ana");
    assert_eq!((&list[1]["name"], &list[1]["phone"]), (&json!("Bob"), &json!(number)));
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact_identifier WHERE kind = 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_again_later_changes_nobody() {
    let app = TestApp::spawn().await;
    let number = Some("4915199900011");
    let ana = Who { number, user_id: Some("DE.9000000000000001"), name: "Ana", ..Who::default() };
    let bob = Who { user_id: Some("DE.9000000000000002"), name: "Bob", ..ana };
    write(&app, ana, "eins").await;
    write(&app, Who { number: None, name: "Ana Beispiel", ..ana }, "zwei").await;
    write(&app, bob, "drei").await;
    let before = contacts(&app).await;
    write(&app, ana, "eins").await;
    assert_eq!(contacts(&app).await, before);
    write(&app, Who { number, name: "Bob", ..Who::default() }, "vier").await;
    assert_eq!(said(&app, &before[1]).await, ["drei", "vier"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_number_that_comes_again_later_takes_nothing_from_the_next_owner() {
    let app = TestApp::spawn().await;
    let ana = Who { number: Some("4915199900011"), name: "Ana", ..Who::default() };
    write(&app, ana, "eins").await;
    change_number(&app, "4915199900011", "4915199900022").await;
    write(&app, Who { name: "Bob", ..ana }, "zwei").await;
    let before = contacts(&app).await;
    change_number(&app, "4915199900011", "4915199900022").await;
    assert_eq!(contacts(&app).await, before);
    write(&app, Who { number: Some("4915199900022"), ..ana }, "drei").await;
    assert_eq!(said(&app, &before[0]).await, ["eins", "drei"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_username_changes_with_its_person_and_makes_nobody_one() {
    let app = TestApp::spawn().await;
    let ana = Who { user_id: Some("DE.9000000000000001"), name: "Ana", ..Who::default() };
    let bob = Who { user_id: Some("DE.9000000000000002"), name: "Bob", ..Who::default() };
    write(&app, Who { username: Some("sonne"), ..ana }, "eins").await;
    write(&app, Who { username: Some("mond"), ..ana }, "zwei").await;
    write(&app, Who { username: Some("sonne"), ..bob }, "drei").await;
    let list = contacts(&app).await;
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0]["username"], &list[1]["username"]), (&json!("mond"), &json!("sonne")));
    assert_eq!(said(&app, &list[0]).await, ["eins", "zwei"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_spellings_of_one_mobile_are_one_contact_and_the_last_one_is_shown() {
    let app = TestApp::spawn().await;
    let pairs =
        [("5511987654321", "551187654321"), ("5215512345678", "525512345678"), ("5491123456789", "541123456789")];
    for (one, other) in pairs {
        for number in [one, other, one, other] {
            let who = Who { number: Some(number), name: "Ana", ..Who::default() };
            let times = database::count(&app.database, "SELECT count(*) FROM event").await;
            write(&app, who, &format!("{times}")).await;
        }
    }
    let phones: Vec<Value> = contacts(&app).await.iter().map(|one| one["phone"].clone()).collect();
    assert_eq!(phones, pairs.map(|(_, last)| json!(last)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_shows_the_name_that_was_last_seen() {
    let app = TestApp::spawn().await;
    let number = Some("4915199900011");
    for (name, body) in [("Ana", "eins"), ("Ana B.", "zwei"), ("Ana Beispiel", "drei")] {
        write(&app, Who { number, name, ..Who::default() }, body).await;
        let list = contacts(&app).await;
        assert_eq!((list.len(), &list[0]["name"]), (1, &json!(name)));
    }
    // What names nobody takes no name away.
    let status = webhook::status_item("4915199900011", "wamid.out", "read");
    assert_eq!(app.webhook(webhook::messages(json!({ "statuses": [status] }))).await, StatusCode::OK);
    assert_eq!(contacts(&app).await[0]["name"], "Ana Beispiel");
}
