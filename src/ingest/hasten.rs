//! Webhooks that say that a template or a number changed: Meta is asked soon, and not only when it is due.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::Parts;
use crate::directory::Snapshot;
use crate::domain::event::{EventType, Item};
use crate::ids::TenantId;
use crate::store::polls::Kind;

/// Several webhooks that come together are answered by one look.
const SOON: Duration = Duration::seconds(2);

/// Has Meta asked about what these items are about. A hint: where it is lost, Meta is asked when it is due.
pub(super) async fn ask_anew(
    parts: &Parts,
    snapshot: &Snapshot,
    (tenant, now): (TenantId, OffsetDateTime),
    items: &[Item],
) {
    let accounts = |of: fn(EventType) -> bool| -> BTreeSet<&str> {
        items
            .iter()
            .filter(|item| of(item.event_type))
            .filter_map(|item| Some(item.waba_id.as_ref()?.as_str()))
            .collect()
    };
    let of_templates: Vec<String> =
        accounts(|what| what == EventType::TemplateUpdated).into_iter().map(str::to_owned).collect();
    let of_numbers = accounts(|what| {
        matches!(what, EventType::ChannelUpdated | EventType::AccountUpdated | EventType::AccountSecurity)
    });
    let channels = snapshot.channels_of(tenant).into_iter();
    let channels: Vec<String> = channels
        .filter(|channel| of_numbers.contains(channel.waba_id.as_str()))
        .map(|channel| channel.id.to_string())
        .collect();
    for (kind, owners) in [(Kind::Templates, of_templates), (Kind::Number, channels)] {
        if owners.is_empty() {
            continue;
        }
        if let Err(error) = parts.store.hasten_polls(tenant, kind, &owners, (now, now + SOON)).await {
            tracing::debug!(%error, "Meta is asked when it is due");
        }
    }
}
