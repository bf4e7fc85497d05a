//! `waxseal keys rotate index`: another key for the hashes by which people are found, while gateways run (docs/adr/0017).

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::key_tree::{LOOK, names};
use super::moment::shown;
use super::progress::Steps;
use crate::app::Base;
use crate::audit::{Act, Action, Actor, Object};
use crate::directory::contacts::{Rehash, Walked};
use crate::ids::TenantId;
use crate::keyring::{IndexKey, KeyringError};
use crate::store::StoreError;
use crate::store::index_versions::Rehashing;
use crate::store::key_readers::Reader;

const TENANT: TenantId = TenantId::DEFAULT;

/// Kinds of identifiers, by their numbers.
const KINDS: [&str; 5] = ["-", "phone numbers", "user ids", "parent user ids", "usernames"];

fn name(kind: i16) -> &'static str {
    usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind)).copied().unwrap_or("-")
}

/// Replaces the key, or goes on with a replacement that was broken off.
pub(super) async fn rotate(base: &Base, wait: u16, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(wait.into());
    if !base.store.index_versions(TENANT).await?.is_walking() {
        put_in_force(base, until, out).await?;
    }
    let walk = walk(base, out).await;
    walk.context("what is done stays done, everybody is found all the same, and the same call goes on with the rest")
}

/// Returns when new hashes are made by the next key.
async fn put_in_force(base: &Base, until: Instant, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut told = Vec::new();
    loop {
        let (waits, error) = match step(base).await {
            Ok(None) => return Ok(()),
            Ok(Some(waits)) => (waits, None),
            Err(error) if error.is_retryable() => (Vec::new(), Some(error)),
            Err(error) => return Err(error).context("nothing was changed; try again when what it names is mended"),
        };
        if Instant::now() >= until {
            let Some(error) = error else {
                bail!(
                    "nothing was changed: the next key is not known yet to {}. Restart what is older than this release; the \
                     same call goes on",
                    names(&waits)
                )
            };
            return Err(error).context("nothing was changed; the same call goes on");
        }
        if waits != told && !waits.is_empty() {
            writeln!(out, "waiting for {}", names(&waits))?;
            out.flush()?;
            told = waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// `None`: it is in force. Else who is waited for.
async fn step(base: &Base) -> Result<Option<Vec<Reader>>, KeyringError> {
    let version = match base.keyring.next_index_key(TENANT).await? {
        IndexKey::Waits(waits) => return Ok(Some(waits)),
        IndexKey::Ready(version) => version,
    };
    if base.store.step_index_version(TENANT, version, base.clock.now()).await? {
        return Ok(None);
    }
    // Another process was faster, or the commit was lost on its way here.
    match base.store.index_versions(TENANT).await? {
        versions if versions.new >= version => Ok(None),
        _ => Err(StoreError::BrokenOff.into()),
    }
}

async fn walk(base: &Base, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let rehash = Rehash::new(base.store.clone(), base.keyring.clone(), TENANT);
    let (began, mut line) = (Instant::now(), Steps::new());
    loop {
        match rehash.go_on().await? {
            Walked::To(walk) => line.tell(name(walk.kind), walk.percent().into(), 100),
            Walked::Through(walk) => {
                end(base, &rehash, &walk).await?;
                return Ok(writeln!(
                    out,
                    "{} identifiers are found by version {} of the key, and by none of before; {:.1} s of walking",
                    walk.rehashed,
                    walk.version,
                    began.elapsed().as_secs_f64(),
                )?);
            }
            Walked::None => return Ok(writeln!(out, "another process has ended this rotation")?),
        }
    }
}

async fn end(base: &Base, rehash: &Rehash, walk: &Rehashing) -> anyhow::Result<()> {
    let versions = format!("version={}..{}", walk.version - 1, walk.version);
    let act = Act::new(TENANT, Actor::OPERATOR, Action::KeysIndexRotated, Object::several("key_epoch"));
    let act = act.times(usize::try_from(walk.rehashed).unwrap_or_default()).with(&["index", &versions]);
    let entry = base.audit.prepare(act, Vec::new()).await?;
    let ended = rehash.end(walk.version, &entry, base.clock.now()).await?;
    ensure!(ended, "another process has ended this rotation; nothing is left to do");
    Ok(())
}

/// What `keys status` says of it.
pub(super) async fn waiting(base: &Base) -> anyhow::Result<String> {
    if let Some(walk) = base.store.find_rehashing(TENANT).await? {
        let (since, done, kind) = (shown(walk.started_at), walk.rehashed, name(walk.kind));
        return Ok(format!(
            "rotation since {since}, {done} identifiers brought forward, {kind} at {} %",
            walk.percent()
        ));
    }
    let newest = base.keyring.tenant(TENANT).await?.identifiers.newest();
    let in_force = base.store.index_versions(TENANT).await?.new;
    Ok(if newest > in_force { format!("version {newest} waits to be put in force") } else { String::new() })
}
