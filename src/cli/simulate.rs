//! `waxseal simulate`: a stand-in for Meta, for development against it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SystemClock;
use crate::secret::{AccessToken, AppSecret, VerifyToken};
use crate::simulator::{Simulator, SimulatorConfig};

/// `waxseal simulate`. The secrets are those of a simulation and protect nothing.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Where to listen. The control side has no authentication.
    #[arg(long, default_value = "127.0.0.1:8083", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where webhooks are posted to.
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Signs webhooks.
    #[arg(long, env = "WHATSAPP_APP_SECRET", hide_env_values = true)]
    app_secret: String,
    /// What senders must bring.
    #[arg(long, env = "WHATSAPP_ACCESS_TOKEN", hide_env_values = true)]
    access_token: String,
    /// Repeated when the callback is verified.
    #[arg(long, env = "WHATSAPP_VERIFY_TOKEN", hide_env_values = true)]
    verify_token: String,
    /// The simulated number.
    #[arg(long, env = "WHATSAPP_PHONE_NUMBER_ID", default_value = "106540352242922")]
    phone_number_id: String,
    /// The simulated account.
    #[arg(long, env = "WHATSAPP_WABA_ID", default_value = "102290129340398")]
    waba_id: String,
}

/// Runs until SIGTERM or SIGINT.
pub(super) async fn run(args: SimulateArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let config = SimulatorConfig {
        listen: args.listen,
        app_secret: AppSecret::new(args.app_secret),
        access_token: AccessToken::new(args.access_token),
        verify_token: VerifyToken::new(args.verify_token),
        phone_number_id: args.phone_number_id,
        waba_id: args.waba_id,
        display_phone_number: "15550001234".to_owned(),
        callback_url: args.callback_url,
    };
    let simulator = Simulator::start(config, Arc::new(SystemClock)).await?;
    writeln!(out, "simulator at {}, control at {}/control; Ctrl-C stops it", simulator.base_url(), simulator.base_url())?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
