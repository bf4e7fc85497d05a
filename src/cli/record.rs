//! `waxseal record`: the record of processing activities and the map of the data, as it is now.

use std::io::Write;

use clap::Args;

use crate::audit::Actor;
use crate::config::Config;

/// `waxseal record`
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// Print JSON instead of Markdown.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: RecordArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let posture = base.posture(config)?;
    let record = posture.record(&Box::pin(posture.measure(Actor::OPERATOR)).await?);
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&record)?)?);
    }
    Ok(out.write_all(record.markdown().as_bytes())?)
}
