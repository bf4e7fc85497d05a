//! Promise: the examples for a shell work as they stand. Each one with `curl` in it is taken from the documentation and run; only
//! addresses are put in.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Receiver, TestApp, database, webhook};

/// Asks for a status alone. What never ends is listened to for a second.
const CURL: &str = r#"
curl() {
  local seconds=20
  if [ "$1" = -N ]; then seconds=1; fi
  command curl --silent --noproxy '*' --max-time "$seconds" --output /dev/null --write-out '%{http_code} %{url_effective}\n' "$@" || true
}
"#;

/// The blocks of a page for a shell that ask something of a gateway.
fn examples(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.filter(|block| block.lines().any(|line| line.starts_with("curl "))).collect()
}

struct Scene {
    app: TestApp,
    receiver: Receiver,
    cursor: String,
}

impl Scene {
    async fn begin() -> Self {
        let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
        for wamid in ["wamid.a", "wamid.b"] {
            app.webhook(webhook::text("4915199900011", wamid, "Moin")).await;
        }
        database::settled(&app.database).await;
        let cursor = app.get("/v1/events?limit=1").await["next_cursor"].as_str().unwrap().to_owned();
        Self { app, receiver, cursor }
    }

    /// What was answered to each command of an example: status and URL.
    async fn run(&self, example: &str) -> Vec<String> {
        let gateway = format!("http://{}", self.app.at.internal);
        let example = example
            .replace(". data/dev.env\n", "")
            .replace("http://127.0.0.1:8081", &gateway)
            .replace("https://crm.example.com/hooks/whatsapp", &self.receiver.url());
        let told = Command::new("bash")
            .args(["-euc", &format!("{CURL}{example}")])
            .env("KEY", &self.app.key)
            .env("GATEWAY", &gateway)
            .env("NEXT_CURSOR", &self.cursor)
            .env("LAST_ID", &self.cursor)
            .env("WAXSEAL_API_KEY", &self.app.key)
            .env("WAXSEAL_API_URL", &gateway)
            .env("WAXSEAL_SIMULATOR_URL", self.app.simulator.base_url())
            .output()
            .await
            .unwrap();
        assert!(told.status.success(), "{example}\n{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_with_curl_is_answered_as_its_reader_would_expect() {
    let scene = Scene::begin().await;
    for (page, least) in [("README.md", 2), ("docs/api.md", 1)] {
        let examples = examples(page);
        assert!(examples.len() >= least, "{page} has examples");
        for example in examples {
            let commands = example.lines().filter(|line| line.starts_with("curl ")).count();
            let answers = scene.run(&example).await;
            assert_eq!(answers.len(), commands, "{page}: {example}");
            assert!(answers.iter().all(|answer| answer.starts_with('2')), "{page}: {answers:#?}");
        }
    }
}
