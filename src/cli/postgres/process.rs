//! The processes of a private server: the watcher, the server under it, and the programs that prepare it.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Durability;
use super::address::Address;
use super::binaries::Binaries;
use super::place::Place;

const WATCHER: &str = include_str!("watcher.sh");

/// Starts watcher and server. The server stops when the child's input is closed; with `remove`, the watcher then deletes
/// the place.
pub(super) fn spawn(
    place: &Place,
    binaries: &Binaries,
    durability: Durability,
    address: &Address,
    remove: bool,
) -> io::Result<Child> {
    let log = place.append(&place.log_file())?;
    let mut command = server_command(place, Path::new("/bin/sh"));
    command.args(["-c", WATCHER, "watcher"]);
    command.arg(binaries.program("postgres")).arg("-D").arg(place.data());
    // Terse: the details of a constraint error repeat the row.
    let settings = ["log_error_verbosity=terse", "max_connections=200"].map(str::to_owned);
    let durable = durability_settings(durability).iter().map(|setting| (*setting).to_owned());
    for setting in address.settings().into_iter().chain(settings).chain(durable) {
        command.arg("-c").arg(setting);
    }
    command.env("REMOVE", if remove { place.root.as_os_str() } else { "".as_ref() });
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    // A group of its own: Ctrl-C at the terminal is for us, and we stop the server when we are done with it.
    command.process_group(0).spawn()
}

fn durability_settings(durability: Durability) -> &'static [&'static str] {
    match durability {
        Durability::Full => &["fsync=on", "full_page_writes=on", "synchronous_commit=on"],
        Durability::Throwaway => &["fsync=off", "full_page_writes=off", "synchronous_commit=off"],
    }
}

/// A command that runs as the server's account, in its folder, deaf to the Postgres variables of the caller.
pub(super) fn server_command(place: &Place, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&place.root).env("LC_ALL", "C").stdin(Stdio::null());
    for name in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS", "PGSSLMODE"] {
        command.env_remove(name);
    }
    if let Some(account) = place.account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}
