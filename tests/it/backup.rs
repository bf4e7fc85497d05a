//! Promise: what was backed up is there again after a restore, with nothing half done, nothing sent twice and nobody who was forgotten;
//! and nobody but the holders of the recipients' keys reads a word of it.

mod broken_off;
mod buckets;
mod damaged;
mod drills;
mod forgetting;
mod measured;
mod restoring;

use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::fs::{Mode, chmod};
use waxseal::crypto::age::Identity;

use crate::support::app::variables;
use crate::support::estate::Folder;
use crate::support::process::waxseal;

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";
const SECRET: &str = "qcanaryBackup Treffpunkt am Kanal";

/// Two people who can open backups, and a folder for these.
pub struct Safe {
    folder: Folder,
    recipients: [String; 2],
}

/// What a verb said, and whether it succeeded.
pub struct Said {
    is_ok: bool,
    code: Option<i32>,
    text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        Self { is_ok: output.status.success(), code: output.status.code(), text }
    }
}

impl Said {
    pub fn ok(self) -> String {
        assert!(self.is_ok, "{}", self.text);
        self.text
    }

    pub fn refused(self, why: &str) {
        assert!(!self.is_ok && self.text.contains(why), "{why:?} in {}", self.text);
    }
}

impl Safe {
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let recipients = ["one", "two"].map(|who| {
            let identity = Identity::generate();
            let path = folder.0.join(who);
            std::fs::write(&path, format!("# of a test\n{}\n", *identity.show())).unwrap();
            chmod(&path, Mode::RUSR | Mode::WUSR).unwrap();
            identity.recipient().unwrap().to_string()
        });
        Self { folder, recipients }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    pub fn identity(&self) -> String {
        self.path("one").display().to_string()
    }

    /// `waxseal backup`, with both recipients. Its folder, and the key that it is signed with.
    pub async fn back_up(&self, environment: &[(String, String)], more: &[&str]) -> (PathBuf, String) {
        let to = self.path("backups").display().to_string();
        let [one, two] = &self.recipients;
        let words = ["backup", "--to", &to, "--recipient", one, "--recipient", two];
        let said = run(&[&words, more].concat(), environment).await.ok();
        let folder = said.lines().find_map(|line| line.strip_prefix("wrote ")).unwrap();
        (PathBuf::from(folder.split(':').next().unwrap()), said.lines().last().unwrap().to_owned())
    }

    pub async fn restore(&self, environment: &[(String, String)], from: &Path, key: &str, more: &[&str]) -> Said {
        let (from, identity) = (from.display().to_string(), self.identity());
        let words = ["restore", &from, "--identity", &identity, "--key", key];
        run(&[&words, more].concat(), environment).await
    }
}

async fn run(words: &[&str], environment: &[(String, String)]) -> Said {
    waxseal(words, environment).output().await.unwrap().into()
}

/// The environment of an installation.
pub fn environment(database: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = variables(database, "http://127.0.0.1:9");
    all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all.push(("PATH".to_owned(), std::env::var("PATH").unwrap()));
    all
}
