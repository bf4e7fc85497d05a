//! Pages of contacts through the door, which leaves an entry, and beside it: the same statement, the same keys, the same opening,
//! and no entry. There is no way past the door in the product; this one is the benchmark's, which has the keys.

use anyhow::Context;
use waxseal::access::{Caller, Errand, Permissions};
use waxseal::app::Base;
use waxseal::crypto::envelope::Sealed;
use waxseal::directory::profile::Profile;
use waxseal::ids::TenantId;

use super::{READERS, Reads, rate};
use crate::load::Window;

pub(super) async fn measure(base: &Base, contacts: usize, window: Window, rounds: usize) -> anyhow::Result<Reads> {
    let (door, who) = (base.door(), Caller::operator(TenantId::DEFAULT, Permissions::admin()));
    let audited = || async {
        let page = door.contacts(&who, &Errand::operation(), None, contacts).await?;
        anyhow::ensure!(page.items.len() == contacts, "a page is short");
        Ok(())
    };
    let (mut through, mut past) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        through.push(rate(READERS, window, audited).await?);
        past.push(rate(READERS, window, || beside(base, contacts)).await?);
    }
    Ok(Reads { contacts, audited: middle(through)?, beside: middle(past)? })
}

/// What the door does, without its entry.
async fn beside(base: &Base, contacts: usize) -> anyhow::Result<()> {
    let (tenant, limit) = (TenantId::DEFAULT, i64::try_from(contacts)? + 1);
    let rows = base.store.page_of_contacts(tenant, uuid::Uuid::max(), limit).await?;
    let sealed: Vec<_> =
        rows.into_iter().take(contacts).map(|row| (row.contact_id, Sealed::from_stored(row.profile))).collect();
    let keys = base.keyring.for_opening(tenant, sealed.iter().filter_map(|(_, sealed)| sealed.dek_id())).await?;
    for (contact, sealed) in &sealed {
        let key = sealed.dek_id().and_then(|id| keys.get(&id)).context("a key is missing")?;
        Profile::open(key, tenant, *contact, sealed).context("a profile does not open")?;
    }
    Ok(())
}

fn middle(mut rates: Vec<f64>) -> anyhow::Result<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().context("nothing was measured")
}
