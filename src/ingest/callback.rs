//! Callback data of an application's own that had no room on its way to Meta: put back into the statuses, from the message that was
//! kept. Hardly any is so long, and a batch without one asks nothing.

use std::collections::HashMap;

use super::Parts;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::event::Item;
use crate::domain::message::{is_kept_here, own_callback_data};
use crate::ids::{MessageId, TenantId};
use crate::keyring::{KeyringError, places};

/// What the applications wrote, by message.
pub(super) type Kept = HashMap<MessageId, String>;

/// Looks for what these items need. What is erased, or is no message of ours, stays as it came.
pub(super) async fn kept(parts: &Parts, tenant: TenantId, items: &[Item]) -> Result<Kept, KeyringError> {
    let of_status =
        |item: &Item| item.opaque.as_deref().filter(|text| is_kept_here(text)).and(super::file::message(item));
    let mut wanted: Vec<MessageId> = items.iter().filter_map(of_status).collect();
    if wanted.is_empty() {
        return Ok(Kept::new());
    }
    wanted.sort_unstable();
    wanted.dedup();
    let rows = parts.store.requests_of(tenant, &wanted).await?;
    let rows: Vec<_> =
        rows.into_iter().map(|one| (one.message, one.contact, Sealed::from_stored(one.sealed))).collect();
    let keys = parts.keyring.for_opening(tenant, rows.iter().filter_map(|(_, _, sealed)| sealed.dek_id())).await?;
    let own = |(id, contact, sealed): (MessageId, _, Sealed)| {
        let key = keys.get(&sealed.dek_id()?)?;
        let request = envelope::open(&key.dek, &places::message_request(tenant, id, contact), &sealed).ok()?;
        Some((id, own_callback_data(&request, id)?))
    };
    Ok(rows.into_iter().filter_map(own).collect())
}
