//! Promise: every control of privacy and security is measured, and an operator is told which are red and what that rests on.

mod by_http;
mod record;

use std::process::Output;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::{TestApp, app, database, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";

struct Terminal {
    app: TestApp,
    environment: Vec<(String, String)>,
}

impl Terminal {
    async fn open(more: &[(&str, &str)]) -> Self {
        let app = TestApp::spawn_with(std::sync::Arc::new(waxseal::clock::SystemClock), more).await;
        let mut environment = app::variables(&app.database, app.simulator.base_url());
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { app, environment }
    }

    async fn run(&self, words: &[&str]) -> Output {
        waxseal(words, &self.environment).output().await.unwrap()
    }

    async fn posture(&self) -> (Option<i32>, Value) {
        let output = self.run(&["posture", "--json"]).await;
        let told = serde_json::from_slice(&output.stdout);
        (output.status.code(), told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }

    async fn state(&self, control: &str) -> (String, String) {
        of(&self.posture().await.1, control)
    }
}

fn of(told: &Value, control: &str) -> (String, String) {
    let one = told["controls"].as_array().unwrap().iter().find(|one| one["control"] == control).unwrap();
    (one["state"].as_str().unwrap().to_owned(), one["evidence"].as_str().unwrap().to_owned())
}

fn red(told: &Value) -> Vec<String> {
    let all = told["controls"].as_array().unwrap().iter().filter(|one| one["state"] == "red");
    all.map(|one| one["control"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_red_is_told_with_its_evidence_and_ends_with_4_until_it_is_accepted() {
    let terminal = Terminal::open(&[]).await;
    let app = &terminal.app;
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.posture.1", "Geheime Worte")).await, StatusCode::OK);
    let (code, told) = terminal.posture().await;
    assert_eq!(code, Some(4), "{told}");
    let red = red(&told);
    for name in ["separate-stores", "epoch-cell", "witnesses", "alarms", "admin-keys", "second-factor", "two-step"] {
        assert!(red.iter().any(|one| one == name), "{name}: {red:?}");
    }
    let (state, evidence) = of(&told, "content-sealed");
    assert_eq!(state, "green");
    assert!(evidence.contains("event_payload.payload, contact.profile") && evidence.contains("opened"), "{evidence}");
    for name in ["no-plaintext", "audit-log", "tenant-rows", "kms", "internal-listener", "retention", "attestation"] {
        assert_eq!(of(&told, name).0, "green", "{told}");
    }
    assert_eq!(told["stores"].as_array().unwrap().len(), 13);

    let mut words = vec!["posture"];
    words.extend(red.iter().flat_map(|name| ["--accept", name]));
    let output = terminal.run(&words).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("red*") && !text.contains("RED") && text.contains("What somebody learns who steals"),
        "{text}"
    );
    assert!(!text.contains("Geheime") && !text.contains(ANA), "{text}");
    assert_eq!(terminal.run(&["posture", "--accept", "nothing"]).await.status.code(), Some(2));

    database::settled(&app.database).await;
    let audit = app.get("/v1/audit?action=posture.found").await;
    let details = audit["data"][0]["said"]["details"].as_array();
    assert!(details.is_some_and(|words| words.iter().any(|word| word == "epoch-cell")), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_rows_that_were_swapped_and_a_log_that_was_changed_turn_it_red() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let places: Vec<String> = ["a", "b", "c"].map(|name| folder.path().join(name).display().to_string()).to_vec();
    let terminal = Terminal::open(&[("WAXSEAL_KEYS__CELL_FILES", &places.join(","))]).await;
    let app = &terminal.app;
    for (person, wamid) in [(ANA, "wamid.posture.2"), (BOB, "wamid.posture.3")] {
        assert_eq!(app.webhook(webhook::text(person, wamid, "Worte")).await, StatusCode::OK);
    }
    let (_, told) = terminal.posture().await;
    assert_eq!(of(&told, "content-sealed").0, "green", "{told}");
    assert_eq!(of(&told, "audit-log").0, "green", "{told}");

    let swap = "UPDATE event_payload SET payload = (SELECT o.payload FROM event_payload o WHERE o.event_id <> event_payload.event_id
                 ORDER BY o.event_id LIMIT 1)";
    database::sabotage(&app.database, swap).await;
    let (state, evidence) = terminal.state("content-sealed").await;
    assert!(state == "red" && evidence.contains("first event_payload.payload"), "{evidence}");

    database::sabotage(&app.database, "ALTER DOMAIN sealed DROP CONSTRAINT sealed_check").await;
    assert_eq!(terminal.state("no-plaintext").await.0, "red");

    let changed = "UPDATE audit_entry SET salt = decode(repeat('00', octet_length(salt)), 'hex')
                   WHERE entry_id = (SELECT entry_id FROM audit_leaf ORDER BY leaf_index LIMIT 1)";
    database::sabotage(&app.database, changed).await;
    let (state, evidence) = terminal.state("audit-log").await;
    assert!(state == "red" && evidence.contains("entry"), "{evidence}");
    assert!(!evidence.contains(ANA));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_processing_says_what_is_configured_and_what_is_missing() {
    let terminal = Terminal::open(&[("WAXSEAL_PRIVACY__CONTROLLER", "Hafen GmbH, Hamburg")]).await;
    let receiver = crate::support::Receiver::start().await;
    terminal.app.endpoint(&receiver, "standard").await;
    let output = terminal.run(&["record"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parts = [
        "# Record of processing activities",
        "| controller | Hafen GmbH, Hamburg |",
        "MISSING: set privacy.purposes",
        "Art. 30(1)(g)",
        "| application test | at 127.0.0.1",
        "| what was said, files | 90 days |",
        "| epoch-cell | red:",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let output = terminal.run(&["record", "--json"]).await;
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    let articles: Vec<&str> =
        record["sections"].as_array().unwrap().iter().map(|one| one["article"].as_str().unwrap()).collect();
    for letter in ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)", "(g)"] {
        assert!(articles.iter().any(|article| article.contains(letter)), "{letter}: {articles:?}");
    }
}
