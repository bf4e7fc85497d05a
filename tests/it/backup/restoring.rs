//! Back and there again, while the gateway goes on.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::{ANA, BOB, SECRET, Safe, environment};
use crate::support::folder::Folder as Files;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_while_messages_came_in_is_there_again_without_a_gap_and_opens() {
    let (safe, files) = (Safe::new("backup-live"), Files::new());
    let media = ("WAXSEAL_MEDIA__URL", files.url());
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[(media.0, &media.1)]).await;
    let order =
        json!({ "type": "document", "mime_type": "text/plain", "media_base64": BASE64.encode(SECRET.as_bytes()) });
    app.control(Method::POST, "inbound", order).await;
    let stored = "SELECT count(*) FROM media WHERE state = 'stored'";
    database::until(&app.database, stored, 1).await;
    let text = |number: usize| webhook::text(BOB, &format!("wamid.backup.{number}"), &format!("{SECRET} {number}"));
    assert_eq!(app.webhook(text(0)).await, StatusCode::OK);

    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(1));
    let writing = async {
        while !stop.load(Ordering::Relaxed) {
            let number = acknowledged.load(Ordering::Relaxed);
            assert_eq!(app.webhook(text(number)).await, StatusCode::OK);
            acknowledged.store(number + 1, Ordering::Relaxed);
        }
    };
    let copying = async {
        let before = acknowledged.load(Ordering::Relaxed);
        let made = safe.back_up(&environment(&app.database, &[(media.0, &media.1)]), &[]).await;
        stop.store(true, Ordering::Relaxed);
        (before, made)
    };
    let ((), (before, (folder, key))) = tokio::join!(writing, copying);
    let after = acknowledged.load(Ordering::Relaxed);
    app.gateway.shutdown().await;

    // Nothing readable, and what is encrypted is what everybody's age opens.
    let needles = [Needle::in_every_form("what was said", SECRET), Needle::in_every_form("number", BOB)];
    let (found, read) = sweep::in_files(&needles, &folder);
    assert!(found.is_empty() && read > 0, "{found:?}");
    for (archive, holds) in [("data", "event_payload_"), ("keys", "dek/00000001"), ("files", "/")] {
        let file = folder.join(format!("{archive}.tar.zst.age"));
        let pipe = format!("age -d -i '{}' '{}' | zstd -d | tar -t", safe.path("two").display(), file.display());
        let listed = Command::new("bash").args(["-o", "pipefail", "-c", &pipe]).output().unwrap();
        let (names, said) = (String::from_utf8(listed.stdout).unwrap(), String::from_utf8_lossy(&listed.stderr));
        assert!(
            listed.status.success() && names.contains(holds),
            "is age there (scripts/ensure-age.sh)? {names}{said}"
        );
    }

    // A server that has hardly counted a transaction: readers of events see what was restored all the same.
    let (server, new_files) = (PrivatePostgres::throwaway().await.unwrap(), Files::new());
    let there = server.dsn().expose().to_owned();
    let media = ("WAXSEAL_MEDIA__URL", new_files.url());
    let new = environment(&there, &[(media.0, &media.1)]);
    let said = safe.restore(&new, &folder, &key, &[]).await.ok();
    assert!(said.contains("1 files are there") && said.contains("restored"), "{said}");
    safe.restore(&new, &folder, &key, &[]).await.refused("is not empty");
    let app = TestApp::spawn_on(there.clone(), Arc::new(SystemClock), &[(media.0, &media.1)]).await;
    let (mut bodies, mut query) = (Vec::new(), "?type=message.received&limit=200".to_owned());
    loop {
        let page = app.get(&format!("/v1/events{query}")).await;
        for event in page["data"].as_array().unwrap() {
            bodies.extend(event["data"]["item"]["text"]["body"].as_str().map(str::to_owned));
        }
        if page["has_more"] != true {
            break;
        }
        query = format!("?type=message.received&limit=200&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    let expected: Vec<String> = (0..bodies.len()).map(|number| format!("{SECRET} {number}")).collect();
    assert_eq!(bodies, expected, "a prefix of what was written, in its order");
    assert!((before..=after).contains(&bodies.len()), "{before} <= {} <= {after}", bodies.len());
    let media = app.get("/v1/media").await["data"][0]["id"].as_str().unwrap().to_owned();
    let file = app.api(Method::GET, &format!("/v1/media/{media}")).send().await.unwrap();
    assert_eq!((file.status(), file.text().await.unwrap().as_str()), (StatusCode::OK, SECRET));
    // It goes on: what is new comes behind what was.
    assert_eq!(app.webhook(text(after + 1)).await, StatusCode::OK);
    until("what is new can be read", PATIENCE, async || {
        let newest = "SELECT count(*) FROM event e, event o WHERE e.xid < pg_snapshot_xmin(pg_current_snapshot()) AND e.xid > o.xid";
        database::count(&there, newest).await > 0
    })
    .await;
    app.gateway.shutdown().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_when_the_backup_was_made_is_not_sent_again_and_what_is_later_still_is() {
    let safe = Safe::new("backup-outbox");
    let now = SystemClock.now();
    let clock = Arc::new(ManualClock::new(now - time::Duration::hours(3)));
    let app = TestApp::spawn_with(clock, &[]).await;
    let send = async |at: time::OffsetDateTime| {
        let order = json!({ "channel_id": app.channel().await, "send_at": at.format(&Rfc3339).unwrap(),
                            "message": { "to": ANA, "type": "text", "text": { "body": SECRET } } });
        let answer = app.api(Method::POST, "/v1/messages").json(&order).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.json::<serde_json::Value>().await.unwrap());
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    // Between the backup and the restore the first comes to be sent; the second not.
    let (first, second) = (send(now - time::Duration::hours(1)).await, send(now + time::Duration::days(1)).await);
    let (folder, key) = safe.back_up(&environment(&app.database, &[]), &[]).await;
    app.gateway.shutdown().await;
    let there = database::bare(None).await;
    safe.restore(&environment(&there, &[]), &folder, &key, &[]).await.ok();
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &[]).await;
    until("the first is in doubt", PATIENCE, async || {
        app.get(&format!("/v1/messages/{first}")).await["state"] == "in_doubt"
    })
    .await;
    assert_eq!(app.get(&format!("/v1/messages/{second}")).await["state"], "queued");
    app.gateway.shutdown().await;
}
