//! Promise: nothing is written under a key that a living process cannot read yet. Who cannot is named, and no read fails meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use rustix::fs::{Mode, chmod};
use rustix::process::Signal;
use serde_json::json;

use crate::support::database;
use crate::support::estate::{Estate, Folder};
use crate::support::process::{Ports, Process, said};
use crate::support::wait::{PATIENCE, until};

const NEW: &str = "9b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e91f";

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    chmod(path, Mode::RUSR | Mode::WUSR).unwrap();
}

async fn reads(process: &Process, key: &str) -> (StatusCode, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(process.api("/v1/events?limit=200&type=message.received")).bearer_auth(key);
    let answer = asked.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_moves_under_another_secret_when_every_living_process_can_read_it_there() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let folder = Folder::new("key-readers");
    let (old_file, old) = (folder.0.join("old"), estate.environment.clone());
    private(&old_file, &old.iter().find(|(name, _)| name == "WAXSEAL_KEYS__SECRET").unwrap().1);
    let mut new = old.clone();
    new.retain(|(name, _)| name != "WAXSEAL_KEYS__SECRET");
    new.push(("WAXSEAL_KEYS__SECRET".to_owned(), NEW.to_owned()));
    let both = [new.clone(), vec![("WAXSEAL_KEYS__PREVIOUS_SECRET_FILE".to_owned(), old_file.display().to_string())]];
    let both = both.concat();
    let inbound = format!("{}/control/inbound", estate.simulator.base_url());
    let text = json!({ "from": "4915199900011", "type": "text", "body": "vor dem Wechsel" });
    assert!(reqwest::Client::new().post(&inbound).json(&text).send().await.unwrap().status().is_success());
    database::until(&estate.database, "SELECT count(*) FROM event WHERE type = 'message.received'", 1).await;
    database::settled(&estate.database).await;

    // One that can read both, beside one that was not restarted yet.
    let second = Process::start(&both, Ports::free()).await;
    let (stop, count, key) = (AtomicBool::new(false), AtomicUsize::new(0), estate.key.clone());
    let reading = async {
        while !stop.load(Ordering::Relaxed) {
            let (status, text) = reads(&second, &key).await;
            assert!(status == StatusCode::OK && text.contains("vor dem Wechsel"), "{status} {text}");
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let moving = async {
        let (is_ok, text) = said(&["keys", "rewrap", "--wait", "0"], &both).await;
        assert!(!is_ok && text.contains("nothing was changed: it cannot be read there yet by"), "{text}");
        until("one process alone is waited for", PATIENCE, async || {
            let (is_ok, text) = said(&["keys", "rewrap", "--wait", "0"], &both).await;
            assert!(!is_ok, "{text}");
            text.matches("running since").count() == 1
        })
        .await;
        assert!(said(&["keys", "status"], &both).await.1.contains("on its way under another KMS"));
        // A step of somebody who has moved on already shuts nobody out either, and the root is begun anew.
        assert!(said(&["keys", "step"], &both).await.0);
        let (status, text) = reads(&estate.gateway, &estate.key).await;
        assert!(status == StatusCode::OK && text.contains("vor dem Wechsel"), "{status} {text}");

        let waiting = said(&["keys", "rewrap", "--wait", "600"], &both);
        let restarting = async {
            estate.gateway.signal(Signal::TERM);
            estate.gateway.ended().await;
            Process::start(&both, estate.gateway.at).await
        };
        let ((is_ok, text), first) = tokio::join!(waiting, restarting);
        assert!(is_ok && text.contains("may go"), "{text}");
        let (status, text) = reads(&first, &key).await;
        assert!(status == StatusCode::OK && text.contains("vor dem Wechsel"), "{status} {text}");
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(reading, moving);
    assert!(count.load(Ordering::Relaxed) > 0);
    assert!(said(&["keys", "status"], &new).await.0 && !said(&["keys", "status"], &old).await.0);
}
