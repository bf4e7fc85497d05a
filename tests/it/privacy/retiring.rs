//! What is older than is kept goes, on the day after its last.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use time::{Date, Duration};
use waxseal::access::{Permission, Permissions};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::{ANA, BOB, contact_of, says};
use crate::support::app::api_key_with;
use crate::support::folder::Folder;
use crate::support::{TestApp, database};

/// Waits until the cleaning of the day that it is now is over.
async fn cleaned(app: &TestApp, clock: &ManualClock) {
    let today = clock.now().date();
    let done = format!("SELECT count(*) FROM audit_entry WHERE action = 'retention.attested' AND part_day = '{today}'");
    crate::support::wait::until("the day was cleaned", crate::support::wait::PATIENCE, async || {
        database::count(&app.database, &done).await > 0
    })
    .await;
}

pub async fn days_pass(app: &TestApp, clock: &ManualClock, days: i64) {
    clock.advance(Duration::days(days));
    cleaned(app, clock).await;
}

/// Whether everything that is stored is as the log says; keys of tests are made without an entry.
pub async fn rows_are_right(app: &TestApp, clock: &ManualClock) {
    let privacy = app.gateway.base().privacy(&app.config).unwrap();
    let found = privacy.check_rows(waxseal::ids::TenantId::DEFAULT, clock.now().date()).await.unwrap();
    let faults: Vec<String> =
        found.faults.iter().filter(|fault| fault.table != "key").map(ToString::to_string).collect();
    assert!(faults.is_empty() && found.said_at.is_some(), "{faults:?}");
}

async fn texts(app: &TestApp) -> String {
    database::settled(&app.database).await;
    app.get("/v1/events?limit=200").await.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_ninety_first_day_what_was_said_is_gone_and_a_while_later_its_key_but_not_what_is_held() {
    let folder = Folder::new();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    let first = clock.now().date();
    says(&app, ANA, "wamid.old.1", "Alte Worte").await;
    says(&app, BOB, "wamid.old.2", "Beweis").await;
    let order = json!({ "type": "document", "mime_type": "application/pdf", "media_base64": "bmljaHRz" });
    app.control(Method::POST, "inbound", order).await;
    let stored = "SELECT count(*) FROM media WHERE state = 'stored'";
    crate::support::wait::until("the file is stored", crate::support::wait::PATIENCE, async || {
        clock.advance(Duration::seconds(2));
        database::count(&app.database, stored).await == 1
    })
    .await;
    database::settled(&app.database).await;
    let (ana, bob) = (contact_of(&app, ANA).await.unwrap(), contact_of(&app, BOB).await.unwrap());
    let until = (clock.now() + Duration::days(300)).format(&time::format_description::well_known::Rfc3339).unwrap();
    let hold =
        app.api(Method::POST, "/v1/privacy/holds").json(&json!({ "phone": BOB, "reason": "x", "expires_at": until }));
    let hold: Value = hold.send().await.unwrap().json().await.unwrap();
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    let approve = format!("/v1/privacy/holds/{}/approve", hold["id"].as_str().unwrap());
    assert!(app.api_as(&second, Method::POST, &approve).send().await.unwrap().status().is_success());
    app.directory_is_read().await;

    days_pass(&app, &clock, 90).await;
    assert!(texts(&app).await.contains("Alte Worte"), "the ninetieth day is kept");
    let retention = app.get("/v1/privacy/retention").await;
    let classes = retention["classes"].as_array().unwrap();
    assert!(classes.iter().all(|class| class["overdue"] == false), "{retention}");

    days_pass(&app, &clock, 1).await;
    let seen = texts(&app).await;
    assert!(!seen.contains("Alte Worte") && seen.contains("Beweis"), "{seen}");
    let rows = |contact: &str| {
        format!(
            "SELECT count(*) FROM event e JOIN event_payload p USING (tenant_id, event_id) WHERE e.contact_id = '{contact}'"
        )
    };
    assert_eq!(database::count(&app.database, &rows(&ana)).await, 0);
    assert_eq!(database::count(&app.database, &rows(&bob)).await, 1);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media").await, 0);
    let files = walk(folder.path());
    assert!(files.is_empty(), "{files:?}");

    // The attestation is what a look at every row finds.
    let told = app.get("/v1/privacy/retention").await;
    for class in told["classes"].as_array().unwrap() {
        let (table, oldest) = (class["class"].as_str().unwrap(), class["oldest"].as_str().unwrap());
        if table == "delivery_dead" || table == "media" {
            continue;
        }
        let scanned = database::text(&app.database, &format!("SELECT min(part_day)::text FROM {table}")).await;
        assert_eq!(scanned, oldest, "{table}");
        let kept = class["kept_since"].as_str();
        let is_held = table == "event_payload" || table == "event";
        assert_eq!(class["overdue"], json!(is_held && kept.is_some()), "{told}");
    }

    // A whole month is past: its keys are gone, from backups too with the next step, and the held one's is not.
    days_pass(&app, &clock, 40).await;
    let key = |contact: &str| {
        let month: Date = first.replace_day(1).unwrap();
        format!(
            "SELECT count(*) FROM waxseal_keys.dek WHERE scope = 2 AND subject_id = '{contact}' AND month = '{month}'"
        )
    };
    assert_eq!(database::count(&app.database, &key(&ana)).await, 0);
    assert_eq!(database::count(&app.database, &key(&bob)).await, 1);
    assert!(texts(&app).await.contains("Beweis"));
    assert!(app.get(&format!("/v1/contacts/{ana}")).await["name"].is_string(), "the person stays");
    says(&app, ANA, "wamid.old.3", "Neue Worte").await;
    assert!(texts(&app).await.contains("Neue Worte"));
    rows_are_right(&app, &clock).await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
