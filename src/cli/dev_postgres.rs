//! `waxseal dev postgres -- CMD…`: runs a command against a throw-away server. The tests use it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::postgres::PrivatePostgres;

/// How long a command may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Args)]
pub(super) struct DevPostgresArgs {
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Starts the server, runs the command, stops the server, and gives the command's code (128 and the number of the signal
/// that ended it, as shells do). SIGINT, SIGTERM and SIGHUP are handed on to the command.
pub(super) async fn run(args: DevPostgresArgs) -> anyhow::Result<ExitCode> {
    // Heard from here on, so that a signal during the start leaves nothing behind either.
    let mut signals = Signals::listen()?;
    let server = tokio::select! {
        server = PrivatePostgres::throwaway() => server?,
        received = signals.next() => return Ok(code_after(received)),
    };
    let outcome = run_beside(&server, args, &mut signals).await;
    server.stop().await;
    outcome
}

async fn run_beside(
    server: &PrivatePostgres,
    args: DevPostgresArgs,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let mut words = args.command.into_iter();
    let program = words.next().context("no command was given")?;
    let mut child = Command::new(&program)
        .args(words)
        .env("DATABASE_URL", server.dsn().expose())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    tokio::select! {
        status = child.wait() => Ok(code_of(status?)),
        received = signals.next() => {
            hand_on(&child, received);
            match timeout(PATIENCE, child.wait()).await {
                Ok(_) => {}
                Err(_) => child.kill().await?,
            }
            Ok(code_after(received))
        }
    }
}

fn hand_on(child: &Child, received: Signal) {
    // A Ctrl-C at the terminal has reached the command by itself.
    if received == Signal::INT && std::io::stdin().is_terminal() {
        return;
    }
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        let _ = kill_process(pid, received); // it may just have ended
    }
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn code_after(received: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + received.as_raw()).unwrap_or(1))
}

/// The signals that ask us to end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
