//! `[keys]`: where the key tables are, and where the secret above them comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::database::dsn;
use super::key_file::{KeyFileError, decode, read_key_file};
use super::reader::{Reader, read_secret_file};
use crate::secret::Dsn;

/// The key tree's server, secret and cache.
#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// The server of the key tables, if it is another than the data's.
    pub url: Option<Dsn>,
    /// Where the secret at the top of the tree comes from.
    pub kms: KmsSource,
    /// The epoch cell, overwritten at each erasure. Read with [`read_key_file`]; it may not exist yet.
    pub cell_file: Option<PathBuf>,
    /// How long an opened key may be used without asking again.
    pub cache_ttl: Duration,
    /// Opened keys in memory at most.
    pub cache_entries: usize,
}

/// Where the secret at the top of the key tree comes from.
#[derive(Debug, Clone)]
pub enum KmsSource {
    /// A file of the owner's alone, read when asked.
    File {
        /// Holds 64 hex digits.
        path: PathBuf,
    },
    /// The environment, or a file named there; read and checked at start.
    Env {
        /// The decoded secret.
        secret: KmsSecret,
    },
}

impl KmsSource {
    /// The secret's 32 bytes. A file is read each time, and its owner and mode are checked each time.
    pub fn read_secret(&self) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        match self {
            Self::File { path } => read_key_file(path),
            Self::Env { secret } => Ok(secret.0.clone()),
        }
    }
}

/// A secret of 32 bytes that does not print and is wiped when dropped.
#[derive(Clone)]
pub struct KmsSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for KmsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KmsSecret(…)")
    }
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Env,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "file" => Ok(Self::File),
            "env" => Ok(Self::Env),
            _ => Err(()),
        }
    }
}

impl KeysConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let before = reader.faults.len();
        let url = reader.secret("keys.url").and_then(|text| dsn(reader, "keys.url", text));
        let kind = reader.parsed("keys.kms", "\"file\" or \"env\"");
        let kms = source(reader, kind);
        let cell_file = reader.path("keys.cell_file");
        let cache_ttl = reader.seconds("keys.cache_ttl_seconds", 1..=86_400);
        let cache_entries = reader.number("keys.cache_entries", 100..=10_000_000);
        // An optional key that is faulty reads like one that is absent.
        let sound = reader.faults.len() == before;
        let config = Self { url, kms: kms?, cell_file, cache_ttl: cache_ttl?, cache_entries: cache_entries? };
        sound.then_some(config)
    }
}

/// Both keys are read whatever the kind, so that the unknown-key check and the printed configuration know them.
fn source(reader: &mut Reader, kind: Option<Kind>) -> Option<KmsSource> {
    let text = reader.shown_secret("keys.secret");
    let path = reader.path("keys.secret_file");
    match (kind?, text, path) {
        (Kind::File, None, Some(path)) => Some(KmsSource::File { path }),
        (Kind::File, Some(_), _) => {
            reader.fault("keys.secret", "is used with keys.kms = \"env\" alone");
            None
        }
        (Kind::File, None, None) => {
            reader
                .fault("keys.secret_file", "required: a file of mode 600 with 64 hex digits (`openssl rand -hex 32`)");
            None
        }
        (Kind::Env, Some(text), None) => decoded(reader, "keys.secret", &text),
        (Kind::Env, None, Some(path)) => match read_secret_file(&path) {
            Ok(text) => decoded(reader, "keys.secret_file", &text),
            Err(problem) => {
                reader.fault("keys.secret_file", problem);
                None
            }
        },
        (Kind::Env, Some(_), Some(_)) => {
            reader.fault("keys.secret", "is set, and so is keys.secret_file; keep one");
            None
        }
        (Kind::Env, None, None) => {
            reader.fault("keys.secret", "required: 64 hex digits (or keys.secret_file with the path of a file)");
            None
        }
    }
}

fn decoded(reader: &mut Reader, key: &str, text: &str) -> Option<KmsSource> {
    let secret = decode(text).map_err(|fault| reader.fault(key, fault.to_string())).ok()?;
    Some(KmsSource::Env { secret: KmsSecret(secret) })
}
