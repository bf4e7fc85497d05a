//! A restore that is tried before it is needed.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use waxseal::clock::SystemClock;

use super::{ANA, SECRET, Safe, environment};
use crate::support::estate::{Folder, durable};
use crate::support::{TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_restores_and_opens_everything_elsewhere_and_leaves_an_entry_here() {
    let (safe, app) = (Safe::new("backup-drill"), TestApp::spawn().await);
    for number in 0..20 {
        let said = webhook::text(ANA, &format!("wamid.drill.{number}"), SECRET);
        assert!(app.webhook(said).await.is_success());
    }
    let here = environment(&app.database, &[]);
    // The keys lie apart from the data.
    let keys = safe.path("elsewhere").display().to_string();
    let (folder, key) = safe.back_up(&here, &["--keys-to", &keys]).await;
    assert!(!folder.join("keys.tar.zst.age").exists());
    safe.restore(&here, &folder, &key, &["--drill"]).await.refused("keys.tar.zst.age");
    let keys = format!("{keys}/{}", folder.file_name().unwrap().to_str().unwrap());
    let said = safe.restore(&here, &folder, &key, &["--keys-from", &keys, "--drill"]).await.ok();
    for wanted in [
        "20 open, 0 are forgotten, 0 are damaged",
        "the audit log is whole",
        "rows that are as the log said",
        "this backup can be restored",
    ] {
        assert!(said.contains(wanted), "{wanted:?} in {said}");
    }
    assert!(!said.contains(SECRET) && !said.contains(ANA));
    let entries =
        "SELECT count(*) FROM audit_entry WHERE action IN ('backup.made', 'backup.finished', 'backup.drilled')";
    assert_eq!(database::count(&app.database, entries).await, 3);
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_server_that_has_counted_far_is_drilled_and_a_restore_says_what_a_new_server_needs() {
    let (safe, place) = (Safe::new("backup-far"), Folder::new("backup-far-server"));
    let server = durable(&place).await;
    let data = server.dir().join("data");
    server.stop().await;
    let programs = Command::new("bash").arg("scripts/postgres-bin.sh").output().unwrap();
    let program = Path::new(String::from_utf8(programs.stdout).unwrap().trim()).join("pg_resetwal");
    let owner = std::fs::metadata(&data).unwrap();
    let far = Command::new(program).args(["--epoch=1", "-D"]).arg(&data).uid(owner.uid()).gid(owner.gid()).output();
    let far = far.unwrap();
    assert!(far.status.success(), "{}", String::from_utf8_lossy(&far.stderr));

    let server = durable(&place).await;
    let app = TestApp::spawn_on(server.dsn().expose().to_owned(), Arc::new(SystemClock), &[]).await;
    assert!(app.webhook(webhook::text(ANA, "wamid.far.1", SECRET)).await.is_success());
    let here = environment(&app.database, &[]);
    let (folder, key) = safe.back_up(&here, &[]).await;
    let said = safe.restore(&here, &folder, &key, &["--drill"]).await.ok();
    assert!(said.contains("1 open, 0 are forgotten, 0 are damaged"), "{said}");
    let there = environment(&database::bare(None).await, &[]);
    safe.restore(&there, &folder, &key, &[]).await.refused("pg_resetwal --epoch=2");
    app.gateway.shutdown().await;
    server.stop().await;
}
