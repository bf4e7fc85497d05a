//! Deals with what a killed predecessor left in the folder: a server that is still going down, or a stale pid file.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

const ASK_EVERY: Duration = Duration::from_millis(100);
/// Its watcher is already shutting it down; this many times it is given the chance.
const PATIENCE: u32 = 50;

/// Returns when no server uses `data` any more. To be called with the folder's lock held: a server found then is nobody's.
pub(super) async fn stop(data: &Path) -> io::Result<()> {
    let pid_file = data.join("postmaster.pid");
    let Some(pid) = recorded(&pid_file) else { return Ok(()) };
    for round in 0..3 * PATIENCE {
        if !serves(pid, data) {
            return remove_stale(&pid_file, pid);
        }
        match round {
            PATIENCE => kill_process(pid, Signal::QUIT)?,
            round if round == 2 * PATIENCE => kill_process(pid, Signal::KILL)?,
            _ => {}
        }
        sleep(ASK_EVERY).await;
    }
    Err(io::Error::other("a server of an earlier run does not stop"))
}

fn recorded(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)
}

/// Postgres itself takes any live process of that number for a server, and after a restart of the machine or container
/// the number is often somebody else's.
fn remove_stale(pid_file: &Path, pid: Pid) -> io::Result<()> {
    if recorded(pid_file) != Some(pid) {
        return Ok(());
    }
    match fs::remove_file(pid_file) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => Ok(()),
    }
}

fn serves(pid: Pid, data: &Path) -> bool {
    command_line(pid).is_some_and(|line| line.contains(&*data.to_string_lossy()))
}

fn command_line(pid: Pid) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        return Some(String::from_utf8_lossy(&line).into_owned());
    }
    let answer = Command::new("ps").args(["-o", "args=", "-p", &pid.as_raw_nonzero().to_string()]).output().ok()?;
    Some(String::from_utf8_lossy(&answer.stdout).into_owned())
}
