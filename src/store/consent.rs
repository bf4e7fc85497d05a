//! The ledger of consent: added to, never changed.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{ChannelId, ConsentId, ContactId, TenantId};

/// What somebody said.
#[derive(Debug)]
pub struct NewConsent<'a> {
    /// Id.
    pub id: ConsentId,
    /// Who.
    pub contact: ContactId,
    /// To which channel; `None`: to all.
    pub channel: Option<ChannelId>,
    /// A word.
    pub purpose: &'a str,
    /// Which wording.
    pub version: Option<&'a str>,
    /// `granted` or `withdrawn`.
    pub state: &'static str,
    /// A word from the list that the table holds.
    pub source: &'static str,
    /// Sealed.
    pub wording: Option<&'a [u8]>,
    /// When it was said.
    pub occurred_at: OffsetDateTime,
}

/// Adds to the ledger. Returns whether it is the newest of its channel and says something else than what was newest before.
pub async fn add(
    connection: &mut Connection,
    tenant: TenantId,
    new: &NewConsent<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let changes = sqlx::query_scalar!(
        r#"WITH newest AS (
               SELECT state, occurred_at FROM consent
               WHERE tenant_id = $1 AND contact_id = $2 AND purpose = $10
                 AND (channel_id IS NULL OR channel_id = $4)
               ORDER BY occurred_at DESC, consent_id DESC LIMIT 1
           ), added AS (
               INSERT INTO consent (tenant_id, contact_id, consent_id, channel_id, purpose, state, source, wording, occurred_at, recorded_at, wording_version)
               SELECT $1, $2, $3, $4, $10, $5, $6, $7::bytea, $8, $9, $11::text
               -- Nothing is stored about somebody who was erased.
               WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $2)
               RETURNING 1
           )
           SELECT EXISTS (SELECT 1 FROM added)
                  AND NOT EXISTS (SELECT 1 FROM newest WHERE state = $5 OR occurred_at > $8) AS "changes!""#,
        tenant.uuid(),
        new.contact.uuid(),
        new.id.uuid(),
        new.channel.map(ChannelId::uuid),
        new.state,
        new.source,
        new.wording,
        new.occurred_at,
        now,
        new.purpose,
        new.version,
    );
    Ok(changes.fetch_one(connection).await?)
}

/// An entry of the ledger.
#[derive(Debug)]
pub struct ConsentRow {
    /// Id.
    pub consent_id: Uuid,
    /// Who, by the contact of that time.
    pub contact_id: Uuid,
    /// To which channel; absent: to all.
    pub channel_id: Option<Uuid>,
    /// What for.
    pub purpose: String,
    /// `granted` or `withdrawn`.
    pub state: String,
    /// How it became known.
    pub source: String,
    /// Sealed.
    pub wording: Option<Vec<u8>>,
    /// Which version of it.
    pub wording_version: Option<String>,
    /// When it was said.
    pub occurred_at: OffsetDateTime,
    /// When it was recorded.
    pub recorded_at: OffsetDateTime,
}

impl Store {
    /// What a person said, by whichever of these contacts, newest first.
    pub async fn consents_of(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        channels: Option<&[Uuid]>,
        limit: i64,
    ) -> Result<Vec<ConsentRow>, StoreError> {
        let rows = sqlx::query_as!(
            ConsentRow,
            "SELECT consent_id, contact_id, channel_id, purpose, state, source, wording::bytea AS wording, wording_version,
                    occurred_at, recorded_at
             FROM consent
             WHERE tenant_id = $1 AND contact_id = ANY($2)
               AND ($3::uuid[] IS NULL OR channel_id IS NULL OR channel_id = ANY($3))
             ORDER BY occurred_at DESC, consent_id DESC LIMIT $4",
            tenant.uuid(),
            contacts,
            channels,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }
}
