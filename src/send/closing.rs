//! Tells that windows close soon, each once, whichever process looks first.

use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::Sender;
use crate::directory::OwnEvent;
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, TenantId};
use crate::keyring::KeyringError;
use crate::store::windows::{self, Closing};
use crate::store::{Store, StoreError, events};
use crate::telemetry::Trouble;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(2);
/// Windows told of in one commit.
const AT_ONCE: i64 = 200;

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

/// Tells until told to stop; at once, when nobody wants to be told.
pub async fn run(sender: Sender, stop: CancellationToken) {
    if sender.rules.window_closing.is_zero() {
        return;
    }
    let mut trouble =
        Trouble::none("windows that close soon cannot be told of", "windows that close soon can be told of again");
    loop {
        let told = sender.tell_closing().await;
        trouble.note(&told);
        let is_all = told.map_or(true, |told| told < AT_ONCE);
        tokio::select! {
            () = tokio::time::sleep(LOOK), if is_all => {}
            () = std::future::ready(()), if !is_all => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Sender {
    /// How many were told of, in one commit with the marks that say so.
    async fn tell_closing(&self) -> Result<i64, TellError> {
        let now = self.clock.now();
        let until = now.saturating_add(self.rules.window_closing.try_into().unwrap_or(time::Duration::ZERO));
        self.store.ensure_partitions(now.date()).await?;
        let mut transaction = self.store.begin().await?;
        let closing = windows::take_closing(&mut transaction, now, until, AT_ONCE).await?;
        let mut told = Vec::with_capacity(closing.len());
        for one in &closing {
            let event = event(one).file(&self.keyring, &self.directory.snapshot(), now).await?;
            told.push((TenantId::from_uuid(one.tenant_id), event));
        }
        // In the order in which everybody stores events.
        told.sort_unstable_by_key(|(tenant, event)| (*tenant, event.part_day, event.subject, event.variant));
        for (tenant, event) in &told {
            events::insert_batch(&mut transaction, *tenant, std::slice::from_ref(event), now).await?;
        }
        Store::commit(transaction).await?;
        for (owner, _) in told.iter().flat_map(|(_, event)| &event.owed_to) {
            self.bells.ring(owner.uuid());
        }
        if !told.is_empty() {
            self.bells.ring_for_events();
        }
        Ok(i64::try_from(closing.len()).unwrap_or(i64::MAX))
    }
}

fn event(closing: &Closing) -> OwnEvent {
    let shown = |at: OffsetDateTime| at.format(&Rfc3339).ok();
    OwnEvent {
        tenant: TenantId::from_uuid(closing.tenant_id),
        event_type: EventType::WindowClosing,
        channel: Some(ChannelId::from_uuid(closing.channel_id)),
        contact: ContactId::from_uuid(closing.contact_id),
        message: None,
        error_code: None,
        details: json!({
            "contact_id": closing.contact_id, "channel_id": closing.channel_id, "closes_at": shown(closing.closes_at),
        }),
    }
}
