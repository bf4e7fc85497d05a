//! `waxseal posture`: whether what this installation should do for privacy and security is done, measured at this moment. Each control
//! says what it rests on; those that nobody can measure from here are named too, so that nothing passes for done in silence.

mod backups;
mod facts;
mod judge;
mod samples;
mod show;
mod stores;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use self::facts::Facts;
use crate::app::Base;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::Config;
use crate::ids::TenantId;

const TENANT: TenantId = TenantId::DEFAULT;
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
    if judge::NAMES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("there are {}", judge::NAMES.join(", ")))
    }
}

/// How a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It works.
    Green,
    /// It is off, or does not work.
    Red,
    /// Nobody can measure it from here: it is for people to see to.
    Yours,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Yours => "yours",
        }
    }
}

/// One thing that should be so.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) name: &'static str,
    /// What the article asks for, in a few words.
    pub(super) claim: &'static str,
    pub(super) state: State,
    /// What was measured.
    pub(super) evidence: String,
}

pub(super) async fn run(config: &Config, args: PostureArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let base = super::settings::base(config).await?;
    let (facts, controls) = measure(&base, config).await?;
    let red: Vec<&str> = controls.iter().filter(|one| one.state == State::Red).map(|one| one.name).collect();
    let told = show::Told { controls: &controls, reveals: &stores::reveals(&facts), accepted: &args.accepted };
    if args.json {
        told.json(facts.now, out)?;
    } else {
        told.text(out)?;
    }
    let is_red = red.iter().any(|name| !args.accepted.iter().any(|accepted| accepted == name));
    Ok(if is_red { ExitCode::from(RED) } else { ExitCode::SUCCESS })
}

/// Measures every control and records what was found, so that the trend can be followed in the log alone.
pub(super) async fn measure(base: &Base, config: &Config) -> anyhow::Result<(Facts, Vec<Control>)> {
    let act = |action| Act::new(TENANT, Actor::OPERATOR, action, Object::several("posture"));
    // Some of what is sampled is opened, and dropped: no entry, no opening.
    base.audit.record(act(Action::PostureMeasured)).await?;
    let facts = facts::gather(base, config).await?;
    let controls = judge::all(&facts);
    let red: Vec<&str> = controls.iter().filter(|one| one.state == State::Red).map(|one| one.name).collect();
    base.audit.record(act(Action::PostureFound).times(controls.len()).with(&red)).await?;
    Ok((facts, controls))
}
