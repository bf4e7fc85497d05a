//! Promise: what REST does with endpoints, replays and dead letters, an operator does at a terminal.

use std::process::Output;

use standardwebhooks::Webhook;

use crate::support::process::waxseal;
use crate::support::{Receiver, TestApp, app, database, webhook};

struct Terminal {
    app: TestApp,
    environment: Vec<(String, String)>,
}

impl Terminal {
    async fn open() -> Self {
        let app = TestApp::spawn().await;
        let environment = app::variables(&app.database, app.simulator.base_url());
        Self { app, environment }
    }

    async fn run(&self, words: &str) -> Output {
        waxseal(&words.split(' ').collect::<Vec<_>>(), &self.environment).output().await.unwrap()
    }

    /// What a command prints that must succeed.
    async fn says(&self, words: &str) -> String {
        let output = self.run(words).await;
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that must fail says why.
    async fn fails(&self, words: &str) -> String {
        let output = self.run(words).await;
        assert!(!output.status.success(), "{words}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Adds a receiver; its id, and its secret.
    async fn add(&self, receiver: &Receiver) -> (String, String) {
        let said = self.says(&format!("endpoint add --name crm --url {} --type message.*", receiver.url())).await;
        let (first, secret) = said.trim_end().split_once('\n').unwrap();
        (first.split([' ', ';']).nth(1).unwrap().to_owned(), secret.to_owned())
    }
}

fn count(statement: &str) -> String {
    format!("SELECT count(*) FROM {statement}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_added_tested_paused_rotated_and_removed_at_a_terminal() {
    let (terminal, receiver) = (Terminal::open().await, Receiver::start().await);
    let (id, secret) = terminal.add(&receiver).await;
    let listed = terminal.says("endpoint list").await;
    assert!(listed.contains(&id) && listed.contains("message.*") && listed.contains("active"), "{listed}");
    let tested = terminal.says(&format!("endpoint test {id}")).await;
    assert!(tested.starts_with("success, status 200, "), "{tested}");
    let received = receiver.wait_for(1).await[0].clone();
    Webhook::new(&secret).unwrap().verify(&received.body, &received.headers).unwrap();
    receiver.then_answer(500, &[]);
    let failed = terminal.run(&format!("endpoint test {id}")).await;
    assert!(!failed.status.success() && failed.stdout.starts_with(b"server_error, status 500"));

    terminal.says(&format!("endpoint pause {id}")).await;
    let shown = terminal.says(&format!("endpoint show {id}")).await;
    assert!(shown.contains("state       paused") && !shown.contains("/hook") && !shown.contains(&secret), "{shown}");
    terminal.says(&format!("endpoint resume {id}")).await;
    let rotated = terminal.says(&format!("endpoint rotate-secret {id}")).await;
    let new = rotated.lines().last().unwrap();
    assert!(rotated.starts_with("the old secret signs too until ") && new.starts_with("whsec_") && new != secret);
    assert!(terminal.says(&format!("endpoint show {id}")).await.contains("and the one before until"));
    assert!(terminal.fails("endpoint add --name x --url https://10.0.0.1/token").await.contains("refused"));
    assert!(
        terminal
            .fails(&format!("endpoint add --name x --url {} --format meta", receiver.url()))
            .await
            .contains("verify")
    );
    terminal.says(&format!("endpoint remove {id}")).await;
    assert!(terminal.fails(&format!("endpoint show {id}")).await.contains("no such endpoint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_and_dead_letters_redriven_and_purged_at_a_terminal() {
    let (terminal, receiver) = (Terminal::open().await, Receiver::start().await);
    let (id, _) = terminal.add(&receiver).await;
    let database = &terminal.app.database;
    terminal.app.directory_is_read().await;
    terminal.app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    let event = receiver.wait_for(1).await[0].header("webhook-id").to_owned();
    database::until(database, &count("delivery"), 0).await;

    assert_eq!(terminal.says(&format!("replay start --endpoint {id} --since 1h --dry-run")).await, "1 events\n");
    let started = terminal.says(&format!("replay start --endpoint {id} --since 1h")).await;
    let replay = started.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    receiver.wait_for(2).await;
    database::until(database, &count("replay WHERE state = 'done'"), 1).await;
    assert!(terminal.says(&format!("replay status {replay}")).await.contains("done"));
    assert!(terminal.says(&format!("replay cancel {replay}")).await.contains("done"), "it had ended");
    terminal.says(&format!("replay start --endpoint {id} --event {event}")).await;
    receiver.wait_for(3).await;
    assert_eq!(terminal.says("replay status").await.lines().count(), 3);
    assert!(terminal.fails(&format!("replay start --endpoint {id}")).await.contains("--since"));

    database::until(database, &count("delivery"), 0).await;
    database::sabotage(database, "CREATE TABLE kept AS SELECT * FROM event_payload").await;
    database::sabotage(database, "DELETE FROM event_payload").await;
    terminal.says(&format!("replay start --endpoint {id} --event {event}")).await;
    database::until(database, &count("delivery_dead"), 1).await;
    let dead = terminal.says(&format!("dead-letters list {id}")).await;
    assert!(dead.contains(&event) && dead.contains("payload_gone"), "{dead}");
    assert!(terminal.fails(&format!("dead-letters redrive {id}")).await.contains("--all"));
    database::sabotage(database, "INSERT INTO event_payload SELECT * FROM kept").await;
    assert_eq!(terminal.says(&format!("dead-letters redrive {id} --all")).await, "1 redriven\n");
    receiver.wait_for(4).await;
    assert_eq!(terminal.says(&format!("dead-letters purge {id} --reason exhausted")).await, "0 purged\n");
    assert!(terminal.says(&format!("dead-letters list {id}")).await.contains("(none)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_events_as_they_come_and_their_content_only_when_asked() {
    let terminal = Terminal::open().await;
    terminal.app.webhook(webhook::text("4915199900011", "wamid.a", "Moin Moin")).await;
    let words = "tail --from-start --limit 1 --type message.received";
    let plain = terminal.says(words).await;
    assert_eq!(plain.lines().count(), 1, "{plain}");
    assert!(plain.contains("message.received") && plain.contains(&terminal.app.channel().await));
    assert!(!plain.contains("Moin") && !plain.contains("4915199900011"));
    let opened = terminal.says(&format!("{words} --content")).await;
    assert!(opened.starts_with(&plain) && opened.contains("Moin Moin"), "{opened}");
}
