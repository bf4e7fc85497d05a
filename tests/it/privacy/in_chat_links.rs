//! Who asks for their data in the chat gets them there, where the operator wants that.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::json;
use waxseal::clock::SystemClock;

use super::in_chat::{code, requests, told};
use super::passphrases::opened_by_age;
use super::{ANA, BOB, says};
use crate::support::folder::Folder;
use crate::support::sweep;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const BASE: &str = "https://privacy.example.com/";

async fn with_links() -> (Folder, TestApp) {
    let folder = Folder::new();
    let settings = [
        ("WAXSEAL_PRIVACY__IN_CHAT", "true"),
        ("WAXSEAL_PRIVACY__IN_CHAT_EXPORTS", "link"),
        ("WAXSEAL_PRIVACY__PUBLIC_URL", BASE),
        ("WAXSEAL_MEDIA__URL", &folder.url()),
    ];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &settings).await;
    (folder, app)
}

const DONE: &str = "SELECT count(*) FROM in_chat WHERE state = 'done'";

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_their_data_gets_a_link_and_what_opens_it_and_their_request_ends_when_they_followed_it() {
    let (_folder, app) = with_links().await;
    says(&app, BOB, "wamid.link.0", "qcanaryOther").await;
    says(&app, ANA, "wamid.link.1", "meine daten").await;
    let digits = code(&app, ANA, 1).await;
    says(&app, ANA, "wamid.link.2", &digits).await;
    until("she gets a link", PATIENCE, async || told(&app, ANA).await.len() == 3).await;
    let text = told(&app, ANA).await[0].clone();
    assert!(text.contains("Kennwort") && text.contains("Geben Sie sie nicht weiter"), "{text}");
    let path = text.split_whitespace().find_map(|word| word.strip_prefix(BASE.trim_end_matches('/'))).unwrap();
    let is_passphrase = |word: &&str| word.len() == 34 && word.matches('-').count() == 6;
    let passphrase = text.split_whitespace().find(is_passphrase).unwrap();
    let request = requests(&app).await[0].clone();
    assert_eq!((&request["state"], &request["deeds"][0]["what"]), (&json!("open"), &json!("export")), "{request}");

    // As if the process had died between the message and the note of it: she is told once, and the same.
    database::until(&app.database, DONE, 1).await;
    database::sabotage(&app.database, "UPDATE in_chat SET state = 'ready', message_id = NULL").await;
    database::until(&app.database, DONE, 1).await;
    assert_eq!(told(&app, ANA).await.len(), 3);
    assert!(!sweep::dump(&app.database).await.contains(passphrase), "it lies nowhere but in the message, sealed");

    let got = app.without_key(Method::GET, path).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::OK);
    let away = Folder::new();
    std::fs::create_dir_all(away.path()).unwrap();
    let file = away.path().join("ana.zip.age");
    std::fs::write(&file, got.bytes().await.unwrap()).unwrap();
    let plain = opened_by_age(&file, passphrase).expect("it opens");
    let has = |text: &str| memchr::memmem::find(&plain, text.as_bytes()).is_some();
    assert!(has("meine daten") && !has("qcanaryOther"));
    assert_eq!(requests(&app).await[0]["state"], "done", "she has them");
    let entries = "SELECT count(DISTINCT action) FROM audit_entry
                   WHERE action IN ('export.requested', 'export.linked', 'privacy_request.closed')";
    assert_eq!(database::count(&app.database, entries).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_identity_the_request_waits_for_a_person_and_nothing_is_made() {
    let (folder, app) = with_links().await;
    says(&app, ANA, "wamid.change.1", "Moin").await;
    let mut change = webhook::text_item(ANA, "wamid.change.2", "");
    change["type"] = json!("system");
    change["system"] = json!({ "type": "user_changed_number", "wa_id": BOB, "body": "changed" });
    assert_eq!(app.webhook(webhook::messages(json!({ "messages": [change] }))).await, StatusCode::OK);
    says(&app, BOB, "wamid.change.3", "my data").await;
    let digits = code(&app, BOB, 1).await;
    says(&app, BOB, "wamid.change.4", &digits).await;
    database::until(&app.database, DONE, 1).await;
    assert_eq!(told(&app, BOB).await.len(), 2, "asked, and promised: no link");
    assert_eq!((requests(&app).await[0]["state"].clone(), folder.files().len()), (json!("open"), 0));
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM export").await, 0);
}
