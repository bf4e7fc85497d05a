//! An archive that a passphrase opens: with everybody's `age`, and with nothing else.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use super::{ANA, says};
use crate::support::estate::Estate;
use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, app, database, webhook};

/// Types a passphrase at the terminal of `age`, which takes it from nowhere else.
const TYPE: &str = "import os, pty, sys
passphrase = sys.stdin.readline().strip().encode()
child, terminal = pty.fork()
if child == 0:
    os.execvp('age', ['age', '--decrypt', '-o', sys.argv[2], sys.argv[1]])
said = b''
while b'assphrase' not in said:
    said += os.read(terminal, 1000)
os.write(terminal, passphrase + b'\\n')
try:
    while True:
        piece = os.read(terminal, 1000)
        if not piece: break
        said += piece
except OSError:
    pass
sys.stderr.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// Opens a file with `age` and a passphrase. `None`: it does not open.
pub(super) fn opened_by_age(archive: &Path, passphrase: &str) -> Option<Vec<u8>> {
    let plain = archive.with_extension("plain");
    let mut python = Command::new("python3");
    python.args(["-c", TYPE]).arg(archive).arg(&plain).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().unwrap();
    writeln!(python.stdin.take().unwrap(), "{passphrase}").unwrap();
    let told = python.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("assphrase"), "is age there (scripts/ensure-age.sh)? {said}");
    told.status.success().then(|| std::fs::read(plain).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_for_a_passphrase_opens_with_it_and_the_passphrase_is_kept_nowhere() {
    let (folder, away) = (Folder::new(), Folder::new());
    std::fs::create_dir_all(away.path()).unwrap();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.pass.1", "Moin").await;
    let body = json!({ "phone": ANA, "protect": "passphrase" });
    let made = app.api(Method::POST, "/v1/privacy/exports").json(&body).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::ACCEPTED);
    let made: Value = made.json().await.unwrap();
    assert!(made["identity"].is_null(), "{made}");
    let passphrase = made["passphrase"].as_str().unwrap();
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || app.get(&path).await["state"] == "ready").await;
    let shown = app.get(&path).await;
    assert_eq!(shown["sealed_for"], "passphrase");
    assert!(!shown.to_string().contains(passphrase), "it was shown once");
    let archive = app.api(Method::GET, &format!("{path}/archive")).send().await.unwrap().bytes().await.unwrap();
    let file = away.path().join("ana.zip.age");
    std::fs::write(&file, &archive).unwrap();
    let plain = opened_by_age(&file, passphrase).expect("it opens");
    assert!(plain.starts_with(b"PK") && plain.windows(4).any(|part| part == b"Moin"));
    let other = passphrase.replacen(&passphrase[..1], if passphrase.starts_with('a') { "b" } else { "a" }, 1);
    assert!(opened_by_age(&file, &other).is_none(), "not with another");

    let dump = sweep::dump(&app.database).await;
    let needle = [Needle::in_every_form("passphrase", passphrase)];
    assert!(sweep::in_bytes(&needle, "dump", dump.as_bytes()).is_empty());
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM export WHERE recipient IS NOT NULL").await, 0);
    let two = json!({ "phone": ANA, "protect": "passphrase", "recipient": "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj" });
    let two = app.api(Method::POST, "/v1/privacy/exports").json(&two).send().await.unwrap();
    assert_eq!(two.json::<Value>().await.unwrap()["errors"][0]["pointer"], "/protect");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_for_a_passphrase_whose_process_is_killed_is_made_by_the_next_and_opens_with_it() {
    let (folder, away) = (Folder::new(), Folder::new());
    std::fs::create_dir_all(away.path()).unwrap();
    let mut estate = Estate::start(database::fresh().await, &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    let body = webhook::text(ANA, "wamid.pass.killed", "Moin");
    let signature = webhook::signature(app::APP_SECRET, &body);
    let post =
        reqwest::Client::new().post(estate.gateway.webhook()).header("x-hub-signature-256", signature).body(body);
    assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
    let asked = json!({ "phone": ANA, "protect": "passphrase" });
    let made = estate.post("/v1/privacy/exports", &asked, StatusCode::ACCEPTED).await;
    estate.kill_and_restart().await;
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || estate.get(&path).await["state"] == "ready").await;
    let archive = estate.request(Method::GET, &format!("{path}/archive")).send().await.unwrap().bytes().await.unwrap();
    let file = away.path().join("ana.zip.age");
    std::fs::write(&file, &archive).unwrap();
    assert!(opened_by_age(&file, made["passphrase"].as_str().unwrap()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_exports_for_a_passphrase_at_a_terminal() {
    let folder = Folder::new();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.pass.cli", "Moin").await;
    let mut environment = app::variables(&app.database, app.simulator.base_url());
    environment.push(("WAXSEAL_MEDIA__URL".to_owned(), folder.url()));
    let to = folder.path().join("ana.zip.age");
    let arguments = ["export", "--phone", ANA, "--passphrase", "--out", to.to_str().unwrap()];
    let output = waxseal(&arguments, &environment).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let passphrase = said.lines().find_map(|line| line.strip_prefix("passphrase  ")).unwrap();
    assert!(said.contains("age --decrypt -o archive.zip"), "{said}");
    assert!(opened_by_age(&to, passphrase).is_some());
}
