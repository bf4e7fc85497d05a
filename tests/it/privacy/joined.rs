//! What hangs on a person by other threads than their events: files that were handed over about them, and what Meta says later.

use std::sync::Arc;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use super::{ANA, contact_of, erased, says, sends, traces};
use crate::support::app::ACCESS_TOKEN;
use crate::support::folder::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_handed_over_about_a_person_go_with_them_here_and_at_meta() {
    let folder = Folder::new();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.files.1", "Moin").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let path = format!("/v1/media?contact_id={ana}");
    let handed = app.api(Method::POST, &path).header(CONTENT_TYPE, "image/png").body("pixels").send().await.unwrap();
    let file = handed.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let channel = app.channel().await;
    let image = json!({ "to": ANA, "type": "image", "image": { "id": file } });
    let sent = sends(&app, json!({ "channel_id": channel, "message": image })).await;
    until("it is read", PATIENCE, async || app.get(&format!("/v1/messages/{sent}")).await["state"] == "read").await;
    let ledger = app.control(Method::GET, "ledger?messages=1&wait_ms=60000", json!(null)).await;
    let meta_id = ledger["messages"][0]["body"]["image"]["id"].as_str().unwrap().to_owned();
    let at_meta = async || {
        let url = format!("{}/v25.0/{meta_id}", app.simulator.base_url());
        Client::new().get(url).bearer_auth(ACCESS_TOKEN).send().await.unwrap().status()
    };
    assert_eq!((at_meta().await, folder.files().len()), (StatusCode::OK, 1));

    let done = erased(&app, ANA).await;
    assert_eq!(done["removed"]["media"], 1, "{done}");
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new());
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media_at_meta").await, 0);
    assert!(folder.files().is_empty());
    assert_eq!(at_meta().await, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_later_of_a_message_to_somebody_erased_makes_nobody_new() {
    let app = TestApp::spawn().await;
    let status = async |kind: &str| {
        let said = webhook::messages(json!({ "statuses": [webhook::status_item(ANA, "wamid.late.out", kind)] }));
        assert_eq!(app.webhook(said).await, StatusCode::OK);
    };
    says(&app, ANA, "wamid.late.in", "Moin").await;
    status("delivered").await;
    database::settled(&app.database).await;
    erased(&app, ANA).await;
    let stored = "SELECT count(*) FROM event";
    let before = database::count(&app.database, stored).await;
    status("read").await;
    assert_eq!(database::count(&app.database, stored).await, before);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact").await, 0);
    // A message of somebody new is one.
    says(&app, ANA, "wamid.late.new", "Da bin ich wieder").await;
    assert_eq!(database::count(&app.database, stored).await, before + 1);
}
