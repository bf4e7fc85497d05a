//! `waxseal dev`: everything on one machine. A private Postgres, the simulator as Meta, the gateway, a sample consumer that
//! verifies signatures, one round trip to look at; then it stays up until Ctrl-C.

mod consumer;
mod demo;
mod estate;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::postgres::{Durability, PrivatePostgres};
use crate::app::Gateway;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::simulator::{Simulator, SimulatorConfig};
use crate::telemetry;
use consumer::Consumer;
use estate::Estate;

/// `waxseal dev`
#[derive(Debug, Args)]
pub(super) struct DevServerArgs {
    /// Folder of the database, the keys and `dev.env`; kept between runs.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// First of the ports: +0 webhook, +1 API, +2 admin, +3 simulator, +4 sample consumer.
    #[arg(long, default_value_t = 8080, value_name = "N")]
    port_base: u16,
    /// Write the gateway's log to the terminal too.
    #[arg(long)]
    verbose: bool,
}

impl DevServerArgs {
    fn address(&self, offset: u16) -> anyhow::Result<SocketAddr> {
        let port = self.port_base.checked_add(offset).context("--port-base is too high")?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

type Out<'a> = &'a mut (dyn Write + Send);

/// Runs until SIGTERM or SIGINT.
pub(super) async fn run(args: DevServerArgs, out: Out<'_>) -> anyhow::Result<ExitCode> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stop = std::pin::pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    telemetry::install_logs(if args.verbose { "info" } else { "error" }, false);
    std::fs::create_dir_all(&args.data).with_context(|| format!("{} cannot be made", args.data.display()))?;
    writeln!(out, "waxseal dev: starting; the first start takes a few seconds longer\n")?;
    up(&args, out, stop.as_mut()).await?;
    writeln!(out, "\nstopped; the data stays in {}", args.data.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Starts everything and stays up until told to stop. Then the gateway ends before its database; all others end with their handles.
async fn up(args: &DevServerArgs, out: Out<'_>, mut stop: impl Future<Output = ()> + Unpin) -> anyhow::Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let estate = Estate::open_or_make(&args.data)?;
    step(out, "Postgres", "private server, fsync on")?;
    let folder = args.data.join("postgres");
    let postgres = tokio::select! {
        started = PrivatePostgres::start(&folder, Durability::Full) => started?,
        () = &mut stop => return Ok(()),
    };

    step(out, "Meta", "simulator")?;
    let simulator = Simulator::start(simulator_config(args, &estate)?, clock.clone()).await.context("the simulator")?;

    step(out, "gateway", "migrates, opens its keys, listens")?;
    let config = gateway_config(args, &estate, &postgres, &simulator)?;
    let gateway = tokio::select! {
        started = Box::pin(Gateway::start(&config, clock.clone())) => started?,
        () = &mut stop => return Ok(()),
    };
    let parts = Parts { args, estate: &estate, postgres: &postgres, simulator: &simulator, gateway: &gateway };
    let shown = tokio::select! {
        shown = parts.show(clock, out) => shown,
        () = &mut stop => Ok(()),
    };
    gateway.shutdown().await;
    shown
}

/// What is up beside the sample application.
struct Parts<'a> {
    args: &'a DevServerArgs,
    estate: &'a Estate,
    postgres: &'a PrivatePostgres,
    simulator: &'a Simulator,
    gateway: &'a Gateway,
}

impl Parts<'_> {
    /// Starts the sample application, shows one round trip, and stays up.
    async fn show(&self, clock: SharedClock, out: Out<'_>) -> anyhow::Result<()> {
        let Self { args, estate, postgres, simulator, gateway } = *self;
        step(out, "consumer", "a sample application that verifies every signature")?;
        let api_key = demo::ensure_api_key(gateway.base(), estate).await?;
        let api = format!("http://{}", gateway.addresses.internal);
        let consumer = Consumer::start(args.address(4)?, clock).await?;
        demo::ensure_endpoint(&api, &api_key, estate, &consumer).await?;
        let database = postgres.dsn();
        estate.write_env(&args.data.join("dev.env"), &gateway.addresses, simulator.base_url(), &api_key, database)?;

        let scene = demo::Scene {
            api: &api,
            key: &api_key,
            simulator: simulator.base_url(),
            consumer: &consumer,
            base: gateway.base(),
        };
        if let Err(error) = demo::round_trip(&scene, out).await {
            writeln!(out, "  the round trip did not finish: {error:#}")?;
        }
        farewell(args, gateway, simulator, out)?;
        std::future::pending().await
    }
}

fn step(out: Out<'_>, what: &str, how: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "  {what:<10}{how}")?)
}

fn simulator_config(args: &DevServerArgs, estate: &Estate) -> anyhow::Result<SimulatorConfig> {
    Ok(SimulatorConfig {
        listen: args.address(3)?,
        app_secret: estate.app_secret(),
        access_token: estate.access_token(),
        verify_token: estate.verify_token(),
        phone_number_id: estate::PHONE_NUMBER_ID.to_owned(),
        waba_id: estate::WABA_ID.to_owned(),
        display_phone_number: "15550001234".to_owned(),
        callback_url: Some(format!("http://{}/webhook", args.address(0)?)),
    })
}

/// The configuration that an operator would write, as environment variables.
fn gateway_config(
    args: &DevServerArgs,
    estate: &Estate,
    postgres: &PrivatePostgres,
    simulator: &Simulator,
) -> anyhow::Result<Config> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let media = url::Url::from_directory_path(args.data.canonicalize()?.join("media"));
    let media = media.ok().context("the folder of the data has no URL")?;
    let variables = [
        ("DATABASE_URL", postgres.dsn().expose().to_owned()),
        ("WAXSEAL_SERVER__PUBLIC_LISTEN", args.address(0)?.to_string()),
        ("WAXSEAL_SERVER__INTERNAL_LISTEN", args.address(1)?.to_string()),
        ("WAXSEAL_SERVER__ADMIN_LISTEN", args.address(2)?.to_string()),
        ("WAXSEAL_KEYS__KMS", "file".to_owned()),
        ("WAXSEAL_KEYS__SECRET_FILE", path(&estate.kms_file())),
        ("WAXSEAL_MEDIA__URL", media.into()),
        ("WAXSEAL_META__GRAPH_URL", simulator.base_url().to_owned()),
        ("WAXSEAL_DELIVER__ALLOW_LOOPBACK", "true".to_owned()),
        ("WHATSAPP_ACCESS_TOKEN", estate.access_token().expose().to_owned()),
        ("WHATSAPP_PHONE_NUMBER_ID", estate::PHONE_NUMBER_ID.to_owned()),
        ("WHATSAPP_WABA_ID", estate::WABA_ID.to_owned()),
        ("WHATSAPP_APP_SECRET", estate.app_secret().expose().to_owned()),
        ("WHATSAPP_VERIFY_TOKEN", estate.verify_token().expose().to_owned()),
    ];
    Ok(Config::load(None, variables.into_iter().map(|(name, value)| (name.to_owned(), value)))?)
}

fn farewell(args: &DevServerArgs, gateway: &Gateway, simulator: &Simulator, out: Out<'_>) -> anyhow::Result<()> {
    let addresses = gateway.addresses;
    writeln!(out, "\nReady. Ctrl-C stops everything.\n")?;
    writeln!(out, "  webhook    http://{}/webhook", addresses.public)?;
    writeln!(
        out,
        "  API        http://{}/v1      documentation: http://{}/docs",
        addresses.internal, addresses.internal
    )?;
    writeln!(out, "  Graph      http://{}/graph   base URL for WhatsApp SDKs", addresses.internal)?;
    writeln!(out, "  metrics    http://{}/metrics", addresses.admin)?;
    writeln!(out, "  simulator  {}/control", simulator.base_url())?;
    writeln!(
        out,
        "\nNames and keys are in {}. Another message from a customer:\n",
        args.data.join("dev.env").display()
    )?;
    writeln!(out, "  curl -X POST {}/control/inbound -H 'content-type: application/json' \\", simulator.base_url())?;
    writeln!(out, "       -d '{{\"type\":\"text\",\"body\":\"Moin!\"}}'")?;
    Ok(out.flush()?)
}
