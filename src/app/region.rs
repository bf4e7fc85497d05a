//! Which region the data belong to: a process that is told another does not start on them.

use anyhow::{Context as _, bail};

use super::Base;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::{RegionConfig, RegionName};
use crate::ids::TenantId;
use crate::store::Store;

const TENANT: TenantId = TenantId::DEFAULT;

/// Refuses data of another region, before anything is done to them.
pub(super) async fn check(store: &Store, config: &RegionConfig) -> anyhow::Result<()> {
    let named = config.name.as_ref().map(RegionName::as_str);
    let Some(marked) = store.region(TENANT).await? else { return Ok(()) };
    let was_moved = config.moved_from.as_ref().is_some_and(|before| before.as_str() == marked);
    if named == Some(marked.as_str()) || was_moved {
        return Ok(());
    }
    let named = named.map_or_else(|| "names none".to_owned(), |name| format!("is \"{name}\""));
    bail!("the database belongs to the region \"{marked}\", and region.name {named}")
}

/// Marks them with the region that the configuration names, where they are not.
pub(super) async fn mark(base: &Base, config: &RegionConfig) -> anyhow::Result<()> {
    let Some(name) = &config.name else { return Ok(()) };
    let before = base.store.region(TENANT).await?;
    if before.as_deref() == Some(name.as_str()) {
        return Ok(());
    }
    let act = Act::new(TENANT, Actor::GATEWAY, Action::RegionMarked, Object::one("tenant", TENANT.uuid()));
    let entry = base.audit.prepare(act, Vec::new()).await?;
    let marked = base.store.mark_region(TENANT, (before.as_deref(), name.as_str()), entry).await;
    marked.context("the database could not be marked with its region")?;
    // Another process may have been faster, with another name.
    check(&base.store, config).await
}
