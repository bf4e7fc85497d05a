//! Reads what is due and opens it.

use std::collections::HashMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::Deliverer;
use super::fly::Load;
use super::lane::PAUSE;
use super::prepare::{Prepared, Ready};
use super::schedule::{Item, Read};
use crate::domain::endpoint::Endpoint;
use crate::ids::{ContactId, EventId};
use crate::store::StoreError;
use crate::store::deliveries::{DueDelivery, Wanted};
use crate::store::lanes::OwnedLane;
use crate::store::rounds::Owed;

/// A delivery that needs no attempt: nothing that this endpoint would understand, or why it is dead.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassedOver {
    pub(super) owed: Owed,
    pub(super) dead: Option<&'static str>,
}

/// What a reading brought.
#[derive(Debug)]
pub(super) struct Reading {
    /// For the endpoint as it was then.
    pub(super) endpoint: Arc<Endpoint>,
    /// `None`: it failed.
    pub(super) read: Option<(Read<Load>, Vec<PassedOver>)>,
}

/// What the row says besides the content.
struct Row {
    contact: Option<ContactId>,
    postponed_to: Option<OffsetDateTime>,
    bytes: usize,
}

impl Deliverer {
    /// Reads and opens. A failure is reported after a pause.
    pub(super) async fn read(
        &self,
        lane: OwnedLane,
        endpoint: Arc<Endpoint>,
        wanted: Wanted,
        now: OffsetDateTime,
    ) -> Reading {
        let read = self.read_and_open(lane, &endpoint, &wanted, now).await;
        if read.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
        Reading { endpoint, read }
    }

    async fn read_and_open(
        &self,
        lane: OwnedLane,
        endpoint: &Endpoint,
        wanted: &Wanted,
        now: OffsetDateTime,
    ) -> Option<(Read<Load>, Vec<PassedOver>)> {
        let due = match self.store.due_deliveries(lane, wanted, now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, error = %error, "what is owed could not be read");
                return None;
            }
        };
        let more = |retried: bool, limit: u32| {
            let mut kind = due.iter().filter(|row| row.postponed_to.is_some() == retried);
            let found = kind.clone().next().map_or(0, |row| row.found);
            found > 0 && (found >= i64::from(limit) || kind.nth(found.unsigned_abs() as usize - 1).is_none())
        };
        let (more_fresh, more_retries) = (more(false, wanted.fresh), more(true, wanted.retries));
        let rows: HashMap<EventId, Row> = due.iter().map(|row| (EventId::from_uuid(row.event_id), of(row))).collect();
        match self.prepare(lane.tenant, endpoint, due).await {
            Ok(prepared) => {
                let (items, passed_over) = part(prepared, &rows);
                Some((Read { items, more_fresh, more_retries }, passed_over))
            }
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, error = %error, "the keys of what is owed are not available");
                None
            }
        }
    }

    /// When the first retry falls due after `after`. A failure is reported after a pause.
    pub(super) async fn ask_for_next(
        &self,
        lane: OwnedLane,
        after: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let answer = self.store.next_retry(lane, after).await;
        if let Err(error) = &answer {
            tracing::warn!(endpoint = %lane.owner, error = %error, "the next retry could not be read");
            tokio::time::sleep(PAUSE).await;
        }
        answer
    }
}

fn of(row: &DueDelivery) -> Row {
    Row {
        contact: row.contact_id.map(ContactId::from_uuid),
        postponed_to: row.postponed_to,
        bytes: row.payload.as_ref().map_or(0, Vec::len),
    }
}

/// What is to be attempted, and what is not.
fn part(prepared: Vec<Prepared>, rows: &HashMap<EventId, Row>) -> (Vec<Item<Load>>, Vec<PassedOver>) {
    let (mut items, mut passed_over) = (Vec::with_capacity(prepared.len()), Vec::new());
    for Prepared { event, attempts, stored_at, goes_at, body } in prepared {
        let Some(Row { contact, postponed_to, bytes }) = rows.get(&event) else { continue };
        let owed = Owed { event, postponed_to: *postponed_to };
        match body {
            Ready::Skip => passed_over.push(PassedOver { owed, dead: None }),
            Ready::Dead(reason) => passed_over.push(PassedOver { owed, dead: Some(reason) }),
            Ready::Post(parcel) => {
                let (contact, postponed_to, bytes) = (*contact, *postponed_to, *bytes);
                let content = Load { parcel, stored_at, goes_at };
                items.push(Item { event, contact, attempts, postponed_to, bytes, content });
            }
        }
    }
    (items, passed_over)
}
