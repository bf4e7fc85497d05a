//! Promise: the secret at the top of the key tree may be a key in a hardware token, and an installation moves away from one. Shown with
//! SoftHSM, which is a token without the hardware.

use std::path::PathBuf;
use std::process::Command;

use data_encoding::HEXLOWER;
use rustix::process::Signal;
use serde_json::json;
use waxseal::crypto::random;

use crate::support::database;
use crate::support::estate::{Estate, Folder};
use crate::support::process::waxseal;

const PIN: &str = "471147114711";
/// Where distributions put it.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// A token of the test's own, with one AES key.
struct Token {
    folder: Folder,
    module: &'static str,
}

impl Token {
    /// `None`: it is not installed, and somebody has said that it may be missing.
    fn make() -> Option<Self> {
        let Some(module) = MODULES.into_iter().find(|path| PathBuf::from(path).exists()) else {
            let may_miss = std::env::var("WAXSEAL_TEST_WITHOUT_SOFTHSM").is_ok();
            assert!(
                may_miss,
                "SoftHSM is not installed: run scripts/ensure-softhsm.sh, which `make test` does by itself; where it is not to be had, set \
                 WAXSEAL_TEST_WITHOUT_SOFTHSM"
            );
            println!("SoftHSM is not installed on this machine: not tested");
            return None;
        };
        let token = Self { folder: Folder::new("softhsm"), module };
        token.set_up("full");
        let key = token.folder.0.join("key");
        // Text: the tool breaks a key off at a line end.
        std::fs::write(&key, HEXLOWER.encode(&random::bytes::<16>())).unwrap();
        token.util(&["--init-token", "--free", "--label", "waxseal", "--so-pin", PIN, "--pin", PIN]);
        let (key, rest) = (key.display().to_string(), ["--label", "waxseal", "--id", "01", "--pin", PIN]);
        token.util(&[&["--import", key.as_str(), "--aes", "--token", "waxseal"][..], &rest].concat());
        token.set_up("empty");
        Some(token)
    }

    fn set_up(&self, name: &str) {
        std::fs::create_dir_all(self.folder.0.join(name)).unwrap();
        let text = format!("directories.tokendir = {}\n", self.folder.0.join(name).display());
        std::fs::write(self.configuration(name), text).unwrap();
    }

    fn configuration(&self, name: &str) -> String {
        self.folder.0.join(format!("{name}.conf")).display().to_string()
    }

    fn util(&self, words: &[&str]) {
        let mut util = Command::new("softhsm2-util");
        let done = util.args(words).env("SOFTHSM2_CONF", self.configuration("full")).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn settings(&self) -> [(String, String); 6] {
        [
            ("WAXSEAL_KEYS__KMS", "pkcs11".to_owned()),
            ("WAXSEAL_KEYS__SECRET", String::new()),
            ("WAXSEAL_KEYS__PKCS11_MODULE", self.module.to_owned()),
            ("WAXSEAL_KEYS__PKCS11_PIN", PIN.to_owned()),
            ("WAXSEAL_KEYS__PKCS11_KEY", "waxseal".to_owned()),
            ("SOFTHSM2_CONF", self.configuration("full")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_token_opens_what_is_stored_and_nothing_does_without_it() {
    let Some(token) = Token::make() else { return };
    let settings = token.settings();
    let more: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let inbound = format!("{}/control/inbound", estate.simulator.base_url());
    let text = json!({ "from": "4915199900011", "type": "text", "body": "im Tresor" });
    assert!(reqwest::Client::new().post(&inbound).json(&text).send().await.unwrap().status().is_success());
    database::until(&estate.database, "SELECT count(*) FROM event WHERE type = 'message.received'", 1).await;
    estate.gateway.signal(Signal::TERM);
    estate.gateway.ended().await;
    estate.gateway = estate.in_its_place().await;
    database::settled(&estate.database).await;
    let events = async || estate.get("/v1/events?limit=200&type=message.received").await["data"].to_string();
    let told = events().await;
    assert!(told.contains("im Tresor"), "{told}");

    let with =
        |name: &str, value: &str| [estate.environment.clone(), vec![(name.to_owned(), value.to_owned())]].concat();
    let said = async |words: &[&str], environment: &[(String, String)]| {
        let done = waxseal(words, environment).output().await.unwrap();
        (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    for (environment, why) in [
        (with("WAXSEAL_KEYS__PKCS11_PIN", "815081508150"), "the KMS refuses us"),
        (with("WAXSEAL_KEYS__PKCS11_KEY", "another"), "the KMS refuses us"),
        (with("SOFTHSM2_CONF", &token.configuration("empty")), "the KMS does not answer"),
        (with("WAXSEAL_KEYS__PKCS11_MODULE", "/nowhere.so"), "the PKCS#11 module cannot be used"),
    ] {
        let (is_ok, text) = said(&["keys", "status"], &environment).await;
        assert!(!is_ok && text.contains(why), "{why:?} in {text}");
        assert!(!text.contains("8150") && !text.contains(PIN), "the PIN is told");
    }
    assert!(said(&["keys", "step"], &estate.environment).await.0, "a step has it wrap another share");
    let told = events().await;
    assert!(told.contains("im Tresor"), "{told}");

    let secret = "9b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e91f";
    let away = [
        with("WAXSEAL_KEYS__KMS", "env"),
        vec![("WAXSEAL_KEYS__SECRET".to_owned(), secret.to_owned())],
        vec![("WAXSEAL_KEYS__PREVIOUS_KMS".to_owned(), "pkcs11".to_owned())],
    ]
    .concat();
    estate.gateway.signal(Signal::TERM);
    estate.gateway.ended().await;
    let (is_ok, text) = said(&["keys", "rewrap"], &away).await;
    assert!(is_ok && text.contains("may go"), "{text}");
    assert!(!said(&["keys", "status"], &estate.environment).await.0, "the token opens nothing any more");
}
