//! Looks at a backup before anything is done with it: that the manifest is signed, and that every archive is the one it lists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::archive;
use super::manifest::{DATA, FILE, FILES, KEYS, Manifest, SIGNATURE, VERSION};
use super::{BackupError, Tell};
use crate::audit::Statement;
use crate::tlog::note::VerifierKey;

/// Longer manifests are refused: room for a hundred thousand tables.
const LONGEST: u64 = 64 << 20;

/// Where a backup lies.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The folder with the archive of the keys, of the same backup or a later one; `None`: the same.
    pub keys: Option<PathBuf>,
    /// The key of the installation's audit log.
    pub key: VerifierKey,
}

/// A backup whose manifest is signed.
#[derive(Debug, Clone)]
pub struct Found {
    /// With the data.
    pub manifest: Arc<Manifest>,
    /// With the keys: the same, or a later one.
    pub keys: Arc<Manifest>,
    pub(super) folder: PathBuf,
    pub(super) keys_folder: PathBuf,
}

impl Place {
    /// Reads the manifests, and looks whether they are signed and belong together.
    pub fn open(&self) -> Result<Found, BackupError> {
        let manifest = Arc::new(read(&self.folder, &self.key)?);
        let (keys, keys_folder) = match &self.keys {
            Some(folder) => (Arc::new(read(folder, &self.key)?), folder.clone()),
            None => (manifest.clone(), self.folder.clone()),
        };
        if manifest.installation != keys.installation {
            return Err(BackupError::Mismatch("the keys are of another installation than the data"));
        }
        if keys.made_at < manifest.made_at {
            let why = "the keys are older than the data: what was sealed since would not open, and what was forgotten since would";
            return Err(BackupError::Mismatch(why));
        }
        Ok(Found { manifest, keys, folder: self.folder.clone(), keys_folder })
    }
}

/// What every manifest says, of whichever release.
#[derive(serde::Deserialize)]
struct Form {
    waxseal_backup: u32,
}

fn read(folder: &Path, key: &VerifierKey) -> Result<Manifest, BackupError> {
    let (path, signature) = (folder.join(FILE), folder.join(SIGNATURE));
    let length = std::fs::metadata(&path).map_err(BackupError::file(&path))?.len();
    if length > LONGEST {
        return Err(BackupError::damaged(&path, "it is too long"));
    }
    let text = std::fs::read(&path).map_err(BackupError::file(&path))?;
    let note = std::fs::read(&signature).map_err(BackupError::file(&signature))?;
    let note = String::from_utf8(note).map_err(|_| BackupError::damaged(&signature, "it is no note"))?;
    let statement = Statement::verify(&note, key).map_err(|error| BackupError::damaged(&signature, &error))?;
    if statement.manifest != HEXLOWER.encode(&Sha256::digest(&text)) {
        return Err(BackupError::damaged(&path, "it is not what was signed"));
    }
    let form: Form = serde_json::from_slice(&text).map_err(|error| BackupError::damaged(&path, &error))?;
    if form.waxseal_backup != VERSION {
        return Err(BackupError::Later);
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| BackupError::damaged(&path, &error))?;
    if manifest.name != statement.backup {
        return Err(BackupError::damaged(&path, "it is the manifest of another backup"));
    }
    Ok(manifest)
}

impl Found {
    /// Whether there are data in it.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.manifest.archive(DATA).is_some()
    }

    /// Whether there are files in it.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.manifest.archive(FILES).is_some()
    }

    /// Every archive that is there, with its manifest. Those of the keys are looked for where the keys are.
    fn archives(&self) -> Vec<(PathBuf, archive::Stored)> {
        let data = self.manifest.archives.iter().filter(|one| one.file != KEYS);
        let data = data.map(|one| (self.folder.join(&one.file), one.stored()));
        let keys = self.keys.archive(KEYS).map(|one| (self.keys_folder.join(KEYS), one.stored()));
        data.chain(keys).collect()
    }

    /// Reads every archive to its end, and compares it with the manifest. `keys`: those of the keys too.
    pub async fn check(&self, keys: bool, tell: Tell<'_>) -> Result<(), BackupError> {
        for (path, expected) in self.archives().into_iter().filter(|(path, _)| keys || !path.ends_with(KEYS)) {
            let (told, mut heard) = mpsc::channel(1);
            let (file, all) = (path.clone(), expected.bytes);
            let reading = tokio::task::spawn_blocking(move || {
                // Who does not listen at this moment hears the next time.
                archive::stored(&file, |done| _ = told.try_send(done))
            });
            while let Some(done) = heard.recv().await {
                tell("checking", done, all);
            }
            let found = reading.await.map_err(|_| BackupError::BrokenOff)?.map_err(BackupError::file(&path))?;
            if found != expected {
                return Err(BackupError::damaged(&path, "it is not what was signed"));
            }
        }
        Ok(())
    }
}
