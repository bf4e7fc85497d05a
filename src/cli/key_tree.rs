//! `waxseal keys`: the key tree. Shows ids of nothing and keys of nobody.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Subcommand, ValueEnum};
use time::OffsetDateTime;

use super::moment::shown;
use super::settings::base;
use super::table::Table;
use super::{data_keys, index_keys};
use crate::app::Base;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::Config;
use crate::ids::TenantId;
use crate::keyring::{EpochStep, Rewrap};
use crate::store::key_readers::Reader;

const TENANT: TenantId = TenantId::DEFAULT;

/// `waxseal keys …`
#[derive(Debug, Subcommand)]
pub(super) enum KeyTreeVerb {
    /// Show every level, the places of the epoch cell, and what waits.
    Status,
    /// Step the epoch now: what was forgotten cannot be read from any older copy of the key tables from then on.
    Step,
    /// Replace keys by new ones, while gateways run. What was broken off is taken up again.
    Rotate {
        /// Which level, with those above it; `index` and `data` stand for themselves.
        level: Level,
        /// Of `index` and `data`: seconds to wait for processes that do not know the next key yet. Nothing is changed before they do.
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(..=3600))]
        wait: u16,
    },
    /// Wrap the root under the KMS of the configuration, where it is still under the one of `keys.previous_secret_file` or `keys.previous_kms`.
    Rewrap {
        /// Seconds to wait for processes that cannot read it there yet. Nothing is changed before they can.
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(..=3600))]
        wait: u16,
    },
}

/// A level of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// The root and its share of the KMS, and the epoch cell.
    Root,
    /// The keys of tenants.
    Tenant,
    /// The keys of buckets, one after the other.
    Bucket,
    /// The key of the hashes by which people are found.
    Index,
    /// The keys of secrets and profiles, which no month ends. What lies under them is sealed anew.
    Data,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Tenant => "tenant",
            Self::Bucket => "bucket",
            Self::Index => "index",
            Self::Data => "data",
        }
    }
}

pub(super) async fn run(config: &Config, verb: KeyTreeVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = base(config).await?;
    let refused = "nothing was changed; try again when what it names is mended";
    match verb {
        KeyTreeVerb::Status => return status(&base, config, out).await,
        KeyTreeVerb::Step => tell(&base.keyring.step_epoch().await.context(refused)?, out)?,
        KeyTreeVerb::Rotate { level, wait } => {
            note(&base, Action::KeysRotated, &[level.word()]).await?;
            rotate(&base, level, wait, out).await?;
        }
        KeyTreeVerb::Rewrap { wait } => {
            note(&base, Action::KeysRewrapped, &[]).await?;
            let words = match rewrap(&base, wait, out).await? {
                Rewrap::Already => "the root was under the present KMS secret already",
                _ => {
                    "the root is under the present KMS secret; keys.previous_secret_file and keys.previous_kms may go when every process has restarted"
                }
            };
            writeln!(out, "{words}")?;
        }
    }
    Ok(base.audit.note_key_steps().await?)
}

/// Processes look every few seconds whether something is proposed.
pub(super) const LOOK: Duration = Duration::from_secs(1);

async fn rewrap(base: &Base, wait: u16, out: &mut (dyn Write + Send)) -> anyhow::Result<Rewrap> {
    let (until, mut told) = (Instant::now() + Duration::from_secs(wait.into()), Vec::new());
    loop {
        let waits = match base.keyring.rewrap_share().await {
            Ok(Rewrap::Waits(waits)) => waits,
            Err(error) if error.is_retryable() && Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            result => return result.context("nothing was changed; try again when what it names is mended"),
        };
        let names = names(&waits);
        ensure!(
            Instant::now() < until,
            "nothing was changed: it cannot be read there yet by {names}. Restart it with both, the present KMS and \
             keys.previous_…; the same call goes on"
        );
        if waits != told {
            writeln!(out, "waiting for {names}")?;
            out.flush()?;
            told = waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Processes that are waited for.
pub(super) fn names(waits: &[Reader]) -> String {
    let name = |one: &Reader| format!("{}, running since {}", one.worker, shown(one.started_at));
    waits.iter().map(name).collect::<Vec<_>>().join("; ")
}

async fn note(base: &Base, action: Action, words: &[&str]) -> anyhow::Result<()> {
    let act = Act::new(TENANT, Actor::OPERATOR, action, Object::several("key_epoch")).with(words);
    base.audit.record(act).await?;
    Ok(())
}

async fn rotate(base: &Base, level: Level, wait: u16, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let keyring = &base.keyring;
    let step = match level {
        Level::Index => return index_keys::rotate(base, wait, out).await,
        Level::Data => return data_keys::rotate(base, wait, out).await,
        Level::Root => keyring.step_epoch().await?,
        Level::Tenant => keyring.replace_tenant_keys().await?,
        Level::Bucket => {
            let rotated = keyring.rotate_buckets(TENANT);
            let (replaced, step) =
                rotated.await.context("what is done stays done; the same call goes on with the rest")?;
            writeln!(out, "{replaced} bucket keys were replaced")?;
            step
        }
    };
    tell(&step, out)
}

fn tell(step: &EpochStep, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    writeln!(
        out,
        "epoch {} to {}: {} forgotten keys, {} tenants with another key",
        step.before, step.after, step.keys_forgotten, step.tenants
    )?;
    let (written, places) = step.places;
    if places == 0 {
        writeln!(
            out,
            "there is no epoch cell (keys.cell_files): the KMS secret and an old copy of the key tables still open what was forgotten"
        )?;
    } else {
        writeln!(out, "{written} of {places} places of the epoch cell were overwritten, {} are needed", step.needed)?;
    }
    Ok(())
}

async fn status(base: &Base, config: &Config, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (store, now) = (&base.store, base.clock.now());
    let installation = store.find_installation().await?.context("there is no key tree yet")?;
    let counts = store.count_keys(TENANT).await?.context("the tenant has no keys yet")?;
    let age = |since: Option<OffsetDateTime>| since.map_or_else(|| "-".to_owned(), shown);
    let mut table = Table::new(["level", "keys", "oldest", "waiting"]);
    table.row(["root".into(), "1".into(), age(installation.stepped_at), String::new()]);
    table.row(["tenant".into(), "1".into(), shown(counts.kek_made_at), String::new()]);
    let rotation = store.find_rotation(TENANT).await?;
    let waiting = match (rotation, counts.touched) {
        (Some((next, _, since)), _) => format!("rotation since {}, at bucket {next}", shown(since)),
        (None, 0) => String::new(),
        (None, touched) => format!("{touched} to be replaced"),
    };
    table.row(["bucket".into(), counts.buckets.to_string(), age(counts.oldest_bucket), waiting]);
    table.row(["index".into(), counts.index_keys.to_string(), "-".into(), index_keys::waiting(base).await?]);
    let month = counts.oldest_month.map_or_else(|| "-".to_owned(), |month| month.to_string());
    table.row(["data".into(), counts.deks.to_string(), month, data_keys::waiting(base).await?]);
    table.write(out)?;
    writeln!(out, "\nepoch {}, {} contacts forgotten", installation.epoch, counts.forgotten)?;
    if let Some(since) = base.keyring.waits_for_step_since().await? {
        let due = since + config.keys.epoch_step;
        let when = if due <= now { "now".to_owned() } else { shown(due) };
        writeln!(out, "what was forgotten since {} waits for a step, due {when} (`waxseal keys step`)", shown(since))?;
    }
    if store.shares().await?.is_some_and(|(_, next)| next.is_some()) {
        writeln!(out, "the root is on its way under another KMS (`waxseal keys rewrap`)")?;
    }
    let suite = config.keys.suite.as_str();
    match base.keyring.agree_on_suite().await?.as_slice() {
        [] => writeln!(out, "records are sealed with {suite}")?,
        waits => writeln!(out, "records are sealed with {suite} once {} can open it", names(waits))?,
    }
    let cell = base.keyring.cell();
    if cell.places.is_empty() {
        return Ok(writeln!(out, "no epoch cell: keys.cell_files names no place")?);
    }
    let mut places = Table::new(["place of the epoch cell", "state"]);
    for (path, fault) in &cell.places {
        places.row([path.display().to_string(), fault.clone().unwrap_or_else(|| "whole".to_owned())]);
    }
    writeln!(out)?;
    places.write(out)?;
    Ok(writeln!(out, "{} are needed", cell.needed)?)
}
