//! Makes the data of a new private server.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tokio::io::AsyncWriteExt;

use super::binaries::Binaries;
use super::place::Place;
use super::process::server_command;
use super::{Durability, NAME, PostgresError, failed};

/// The major version that wrote the data; `None` when there is none yet.
pub(super) fn version(place: &Place) -> Option<String> {
    fs::read_to_string(place.data().join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
}

/// Makes data and database, unless they are there. Made under another name and moved at the end, so that data that is
/// there is whole.
pub(super) async fn run(place: &Place, binaries: &Binaries, durability: Durability) -> Result<(), PostgresError> {
    if version(place).is_some() {
        return Ok(());
    }
    let draft = place.root.join("data.new");
    let system = |source| PostgresError::System { dir: place.root.clone(), source };
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(system)?;
    }
    let commands = [initdb(place, binaries, &draft, durability), create_database(place, binaries, &draft)];
    for (command, input) in commands {
        let output = run_with_input(command, input).await.map_err(system)?;
        if !output.status.success() {
            return Err(failed("make its data", String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    fs::rename(&draft, place.data()).map_err(system)
}

fn initdb(place: &Place, binaries: &Binaries, draft: &Path, durability: Durability) -> (Command, &'static str) {
    let mut command = server_command(place, &binaries.program("initdb"));
    command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", NAME]);
    command.arg("--pwfile").arg(place.password_file()).arg("--pgdata").arg(draft);
    if durability == Durability::Throwaway {
        command.arg("--no-sync");
    }
    (command, "")
}

/// Single-user mode needs neither a socket nor a client.
fn create_database(place: &Place, binaries: &Binaries, draft: &Path) -> (Command, &'static str) {
    let mut command = server_command(place, &binaries.program("postgres"));
    command.arg("--single").arg("-D").arg(draft).args(["-c", "exit_on_error=on", "postgres"]);
    (command, "CREATE DATABASE waxseal\n")
}

/// The program is killed when nobody waits for it any more.
async fn run_with_input(command: Command, input: &str) -> io::Result<Output> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended without reading has failed, and its status tells.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}
