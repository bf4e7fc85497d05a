//! The gateways: this binary again, as processes of their own, which differ from `waxseal serve` in their clock alone.

use std::io::Read;
use std::process::{ExitCode, Stdio};
use std::sync::Mutex as Plain;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use time::OffsetDateTime;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::interval;
use waxseal::app::Gateway as Waxseal;
use waxseal::config::Config;
use waxseal::telemetry;

use crate::clock::FastClock;
use crate::proxy::Proxy;
use crate::support::process::{Ports, Process};

/// Tells this binary that it is a gateway, and when the run began.
pub const BEGAN: &str = "LEDGER_BEGAN";

/// Serves as a gateway until it is told to stop, or until its parent is gone.
pub async fn serve(began: &str) -> ExitCode {
    let began = OffsetDateTime::from_unix_timestamp_nanos(began.parse().unwrap()).unwrap();
    telemetry::install_logs("info", true);
    let config = Config::load(None, std::env::vars()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let gateway = match Waxseal::start(&config, std::sync::Arc::new(FastClock { began })).await {
        Ok(gateway) => gateway,
        Err(fault) => {
            eprintln!("{fault:#}");
            return ExitCode::FAILURE;
        }
    };
    let (alone, orphaned) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]); // nothing is ever written to it
        let _ = alone.send(()); // nobody listens any more
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = orphaned => {}
    }
    gateway.shutdown().await;
    ExitCode::SUCCESS
}

/// One place of the fleet.
pub struct Gateway {
    pub at: Ports,
    /// Its way to Postgres.
    pub database: Proxy,
    environment: Vec<(String, String)>,
    /// None while it is down on purpose.
    process: Mutex<Option<Process>>,
    /// Starts that came to nothing, because the database was away: whoever runs it starts it again.
    pub failed_starts: AtomicUsize,
    /// What it must never do.
    pub offences: Plain<Vec<String>>,
}

impl Gateway {
    pub fn new(database: Proxy, environment: Vec<(String, String)>) -> Self {
        let (process, failed_starts, offences) = (Mutex::default(), AtomicUsize::default(), Plain::default());
        Self { at: Ports::free(), database, environment, process, failed_starts, offences }
    }

    fn launch(&self) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env_clear().envs(self.environment.iter().cloned()).stdin(Stdio::piped()).kill_on_drop(true);
        Process::launch(command, self.at)
    }

    pub async fn start(&self) {
        *self.process.lock().await = Some(self.launch());
    }

    pub async fn is_ready(&self) -> bool {
        let process = self.process.lock().await;
        match &*process {
            Some(process) => process.readiness().await == Some(200),
            None => false,
        }
    }

    /// Ends it at once; it stays down.
    pub async fn kill(&self) {
        if let Some(mut process) = self.process.lock().await.take() {
            process.kill_hard().await;
        }
    }

    /// Lets it finish; it stays down.
    pub async fn terminate(&self) {
        let Some(mut process) = self.process.lock().await.take() else { return };
        let was_up = has_listened(&process);
        process.signal(Signal::TERM);
        let status = process.ended().await;
        if was_up && !status.success() {
            self.offence("did not stop well", &process);
        }
    }

    fn offence(&self, what: &str, process: &Process) {
        let said = process.said();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        self.offences.lock().unwrap().push(format!("a gateway {what}: {last:#?}"));
    }

    /// Starts it again when it has ended by itself, as a platform would.
    pub async fn watch(&self) {
        let mut look = interval(Duration::from_millis(200));
        loop {
            look.tick().await;
            let mut place = self.process.lock().await;
            let Some(process) = &mut *place else { continue };
            if process.has_ended() {
                if has_listened(process) {
                    self.offence("ended by itself", process);
                }
                self.failed_starts.fetch_add(1, Ordering::Relaxed);
                *place = Some(self.launch());
            }
        }
    }
}

fn has_listened(process: &Process) -> bool {
    process.said().contains(r#""message":"listening""#)
}
