//! `waxseal posture`: whether what this installation should do for privacy and security is done, measured at this moment.

mod show;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::audit::Actor;
use crate::config::Config;
use crate::posture::{NAMES, State};

/// What the process exits with when a control is red that was not accepted.
const RED: u8 = 4;

/// `waxseal posture`
#[derive(Debug, Args)]
pub(super) struct PostureArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// A red control that is known and accepted: it stays red, and is no reason to exit with 4. May be repeated.
    #[arg(long = "accept", value_name = "CONTROL", value_parser = control)]
    accepted: Vec<String>,
}

fn control(text: &str) -> Result<String, String> {
    if NAMES.contains(&text) { Ok(text.to_owned()) } else { Err(format!("there are {}", NAMES.join(", "))) }
}

pub(super) async fn run(config: &Config, args: PostureArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let base = super::settings::base(config).await?;
    let measured = Box::pin(base.posture(config)?.measure(Actor::OPERATOR)).await?;
    let told = show::Told { measured: &measured, accepted: &args.accepted };
    if args.json {
        told.json(out)?;
    } else {
        told.text(out)?;
    }
    let mut red = measured.controls.iter().filter(|one| one.state == State::Red);
    let is_red = red.any(|one| !args.accepted.iter().any(|accepted| accepted == one.name));
    Ok(if is_red { ExitCode::from(RED) } else { ExitCode::SUCCESS })
}
