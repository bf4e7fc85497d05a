//! Where a private server lives, and as whom it runs: Postgres refuses to run as root.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::crypto::random;

/// A user that can own files and run programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A folder that belongs to the server's account alone: data, socket, password and log are in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// Whom to become; `None` when the running user will do.
    pub(super) account: Option<Account>,
}

impl Place {
    /// Makes `wanted`, unless the account cannot get there (a folder under `/root`, say): then a folder under
    /// `/var/lib`, the same for each call with the same `wanted`.
    pub(super) fn prepare(wanted: &Path) -> io::Result<Self> {
        fs::create_dir_all(wanted.parent().unwrap_or(Path::new("/")))?;
        make_private(wanted)?;
        let wanted = wanted.canonicalize()?;
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { root: wanted, account: None });
        }
        let account = owner(&wanted).or_else(server_account).ok_or_else(no_account)?;
        let root = if reachable(&wanted, account) { wanted } else { elsewhere(&wanted)? };
        chown(&root, Some(account.uid), Some(account.gid))?;
        Ok(Self { root, account: Some(account) })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// The server's password, made up on first use.
    pub(super) fn password(&self) -> io::Result<String> {
        match fs::read_to_string(self.password_file()) {
            Ok(password) => Ok(password.trim().to_owned()),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                let password = HEXLOWER.encode(&random::bytes::<24>());
                self.write(&self.password_file(), &password)?;
                Ok(password)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Opens a file of the account's alone for appending.
    pub(super) fn append(&self, path: &Path) -> io::Result<fs::File> {
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        self.give(path)?;
        Ok(file)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        use io::Write;
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.account.map_or(Ok(()), |account| chown(path, Some(account.uid), Some(account.gid)))
    }
}

/// Makes one folder of mode 700, or takes the one that is there and tightens it.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        made => made,
    }
}

/// Whoever owns the data of an earlier run goes on owning it.
fn owner(root: &Path) -> Option<Account> {
    let about = fs::metadata(root.join("data")).ok()?;
    (about.uid() != 0).then(|| Account { uid: about.uid(), gid: about.gid() })
}

/// The machine's `postgres` user, or else `nobody`.
fn server_account() -> Option<Account> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
            let account = Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
            (name == wanted && account.uid != 0).then_some(account)
        })
    };
    find("postgres").or_else(|| find("nobody"))
}

fn no_account() -> io::Error {
    io::Error::other("Postgres does not run as root, and there is neither a postgres nor a nobody user to run it as")
}

/// Whether `account` may pass through every folder above `path`.
fn reachable(path: &Path, account: Account) -> bool {
    path.ancestors().skip(1).all(|folder| {
        fs::metadata(folder).is_ok_and(|about| {
            let class = match about {
                ref about if about.uid() == account.uid => 0o100,
                ref about if about.gid() == account.gid => 0o010,
                _ => 0o001,
            };
            about.mode() & class != 0
        })
    })
}

fn elsewhere(wanted: &Path) -> io::Result<PathBuf> {
    let digest = Sha256::digest(wanted.as_os_str().as_encoded_bytes());
    let name = HEXLOWER.encode(digest.get(..8).unwrap_or_default());
    let shelf = Path::new("/var/lib/waxseal-postgres");
    match fs::DirBuilder::new().mode(0o711).create(shelf) {
        Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => return Err(fault),
        _ => {}
    }
    let root = shelf.join(name);
    make_private(&root)?;
    Ok(root)
}
