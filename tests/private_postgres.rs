//! A private Postgres starts for every user and in every folder, keeps what was committed, and leaves nothing behind.
#![cfg(target_os = "linux")] // for pidfd, which tells when somebody else's child has ended
#![expect(clippy::unwrap_used, reason = "a step that fails is the test that fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, getpgid, kill_process, pidfd_open};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use waxseal::cli::postgres::{Durability, PostgresError, PrivatePostgres};

const WAXSEAL: &str = env!("CARGO_BIN_EXE_waxseal");

/// A folder in the machine's temporary one, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waxseal-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn ask(server: &PrivatePostgres, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(server.dsn().expose()).await.unwrap();
    connection.fetch_one(sql).await.unwrap().get(0)
}

fn server_pid(dir: &Path) -> Pid {
    let text = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// The watcher leads the process group.
fn watcher_of(server: Pid) -> Pid {
    getpgid(Some(server)).unwrap()
}

/// A process that has ended and that init has not yet collected counts as gone.
fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Returns when `pid` has ended, whoever's child it is.
fn wait_for_end(pid: Pid) {
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience)), Ok(1), "it ends");
}

#[tokio::test]
async fn what_was_committed_outlives_a_crash_and_every_kind_of_stale_state() {
    let folder = Folder::new("crash");
    let dir = folder.0.join("postgres");
    let server = PrivatePostgres::start(&dir, Durability::Full).await.unwrap();
    assert_eq!(ask(&server, "SHOW fsync").await, "on");
    assert_eq!(ask(&server, "SHOW listen_addresses").await, "");
    let mut connection = PgConnection::connect(server.dsn().expose()).await.unwrap();
    connection.execute("CREATE TABLE kept AS SELECT 'kept' AS word").await.unwrap();

    let second = PrivatePostgres::start(&dir, Durability::Full).await;
    assert!(matches!(second, Err(PostgresError::InUse { .. })));

    let pid = server_pid(server.dir());
    server.kill_hard().await;
    assert!(!is_alive(pid));

    // The number in the stale file now belongs to a process that is no server: this one.
    fs::write(dir.join("data/postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
    let server = PrivatePostgres::start(&dir, Durability::Full).await.unwrap();
    assert_eq!(ask(&server, "SELECT word FROM kept").await, "kept");

    // With its watcher killed the server is an orphan, which the next start finds and stops.
    let pid = server_pid(server.dir());
    kill_process(watcher_of(pid), Signal::KILL).unwrap();
    server.stop().await;
    let server = PrivatePostgres::start(&dir, Durability::Full).await.unwrap();
    assert!(!is_alive(pid));
    assert_eq!(ask(&server, "SELECT word FROM kept").await, "kept");

    let pid = server_pid(server.dir());
    server.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_dropped_throwaway_server_is_gone_with_its_folder() {
    let server = PrivatePostgres::throwaway().await.unwrap();
    assert_eq!(ask(&server, "SHOW fsync").await, "off");
    let (pid, dir) = (server_pid(server.dir()), server.dir().to_owned());
    drop(server);
    assert!(!is_alive(pid) && !dir.exists());
}

#[tokio::test]
async fn a_folder_too_deep_for_a_socket_is_served_over_loopback() {
    let folder = Folder::new("deep");
    let dir = folder.0.join("d".repeat(60)).join("e".repeat(60));
    let server = PrivatePostgres::start(&dir, Durability::Throwaway).await.unwrap();
    assert!(server.dsn().expose().contains("@127.0.0.1:"));
    assert_eq!(ask(&server, "SHOW listen_addresses").await, "127.0.0.1");
    server.stop().await;
}

#[tokio::test]
async fn a_folder_only_root_can_reach_is_replaced_by_one_that_stays_the_same() {
    if !geteuid().is_root() {
        return; // an ordinary user's server runs as that user and can reach what the user can
    }
    let folder = Folder::new("rootonly");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
    let server = PrivatePostgres::start(&folder.0.join("p"), Durability::Throwaway).await.unwrap();
    let replaced = server.dir().to_owned();
    server.stop().await;
    let server = PrivatePostgres::start(&folder.0.join("p"), Durability::Throwaway).await.unwrap();
    assert_eq!(server.dir(), replaced);
    assert_ne!(replaced, folder.0.join("p"));
    server.stop().await;
    fs::remove_dir_all(replaced).unwrap();
}

fn dev_postgres(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["dev", "postgres", "--"]).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A command that has told where its server is, and lives until its input, which we hold, ends.
struct Running {
    waxseal: Child,
    _input: ChildStdin,
    dir: PathBuf,
}

impl Running {
    async fn start() -> Self {
        let mut command = dev_postgres(Path::new(WAXSEAL), &["sh", "-c", "echo \"$DATABASE_URL\"; read -r _"]);
        let mut waxseal = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut dsn = String::new();
        BufReader::new(waxseal.stdout.take().unwrap()).read_line(&mut dsn).await.unwrap();
        let host = dsn.split('@').nth(1).unwrap().split(':').next().unwrap();
        // Waiting for a child closes its input, unless it was taken away before.
        let input = waxseal.stdin.take().unwrap();
        Self { waxseal, _input: input, dir: PathBuf::from(host.replace("%2F", "/")) }
    }
}

#[tokio::test]
async fn the_commands_exit_code_is_ours_and_its_server_is_gone() {
    let output =
        dev_postgres(Path::new(WAXSEAL), &["sh", "-c", "echo \"$DATABASE_URL\"; exit 7"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(output.stdout.starts_with(b"postgres://waxseal:"));
    let missing = dev_postgres(Path::new(WAXSEAL), &["/nowhere/cmd"]).stderr(Stdio::null()).status().await.unwrap();
    assert_eq!(missing.code(), Some(1));
}

#[tokio::test]
async fn no_server_is_left_after_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let mut running = Running::start().await;
        let server = server_pid(&running.dir);
        let watcher = watcher_of(server);
        kill_process(Pid::from_raw(running.waxseal.id().unwrap().cast_signed()).unwrap(), signal).unwrap();
        let status = running.waxseal.wait().await.unwrap();
        if signal == Signal::KILL {
            wait_for_end(watcher); // nobody is left to wait for it but us
        } else {
            assert_eq!(status.code(), Some(128 + signal.as_raw()));
        }
        assert!(!is_alive(server) && !is_alive(watcher), "{signal:?}");
        assert!(!running.dir.exists(), "{signal:?}");
    }
}

#[tokio::test]
async fn an_ordinary_user_can_have_one_too() {
    if !geteuid().is_root() {
        return; // then all the other tests have shown it
    }
    let folder = Folder::new("ordinary");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.0.join("waxseal");
    fs::copy(WAXSEAL, &program).unwrap(); // our own folder may be root's alone
    let mut command = dev_postgres(&program, &["sh", "-c", "id -u; echo \"$DATABASE_URL\""]);
    let output = command.uid(65534).gid(65534).current_dir(&folder.0).env("TMPDIR", "/tmp").output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("65534\npostgres://"), "{said}");
}
