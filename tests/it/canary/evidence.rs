//! Every place in which a canary could lie, gathered, and searched.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;

use super::paths::Scene;
use super::store::Store;
use crate::backup::Safe;
use crate::support::folder::Folder;
use crate::support::sweep::{self, Needle};

/// What one run has left behind, and where more of it lies.
pub(super) struct Evidence {
    /// Each with the name of its place.
    pub(super) texts: Vec<(String, Vec<u8>)>,
    /// Folders that are read when they are searched.
    pub(super) folders: Vec<PathBuf>,
    /// The database, and the folder of its server: tables, write-ahead log, and everything that was ever said to it.
    pub(super) database: String,
    pub(super) server: PathBuf,
    /// The object store and the `TMPDIR`, which go with them.
    _kept: (Store, Folder),
}

impl Evidence {
    /// Stops the gateway and gathers everything. `shown`: what was answered and should hold nothing.
    pub(super) async fn of(scene: Scene, safe: &Safe, server: &Path) -> Self {
        let mut texts = vec![("what was answered".to_owned(), scene.answers.clone().into_bytes())];
        for path in ["/metrics", "/readyz", "/healthz"] {
            let url = format!("{}{path}", scene.gateway.admin);
            let answer = scene.gateway.request(Method::GET, &url).send().await.unwrap();
            texts.push((path.to_owned(), answer.bytes().await.unwrap().to_vec()));
        }
        let (backup, _key) = safe.back_up(&scene.environment, &[]).await;
        for archive in ["data", "keys", "files"] {
            let inside = opened(safe, &backup.join(format!("{archive}.tar.zst.age")));
            texts.push((format!("the backup of {archive}, opened"), inside));
        }
        texts.extend(scene.store.objects().await);
        let mut folders = vec![backup, scene.temporary.path().to_owned()];
        folders.extend(scene.store.folder());
        let (database, server) = (scene.database.clone(), server.to_owned());
        let log = scene.gateway.stop().await;
        texts.extend(log.lines().map(|line| (format!("the log: {line:.160}"), line.as_bytes().to_vec())));
        texts.extend(scene.archives);
        let kept = (scene.store, scene.temporary);
        Self { texts, folders, database, server, _kept: kept }
    }

    /// Where needles are, in words.
    pub(super) async fn search(&self, needles: &[Needle]) -> Vec<String> {
        let mut found: Vec<String> =
            self.texts.iter().flat_map(|(place, text)| sweep::in_bytes(needles, place, text)).collect();
        for folder in &self.folders {
            found.extend(sweep::in_files(needles, folder).0);
        }
        found.extend(sweep::in_database(needles, &self.database, &self.server).await);
        found
    }

    /// How many bytes of places whose name begins so.
    pub(super) fn bytes_of(&self, place: &str) -> usize {
        self.texts.iter().filter(|(name, _)| name.starts_with(place)).map(|(_, text)| text.len()).sum()
    }
}

/// What is in an archive of a backup, by other people's programs.
fn opened(safe: &Safe, archive: &Path) -> Vec<u8> {
    let pipe = format!("age -d -i '{}' '{}' | zstd -dc", safe.identity(), archive.display());
    let done = Command::new("bash").args(["-o", "pipefail", "-c", &pipe]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}
