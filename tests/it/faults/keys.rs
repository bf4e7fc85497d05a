//! The secret at the top of the key tree is missing, exposed, wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::estate::Folder;
use crate::support::process::{Ports, Process, waxseal};
use crate::support::{app, database};

const RIGHT: &str = "1f8b0c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9";
const OTHER: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const CELL: &str = "77e1c2b3a4958677e1c2b3a49586f0d177e1c2b3a4958677e1c2b3a49586f0d1";

/// An installation whose keys come from files.
struct Installation {
    founded_cell: Vec<u8>,
    folder: Folder,
    environment: Vec<(String, String)>,
}

impl Installation {
    /// Founded by a gateway that ran once.
    async fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let mut environment = app::variables(&database::fresh().await, "http://127.0.0.1:9");
        environment.retain(|(name, _)| !name.starts_with("WAXSEAL_KEYS__") && !name.ends_with("_LISTEN"));
        let mut add = |name: &str, value: &Path| environment.push((name.to_owned(), value.display().to_string()));
        add("WAXSEAL_KEYS__KMS", Path::new("file"));
        add("WAXSEAL_KEYS__SECRET_FILE", &folder.0.join("kms"));
        add("WAXSEAL_KEYS__CELL_FILE", &folder.0.join("cell"));
        write(&folder.0.join("kms"), RIGHT, 0o600);
        // As earlier releases had it: the first start takes it over.
        write(&folder.0.join("cell"), CELL, 0o600);
        let mut installation = Self { founded_cell: Vec::new(), folder, environment };
        installation.starts().await;
        installation.founded_cell = fs::read(installation.cell()).unwrap();
        installation
    }

    fn secret(&self) -> PathBuf {
        self.folder.0.join("kms")
    }

    fn cell(&self) -> PathBuf {
        self.folder.0.join("cell")
    }

    fn restore(&self) {
        write(&self.secret(), RIGHT, 0o600);
        write(&self.cell(), &self.founded_cell, 0o600);
    }

    async fn starts(&self) {
        Process::start(&self.environment, Ports::free()).await.kill_hard().await;
    }

    /// Does not start, says why in one line that holds these words, and nothing of any key.
    async fn refuses(&self, words: &str) {
        let serve = waxseal(&["serve"], &self.environment).output();
        let output = tokio::time::timeout(Duration::from_secs(20), serve).await.expect("it ends at once").unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let reasons: Vec<&str> = said.lines().filter(|line| line.starts_with("waxseal: ")).collect();
        assert_eq!(reasons.len(), 1, "{said}");
        assert_eq!(said.lines().last(), Some(reasons[0]), "{said}");
        assert!(reasons[0].contains(words), "{said}");
        let everything = said + &String::from_utf8(output.stdout).unwrap();
        for key in [RIGHT, OTHER, CELL] {
            assert!(!everything.contains(&key[..8]) && !everything.contains(&key[56..]), "{everything}");
        }
        self.restore();
        self.starts().await;
    }
}

fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_exposed_or_spoiled_is_refused_in_one_line() {
    let installation = Installation::new("secret").await;
    fs::remove_file(installation.secret()).unwrap();
    installation.refuses("the key file does not exist").await;
    write(&installation.secret(), RIGHT, 0o644);
    installation.refuses("the key file has mode 0644").await;
    write(&installation.secret(), RIGHT.replace('f', "g"), 0o600);
    installation.refuses("the key is not 64 hex digits").await;
    write(&installation.secret(), &RIGHT[..62], 0o600);
    installation.refuses("the key is not 64 hex digits").await;
    write(&installation.secret(), "a".repeat(64), 0o600);
    installation.refuses("the key is an example").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_another_installation_are_refused_in_one_line() {
    let installation = Installation::new("another").await;
    write(&installation.secret(), OTHER, 0o600);
    installation.refuses("the key tree cannot be opened").await;
    write(&installation.cell(), OTHER, 0o600);
    installation.refuses("the epoch cell belongs to another installation").await;
    fs::remove_file(installation.cell()).unwrap();
    installation.refuses("the epoch cell cannot be used: place 1: the key file does not exist").await;
    write(&installation.cell(), &installation.founded_cell, 0o640);
    installation.refuses("place 1: the key file has mode 0640").await;
}
