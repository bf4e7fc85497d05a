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

/// The event, and whom it does not reach.
pub(super) struct Told {
    pub(super) event: NewEvent,
    cannot: Vec<EndpointId>,
}

impl Told {
    pub(super) fn borrowed(&self) -> Telling<'_> {
        Telling { event: &self.event, cannot: &self.cannot }
    }
}

/// Whether an endpoint may have been told of somebody who was met in these channels.
fn may_know(endpoint: &Endpoint, channels: &[Uuid]) -> bool {
    let wanted = &endpoint.filter.channels;
    endpoint.state != State::Disabled
        && (wanted.is_empty() || wanted.iter().any(|channel: &ChannelId| channels.contains(&channel.uuid())))
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
        let knowing = snapshot.endpoints_of(tenant).into_iter().filter(|one| may_know(one, &row.channel_ids));
        let (cannot, can): (Vec<_>, Vec<_>) = knowing.partition(|one| one.format == Format::Meta);
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
        Ok(Told { event, cannot: cannot.iter().map(|endpoint| endpoint.id).collect() })
    }
}
