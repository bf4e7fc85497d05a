//! The command line: what the binary can be asked to do.

mod audit;
mod backup;
mod breach;
mod contact;
mod data_keys;
mod dead_letters;
mod dev;
mod dev_postgres;
mod endpoint;
mod erase;
mod export;
mod health;
mod hold;
mod index_keys;
mod key_tree;
mod keys;
mod media;
mod moment;
mod permissions;
pub mod postgres;
mod posture;
mod progress;
mod record;
mod replay;
mod request;
mod restore;
mod rows;
mod send;
mod serve;
mod settings;
mod simulate;
mod table;
mod tail;
mod template;
mod verify;
mod witness;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::app::{self, Base};
use crate::clock::SystemClock;
use crate::config::{Config, environment};

/// Self-hosted gateway between the WhatsApp Business Cloud API and your own applications.
#[derive(Debug, Parser)]
#[command(name = "waxseal", version)]
pub struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Serve,
    /// Run everything on this machine: Postgres, the simulator as Meta, a sample consumer, a round trip.
    Dev(DevArgs),
    /// Run the simulator of Meta's Cloud API alone.
    Simulate(simulate::SimulateArgs),
    /// Bring the database up to this release.
    Migrate,
    /// Check the configuration and print what is in force, without secrets.
    CheckConfig,
    /// Succeed when a gateway runs on this machine and answers.
    Health,
    /// Meta apps, whose secrets sign webhooks.
    #[command(subcommand)]
    App(settings::AppVerb),
    /// Business phone numbers.
    #[command(subcommand)]
    Channel(settings::ChannelVerb),
    /// Files that people sent, and files to be sent.
    #[command(subcommand)]
    Media(media::MediaVerb),
    /// Templates of Meta's accounts.
    #[command(subcommand)]
    Template(template::TemplateVerb),
    /// Keys of calling applications.
    #[command(subcommand)]
    Key(keys::KeyVerb),
    /// The key tree: how it stands, rotation, and the step that makes forgotten keys unreadable in old copies.
    #[command(subcommand)]
    Keys(key_tree::KeyTreeVerb),
    /// People, as far as an operator has to do with them.
    #[command(subcommand)]
    Contact(contact::ContactVerb),
    /// Applications that receive events.
    #[command(subcommand)]
    Endpoint(endpoint::EndpointVerb),
    /// Events of the past, once more.
    #[command(subcommand)]
    Replay(replay::ReplayVerb),
    /// Deliveries that were given up.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetterVerb),
    /// Send a message.
    Send(send::SendArgs),
    /// Messages that were handed over.
    #[command(subcommand)]
    Message(send::MessageVerb),
    /// Have a person forgotten, with everything that is stored about them.
    Erase(erase::EraseArgs),
    /// Show people who are being forgotten, and get certificates.
    Erasures(erase::ErasuresArgs),
    /// Have everything that is known of a person written into one encrypted archive.
    Export(export::ExportArgs),
    /// Show such archives, and fetch them.
    Exports(export::ExportsArgs),
    /// Data that must stay.
    #[command(subcommand)]
    Hold(hold::HoldVerb),
    /// What people ask about their data, and by when the law wants it answered.
    #[command(subcommand)]
    Request(request::RequestVerb),
    /// Show how old the oldest data are.
    Retention,
    /// Print events as they come.
    Tail(tail::TailArgs),
    /// Who read or changed what, and the proofs.
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Measure every control of privacy and security: green or red, with what it rests on. Exits with 4 when one is red.
    Posture(posture::PostureArgs),
    /// Write the record of processing activities from what is configured and stored (Art. 30 GDPR).
    Record(record::RecordArgs),
    /// How far a breach went: what was reached in a time, and how many people it is about.
    Breach(breach::BreachArgs),
    /// Copy everything, encrypted for two recipients or more, and signed.
    Backup(backup::BackupArgs),
    /// Fill empty databases from a backup, or try whether it could be done.
    Restore(restore::RestoreArgs),
    /// Check what the audit log gave out: offline, with files alone.
    #[command(subcommand)]
    Verify(verify::VerifyVerb),
    /// Sign the checkpoints of other people's logs, as long as they only grow.
    Witness(witness::WitnessArgs),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// TOML file above the defaults and below the environment.
    #[arg(long, env = "WAXSEAL_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Loads and validates the configuration.
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref(), environment())?)
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
struct DevArgs {
    #[command(flatten)]
    server: dev::DevServerArgs,
    #[command(subcommand)]
    tool: Option<DevTool>,
}

#[derive(Debug, Subcommand)]
enum DevTool {
    /// Run a command with `DATABASE_URL` set to a throw-away Postgres, and exit with its code.
    Postgres(dev_postgres::DevPostgresArgs),
}

/// Does what the command line says. What there is to print goes to `out`.
pub async fn run(cli: Cli, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    // On the heap: what a verb needs holds the whole configuration.
    Box::pin(obey(cli, out)).await
}

async fn obey(cli: Cli, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let config = || cli.config.load();
    permissions::admit(&cli.command)?;
    // Other verbs hold keys and content too, for a moment. The gateway does it for itself, once there is a log; what a tool of development
    // starts is none of ours.
    if !matches!(cli.command, Verb::Serve | Verb::Dev(_)) {
        serve::forbid_core_dumps();
    }
    match cli.command {
        Verb::Serve => return serve::run(&config()?).await,
        Verb::Dev(DevArgs { tool: Some(DevTool::Postgres(args)), .. }) => return dev_postgres::run(args).await,
        Verb::Dev(DevArgs { server, tool: None }) => return Box::pin(dev::run(server, out)).await,
        Verb::Simulate(args) => return simulate::run(args, out).await,
        Verb::Health => return health::run(&config()?).await,
        Verb::CheckConfig => {
            let config = config()?;
            app::witnesses(&config)?;
            out.write_all(config.to_redacted_toml().as_bytes())?;
        }
        Verb::Migrate => {
            let config = config()?;
            serve::start_logs(&config);
            let base = Base::open(&config, Arc::new(SystemClock)).await?;
            writeln!(out, "the database is up to date")?;
            rows::tell(&base.rows_kept, out)?;
        }
        Verb::App(verb) => settings::app(&config()?, verb, out).await?,
        Verb::Channel(verb) => Box::pin(settings::channel(&config()?, verb, out)).await?,
        Verb::Media(verb) => media::run(&config()?, verb, out).await?,
        Verb::Template(verb) => template::run(&config()?, verb, out).await?,
        Verb::Key(verb) => keys::run(&config()?, verb, out).await?,
        Verb::Keys(verb) => key_tree::run(&config()?, verb, out).await?,
        Verb::Contact(verb) => contact::run(&config()?, verb, out).await?,
        Verb::Endpoint(verb) => return endpoint::run(&config()?, verb, out).await,
        Verb::Replay(verb) => replay::run(&config()?, verb, out).await?,
        Verb::DeadLetters(verb) => dead_letters::run(&config()?, verb, out).await?,
        Verb::Send(args) => return send::send(&config()?, args, out).await,
        Verb::Message(verb) => Box::pin(send::message(&config()?, verb, out)).await?,
        Verb::Erase(args) => erase::erase(&config()?, args, out).await?,
        Verb::Erasures(args) => erase::erasures(&config()?, args, out).await?,
        Verb::Export(args) => Box::pin(export::export(&config()?, args, out)).await?,
        Verb::Exports(args) => Box::pin(export::exports(&config()?, args, out)).await?,
        Verb::Hold(verb) => hold::run(&config()?, verb, out).await?,
        Verb::Request(verb) => request::run(&config()?, verb, out).await?,
        Verb::Retention => hold::retention(&config()?, out).await?,
        Verb::Tail(args) => tail::run(&config()?, args, out).await?,
        Verb::Audit(verb) => return audit::run(&config()?, verb, out).await,
        Verb::Posture(args) => return Box::pin(posture::run(&config()?, args, out)).await,
        Verb::Record(args) => Box::pin(record::run(&config()?, args, out)).await?,
        Verb::Breach(args) => breach::run(&config()?, args, out).await?,
        Verb::Backup(args) => Box::pin(backup::run(&config()?, args, out)).await?,
        Verb::Restore(args) => Box::pin(restore::run(&config()?, args, out)).await?,
        Verb::Verify(verb) => return Box::pin(verify::run(verb, out)).await,
        Verb::Witness(args) => return witness::run(args, out).await,
    }
    Ok(ExitCode::SUCCESS)
}
