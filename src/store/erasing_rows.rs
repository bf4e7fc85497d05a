//! Removes the rows of a person, as the role that is for it: it reads ids, and nothing that is sealed.

use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::erasing::count;
use super::events::ENDED;
use super::row_marks::{self, Counted, CountedRow, NO_DAY, SealRemoval, bare};
use super::{Store, StoreError, Transaction};
use crate::ids::{ErasureId, TenantId};

/// How long an application's key stands for its request: what is older is gone anyway.
pub(super) const IDEMPOTENCY: Duration = Duration::days(2);
/// How long it is kept that somebody was answered: as proofs of consent are.
pub const REQUESTS_KEPT: Duration = Duration::days(3 * 366);

/// What removes rows of one table and counts them.
macro_rules! remove {
    ($transaction:expr, $tenant:expr, $erasure:expr, $table:literal, $sql:literal, $($value:expr),+ $(,)?) => {{
        let done = sqlx::query!("DELETE FROM " + $table + " WHERE tenant_id = $1 AND " + $sql, $tenant.uuid(), $($value),+);
        let rows = done.execute(&mut **$transaction).await?.rows_affected();
        count($transaction, $tenant, $erasure, $table, rows).await?;
    }};
}

/// Which erasure removes, and how it tells that it did.
#[derive(Debug, Clone, Copy)]
pub struct Removing<'a> {
    /// In whose data.
    pub tenant: TenantId,
    /// Counts what went.
    pub erasure: ErasureId,
    /// Tells of what went, so that it is not missed.
    pub seal: &'a dyn SealRemoval,
}

impl Removing<'_> {
    async fn note(
        self,
        transaction: &mut Transaction,
        of: (&str, Date),
        rows: &[CountedRow],
    ) -> Result<(), StoreError> {
        row_marks::note_removed(transaction, self.tenant, of, rows, self.seal).await?;
        count(transaction, self.tenant, self.erasure, of.0, rows.len() as u64).await
    }
}

impl Store {
    /// Removes what was said with a person on one day, and everything that hangs on it. What Meta may send again is remembered by its
    /// keyed hash, so that it is not stored anew.
    pub async fn remove_day_of(
        &self,
        removing: Removing<'_>,
        contacts: &[Uuid],
        day: Date,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let tenant = removing.tenant;
        let mut transaction = self.eraser.begin().await?;
        // The same facts as in `row_marks::page`.
        let gone = sqlx::query!(
            r#"DELETE FROM event WHERE tenant_id = $1 AND part_day = $2 AND contact_id = ANY($3) AND status_rank IS NULL
               RETURNING event_id, subject, variant, jsonb_build_array(type, channel_id, contact_id, message_id, status_rank, error_code,
                         extract(epoch FROM occurred_at))::text AS "facts!""#,
            tenant.uuid(),
            day,
            contacts,
        );
        let said = gone.fetch_all(&mut *transaction).await?;
        let gone = sqlx::query!(
            r#"DELETE FROM event WHERE tenant_id = $1 AND part_day = $2 AND contact_id = ANY($3) AND status_rank IS NOT NULL
               RETURNING event_id, subject, variant, jsonb_build_array(type, channel_id, contact_id, message_id, status_rank, error_code,
                         extract(epoch FROM occurred_at))::text AS "facts!""#,
            tenant.uuid(),
            day,
            contacts,
        );
        let statuses = gone.fetch_all(&mut *transaction).await?;
        let mut keys: Vec<(&[u8], &[u8])> = said.iter().map(|row| (&*row.subject, &*row.variant)).collect();
        keys.extend(statuses.iter().map(|row| (&*row.subject, &*row.variant)));
        // And what Meta has still to say of the same messages: it would be about somebody new.
        let ended: Vec<(&[u8], &[u8])> = keys.iter().map(|(subject, _)| (*subject, ENDED.as_slice())).collect();
        keys.extend(ended);
        keys.sort_unstable();
        keys.dedup();
        remember(&mut transaction, tenant, &keys, now.date()).await?;
        let mut rows: Vec<CountedRow> =
            said.into_iter().map(|row| CountedRow { id: row.event_id, facts: row.facts }).collect();
        rows.extend(statuses.into_iter().map(|row| CountedRow { id: row.event_id, facts: row.facts }));
        removing.note(&mut transaction, (Counted::Event.table(), day), &rows).await?;
        let events: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        remove_content(&mut transaction, removing, day, &events).await?;
        remove_messages(&mut transaction, removing, contacts, day, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The files about a person, whichever event or request brought them. From here on nobody sends them or has them uploaded at Meta.
    pub async fn doom_media_of(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        now: OffsetDateTime,
    ) -> Result<Vec<(Uuid, Option<Uuid>)>, StoreError> {
        sqlx::query!(
            "UPDATE media SET state = 'deleting', settled_at = $3
             WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'stored'",
            tenant.uuid(),
            contacts,
            now,
        )
        .execute(&self.data)
        .await?;
        let rows = sqlx::query!(
            "SELECT media_id, contact_id FROM media WHERE tenant_id = $1 AND contact_id = ANY($2)",
            tenant.uuid(),
            contacts,
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.media_id, row.contact_id)).collect())
    }

    /// Removes the rows of files of which nothing is left.
    pub async fn remove_media_of(&self, tenant: TenantId, id: ErasureId, media: &[Uuid]) -> Result<(), StoreError> {
        let mut transaction = self.eraser.begin().await?;
        let of = &mut transaction;
        remove!(of, tenant, id, "media", "media_id = ANY($2)", media);
        transaction.commit().await?;
        Ok(())
    }

    /// Removes what is known of a person beside what was said.
    pub async fn remove_person(&self, removing: Removing<'_>, contacts: &[Uuid]) -> Result<(), StoreError> {
        let (tenant, id) = (removing.tenant, removing.erasure);
        let channels =
            sqlx::query_scalar!("SELECT owner_id FROM lane WHERE tenant_id = $1 AND kind = 2", tenant.uuid(),);
        let channels = channels.fetch_all(&self.data).await?;
        let mut transaction = self.eraser.begin().await?;
        let of = &mut transaction;
        remove!(of, tenant, id, "service_window", "contact_id = ANY($2)", contacts);
        remove_noted(of, removing, contacts).await?;
        remove!(of, tenant, id, "pair_pace", "channel_id = ANY($3) AND contact_id = ANY($2)", contacts, &channels);
        // That somebody asked, and when it was answered, stays as the proof of it; who, does not.
        sqlx::query!(
            "UPDATE privacy_request SET contact_id = NULL, reference = NULL, reason = NULL WHERE tenant_id = $1 AND contact_id = ANY($2)",
            tenant.uuid(),
            contacts,
        )
        .execute(&mut **of)
        .await?;
        remove!(of, tenant, id, "notice", "contact_id = ANY($2)", contacts);
        remove!(of, tenant, id, "passing", "contact_id = ANY($2)", contacts);
        remove!(of, tenant, id, "in_chat", "contact_id = ANY($2)", contacts);
        remove!(of, tenant, id, "export", "contact_id = ANY($2)", contacts);
        let gone = sqlx::query_scalar!(
            "DELETE FROM contact WHERE tenant_id = $1 AND contact_id = ANY($2) RETURNING contact_id",
            tenant.uuid(),
            contacts,
        );
        let gone = bare(gone.fetch_all(&mut **of).await?);
        removing.note(of, (Counted::Contact.table(), NO_DAY), &gone).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes the ties between a person and the audit log, of one day. The entries stay, and verify.
    pub async fn remove_subjects_of(
        &self,
        tenant: TenantId,
        id: ErasureId,
        contacts: &[Uuid],
        day: Date,
    ) -> Result<(), StoreError> {
        let mut transaction = self.eraser.begin().await?;
        let of = &mut transaction;
        remove!(of, tenant, id, "audit_subject", "part_day = $2 AND contact_id = ANY($3)", day, contacts);
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets the fences of erasures that are long over: nobody remembers these contacts any more.
    pub async fn sweep_fences(&self, before: OffsetDateTime, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM erased_contact WHERE erased_at < $1", before).execute(&self.eraser).await?;
        let ended = now - REQUESTS_KEPT;
        sqlx::query!(
            "WITH gone AS (DELETE FROM privacy_request WHERE closed_at < $1 RETURNING tenant_id, request_id)
             DELETE FROM privacy_request_deed d USING gone WHERE d.tenant_id = gone.tenant_id AND d.request_id = gone.request_id",
            ended,
        )
        .execute(&self.eraser)
        .await?;
        sqlx::query!("DELETE FROM consent_proof WHERE kept_until < $1", now.date()).execute(&self.eraser).await?;
        Ok(())
    }
}

/// Consent, holds and restrictions, with a note of each. No hold is in force; the reason of one that was may name the person.
async fn remove_noted(
    transaction: &mut Transaction,
    removing: Removing<'_>,
    contacts: &[Uuid],
) -> Result<(), StoreError> {
    macro_rules! noted {
        ($table:literal, $sql:literal) => {{
            let rows = sqlx::query_as!(CountedRow, $sql, removing.tenant.uuid(), contacts);
            let rows = rows.fetch_all(&mut **transaction).await?;
            removing.note(transaction, ($table, NO_DAY), &rows).await?;
        }};
    }
    // The same facts as in `row_marks::page` and `marked_settings::settings`.
    noted!(
        "consent",
        r#"DELETE FROM consent WHERE tenant_id = $1 AND contact_id = ANY($2)
           RETURNING consent_id AS "id!", jsonb_build_array(contact_id, channel_id, purpose, state, source, wording_version,
               extract(epoch FROM occurred_at), extract(epoch FROM recorded_at))::text AS "facts!""#
    );
    noted!(
        "hold",
        r#"DELETE FROM hold WHERE tenant_id = $1 AND contact_id = ANY($2)
           RETURNING hold_id AS "id!", jsonb_build_array(contact_id, state, owner_id, approver_id, extract(epoch FROM created_at),
               extract(epoch FROM active_at), extract(epoch FROM expires_at), extract(epoch FROM ended_at))::text AS "facts!""#
    );
    noted!(
        "restriction",
        r#"DELETE FROM restriction WHERE tenant_id = $1 AND contact_id = ANY($2)
           RETURNING contact_id AS "id!", jsonb_build_array(actor_id, extract(epoch FROM created_at))::text AS "facts!""#
    );
    Ok(())
}

/// Meta repeats what it has sent, and so may somebody who kept it.
async fn remember(
    transaction: &mut Transaction,
    tenant: TenantId,
    keys: &[(&[u8], &[u8])],
    today: Date,
) -> Result<(), StoreError> {
    let (subjects, variants): (Vec<&[u8]>, Vec<&[u8]>) = keys.iter().copied().unzip();
    sqlx::query!(
        "INSERT INTO event_ledger (tenant_id, subject, variant, seen_on)
         SELECT $1, subject, variant, $4 FROM UNNEST($2::bytea[], $3::bytea[]) AS t (subject, variant)
         ON CONFLICT DO NOTHING",
        tenant.uuid(),
        &subjects as _,
        &variants as _,
        today,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Content, deliveries, attempts and files of these events.
async fn remove_content(
    transaction: &mut Transaction,
    removing: Removing<'_>,
    day: Date,
    events: &[Uuid],
) -> Result<(), StoreError> {
    let (tenant, id) = (removing.tenant, removing.erasure);
    if events.is_empty() {
        return Ok(());
    }
    let endpoints = sqlx::query_scalar!("SELECT endpoint_id FROM endpoint WHERE tenant_id = $1", tenant.uuid());
    let endpoints = endpoints.fetch_all(&mut **transaction).await?;
    let of = transaction;
    let gone = sqlx::query_scalar!(
        "DELETE FROM event_payload WHERE tenant_id = $1 AND part_day = $2 AND event_id = ANY($3) RETURNING event_id",
        tenant.uuid(),
        day,
        events,
    );
    let gone = bare(gone.fetch_all(&mut **of).await?);
    removing.note(of, (Counted::EventPayload.table(), day), &gone).await?;
    remove!(
        of,
        tenant,
        id,
        "delivery",
        "endpoint_id = ANY($2) AND shard = 0 AND event_id = ANY($3)",
        &endpoints,
        events
    );
    remove!(
        of,
        tenant,
        id,
        "delivery_retry",
        "endpoint_id = ANY($2) AND shard = 0 AND event_id = ANY($3)",
        &endpoints,
        events
    );
    remove!(of, tenant, id, "delivery_dead", "endpoint_id = ANY($2) AND event_id = ANY($3)", &endpoints, events);
    remove!(
        of,
        tenant,
        id,
        "attempt",
        "part_day >= $4 AND endpoint_id = ANY($2) AND event_id = ANY($3)",
        &endpoints,
        events,
        day
    );
    remove!(of, tenant, id, "media_fetch", "media_id = ANY($2)", events);
    remove!(of, tenant, id, "media", "media_id = ANY($2)", events);
    Ok(())
}

/// Messages to the person, and what is known of the requests that brought them.
async fn remove_messages(
    transaction: &mut Transaction,
    removing: Removing<'_>,
    contacts: &[Uuid],
    day: Date,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (tenant, id) = (removing.tenant, removing.erasure);
    let gone = sqlx::query!(
        r#"DELETE FROM message WHERE tenant_id = $1 AND part_day = $2 AND contact_id = ANY($3)
           RETURNING message_id, channel_id, subject, jsonb_build_array(channel_id, contact_id)::text AS "facts!""#,
        tenant.uuid(),
        day,
        contacts,
    );
    let gone = gone.fetch_all(&mut **transaction).await?;
    if gone.is_empty() {
        return Ok(());
    }
    let mut ended: Vec<(&[u8], &[u8])> =
        gone.iter().filter_map(|row| Some((row.subject.as_deref()?, ENDED.as_slice()))).collect();
    ended.sort_unstable();
    remember(transaction, tenant, &ended, now.date()).await?;
    let messages: Vec<Uuid> = gone.iter().map(|row| row.message_id).collect();
    let channels: Vec<Uuid> = gone.iter().map(|row| row.channel_id).collect();
    let rows: Vec<CountedRow> =
        gone.into_iter().map(|row| CountedRow { id: row.message_id, facts: row.facts }).collect();
    let of = transaction;
    removing.note(of, (Counted::Message.table(), day), &rows).await?;
    remove!(of, tenant, id, "outbox", "channel_id = ANY($2) AND message_id = ANY($3)", &channels, &messages);
    if now.date() - day <= IDEMPOTENCY {
        remove!(of, tenant, id, "idempotency", "message_id = ANY($2)", &messages);
    }
    Ok(())
}
