//! What is old enough to go: whole days where nobody's data are held, and of days where somebody's are, everybody else's rows.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::{ChannelId, EventId, TenantId};

/// Rows that one statement removes.
const AT_ONCE: i64 = 5_000;

/// The oldest of a class that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oldest {
    /// Name of the class: that of its table.
    pub class: String,
    /// Its day.
    pub day: Date,
}

/// A table that is cut by day and holds what people said or were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daily {
    /// Content of events.
    Content,
    /// Messages to people.
    Messages,
    /// That something happened.
    Events,
    /// Failed attempts.
    Attempts,
}

impl Daily {
    /// Its table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Content => "event_payload",
            Self::Messages => "message",
            Self::Events => "event",
            Self::Attempts => "attempt",
        }
    }
}

/// Removes the rows of one day, but for those of people whose data must stay.
macro_rules! remove_but {
    ($store:expr, $table:literal, $day:expr, $tenants:expr, $contacts:expr) => {{
        let done = sqlx::query!(
            "DELETE FROM "
                + $table
                + " t WHERE part_day = $1 AND NOT EXISTS (
                 SELECT 1 FROM UNNEST($2::uuid[], $3::uuid[]) AS h (tenant_id, contact_id)
                 WHERE t.tenant_id = h.tenant_id AND t.contact_id = h.contact_id)",
            $day,
            $tenants,
            $contacts,
        );
        done.execute(&$store.eraser).await?;
    }};
}

impl Store {
    /// The days before `end` that a table has a partition for, the oldest first.
    pub async fn days_before(&self, daily: Daily, end: Date) -> Result<Vec<Date>, StoreError> {
        self.partitioned_days(daily.table(), end).await
    }

    /// Removes a day of a table, but for what is held. False: another process is at work on partitions, or something waits for the day.
    pub async fn retire_day(&self, daily: Daily, day: Date, held: &[(Uuid, Uuid)]) -> Result<bool, StoreError> {
        let (tenants, contacts): (Vec<Uuid>, Vec<Uuid>) = held.iter().copied().unzip();
        if !self.is_held(daily, day, &tenants, &contacts).await? {
            let Some(mut transaction) = self.begin_dropping().await? else { return Ok(false) };
            Self::drop_day(&mut transaction, &[daily.table()], day).await?;
            Self::commit(transaction).await?;
            return Ok(true);
        }
        match daily {
            Daily::Content => {
                sqlx::query!(
                    "DELETE FROM event_payload p WHERE part_day = $1 AND NOT EXISTS (
                         SELECT 1 FROM event e JOIN UNNEST($2::uuid[], $3::uuid[]) AS h (tenant_id, contact_id)
                           ON e.tenant_id = h.tenant_id AND e.contact_id = h.contact_id
                         WHERE e.part_day = $1 AND e.tenant_id = p.tenant_id AND e.event_id = p.event_id)",
                    day,
                    &tenants,
                    &contacts,
                )
                .execute(&self.eraser)
                .await?;
            }
            Daily::Messages => remove_but!(self, "message", day, &tenants, &contacts),
            Daily::Events => remove_but!(self, "event", day, &tenants, &contacts),
            Daily::Attempts => {}
        }
        Ok(true)
    }

    /// Whether a day has something of somebody whose data must stay.
    async fn is_held(&self, daily: Daily, day: Date, tenants: &[Uuid], contacts: &[Uuid]) -> Result<bool, StoreError> {
        if contacts.is_empty() {
            return Ok(false);
        }
        let held = match daily {
            Daily::Attempts => return Ok(false),
            Daily::Content | Daily::Events => {
                sqlx::query_scalar!(
                    r#"SELECT EXISTS (
                           SELECT 1 FROM UNNEST($2::uuid[], $3::uuid[]) AS h (tenant_id, contact_id) CROSS JOIN LATERAL (
                               (SELECT 1 FROM event e WHERE e.part_day = $1 AND e.tenant_id = h.tenant_id AND e.contact_id = h.contact_id
                                  AND e.status_rank IS NULL LIMIT 1)
                               UNION ALL
                               (SELECT 1 FROM event e WHERE e.part_day = $1 AND e.tenant_id = h.tenant_id AND e.contact_id = h.contact_id
                                  AND e.status_rank IS NOT NULL LIMIT 1)) x
                       ) AS "held!""#,
                    day,
                    tenants,
                    contacts,
                )
                .fetch_one(&self.data)
                .await?
            }
            Daily::Messages => {
                sqlx::query_scalar!(
                    r#"SELECT EXISTS (
                           SELECT 1 FROM UNNEST($2::uuid[], $3::uuid[]) AS h (tenant_id, contact_id) CROSS JOIN LATERAL (
                               SELECT 1 FROM message m
                               WHERE m.part_day = $1 AND m.tenant_id = h.tenant_id AND m.contact_id = h.contact_id LIMIT 1) x
                       ) AS "held!""#,
                    day,
                    tenants,
                    contacts,
                )
                .fetch_one(&self.data)
                .await?
            }
        };
        Ok(held)
    }

    /// Who has still to be sent a message of a day before `end`, of all tenants, and of which day: neither it nor its key may go.
    pub async fn waiting_before(&self, end: Date) -> Result<Vec<(Uuid, Uuid, Date)>, StoreError> {
        let rows = sqlx::query!("SELECT DISTINCT tenant_id, contact_id, part_day FROM outbox WHERE part_day < $1", end);
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.contact_id, row.part_day)).collect())
    }

    /// Files that came before a time, of people whose data need not stay. With a channel: those alone that people sent through it.
    pub async fn media_before(
        &self,
        tenant: TenantId,
        (channel, end): (Option<ChannelId>, OffsetDateTime),
        held: &[Uuid],
        limit: i64,
    ) -> Result<Vec<(Uuid, Option<Uuid>)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT media_id, contact_id FROM media
             WHERE tenant_id = $1 AND media_id < $2 AND (contact_id IS NULL OR contact_id <> ALL($3))
               AND ($5::uuid IS NULL OR (channel_id = $5 AND direction = 'in'))
             ORDER BY media_id LIMIT $4",
            tenant.uuid(),
            EventId::lowest_of(end).uuid(),
            held,
            limit,
            channel.map(ChannelId::uuid),
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.media_id, row.contact_id)).collect())
    }

    /// Forgets files that were removed.
    pub async fn forget_media(&self, tenant: TenantId, media: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM media WHERE tenant_id = $1 AND media_id = ANY($2)", tenant.uuid(), media)
            .execute(&self.eraser)
            .await?;
        Ok(())
    }

    /// Forgets deliveries that were given up before this time.
    pub async fn sweep_dead(&self, end: OffsetDateTime) -> Result<(), StoreError> {
        loop {
            let done = sqlx::query!(
                "DELETE FROM delivery_dead WHERE ctid = ANY(ARRAY(SELECT ctid FROM delivery_dead WHERE died_at < $1 LIMIT $2))",
                end,
                AT_ONCE,
            );
            if done.execute(&self.eraser).await?.rows_affected() < AT_ONCE.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// The oldest of each class that there is for a tenant, by class.
    pub async fn oldest_of(&self, tenant: TenantId) -> Result<Vec<Oldest>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT class AS "class!", day AS "day!" FROM (
                   SELECT 'attempt' AS class, min(part_day) AS day FROM attempt WHERE tenant_id = $1
                   UNION ALL SELECT 'audit_entry', min(part_day) FROM audit_entry WHERE tenant_id = $1
                   UNION ALL SELECT 'delivery_dead', (min(died_at) AT TIME ZONE 'UTC')::date FROM delivery_dead WHERE tenant_id = $1
                   UNION ALL SELECT 'event', min(part_day) FROM event WHERE tenant_id = $1
                   UNION ALL SELECT 'event_payload', min(part_day) FROM event_payload WHERE tenant_id = $1
                   UNION ALL SELECT 'message', min(part_day) FROM message WHERE tenant_id = $1
               ) oldest WHERE day IS NOT NULL ORDER BY class"#,
            tenant.uuid(),
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?;
        let mut all: Vec<Oldest> = rows.into_iter().map(|row| Oldest { class: row.class, day: row.day }).collect();
        let media = sqlx::query_scalar!(
            "SELECT media_id FROM media WHERE tenant_id = $1 ORDER BY media_id LIMIT 1",
            tenant.uuid(),
        );
        if let Some(media) = media.fetch_optional(self.reading(tenant)).await? {
            all.push(Oldest { class: "media".to_owned(), day: EventId::from_uuid(media).day() });
        }
        Ok(all)
    }

    /// The day of the oldest of a class that is older than `end` and about nobody of these: their data must stay. `None`: nothing is, or
    /// the class is none that people's data make stay.
    pub async fn oldest_of_others(
        &self,
        tenant: TenantId,
        class: &str,
        end: Date,
        staying: &[Uuid],
    ) -> Result<Option<Date>, StoreError> {
        let reader = self.reading(tenant);
        let tenant = tenant.uuid();
        Ok(match class {
            "event" => {
                let day = sqlx::query_scalar!(
                    "SELECT min(part_day) FROM event
                     WHERE tenant_id = $1 AND part_day < $2 AND (contact_id IS NULL OR contact_id <> ALL($3))",
                    tenant,
                    end,
                    staying,
                );
                day.fetch_one(reader).await?
            }
            "event_payload" => {
                let day = sqlx::query_scalar!(
                    "SELECT min(p.part_day) FROM event_payload p
                     WHERE p.tenant_id = $1 AND p.part_day < $2 AND NOT EXISTS (
                         SELECT 1 FROM event e WHERE e.tenant_id = $1 AND e.part_day = p.part_day AND e.event_id = p.event_id
                            AND e.contact_id = ANY($3))",
                    tenant,
                    end,
                    staying,
                );
                day.fetch_one(reader).await?
            }
            "message" => {
                let day = sqlx::query_scalar!(
                    "SELECT min(part_day) FROM message WHERE tenant_id = $1 AND part_day < $2 AND contact_id <> ALL($3)",
                    tenant,
                    end,
                    staying,
                );
                day.fetch_one(reader).await?
            }
            "media" => {
                let media = sqlx::query_scalar!(
                    "SELECT media_id FROM media
                     WHERE tenant_id = $1 AND media_id < $2 AND (contact_id IS NULL OR contact_id <> ALL($3)) ORDER BY media_id LIMIT 1",
                    tenant,
                    EventId::lowest_of(end.midnight().assume_utc()).uuid(),
                    staying,
                );
                media.fetch_optional(reader).await?.map(|media| EventId::from_uuid(media).day())
            }
            "passing" => {
                let day = sqlx::query_scalar!(
                    "SELECT min(kept_on) FROM passing
                     WHERE tenant_id = $1 AND kept_on < $2 AND (contact_id IS NULL OR contact_id <> ALL($3))",
                    tenant,
                    end,
                    staying,
                );
                day.fetch_one(&self.data).await?
            }
            _ => None,
        })
    }

    /// Whether it is still to be recorded today how old the oldest is. On the day on which the log was founded nothing is old.
    pub async fn owes_attestation(&self, tenant: TenantId, today: Date) -> Result<bool, StoreError> {
        let owes = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT 1 FROM audit_log WHERE tenant_id = $1 AND (created_at AT TIME ZONE 'UTC')::date < $2
               ) AND NOT EXISTS (
                   SELECT 1 FROM audit_entry WHERE tenant_id = $1 AND part_day = $2 AND action = 'retention.attested'
               ) AS "owes!""#,
            tenant.uuid(),
            today,
        );
        Ok(owes.fetch_one(&self.data).await?)
    }

    /// Every tenant.
    pub async fn all_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let ids = sqlx::query_scalar!("SELECT tenant_id FROM tenant").fetch_all(&self.data).await?;
        Ok(ids.into_iter().map(TenantId::from_uuid).collect())
    }
}
