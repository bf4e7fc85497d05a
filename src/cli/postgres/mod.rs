//! A Postgres server of our own, for development and tests. In production the operator brings one.
//!
//! The server is the child of a small shell script (`watcher.sh`) that reads a pipe from us: when we stop, crash or are
//! killed, the pipe ends and the script shuts the server down. So nothing is left behind, whatever becomes of us.

mod address;
mod binaries;
mod initialise;
mod orphan;
mod place;
mod process;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::crypto::random;
use crate::secret::Dsn;
use address::Address;
use binaries::Binaries;
use place::Place;
use process::spawn;

/// How long a server may take to accept a connection; recovery after a crash is part of it.
const START_WITHIN: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The superuser of a private server, and the database it makes.
const NAME: &str = "waxseal";

/// What must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was committed, as in production.
    Full,
    /// Nothing: the server never waits for the disk.
    Throwaway,
}

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Neither on `PATH` nor where packages put them.
    #[error(
        "the programs of a Postgres server were not found. Install them with one of\n  \
         apt-get install postgresql        (Debian, Ubuntu)\n  \
         dnf install postgresql-server     (Fedora, RHEL)\n  \
         brew install postgresql@17        (macOS)\n\
         or give DATABASE_URL a server of your own"
    )]
    NotInstalled,
    /// Data files are readable by the major version that wrote them alone.
    #[error("the data was written by Postgres {wanted}, whose programs are not installed")]
    OtherVersion {
        /// The major version.
        wanted: String,
    },
    /// Another process that is alive uses the folder.
    #[error("a private Postgres is already running in {}", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A program of Postgres failed; `log` is the end of what it said.
    #[error("Postgres did not {what}:\n{log}")]
    Failed {
        /// Completes "did not".
        what: &'static str,
        /// Its last lines.
        log: String,
    },
    /// Files or processes could not be made.
    #[error("the private Postgres could not be set up in {}", dir.display())]
    System {
        /// The folder.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it and waits until it is down, which takes at most about 15 seconds.
#[derive(Debug)]
pub struct PrivatePostgres {
    watcher: Child,
    /// The server stops when this is closed.
    orders: Option<ChildStdin>,
    dsn: Dsn,
    root: PathBuf,
    /// Held while we live: whoever has it and finds a server in the folder has found an orphan.
    _lock: fs::File,
}

impl PrivatePostgres {
    /// Starts a server whose data lives in `dir`, and makes the data on first use.
    ///
    /// `dir` becomes the server's own (mode 700; when we are root, it belongs to another user and may be replaced by a
    /// folder under `/var/lib`). A server left over from a killed process is stopped first.
    pub async fn start(dir: &Path, durability: Durability) -> Result<Self, PostgresError> {
        Self::launch(dir, durability, false).await
    }

    /// Starts a server in a new temporary folder, which is deleted when the server stops, even if we are killed.
    pub async fn throwaway() -> Result<Self, PostgresError> {
        let name = format!("waxseal-{}", HEXLOWER.encode(&random::bytes::<8>()));
        // Root's own temporary folder may be out of reach for the account the server runs as.
        let shelf = if rustix::process::geteuid().is_root() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let litter = Litter(shelf.join(name));
        let server = Self::launch(&litter.0, Durability::Throwaway, true).await?;
        std::mem::forget(litter); // from here on the watcher deletes it
        Ok(server)
    }

    async fn launch(dir: &Path, durability: Durability, remove: bool) -> Result<Self, PostgresError> {
        let system = |source| PostgresError::System { dir: dir.to_owned(), source };
        let place = Place::prepare(dir).map_err(system)?;
        let lock = lock(&place)?;
        orphan::stop(&place.data()).await.map_err(system)?;
        let binaries = Binaries::find(initialise::version(&place).as_deref())?;
        let password = place.password().map_err(system)?;
        initialise::run(&place, &binaries, durability).await?;
        let address = Address::choose(&place.root).map_err(system)?;
        let mut watcher = spawn(&place, &binaries, durability, &address, remove).map_err(system)?;
        let orders = watcher.stdin.take();
        let dsn = address.dsn(&password);
        let mut server = Self { watcher, orders, dsn, root: place.root.clone(), _lock: lock };
        server.wait_until_ready(&place).await?;
        Ok(server)
    }

    /// Reaches the server as its superuser, in the database `waxseal`.
    #[must_use]
    pub fn dsn(&self) -> &Dsn {
        &self.dsn
    }

    /// The folder in use, which is not always the one that was asked for.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.root
    }

    /// Shuts down: connections are cut, what was committed is written out. Returns when the server is down.
    pub async fn stop(mut self) {
        self.orders = None;
        self.wait_until_down().await;
    }

    /// Stops at once, as a crash would: the next start recovers. Returns when the server is down.
    pub async fn kill_hard(mut self) {
        if let Some(mut orders) = self.orders.take() {
            let _ = orders.write_all(b"quit\n"); // a watcher that is gone has taken the server with it
        }
        self.wait_until_down().await;
    }

    async fn wait_until_down(&mut self) {
        while matches!(self.watcher.try_wait(), Ok(None)) {
            sleep(ASK_EVERY).await;
        }
    }

    async fn wait_until_ready(&mut self, place: &Place) -> Result<(), PostgresError> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let attempt = timeout(START_WITHIN, PgConnection::connect(self.dsn.expose())).await;
            match attempt {
                Ok(Ok(connection)) => {
                    let _ = connection.close().await; // it has served its purpose
                    return Ok(());
                }
                // 57P03: it is starting up, or recovering.
                Ok(Err(sqlx::Error::Database(refusal))) if refusal.code().as_deref() != Some("57P03") => {
                    return Err(failed("accept our password", refusal.message().to_owned()));
                }
                _ if Instant::now() > deadline => return Err(failed("get ready", tail(&place.log_file()))),
                _ => {}
            }
            if !matches!(self.watcher.try_wait(), Ok(None)) {
                return Err(failed("start", tail(&place.log_file())));
            }
            sleep(ASK_EVERY).await;
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.watcher.wait(); // the watcher itself sees to it that this ends
    }
}

/// A folder that is deleted when its server does not come up, or nobody waits for it any more.
struct Litter(PathBuf);

impl Drop for Litter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is not there needs no deleting
    }
}

fn lock(place: &Place) -> Result<fs::File, PostgresError> {
    let system = |source| PostgresError::System { dir: place.root.clone(), source };
    let file = place.append(&place.root.join("lock")).map_err(system)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(PostgresError::InUse { dir: place.root.clone() }),
        Err(fs::TryLockError::Error(source)) => Err(system(source)),
    }
}

fn failed(what: &'static str, log: String) -> PostgresError {
    PostgresError::Failed { what, log }
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}
