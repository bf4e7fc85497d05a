//! Who is told that a person was erased: every endpoint that may have been told of them, whatever else it asks for.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Privacy, PrivacyError};
use crate::crypto::envelope;
use crate::domain::endpoint::{Endpoint, Format, State};
use crate::domain::event::{EventType, own_envelope};
use crate::ids::{ChannelId, ContactId, EndpointId, ErasureId, EventId, TenantId};
use crate::keyring::{DekName, places};
use crate::store::erasures::{ErasureRow, Telling};
use crate::store::events::NewEvent;

/// How long Meta keeps what passed through it.
pub(super) const META_KEEPS: time::Duration = time::Duration::days(30);

/// The event, and whom it does not reach, each with why.
pub(super) struct Told {
    pub(super) event: NewEvent,
    others: Vec<(EndpointId, &'static str)>,
}

impl Told {
    pub(super) fn borrowed(&self) -> Telling<'_> {
        Telling { event: &self.event, others: &self.others }
    }
}

/// Why an endpoint is not told of the erasure of somebody who was met in these channels; `None`: it is. What it was told while it was not
/// disabled yet, or its filter was another, nobody knows any more: so each is named.
fn not_told(endpoint: &Endpoint, channels: &[Uuid]) -> Option<&'static str> {
    let wanted = &endpoint.filter.channels;
    let is_met = wanted.is_empty() || wanted.iter().any(|channel: &ChannelId| channels.contains(&channel.uuid()));
    match endpoint.state {
        State::Disabled => Some("disabled"),
        _ if !is_met => Some("other_channels"),
        _ if endpoint.format == Format::Meta => Some("cannot_be_told"),
        _ => None,
    }
}

impl Privacy {
    /// The event names the person by our own id, or by the pseudonym that an endpoint knows. It is about nobody who is stored.
    pub(super) async fn telling(
        &self,
        tenant: TenantId,
        id: ErasureId,
        row: &ErasureRow,
        now: OffsetDateTime,
    ) -> Result<Told, PrivacyError> {
        let snapshot = self.directory.snapshot();
        let reason = |one: &Endpoint| not_told(one, &row.channel_ids);
        let (can, others): (Vec<_>, Vec<_>) =
            snapshot.endpoints_of(tenant).into_iter().partition(|one| reason(one).is_none());
        let others = others.iter().filter_map(|one| Some((one.id, reason(one)?))).collect();
        let kept = row.contact_ids.iter().min().copied().unwrap_or_default();
        let details = json!({
            "contact_id": ContactId::from_uuid(kept),
            "contact_ids": row.contact_ids.iter().copied().map(ContactId::from_uuid).collect::<Vec<_>>(),
            "erasure_id": id,
        });
        let (keys, event_id) = (self.keyring.tenant(tenant).await?, EventId::new(now));
        let dek = self.keyring.one_for_sealing(tenant, DekName::month(tenant, None, now.date())).await?;
        let content = own_envelope(&details.to_string());
        let event_type = EventType::ContactErased.as_str();
        let event = NewEvent {
            part_day: now.date(),
            subject: keys.events.hash(&[b"own erasure", id.uuid().as_bytes()]),
            variant: keys.events.hash(&[event_type.as_bytes()]),
            in_ledger: true,
            event_id,
            event_type,
            channel: None,
            contact: None,
            message: None,
            status_rank: None,
            error_code: None,
            occurred_at: now,
            payload: envelope::seal(&dek.dek, &places::event_payload(tenant, event_id, None), content.as_bytes()),
            opens_until: None,
            owed_to: can.iter().map(|endpoint| (endpoint.id, 0)).collect(),
            has_media: false,
            is_passing: false,
        };
        Ok(Told { event, others })
    }
}
