//! Events and their sealed content: written in one statement, read by person or by message.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ChannelId, ContactId, EndpointId, EventId, MessageId, TenantId};

/// A new event, ready to be stored.
#[derive(Debug)]
pub struct NewEvent {
    /// Partition: the UTC day of Meta's own timestamp, or today.
    pub part_day: Date,
    /// Keyed hash of what it is about.
    pub subject: [u8; 16],
    /// Keyed hash of what is said of it.
    pub variant: [u8; 8],
    /// Whether `part_day` alone cannot dedupe it.
    pub in_ledger: bool,
    /// Its id.
    pub event_id: EventId,
    /// Stable name of the type.
    pub event_type: &'static str,
    /// Channel, when it is one of ours.
    pub channel: Option<ChannelId>,
    /// Person, when it is about one.
    pub contact: Option<ContactId>,
    /// Our message, when it is about one.
    pub message: Option<MessageId>,
    /// Set for statuses.
    pub status_rank: Option<i16>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// Meta's time, or the time of receipt.
    pub occurred_at: OffsetDateTime,
    /// The sealed envelope.
    pub payload: Sealed,
    /// Until when the person may be written to freely because of it.
    pub opens_until: Option<OffsetDateTime>,
    /// Endpoints that it is owed to, each with the shard of its lane.
    pub owed_to: Vec<(EndpointId, i16)>,
    /// Whether there is a file to be fetched, which takes a channel.
    pub has_media: bool,
    /// Whether its content goes when every endpoint has it.
    pub is_passing: bool,
}

impl Store {
    /// Stores one event of our own.
    pub async fn tell(&self, tenant: TenantId, told: NewEvent, now: OffsetDateTime) -> Result<(), StoreError> {
        self.ensure_partitions(told.part_day).await?;
        let mut transaction = self.data.begin().await?;
        insert_batch(&mut transaction, tenant, &[told], now).await?;
        Ok(transaction.commit().await?)
    }
}

/// Endpoint, shard, event and its day, of each delivery.
fn owed(events: &[NewEvent]) -> Vec<(Uuid, i16, Uuid, Date)> {
    events
        .iter()
        .flat_map(|event| {
            event
                .owed_to
                .iter()
                .map(move |(endpoint, shard)| (endpoint.uuid(), *shard, event.event_id.uuid(), event.part_day))
        })
        .collect()
}

/// Event, contact, channel and end, of each window. Arrays of their own: most events open none.
fn opening(events: &[NewEvent]) -> Vec<(Uuid, Uuid, Uuid, OffsetDateTime)> {
    let window = |event: &NewEvent| {
        Some((event.event_id.uuid(), event.contact?.uuid(), event.channel?.uuid(), event.opens_until?))
    };
    events.iter().filter_map(window).collect()
}

/// Event, day and channel, of each file.
fn with_media(events: &[NewEvent]) -> Vec<(Uuid, Date, Uuid)> {
    let file = |event: &NewEvent| Some((event.event_id.uuid(), event.part_day, event.channel?.uuid()));
    events.iter().filter(|event| event.has_media).filter_map(file).collect()
}

/// What became of a batch.
#[derive(Debug)]
pub struct Inserted {
    /// Those that were new; the others had been stored before, or are about somebody who was erased.
    pub stored: Vec<EventId>,
    /// Contacts of the batch that were erased: nothing about them was stored.
    pub erased: Vec<Uuid>,
}

/// Stores events, their content, their deliveries and the windows that they open. Returns the ids of those that were new; the others had been
/// stored before, or are about somebody who was erased meanwhile. One statement, so that outside a transaction it is one. `events` come
/// sorted by `(part_day, subject, variant)`, so that two batches cannot wait for each other.
pub async fn insert_batch(
    connection: &mut Connection,
    tenant: TenantId,
    events: &[NewEvent],
    received_at: OffsetDateTime,
) -> Result<Vec<EventId>, StoreError> {
    Ok(insert_about(connection, tenant, events, received_at).await?.stored)
}

/// The same for those who can file what is about an erased contact under another.
#[expect(clippy::too_many_lines, reason = "one statement, so that outside a transaction it is one")]
pub async fn insert_about(
    connection: &mut Connection,
    tenant: TenantId,
    events: &[NewEvent],
    received_at: OffsetDateTime,
) -> Result<Inserted, StoreError> {
    fn column<'a, R, T>(rows: &'a [R], pick: impl Fn(&'a R) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    let (owed, opening, with_media) = (owed(events), opening(events), with_media(events));
    let passing: Vec<(Uuid, Date)> =
        events.iter().filter(|event| event.is_passing).map(|event| (event.event_id.uuid(), event.part_day)).collect();
    let inserting = sqlx::query!(
        r#"
        WITH given AS (
            SELECT * FROM UNNEST($3::date[], $4::bytea[], $5::bytea[], $6::bool[], $7::uuid[], $8::text[], $9::uuid[],
                                 $10::uuid[], $11::uuid[], $12::int2[], $13::int4[], $14::timestamptz[], $15::bytea[])
                AS t (part_day, subject, variant, in_ledger, event_id, type, channel_id,
                      contact_id, message_id, status_rank, error_code, occurred_at, payload)
        ), erased AS MATERIALIZED (
            -- The fence: nothing is stored about somebody who was erased (store/erasing.rs). One index look-up each.
            SELECT x.contact_id FROM (SELECT DISTINCT contact_id FROM given WHERE contact_id IS NOT NULL) one
            CROSS JOIN LATERAL (
                SELECT contact_id FROM erased_contact WHERE tenant_id = $1 AND contact_id = one.contact_id LIMIT 1
            ) x
        ), input AS (
            SELECT * FROM given WHERE contact_id IS NULL OR contact_id NOT IN (SELECT contact_id FROM erased)
        ), unseen AS (
            INSERT INTO event_ledger (tenant_id, subject, variant, seen_on)
            SELECT $1, subject, variant, ($2::timestamptz AT TIME ZONE 'UTC')::date FROM input WHERE in_ledger
            ON CONFLICT DO NOTHING
            RETURNING subject, variant
        ), stored AS (
            INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, channel_id, contact_id, message_id,
                               status_rank, error_code, occurred_at, received_at)
            SELECT $1, part_day, subject, variant, event_id, type, channel_id, contact_id, message_id,
                   status_rank, error_code, occurred_at, $2 FROM input
            WHERE NOT in_ledger OR (subject, variant) IN (SELECT subject, variant FROM unseen)
            ON CONFLICT DO NOTHING
            RETURNING event_id, contact_id
        ), content AS (
            INSERT INTO event_payload (tenant_id, part_day, event_id, payload)
            SELECT $1, part_day, event_id, payload FROM input JOIN stored USING (event_id)
        ), owed AS (
            INSERT INTO delivery (tenant_id, endpoint_id, shard, event_id, part_day, contact_id)
            SELECT $1, endpoint_id, shard, event_id, part_day, contact_id
            FROM UNNEST($16::uuid[], $17::int2[], $18::uuid[], $19::date[]) AS d (endpoint_id, shard, event_id, part_day)
            JOIN stored USING (event_id)
        ), opened AS (
            -- Begins when all events are stored, and goes in one order, so that two batches cannot wait for each other.
            INSERT INTO service_window (tenant_id, contact_id, channel_id, closes_at, closing_hour)
            SELECT $1, w.contact_id, w.channel_id, max(w.until), date_trunc('hour', max(w.until), 'UTC')
            FROM UNNEST($20::uuid[], $21::uuid[], $22::uuid[], $23::timestamptz[]) AS w (event_id, contact_id, channel_id, until)
            JOIN stored USING (event_id)
            GROUP BY w.contact_id, w.channel_id ORDER BY w.contact_id, w.channel_id
            ON CONFLICT (tenant_id, contact_id, channel_id) DO UPDATE
            SET closes_at = EXCLUDED.closes_at, closing_hour = EXCLUDED.closing_hour
            WHERE service_window.closes_at < EXCLUDED.closes_at
        ), media AS (
            INSERT INTO media_fetch (tenant_id, media_id, part_day, channel_id, contact_id, next_at)
            SELECT $1, event_id, m.part_day, m.channel_id, stored.contact_id, $2
            FROM UNNEST($24::uuid[], $25::date[], $26::uuid[]) AS m (event_id, part_day, channel_id) JOIN stored USING (event_id)
        ), passing AS (
            INSERT INTO passing (tenant_id, event_id, part_day, contact_id, kept_on)
            SELECT $1, event_id, p.part_day, stored.contact_id, ($2::timestamptz AT TIME ZONE 'UTC')::date
            FROM UNNEST($27::uuid[], $28::date[]) AS p (event_id, part_day) JOIN stored USING (event_id)
        )
        -- One row, however many events: they are read one by one.
        SELECT COALESCE(array_agg(event_id), '{}') AS "ids!", ARRAY(SELECT contact_id FROM erased) AS "erased!" FROM stored
        "#,
        tenant.uuid(),
        received_at,
        &column(events, |e| e.part_day),
        &column(events, |e| e.subject.as_slice()) as _,
        &column(events, |e| e.variant.as_slice()) as _,
        &column(events, |e| e.in_ledger),
        &column(events, |e| e.event_id.uuid()),
        &column(events, |e| e.event_type) as _,
        &column(events, |e| e.channel.map(ChannelId::uuid)) as _,
        &column(events, |e| e.contact.map(ContactId::uuid)) as _,
        &column(events, |e| e.message.map(MessageId::uuid)) as _,
        &column(events, |e| e.status_rank) as _,
        &column(events, |e| e.error_code) as _,
        &column(events, |e| e.occurred_at),
        &column(events, |e| e.payload.as_bytes()) as _,
        &column(&owed, |row| row.0),
        &column(&owed, |row| row.1),
        &column(&owed, |row| row.2),
        &column(&owed, |row| row.3),
        &column(&opening, |row| row.0),
        &column(&opening, |row| row.1),
        &column(&opening, |row| row.2),
        &column(&opening, |row| row.3),
        &column(&with_media, |row| row.0),
        &column(&with_media, |row| row.1),
        &column(&with_media, |row| row.2),
        &column(&passing, |row| row.0),
        &column(&passing, |row| row.1),
    );
    let row = inserting.fetch_one(connection).await?;
    Ok(Inserted { stored: row.ids.into_iter().map(EventId::from_uuid).collect(), erased: row.erased })
}

/// Where an event would lie: its day, what it is about, and what is said of it.
pub type EventKey = (Date, [u8; 16], [u8; 8]);

/// Stands in the ledger for whatever is said of a subject: whom it was about was erased. No hash comes out so.
pub(super) const ENDED: [u8; 8] = [0; 8];

/// Which of these have been stored before, by their positions: under the day given, or in the ledger; or are about a message of
/// somebody who was erased.
pub async fn stored_before(
    connection: &mut Connection,
    tenant: TenantId,
    keys: &[EventKey],
) -> Result<Vec<i64>, StoreError> {
    let days: Vec<Date> = keys.iter().map(|(day, ..)| *day).collect();
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(Vec::new()) };
    let subjects: Vec<&[u8]> = keys.iter().map(|(_, subject, _)| subject.as_slice()).collect();
    let variants: Vec<&[u8]> = keys.iter().map(|(.., variant)| variant.as_slice()).collect();
    let positions = sqlx::query_scalar!(
        r#"WITH wanted AS (
               SELECT * FROM UNNEST($2::date[], $3::bytea[], $4::bytea[])
                   WITH ORDINALITY AS t (part_day, subject, variant, position)
           )
           -- LATERAL with LIMIT: one index look-up each.
           SELECT w.position - 1 AS "position!" FROM wanted w
           CROSS JOIN LATERAL (
               SELECT 1 FROM event
               WHERE tenant_id = $1 AND part_day = w.part_day AND part_day BETWEEN $6 AND $7
                 AND subject = w.subject AND variant = w.variant LIMIT 1
           ) e
           UNION
           SELECT w.position - 1 FROM wanted w
           CROSS JOIN LATERAL (
               SELECT 1 FROM event_ledger
               WHERE tenant_id = $1 AND subject = w.subject AND variant IN (w.variant, $5::bytea) LIMIT 1
           ) l"#,
        tenant.uuid(),
        &days,
        &subjects as _,
        &variants as _,
        ENDED.as_slice(),
        first,
        last,
    )
    .fetch_all(connection)
    .await?;
    Ok(positions)
}

/// A stored event with its sealed content, if that is still kept.
#[derive(Debug)]
pub struct EventRow {
    /// Transaction number: with the id, the order of the cursor.
    pub xid: i64,
    /// Id.
    pub event_id: Uuid,
    /// Partition.
    pub part_day: Date,
    /// Type.
    pub event_type: String,
    /// Channel.
    pub channel_id: Option<Uuid>,
    /// Person.
    pub contact_id: Option<Uuid>,
    /// Our message.
    pub message_id: Option<Uuid>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// Meta's time.
    pub occurred_at: OffsetDateTime,
    /// Ours.
    pub received_at: OffsetDateTime,
    /// Content; absent once dropped.
    pub payload: Option<Vec<u8>>,
}

impl Store {
    /// Events with a contact that are no statuses, newest first, older than `before`.
    pub async fn events_of_contact(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        before: Uuid,
        channels: Option<&[Uuid]>,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let rows = sqlx::query_as!(
            EventRow,
            r#"SELECT e.xid::text::bigint AS "xid!", e.event_id, e.part_day, e.type AS event_type, e.channel_id, e.contact_id,
                      e.message_id, e.error_code, e.occurred_at, e.received_at, p.payload::bytea AS "payload?"
               FROM event e LEFT JOIN LATERAL (
                   -- LATERAL with LIMIT: one index look-up each, in one partition.
                   SELECT payload FROM event_payload c
                   WHERE c.tenant_id = e.tenant_id AND c.part_day = e.part_day AND c.event_id = e.event_id LIMIT 1
               ) p ON true
               WHERE e.tenant_id = $1 AND e.contact_id = ANY($2) AND e.status_rank IS NULL AND e.event_id < $3
                 AND ($4::uuid[] IS NULL OR e.channel_id = ANY($4))
               ORDER BY e.event_id DESC
               LIMIT $5"#,
            tenant.uuid(),
            contacts,
            before,
            channels,
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// The statuses of these messages, in the order of Meta's time, those of errors with their content. `since` is the day the first
    /// of them was sent.
    pub async fn statuses_of(
        &self,
        tenant: TenantId,
        subjects: &[Vec<u8>],
        since: Date,
    ) -> Result<Vec<StatusRow>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT e.subject, e.status_rank AS "rank!", e.error_code, e.occurred_at, e.event_id, e.contact_id,
                      p.payload::bytea AS "payload?"
               FROM event e LEFT JOIN LATERAL (
                   SELECT payload FROM event_payload p
                   WHERE e.error_code IS NOT NULL
                     AND p.tenant_id = $1 AND p.part_day = e.part_day AND p.event_id = e.event_id LIMIT 1
               ) p ON TRUE
               WHERE e.tenant_id = $1 AND e.part_day >= $2 AND e.subject = ANY($3) AND e.status_rank IS NOT NULL
               ORDER BY e.occurred_at, e.status_rank"#,
            tenant.uuid(),
            since,
            subjects,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        let rows = rows.into_iter().map(|row| StatusRow {
            subject: row.subject,
            rank: row.rank,
            error_code: row.error_code,
            occurred_at: row.occurred_at,
            event_id: row.event_id,
            contact_id: row.contact_id,
            payload: row.payload.map(Sealed::from_stored),
        });
        Ok(rows.collect())
    }
}

/// One status of a message.
#[derive(Debug, Clone)]
pub struct StatusRow {
    /// Of which message: [`crate::store::messages::MessageRow::subject`].
    pub subject: Vec<u8>,
    /// [`crate::domain::event::Status::rank`].
    pub rank: i16,
    /// Meta's code, of `failed`.
    pub error_code: Option<i32>,
    /// Meta's time.
    pub occurred_at: OffsetDateTime,
    /// The event that tells of it.
    pub event_id: Uuid,
    /// Whom that is about.
    pub contact_id: Option<Uuid>,
    /// Its sealed content, when there is an error code.
    pub payload: Option<Sealed>,
}
