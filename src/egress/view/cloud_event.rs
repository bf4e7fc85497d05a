//! Format `cloudevents`: CloudEvents 1.0, structured mode, JSON (`application/cloudevents+json`).

use serde::Serialize;
use time::OffsetDateTime;

use crate::egress::event_json::{Content, Data, EventMeta, rfc3339};
use crate::ids::{ChannelId, ContactId, EventId, TenantId};

/// The attributes of the specification that say something here. `dataschema` is absent: new members may come any day.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(serialize_with = "rfc3339")]
    time: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<ContactId>,
    datacontenttype: &'static str,
    data: Data<'a>,
}

/// The source is the channel, or the tenant for events of no channel: an opaque URI, because URLs may change. The subject is
/// the contact. Types stand behind `waxseal.`, because a bus carries the events of others too.
pub(super) fn write(tenant: TenantId, meta: &EventMeta<'_>, content: Content<'_>) -> Vec<u8> {
    let event = CloudEvent {
        specversion: "1.0",
        id: meta.id,
        source: format!("waxseal:{}", meta.channel.map_or(tenant.uuid(), ChannelId::uuid)),
        event_type: format!("waxseal.{}", meta.event_type),
        time: meta.occurred_at,
        subject: meta.contact,
        datacontenttype: "application/json",
        data: Data::new(meta, content),
    };
    // As in the event JSON, there is nothing that would not serialise.
    serde_json::to_vec(&event).unwrap_or_default()
}
