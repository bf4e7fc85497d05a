//! `waxseal keys rotate data`: other keys for what no month ends, secrets and profiles, while gateways run (docs/adr/0022).

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::key_tree::{LOOK, names};
use super::moment::shown;
use crate::app::Base;
use crate::ids::TenantId;
use crate::privacy::{Reseal, Resealed};
use crate::store::data_rotation::DataRotation;

const TENANT: TenantId = TenantId::DEFAULT;

fn reseal(base: &Base) -> Reseal {
    Reseal::new(base.store.clone(), base.keyring.clone(), base.audit.clone(), base.clock.clone())
}

/// Makes newer keys and seals everything under them anew, or goes on with a rotation that was broken off. Gateways destroy the keys of before,
/// days later.
pub(super) async fn rotate(base: &Base, wait: u16, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    begin(base, Instant::now() + Duration::from_secs(wait.into()), out).await?;
    let walk = walk(base, out).await;
    walk.context("what is done stays done, everything opens all the same, and the same call goes on with the rest")
}

async fn begin(base: &Base, until: Instant, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut told = Vec::new();
    loop {
        let waits = base.keyring.begin_data_rotation(TENANT).await.context("nothing was changed")?;
        if waits.is_empty() {
            return Ok(());
        }
        let names = names(&waits);
        ensure!(
            Instant::now() < until,
            "nothing was changed: {names} would not read yet what is written. Restart what is older than this release; the same call \
             goes on"
        );
        if waits != told {
            writeln!(out, "waiting for {names}")?;
            out.flush()?;
            told = waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn walk(base: &Base, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let reseal = reseal(base);
    loop {
        match reseal.go_on(TENANT).await? {
            Resealed::GoOn(_) => {}
            Resealed::Rests(rotation) => {
                writeln!(
                    out,
                    "{} keys were replaced, {} values are sealed anew; a gateway destroys the keys of before when nothing was \
                     found under them any more, at the earliest {}",
                    rotation.made,
                    rotation.resealed,
                    shown(Reseal::ends(&rotation)),
                )?;
                return Ok(writeln!(
                    out,
                    "make a backup now: from the step of the epoch behind that on, older ones open no secret and no profile"
                )?);
            }
            Resealed::None | Resealed::Over(..) => {
                return Ok(writeln!(out, "another process has ended this rotation")?);
            }
        }
    }
}

/// What `keys status` says of it.
pub(super) async fn waiting(base: &Base) -> anyhow::Result<String> {
    let Some(rotation) = base.store.find_data_rotation(TENANT).await? else { return Ok(String::new()) };
    let DataRotation { made, resealed, started_at, .. } = rotation;
    let since = shown(started_at);
    Ok(match rotation.state.as_str() {
        "keys" => format!("rotation since {since}, {made} keys replaced"),
        "content" => format!("rotation since {since}, {made} keys replaced, {resealed} values sealed anew"),
        _ => format!("rotation since {since}, keys of before go at the earliest {}", shown(Reseal::ends(&rotation))),
    })
}
