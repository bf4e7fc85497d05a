//! Others go on writing while somebody is erased.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use reqwest::StatusCode;
use serde_json::json;
use waxseal::clock::SystemClock;

use super::{ANA, contact_of, erase, erased, reaches, says, sends, traces};
use crate::support::{TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_remembers_the_person_files_nothing_under_them_any_more() {
    let first = TestApp::spawn().await;
    let second = Box::pin(TestApp::spawn_on(first.database.clone(), Arc::new(SystemClock), &[])).await;
    // Both have the contact and its keys in memory.
    says(&first, ANA, "wamid.two.1", "Moin").await;
    says(&second, ANA, "wamid.two.2", "Moin").await;
    let channel = first.channel().await;
    let text =
        json!({ "channel_id": channel, "message": { "to": ANA, "type": "text", "text": { "body": "Antwort" } } });
    sends(&second, text.clone()).await;
    let ana = contact_of(&first, ANA).await.unwrap();
    erased(&first, ANA).await;
    says(&second, ANA, "wamid.two.3", "Wieder da").await;
    sends(&second, text).await;
    let new = contact_of(&first, ANA).await.unwrap();
    assert_ne!(new, ana);
    assert_eq!(traces(&first.database, &ana).await, Vec::<String>::new());
    database::settled(&first.database).await;
    let conversation = first.get(&format!("/v1/contacts/{new}/messages")).await.to_string();
    assert!(conversation.contains("Wieder da") && conversation.contains("Antwort"), "{conversation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_while_a_person_is_erased_is_theirs_and_gone_or_somebody_news_and_whole() {
    let app = Arc::new(TestApp::spawn().await);
    says(&app, ANA, "wamid.rush.first", "Moin").await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (app, over, sent) = (app.clone(), over.clone(), sent.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    let body = webhook::text(ANA, &format!("wamid.rush.{writer}.{number}"), "Und noch etwas");
                    assert_eq!(app.webhook(body).await, StatusCode::OK);
                    sent.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            })
        })
        .collect();
    crate::support::wait::until("some came", crate::support::wait::PATIENCE, async || {
        sent.load(Ordering::Relaxed) > 20
    })
    .await;
    let (id, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &id, "certified").await;
    let at_the_end = sent.load(Ordering::Relaxed);
    crate::support::wait::until("more came", crate::support::wait::PATIENCE, async || {
        sent.load(Ordering::Relaxed) > at_the_end + 20
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new());
    database::settled(&app.database).await;
    let new = contact_of(&app, ANA).await.unwrap();
    assert_ne!(new, ana);
    // Whatever is there opens.
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    let events = events["data"].as_array().unwrap();
    assert!(events.len() > 20);
    assert!(events.iter().all(|event| event["data"]["item"]["text"]["body"] == "Und noch etwas"), "{events:?}");
    assert!(events.iter().all(|event| event["data"]["contact_id"] == json!(new)), "{events:?}");
    let nobodys =
        "SELECT count(*) FROM event WHERE contact_id IS NULL AND type IN ('message.received', 'unrecognised')";
    assert_eq!(database::count(&app.database, nobodys).await, 0, "nothing was filed under nobody");
}
