//! `waxseal serve`: the gateway, until it is told to stop.

use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Gateway;
use crate::clock::SystemClock;
use crate::config::{Config, LogFormat};
use crate::telemetry;

/// Starts logging as the configuration says.
pub(super) fn start_logs(config: &Config) {
    telemetry::install_logs(config.log.level.as_str(), config.log.format == LogFormat::Json);
    telemetry::quiet_panics();
}

/// Forbids core dumps: they would hold keys and messages. There is no way back for this process. A system that does not let us is no
/// reason not to work; a gateway says so in its log.
pub(super) fn forbid_core_dumps() {
    if let Err(error) = no_core_dumps() {
        tracing::warn!(%error, "core dumps could not be forbidden; forbid them on the machine");
    }
}

/// Twice, because where the system hands dumps to a program, the limit of their size does not hold; what is not dumpable is also not traced
/// by others of the same user.
fn no_core_dumps() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Runs until SIGTERM or SIGINT, then drains. SIGHUP has the certificates read anew.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    start_logs(config);
    forbid_core_dumps();
    // Asked for before anything starts, so that no signal finds the default behind it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let gateway = Box::pin(Gateway::start(config, Arc::new(SystemClock))).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => gateway.reload_certificates(),
        }
    }
    tracing::info!("stopping");
    gateway.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
