//! What may be asked and said of a contact before they are written to: windows, and the ledger of consent.

use std::collections::HashSet;

use time::OffsetDateTime;
use uuid::Uuid;

use super::admission::Reading;
use super::open::Keys;
use super::views::Content;
use super::{Caller, Door, DoorError, Errand, Permission};
use crate::audit::{Action, Object};
use crate::crypto::envelope::Sealed;
use crate::directory::{ConsentError, Statement};
use crate::domain::consent::{Source, State};
use crate::ids::{ChannelId, ConsentId, ContactId};
use crate::keyring::places;
use crate::store::Store;
use crate::store::consent::ConsentRow;
use crate::store::windows::WindowRow;

/// Entries of the ledger that are shown at most, the newest.
const MOST_SHOWN: i64 = 200;

/// What a contact said.
#[derive(Debug)]
pub struct ConsentView {
    /// Id.
    pub id: ConsentId,
    /// To which channel; `None`: to all.
    pub channel: Option<ChannelId>,
    /// For what.
    pub purpose: String,
    /// `granted` or `withdrawn`.
    pub state: String,
    /// How it became known.
    pub source: String,
    /// What was agreed to, for those who see content.
    pub wording: Option<Content>,
    /// Which version of it.
    pub version: Option<String>,
    /// When it was said.
    pub occurred_at: OffsetDateTime,
    /// When it was recorded.
    pub recorded_at: OffsetDateTime,
}

/// What an application says that a contact said.
pub struct Told<'a> {
    /// To which channel; `None`: to all.
    pub channel: Option<ChannelId>,
    /// What for.
    pub purpose: &'a str,
    /// What.
    pub state: State,
    /// Where it was said.
    pub source: Source,
    /// When; `None`: now.
    pub at: Option<OffsetDateTime>,
    /// To which words.
    pub wording: Option<&'a str>,
    /// Which version of them.
    pub version: Option<&'a str>,
}

impl From<ConsentError> for DoorError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::Keys(error) => Self::Keys(error),
        }
    }
}

impl Door {
    /// The windows of a contact in the channels that the caller sees. `None`: unknown, or never met there.
    pub async fn windows(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
    ) -> Result<Option<Vec<WindowRow>>, DoorError> {
        self.admit(who, errand, Permission::ContactsRead).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(None) };
        let people = self.store.find_merged(who.tenant, kept(row.merged_into, row.contact_id)).await?;
        let reading = Reading::one(Action::ContactsRead, Object::one("contact", row.contact_id));
        self.record(who, errand, reading.of(None, 1, vec![row.contact_id])).await?;
        let mut windows = self.store.windows_of(who.tenant, &people).await?;
        windows.retain(|window| who.may_use(ChannelId::from_uuid(window.channel_id)));
        Ok(Some(windows))
    }

    /// What a contact said, newest first. `None`: unknown, or never met in the caller's channels.
    pub async fn consents(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
    ) -> Result<Option<Vec<ConsentView>>, DoorError> {
        self.admit(who, errand, Permission::ContactsRead).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(None) };
        let people = self.store.find_merged(who.tenant, kept(row.merged_into, row.contact_id)).await?;
        let channels: Option<Vec<Uuid>> =
            (!who.channels.is_empty()).then(|| who.channels.iter().map(|channel| channel.uuid()).collect());
        let reading = Reading::one(Action::ContactsRead, Object::one("contact", row.contact_id));
        let recorded = self.record(who, errand, reading.of(None, 1, vec![row.contact_id])).await?;
        let rows = self.store.consents_of(recorded.tenant(), &people, channels.as_deref(), MOST_SHOWN).await?;
        Ok(Some(self.open_consents(who, rows).await?))
    }

    async fn open_consents(&self, who: &Caller, rows: Vec<ConsentRow>) -> Result<Vec<ConsentView>, DoorError> {
        let rows: Vec<(ConsentRow, Option<Sealed>)> = rows
            .into_iter()
            .map(|mut row| {
                let sealed = row.wording.take().filter(|_| who.sight.has_content()).map(Sealed::from_stored);
                (row, sealed)
            })
            .collect();
        let ids: HashSet<Uuid> = rows.iter().filter_map(|(_, sealed)| sealed.as_ref()?.dek_id()).collect();
        let keys = Keys::fetch(&self.keyring, who.tenant, ids).await?;
        let view = |(row, sealed): (ConsentRow, Option<Sealed>)| {
            let (id, contact) = (ConsentId::from_uuid(row.consent_id), ContactId::from_uuid(row.contact_id));
            let place = places::consent_wording(who.tenant, id, contact);
            ConsentView {
                id,
                channel: row.channel_id.map(ChannelId::from_uuid),
                purpose: row.purpose,
                state: row.state,
                source: row.source,
                wording: sealed.map(|sealed| keys.open(&place, &sealed)),
                version: row.wording_version,
                occurred_at: row.occurred_at,
                recorded_at: row.recorded_at,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Whether there is such a channel and the caller may use it.
    #[must_use]
    pub fn knows_channel(&self, who: &Caller, channel: ChannelId) -> bool {
        who.may_use(channel) && self.directory.snapshot().channel(who.tenant, channel).is_some()
    }

    /// Records what a contact said to somebody else than us. False: unknown, or never met in the caller's channels. Whoever is confined
    /// to channels speaks for one of them alone.
    pub async fn tell_consent(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
        told: &Told<'_>,
    ) -> Result<bool, DoorError> {
        self.admit(who, errand, Permission::ConsentManage).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(false) };
        if told.channel.is_none()
            && let Err(denied) = who.require_unconfined()
        {
            self.refusals.note(who, errand, denied).await;
            return Err(denied.into());
        }
        let act = errand.act(who, Action::ConsentRecorded, Object::one("contact", row.contact_id));
        let act = act.in_channel(told.channel);
        errand.keep(self.audit.record_about(act, vec![row.contact_id]).await?);
        let now = self.directory.now();
        let statement = Statement {
            tenant: who.tenant,
            contact: kept(row.merged_into, row.contact_id),
            channel: told.channel,
            purpose: told.purpose,
            state: told.state,
            source: told.source,
            at: told.at.unwrap_or(now),
            wording: told.wording,
            version: told.version,
        };
        self.store.ensure_partitions(now.date()).await?;
        let mut transaction = self.store.begin().await?;
        statement.record(&mut transaction, &self.keyring, &self.directory.snapshot(), now).await?;
        Store::commit(transaction).await?;
        Ok(true)
    }
}

fn kept(merged_into: Option<Uuid>, contact: Uuid) -> ContactId {
    ContactId::from_uuid(merged_into.unwrap_or(contact))
}
