//! Rows as they are counted, so that what is removed or put back behind the gateway's back is found out: marks of what was there, and
//! removals since. What a mark says is sealed elsewhere.

use std::fmt;

use time::Date;
use uuid::Uuid;

use super::{Connection, Store, StoreError, Transaction};
use crate::crypto::envelope::Sealed;
use crate::ids::{EventId, TenantId};

/// Rows of one page.
const PAGE: i64 = 10_000;
/// Rows of which one removal tells: 48 bytes each.
const IN_ONE_REMOVAL: usize = 5_000;
/// Stands for the day where a table is not cut by day.
pub const NO_DAY: Date = time::macros::date!(1970 - 01 - 01);

/// A table whose rows are written once, and removed by statements of ours alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// People. Not what they are called, which changes.
    Contact,
    /// What somebody agreed to or refused: added to, never changed.
    Consent,
    /// That something happened, when, to whom, and what it was.
    Event,
    /// That there is content. What it says is bound to its row by its seal.
    EventPayload,
    /// That there is a message, to whom and by which number.
    Message,
}

impl Counted {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Contact, Self::Consent, Self::Event, Self::EventPayload, Self::Message];

    /// Its table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Consent => "consent",
            Self::Event => "event",
            Self::EventPayload => "event_payload",
            Self::Message => "message",
        }
    }
}

/// A row as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRow {
    /// Its id.
    pub id: Uuid,
    /// What of it never changes and can be read, in one form for each row.
    pub facts: String,
}

/// Tells of removed rows so that nobody else can.
pub trait SealRemoval: fmt::Debug + Send + Sync {
    /// What stands in the row of the removal with this id.
    fn seal(&self, removal: Uuid, table: &str, rows: &[CountedRow]) -> Sealed;
}

/// A mark.
#[derive(Debug)]
pub struct MarkRow {
    /// A table, or `settings`.
    pub counted: String,
    /// Its day.
    pub day: Date,
    /// What it says.
    pub content: Sealed,
}

/// Where a page ended: the next begins behind it.
#[derive(Debug, Clone, Default)]
pub struct Behind {
    id: Uuid,
    subject: Vec<u8>,
    variant: Vec<u8>,
}

/// Rows of a table and day, a page behind where the last one ended. None is the end.
pub async fn page(
    connection: &mut Connection,
    tenant: TenantId,
    (counted, day): (Counted, Date),
    behind: &mut Behind,
) -> Result<Vec<CountedRow>, StoreError> {
    macro_rules! by_id {
        ($sql:literal) => {{
            let rows = sqlx::query_as!(CountedRow, $sql, tenant.uuid(), day, behind.id, PAGE);
            rows.fetch_all(connection).await?
        }};
    }
    let rows = match counted {
        Counted::Event => return events(connection, tenant, day, behind).await,
        Counted::Contact => by_id!(
            r#"SELECT contact_id AS "id!", '' AS "facts!" FROM contact
               WHERE tenant_id = $1 AND $2::date IS NOT NULL AND contact_id > $3 ORDER BY contact_id LIMIT $4"#
        ),
        // The same facts as in `Store::remove_person`.
        Counted::Consent => by_id!(
            r#"SELECT consent_id AS "id!", jsonb_build_array(contact_id, channel_id, purpose, state, source, wording_version,
                      extract(epoch FROM occurred_at), extract(epoch FROM recorded_at))::text AS "facts!" FROM consent
               WHERE tenant_id = $1 AND $2::date IS NOT NULL AND consent_id > $3 ORDER BY consent_id LIMIT $4"#
        ),
        Counted::EventPayload => by_id!(
            r#"SELECT event_id AS "id!", '' AS "facts!" FROM event_payload
               WHERE tenant_id = $1 AND part_day = $2 AND event_id > $3 ORDER BY event_id LIMIT $4"#
        ),
        Counted::Message => by_id!(
            r#"SELECT message_id AS "id!", jsonb_build_array(channel_id, contact_id)::text AS "facts!" FROM message
               WHERE tenant_id = $1 AND part_day = $2 AND message_id > $3 ORDER BY message_id LIMIT $4"#
        ),
    };
    behind.id = rows.last().map_or(behind.id, |row| row.id);
    Ok(rows)
}

/// By the key of the table, which an index has. What hashes say is left out: index keys may be replaced.
async fn events(
    connection: &mut Connection,
    tenant: TenantId,
    day: Date,
    behind: &mut Behind,
) -> Result<Vec<CountedRow>, StoreError> {
    // The same facts as in `Store::remove_day_of`.
    let rows = sqlx::query!(
        r#"SELECT event_id, subject, variant, jsonb_build_array(type, channel_id, contact_id, message_id, status_rank, error_code,
                  extract(epoch FROM occurred_at))::text AS "facts!" FROM event
           WHERE tenant_id = $1 AND part_day = $2 AND (subject, variant) > ($3, $4) ORDER BY subject, variant LIMIT $5"#,
        tenant.uuid(),
        day,
        behind.subject,
        behind.variant,
        PAGE,
    );
    let mut rows = rows.fetch_all(connection).await?;
    if let Some(last) = rows.last_mut() {
        behind.subject = std::mem::take(&mut last.subject);
        behind.variant = std::mem::take(&mut last.variant);
    }
    Ok(rows.into_iter().map(|row| CountedRow { id: row.event_id, facts: row.facts }).collect())
}

/// Tells of rows that this transaction has removed.
pub(super) async fn note_removed(
    transaction: &mut Transaction,
    tenant: TenantId,
    (table, day): (&str, Date),
    rows: &[CountedRow],
    seal: &dyn SealRemoval,
) -> Result<(), StoreError> {
    for rows in rows.chunks(IN_ONE_REMOVAL) {
        let id = Uuid::from_bytes(crate::crypto::random::bytes::<16>());
        let content = seal.seal(id, table, rows);
        sqlx::query!(
            "INSERT INTO row_removal (tenant_id, counted, part_day, removal_id, content) VALUES ($1, $2, $3, $4, $5::bytea)",
            tenant.uuid(),
            table,
            day,
            id,
            content.as_bytes(),
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// The mark of a table and day.
pub async fn mark(
    connection: &mut Connection,
    tenant: TenantId,
    counted: &str,
    day: Date,
) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query_scalar!(
        r#"SELECT content::bytea AS "content!" FROM row_mark WHERE tenant_id = $1 AND counted = $2 AND part_day = $3"#,
        tenant.uuid(),
        counted,
        day,
    );
    Ok(row.fetch_optional(connection).await?.map(Sealed::from_stored))
}

/// All marks, in one order. Whoever changes some locks them.
pub async fn marks(connection: &mut Connection, tenant: TenantId, locks: bool) -> Result<Vec<MarkRow>, StoreError> {
    if locks {
        // Where there are none yet, there is nothing else to wait for.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('waxseal row marks'))").execute(&mut *connection).await?;
        sqlx::query!(
            "SELECT 1 AS one FROM row_mark WHERE tenant_id = $1 ORDER BY counted, part_day FOR UPDATE",
            tenant.uuid()
        )
        .fetch_all(&mut *connection)
        .await?;
    }
    let rows = sqlx::query!(
        r#"SELECT counted, part_day, content::bytea AS "content!" FROM row_mark WHERE tenant_id = $1 ORDER BY counted, part_day"#,
        tenant.uuid(),
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let mark = |(counted, day, content)| MarkRow { counted, day, content: Sealed::from_stored(content) };
    Ok(rows.map(|row| mark((row.counted, row.part_day, row.content))).collect())
}

/// Puts a mark in the place of the one before.
pub async fn save_mark(connection: &mut Connection, tenant: TenantId, mark: &MarkRow) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO row_mark (tenant_id, counted, part_day, content) VALUES ($1, $2, $3, $4::bytea)
         ON CONFLICT (tenant_id, counted, part_day) DO UPDATE SET content = EXCLUDED.content",
        tenant.uuid(),
        mark.counted,
        mark.day,
        mark.content.as_bytes(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removals that the mark of a table and day does not know of yet, by id.
pub async fn removals(
    connection: &mut Connection,
    tenant: TenantId,
    counted: &str,
    day: Date,
) -> Result<Vec<(Uuid, Sealed)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT removal_id, content::bytea AS "content!" FROM row_removal
           WHERE tenant_id = $1 AND counted = $2 AND part_day = $3"#,
        tenant.uuid(),
        counted,
        day,
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows.map(|row| (row.removal_id, Sealed::from_stored(row.content))).collect())
}

/// A removal.
#[derive(Debug)]
pub struct RemovalRow {
    /// From which table.
    pub counted: String,
    /// Of which day.
    pub day: Date,
    /// Its id.
    pub id: Uuid,
    /// Which rows.
    pub content: Sealed,
}

/// Every removal that no mark knows of yet.
pub async fn all_removals(connection: &mut Connection, tenant: TenantId) -> Result<Vec<RemovalRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT counted, part_day, removal_id, content::bytea AS "content!" FROM row_removal WHERE tenant_id = $1"#,
        tenant.uuid(),
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows
        .map(|row| RemovalRow {
            counted: row.counted,
            day: row.part_day,
            id: row.removal_id,
            content: Sealed::from_stored(row.content),
        })
        .collect())
}

/// Forgets removals that the mark knows of now.
pub async fn drop_removals(
    connection: &mut Connection,
    tenant: TenantId,
    (counted, day): (&str, Date),
    ids: &[Uuid],
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM row_removal WHERE tenant_id = $1 AND counted = $2 AND part_day = $3 AND removal_id = ANY($4)",
        tenant.uuid(),
        counted,
        day,
        ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what is said of days that are older than is kept.
pub async fn drop_before(
    connection: &mut Connection,
    tenant: TenantId,
    counted: &str,
    end: Date,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH removals AS (DELETE FROM row_removal WHERE tenant_id = $1 AND counted = $2 AND part_day < $3)
         DELETE FROM row_mark WHERE tenant_id = $1 AND counted = $2 AND part_day < $3",
        tenant.uuid(),
        counted,
        end,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The days of a table before `end` that may hold something, the oldest first.
    pub async fn counted_days(&self, counted: Counted, end: Date) -> Result<Vec<Date>, StoreError> {
        match counted {
            Counted::Contact | Counted::Consent => Ok(vec![NO_DAY]),
            _ => self.partitioned_days(counted.table(), end).await,
        }
    }

    /// A transaction that sees one moment, and fails where another has changed meanwhile what it changes.
    pub async fn begin_moment(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *transaction).await?;
        Ok(transaction)
    }
}

/// Rows by the ids that a statement returned, of a table of which nothing else is counted.
pub(super) fn bare(ids: impl IntoIterator<Item = Uuid>) -> Vec<CountedRow> {
    ids.into_iter().map(|id| CountedRow { id, facts: String::new() }).collect()
}

/// No row that was made at this time or later has an id below this one.
#[must_use]
pub fn lowest_of(at: time::OffsetDateTime) -> Uuid {
    EventId::lowest_of(at).uuid()
}
