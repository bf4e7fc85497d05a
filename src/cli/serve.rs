//! `waxseal serve`: the gateway, until it is told to stop.

use std::process::ExitCode;
use std::sync::Arc;

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

/// Runs until SIGTERM or SIGINT, then drains.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    start_logs(config);
    // Asked for before anything starts, so that no signal finds the default behind it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let gateway = Box::pin(Gateway::start(config, Arc::new(SystemClock))).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    gateway.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
