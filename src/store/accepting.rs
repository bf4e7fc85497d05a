//! Takes messages that applications hand over: many in one statement.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::outbox::MIRROR_EPOCH;
use super::{Connection, StoreError};
use crate::crypto::envelope::Sealed;
use crate::domain::message::{OnDoubt, Priority};
use crate::ids::{ApiKeyId, ChannelId, ContactId, MessageId, TenantId};

/// A message that was just accepted from an application.
#[derive(Debug)]
pub struct NewMessage {
    /// Id; its day is the partition.
    pub message: MessageId,
    /// Through which number.
    pub channel: ChannelId,
    /// To whom.
    pub contact: ContactId,
    /// `api` or `mirror`.
    pub origin: &'static str,
    /// `text`, `template`, …
    pub kind: &'static str,
    /// Sealed body for Meta.
    pub request: Sealed,
    /// Sealed body of the template that stands in for it.
    pub fallback: Option<Sealed>,
    /// When it is owed; for the mirror, when a missing answer counts as lost.
    pub next_at: OffsetDateTime,
    /// Set when the caller sends it itself, now (mirror).
    pub on_the_wire: bool,
    /// Not before.
    pub send_at: Option<OffsetDateTime>,
    /// Not after.
    pub expires_at: Option<OffsetDateTime>,
    /// Before or after what else waits.
    pub priority: Priority,
    /// When the answer is lost.
    pub on_doubt: OnDoubt,
    /// Who handed it over; `None`: an operator, or through the mirror.
    pub key: Option<ApiKeyId>,
}

/// What became of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// All of them are stored.
    All,
    /// None, because a channel is no more.
    NoChannel,
    /// None, because somebody among those they go to was erased meanwhile.
    Erased,
}

/// Stores messages, that they are owed, and the entries of the audit log that tell of them, to be committed together: one statement, so
/// that outside a transaction it is one, and nobody waits for four round trips. All of
/// it, or nothing. No channel can be removed between this and the commit. What is stored
/// already stays as it is, so that a repetition does no harm.
#[expect(clippy::too_many_lines, reason = "one statement, so that outside a transaction it is one")]
pub async fn insert(
    connection: &mut Connection,
    tenant: TenantId,
    (new, entries): (&[NewMessage], &[&NewAuditEntry]),
    now: OffsetDateTime,
) -> Result<Accepted, StoreError> {
    fn column<'a, R, T>(rows: &'a [R], pick: impl Fn(&'a R) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    let subjects = audit_entries::subjects(entries);
    let mut channels: Vec<Uuid> = column(new, |one| one.channel.uuid());
    channels.sort_unstable();
    channels.dedup();
    let whole = sqlx::query!(
        r#"WITH input AS (
            SELECT * FROM UNNEST($4::date[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::bytea[],
                                 $11::bytea[], $12::timestamptz[], $13::int8[], $14::timestamptz[], $15::timestamptz[],
                                 $16::int2[], $17::text[], $18::uuid[])
                AS t (part_day, message_id, channel_id, contact_id, origin, kind, request,
                      fallback, next_at, sending_epoch, send_at, expires_at, priority, on_doubt, api_key_id)
        ), there AS (
            SELECT 1 FROM channel WHERE tenant_id = $1 AND channel_id = ANY($3) FOR KEY SHARE
        ), fenced AS MATERIALIZED (
            -- Nothing is stored about somebody who was erased (store/erasing.rs). One index look-up each.
            SELECT 1 FROM (SELECT DISTINCT contact_id FROM input) one CROSS JOIN LATERAL (
                SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = one.contact_id LIMIT 1
            ) x
        ), whole AS (
            SELECT all_there, EXISTS (SELECT 1 FROM fenced) AS is_fenced, all_there AND NOT EXISTS (SELECT 1 FROM fenced) AS is_whole
            FROM (SELECT count(*) = cardinality($3::uuid[]) AS all_there FROM there) channels
        ), kept AS (
            INSERT INTO message (tenant_id, part_day, message_id, channel_id, contact_id, origin, kind, state, request,
                                 fallback, created_at, send_at, expires_at, priority, on_doubt)
            SELECT $1, part_day, message_id, channel_id, contact_id, origin, kind, 'queued', request,
                   fallback, $2, send_at, expires_at, priority, on_doubt
            FROM input, whole WHERE is_whole
            ON CONFLICT DO NOTHING
            RETURNING message_id
        ), owed AS (
            INSERT INTO outbox (tenant_id, channel_id, message_id, part_day, next_at, sending_epoch, expires_at, priority,
                                api_key_id, contact_id)
            SELECT $1, channel_id, message_id, part_day, next_at, sending_epoch, expires_at, priority,
                   api_key_id, contact_id
            FROM input JOIN kept USING (message_id)
        ), entries AS (
            -- As in store/audit_entries.rs.
            INSERT INTO audit_entry (tenant_id, part_day, entry_id, actor_id, action, entry, salt)
            SELECT $1, e.* FROM UNNEST($19::date[], $20::uuid[], $21::uuid[], $22::text[], $23::bytea[], $24::bytea[]) e, whole
            WHERE is_whole
            ON CONFLICT DO NOTHING
        ), subjects AS (
            INSERT INTO audit_subject (tenant_id, part_day, contact_id, entry_id)
            SELECT $1, s.* FROM UNNEST($25::date[], $26::uuid[], $27::uuid[]) s, whole WHERE is_whole
            ON CONFLICT DO NOTHING
        )
        SELECT all_there AS "all_there!", is_fenced AS "is_fenced!" FROM whole"#,
        tenant.uuid(),
        now,
        &channels,
        &column(new, |one| one.message.day()),
        &column(new, |one| one.message.uuid()),
        &column(new, |one| one.channel.uuid()),
        &column(new, |one| one.contact.uuid()),
        &column(new, |one| one.origin) as _,
        &column(new, |one| one.kind) as _,
        &column(new, |one| one.request.as_bytes()) as _,
        &column(new, |one| one.fallback.as_ref().map(Sealed::as_bytes)) as _,
        &column(new, |one| one.next_at),
        &column(new, |one| one.on_the_wire.then_some(MIRROR_EPOCH)) as _,
        &column(new, |one| one.send_at) as _,
        &column(new, |one| one.expires_at) as _,
        &column(new, |one| one.priority.rank()),
        &column(new, |one| one.on_doubt.as_str()) as _,
        &column(new, |one| one.key.map(ApiKeyId::uuid)) as _,
        &column(entries, |entry| entry.id.day()),
        &column(entries, |entry| entry.id.uuid()),
        &column(entries, |entry| entry.actor),
        &column(entries, |entry| entry.action.as_str()) as _,
        &column(entries, |entry| entry.entry.as_slice()) as _,
        &column(entries, |entry| entry.salt.as_slice()) as _,
        &column(&subjects, |subject| subject.1),
        &column(&subjects, |subject| subject.2),
        &column(&subjects, |subject| subject.3),
    )
    .fetch_one(connection)
    .await?;
    Ok(match (whole.all_there, whole.is_fenced) {
        (false, _) => Accepted::NoChannel,
        (true, true) => Accepted::Erased,
        (true, false) => Accepted::All,
    })
}
