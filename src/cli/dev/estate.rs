//! What a development installation keeps between runs: generated secrets, owner-only, in one folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;

use crate::app::Addresses;
use crate::crypto::random;
use crate::secret::{AccessToken, AppSecret, Dsn, VerifyToken};

/// Meta's id of the simulated number.
pub(super) const PHONE_NUMBER_ID: &str = "106540352242922";
/// Meta's id of the simulated account.
pub(super) const WABA_ID: &str = "102290129340398";

/// The folder of secrets.
#[derive(Debug)]
pub(super) struct Estate {
    folder: PathBuf,
    app_secret: AppSecret,
    access_token: AccessToken,
    verify_token: VerifyToken,
}

impl Estate {
    /// Reads the secrets of an earlier run, or makes them.
    pub(super) fn open_or_make(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("secrets");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let secret = |name: &str, make: fn() -> String| {
            keep(&folder.join(name), make).with_context(|| format!("{}/{name}", folder.display()))
        };
        secret("kms.key", || HEXLOWER.encode(&random::bytes::<32>()))?;
        Ok(Self {
            app_secret: AppSecret::new(secret("app_secret", || HEXLOWER.encode(&random::bytes::<16>()))?),
            access_token: AccessToken::new(secret("access_token", || {
                format!("EAA{}", HEXLOWER.encode(&random::bytes::<30>()))
            })?),
            verify_token: VerifyToken::new(secret("verify_token", || HEXLOWER.encode(&random::bytes::<16>()))?),
            folder,
        })
    }

    pub(super) fn app_secret(&self) -> AppSecret {
        self.app_secret.clone()
    }

    pub(super) fn access_token(&self) -> AccessToken {
        self.access_token.clone()
    }

    pub(super) fn verify_token(&self) -> VerifyToken {
        self.verify_token.clone()
    }

    pub(super) fn kms_file(&self) -> PathBuf {
        self.folder.join("kms.key")
    }

    /// A value of an earlier run, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    /// Keeps a value for later runs.
    pub(super) fn put(&self, name: &str, value: &str) -> io::Result<()> {
        write_private(&self.folder.join(name), value)
    }

    /// Writes the names under which scripts find this installation.
    pub(super) fn write_env(
        &self,
        path: &Path,
        at: &Addresses,
        simulator: &str,
        api_key: &str,
        database: &Dsn,
    ) -> anyhow::Result<()> {
        let lines = [
            ("WAXSEAL_PUBLIC_URL", format!("http://{}", at.public)),
            ("WAXSEAL_API_URL", format!("http://{}", at.internal)),
            ("WAXSEAL_ADMIN_URL", format!("http://{}", at.admin)),
            ("WAXSEAL_GRAPH_URL", format!("http://{}/graph", at.internal)),
            ("WAXSEAL_API_KEY", api_key.to_owned()),
            ("WAXSEAL_APP_SECRET", self.app_secret.expose().to_owned()),
            ("WAXSEAL_VERIFY_TOKEN", self.verify_token.expose().to_owned()),
            ("WAXSEAL_PHONE_NUMBER_ID", PHONE_NUMBER_ID.to_owned()),
            ("WAXSEAL_WABA_ID", WABA_ID.to_owned()),
            ("WAXSEAL_SIMULATOR_URL", simulator.to_owned()),
            ("DATABASE_URL", database.expose().to_owned()),
        ];
        let text: String = lines.iter().map(|(name, value)| [name, "='", value, "'\n"].concat()).collect();
        // Written beside and renamed: whoever waits for the file finds it whole.
        let beside = path.with_extension("env.new");
        write_private(&beside, &text).and_then(|()| fs::rename(&beside, path)).context("dev.env")
    }
}

fn keep(path: &Path, make: fn() -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let value = make();
            write_private(path, &value)?;
            Ok(value)
        }
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
