//! Promise: an operator sends a message at a terminal, sees how far it has come, and takes it back.

use std::process::Output;

use crate::support::process::waxseal;
use crate::support::{TestApp, app, database};

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

    async fn run(&self, words: &[&str]) -> Output {
        waxseal(words, &self.environment).output().await.unwrap()
    }

    async fn says(&self, words: &[&str]) -> String {
        let output = self.run(words).await;
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The first cell of a table's first row.
fn id(table: &str) -> String {
    table.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_and_looked_at() {
    let terminal = Terminal::open().await;
    let said = terminal.says(&["send", "--to", "+49 151 99900011", "--text", "Moin Ana", "--wait"]).await;
    assert!(said.contains("accepted"), "{said}");
    let id = id(&said);
    let sent = terminal.app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(sent["request"]["text"]["body"], "Moin Ana");
    let shown = terminal.says(&["message", "show", &id]).await;
    assert!(shown.contains(&id) && shown.contains("STATUS") && !shown.contains("Moin"), "{shown}");
    let entries = "SELECT count(*) FROM audit_entry WHERE action IN ('message.sent', 'messages.read')";
    assert!(database::count(&terminal.app.database, entries).await >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_for_later_is_taken_back_once() {
    let terminal = Terminal::open().await;
    let words = [
        "send",
        "--to",
        "4915199900011",
        "--template",
        "seasonal_offer:en_US",
        "--param",
        "first_name=Ana",
        "--send-at",
        "2h",
    ];
    let id = id(&terminal.says(&words).await);
    let queued = terminal.app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(queued["request"]["template"]["components"][0]["parameters"][0]["parameter_name"], "first_name");
    let shown = terminal.says(&["message", "show", &id]).await;
    assert!(shown.contains("queued") && shown.contains("0 go before it"), "{shown}");
    assert!(terminal.says(&["message", "cancel", &id]).await.contains("cancelled"));
    let again = terminal.run(&["message", "cancel", &id]).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("not waiting"));
    let faulty = terminal.run(&["send", "--to", "4915199900011", "--text", ""]).await;
    assert!(String::from_utf8_lossy(&faulty.stderr).contains("message/text/body"), "{faulty:?}");
}
