//! What is not whole, not signed, or for too few, is not taken.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use waxseal::clock::SystemClock;

use super::{ANA, SECRET, Safe, environment, run};
use crate::support::folder::Folder as Files;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

async fn app_that_heard() -> TestApp {
    let app = TestApp::spawn().await;
    assert!(app.webhook(webhook::text(ANA, "wamid.damaged.1", SECRET)).await.is_success());
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_in_any_file_is_named_and_nothing_is_restored() {
    let (safe, files) = (Safe::new("backup-flips"), [Files::new(), Files::new()]);
    let [here, elsewhere] = files.each_ref().map(Files::url);
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &here)]).await;
    assert!(app.webhook(webhook::text(ANA, "wamid.damaged.1", SECRET)).await.is_success());
    let order = json!({ "type": "document", "mime_type": "text/plain", "media_base64": "bmljaHRz" });
    app.control(Method::POST, "inbound", order).await;
    database::until(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'", 1).await;
    let (folder, key) = safe.back_up(&environment(&app.database, &[("WAXSEAL_MEDIA__URL", &here)]), &[]).await;
    let there = database::bare(None).await;
    let new = environment(&there, &[("WAXSEAL_MEDIA__URL", &elsewhere)]);
    let verify =
        async |folder: &Path, key: &str| run(&["verify", "backup", folder.to_str().unwrap(), "--key", key], &[]).await;
    assert!(verify(&folder, &key).await.ok().starts_with("ok: waxseal-"));
    for name in ["data.tar.zst.age", "keys.tar.zst.age", "files.tar.zst.age", "manifest.json", "manifest.sig"] {
        let file = folder.join(name);
        let whole = std::fs::read(&file).unwrap();
        for at in [whole.len() / 5, whole.len() / 2, whole.len() - 2] {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            std::fs::write(&file, &wrong).unwrap();
            let verified = verify(&folder, &key).await;
            assert_eq!(verified.code, Some(4), "{name} at {at}: {}", verified.text);
            verified.refused(name);
            safe.restore(&new, &folder, &key, &[]).await.refused(name);
        }
        std::fs::write(&file, &whole).unwrap();
    }
    // The key of another log.
    let other = TestApp::spawn().await;
    let foreign = run(&["audit", "key"], &environment(&other.database, &[])).await.ok();
    safe.restore(&new, &folder, foreign.trim(), &[]).await.refused("there is no signature of the key");
    let tables = "SELECT count(*) FROM pg_class WHERE relname IN ('tenant', 'event')";
    assert_eq!(database::count(&there, tables).await, 0, "nothing was made");
    // The hash of an archive is right, and what is in it does not open: somebody else's identity.
    let stranger = Safe::new("backup-stranger");
    stranger.restore(&new, &folder, &key, &[]).await.refused("none of the identities opens it");
    let rows = database::count(&there, "SELECT count(*) FROM tenant").await;
    assert_eq!(rows, 0, "nothing was filled");
    assert!(!files[1].path().exists() || files[1].files().is_empty(), "nor any file put back");
    safe.restore(&new, &folder, &key, &["--dry-run"]).await.ok();
    safe.restore(&new, &folder, &key, &[]).await.ok();
    app.gateway.shutdown().await;
    other.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_is_too_few_even_when_named_twice() {
    let (safe, app) = (Safe::new("backup-one"), app_that_heard().await);
    let (to, one) = (safe.path("backups").display().to_string(), &safe.recipients[0]);
    let environment = environment(&app.database, &[]);
    for recipients in [vec![one], vec![one, one]] {
        let mut words = vec!["backup", "--to", &to];
        words.extend(recipients.into_iter().flat_map(|one| ["--recipient", one.as_str()]));
        run(&words, &environment).await.refused("two recipients or more");
    }
    assert!(!safe.path("backups").exists());
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_killed_is_never_taken_for_a_whole_one() {
    let (safe, app) = (Safe::new("backup-killed"), app_that_heard().await);
    let (environment, to) = (environment(&app.database, &[]), safe.path("backups"));
    let [one, two] = &safe.recipients;
    let words = ["backup", "--to", to.to_str().unwrap(), "--recipient", one, "--recipient", two];
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&to).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    // Nobody reads a table that is locked: the backup hangs in the middle.
    let mut lock = PgConnection::connect(&app.database).await.unwrap();
    lock.execute("BEGIN; LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut child = waxseal(&words, &environment).spawn().unwrap();
    until("it has begun", PATIENCE, async || !names().is_empty()).await;
    child.kill().await.unwrap();
    lock.close().await.unwrap();
    let left = names();
    assert!(left.iter().all(|name| name.starts_with(".unfinished-")), "{left:?}");
    let (_, key) = safe.back_up(&environment, &[]).await;
    safe.restore(&environment, &to.join(&left[0]), &key, &[]).await.refused("manifest.json");
    app.gateway.shutdown().await;
}
