//! Postgres cannot write any more.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use sqlx::{Connection, PgConnection};
use waxseal::cli::postgres::PrivatePostgres;

use crate::support::estate::{Estate, Folder, durable};
use crate::support::load::{Load, audit};
use crate::support::wait::{PATIENCE, until};

/// Holds a fresh server and little more.
const SIZE: &str = "size=160m";

/// A small file system of its own, mounted on a folder.
struct SmallDisk(Folder);

impl SmallDisk {
    /// `None` when this machine lets us mount nothing.
    fn mount(name: &str) -> Option<Self> {
        let folder = Folder::new(name);
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&folder.0).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }

    /// Writes until there is no room.
    fn fill(&self) {
        let mut filler = File::create(self.0.0.join("filler")).unwrap();
        let piece = vec![0_u8; 64 << 10];
        while filler.write_all(&piece).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0.0).status(); // then the folder is removed
    }
}

/// The server, started anew when the trouble was too much for it.
async fn revived(postgres: PrivatePostgres, folder: &Folder) -> PrivatePostgres {
    if let Ok(connection) = PgConnection::connect(postgres.dsn().expose()).await {
        connection.close().await.unwrap();
        println!("the server lived through it");
        return postgres;
    }
    postgres.stop().await;
    println!("the server is started again");
    durable(folder).await
}

/// Under load: trouble until webhooks are refused, and the server says why; then relief.
async fn through(
    folder: &Folder,
    reason: &str,
    trouble: impl FnOnce(&PrivatePostgres),
    relief: impl FnOnce(&PrivatePostgres),
) {
    let postgres = durable(folder).await;
    let estate = Estate::start(postgres.dsn().expose().to_owned(), &[]).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 4);
    load.accepted(50).await;
    trouble(&postgres);
    // Pages and log that have room left take a few more.
    let refused = || load.tries().iter().filter(|one| one.status == Some(503)).count();
    until("webhooks are refused", PATIENCE, async || refused() > 100).await;
    let log = fs::read_to_string(postgres.dir().join("postgres.log")).unwrap();
    assert!(log.contains(reason), "{log}");
    relief(&postgres);
    let _postgres = revived(postgres, folder).await;
    load.accepted(50).await;
    let tries = load.finish().await;
    assert!(tries.iter().all(|one| matches!(one.status, Some(200 | 503))));
    println!("{} refused", tries.iter().filter(|one| one.status == Some(503)).count());
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_webhooks_and_loses_none() {
    let Some(disk) = SmallDisk::mount("disk") else {
        println!("nothing can be mounted here, so no disk was full; the test of the file size limit stands for it");
        return;
    };
    through(&disk.0, "No space left on device", |_| disk.fill(), |_| disk.free()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_files_may_not_grow_refuses_webhooks_and_loses_none() {
    let folder = Folder::new("limit");
    let limit = |most: &'static str| move |server: &PrivatePostgres| limit_files(server.dir(), most);
    through(&folder, "File too large", limit("65536"), limit("unlimited")).await;
}

/// Tells the server and everything that it forked how long a file may become.
fn limit_files(folder: &Path, most: &str) {
    // As the user that it runs as, who may do so without being the master of the machine.
    let owner = fs::metadata(folder.join("data")).unwrap();
    for pid in processes(folder) {
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={most}:")).args(["--pid", &pid]).uid(owner.uid()).gid(owner.gid());
        let done = command.output().expect("prlimit is there, in util-linux");
        let gone = !Path::new("/proc").join(&pid).exists();
        assert!(done.status.success() || gone, "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// The server and everything that it forked.
fn processes(folder: &Path) -> Vec<String> {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let Some(server) = file.lines().next().map(str::to_owned) else { return Vec::new() };
    let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
    std::iter::once(server).chain(children.split_whitespace().map(str::to_owned)).collect()
}
