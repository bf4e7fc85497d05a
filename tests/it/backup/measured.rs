//! Whether there is a backup that is young enough, and of use, is measured out of the log.

use std::sync::Arc;

use time::Duration;
use waxseal::backup::{Parts, Wanted};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::{ANA, SECRET, Safe, environment, run};
use crate::support::{TestApp, webhook};

/// How the control of backups stands, and what it rests on.
async fn control(here: &[(String, String)]) -> (String, String) {
    let said = run(&["posture", "--json"], here).await;
    let told: serde_json::Value = serde_json::from_str(&said.text).unwrap_or_else(|_| panic!("{}", said.text));
    let one = told["controls"].as_array().unwrap().iter().find(|one| one["control"] == "backups").unwrap();
    (one["state"].as_str().unwrap().to_owned(), one["evidence"].as_str().unwrap().to_owned())
}

fn says((state, evidence): &(String, String), wanted: &str, words: &[&str]) {
    assert_eq!(state, wanted, "{evidence}");
    assert!(words.iter().all(|word| evidence.contains(word)), "{words:?} in {evidence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_an_old_one_keys_beside_data_and_no_drill_are_red_and_a_young_one_kept_apart_is_green() {
    let safe = Safe::new("backup-measured");
    let clock = Arc::new(ManualClock::new(SystemClock.now() - Duration::days(10)));
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    assert!(app.webhook(webhook::text(ANA, "wamid.measured.1", SECRET)).await.is_success());
    let here = environment(&app.database, &[]);
    says(&control(&here).await, "red", &["none of the data", "none of the keys", "waxseal backup"]);

    // Ten days ago, by the clock of then.
    let recipients = safe.recipients.iter().map(|one| waxseal::crypto::age::Recipient::parse(one).unwrap()).collect();
    let (to, keys_to) = (safe.path("old"), Some(safe.path("old-keys")));
    let wanted = Wanted { to, keys_to, recipients, parts: Parts { data: true, keys: true }, bytes_per_second: None };
    let making = app.gateway.base().making(&app.config, false).unwrap();
    making.make(&wanted, &mut |_, _, _| {}).await.unwrap();
    let old = clock.now().date().to_string();
    says(&control(&here).await, "red", &["the newest of the data", &old, "2 days are allowed"]);
    let patient = environment(&app.database, &[("WAXSEAL_BACKUP__MAX_AGE_DAYS", "11")]);
    says(&control(&patient).await, "green", &["2 recipients", "tried not yet"]);

    safe.back_up(&here, &[]).await;
    says(&control(&here).await, "red", &["beside the data", "--keys-to"]);
    let keys = safe.path("elsewhere").display().to_string();
    safe.back_up(&here, &["--keys-to", &keys]).await;
    says(&control(&here).await, "green", &["data", "keys", "2 recipients", "kept for 30 days"]);
    let strict = environment(&app.database, &[("WAXSEAL_BACKUP__DRILL_DAYS", "9")]);
    says(&control(&strict).await, "red", &["tried never", "--drill"]);
    let elsewhere = environment(&app.database, &[("WAXSEAL_BACKUP__MAX_AGE_DAYS", "0")]);
    says(&control(&elsewhere).await, "yours", &["other means"]);
    app.gateway.shutdown().await;
}
