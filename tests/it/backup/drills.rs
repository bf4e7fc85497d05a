//! A restore that is tried before it is needed.

use super::{ANA, SECRET, Safe, environment};
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
    for wanted in ["20 open, 0 are forgotten, 0 are damaged", "the audit log is whole", "this backup can be restored"] {
        assert!(said.contains(wanted), "{wanted:?} in {said}");
    }
    assert!(!said.contains(SECRET) && !said.contains(ANA));
    let entries = "SELECT count(*) FROM audit_entry WHERE action IN ('backup.made', 'backup.drilled')";
    assert_eq!(database::count(&app.database, entries).await, 2);
    app.gateway.shutdown().await;
}
