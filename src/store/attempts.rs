//! What became of events at endpoints: the log of failed attempts, and what is still owed.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::replays::partitions_of;
use super::{Store, StoreError};
use crate::ids::{ChannelId, EndpointId, EventId, TenantId};

/// A failed attempt, as it was logged.
#[derive(Debug)]
pub struct LoggedAttempt {
    /// To whom.
    pub endpoint_id: Uuid,
    /// Of which event.
    pub event_id: Uuid,
    /// First is 1; counted anew when the event is owed anew.
    pub number: i16,
    /// How it ended: a word from a closed list.
    pub class: String,
    /// Status, when there was an answer.
    pub http_status: Option<i16>,
    /// How long it took.
    pub millis: i32,
    /// Length of the body that was sent.
    pub request_bytes: i32,
    /// Length of the body that was answered, as far as it was read.
    pub response_bytes: i32,
    /// When it was recorded.
    pub at: OffsetDateTime,
}

/// Which attempts at an endpoint. `None` leaves out none.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// Of this event.
    pub event: Option<Uuid>,
    /// That ended so.
    pub class: Option<String>,
    /// Recorded at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Recorded before this time.
    pub until: Option<OffsetDateTime>,
}

/// What filters ask of an event.
#[derive(Debug)]
pub struct EventFacts {
    /// Stable name of the type.
    pub event_type: String,
    /// Channel, when it is one of ours.
    pub channel: Option<ChannelId>,
}

/// What one endpoint is owed of an event.
#[derive(Debug)]
pub struct OwedRow {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Attempts that were made.
    pub attempts: i16,
    /// When it is due. Absent for what was given up.
    pub next_at: Option<OffsetDateTime>,
    /// Why it was given up, of what was.
    pub reason: Option<String>,
    /// When it was given up, of what was.
    pub died_at: Option<OffsetDateTime>,
}

impl Store {
    /// Failed attempts at an endpoint, newest first, that come after `behind` in this order.
    pub async fn page_of_attempts(
        &self,
        (tenant, endpoint): (TenantId, EndpointId),
        filter: &AttemptFilter,
        behind: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<LoggedAttempt>, StoreError> {
        let rows = sqlx::query_as!(
            LoggedAttempt,
            r#"SELECT endpoint_id, event_id, number, class, http_status, millis, request_bytes, response_bytes, at FROM attempt
               WHERE tenant_id = $1 AND endpoint_id = $2
                 AND ($3::uuid IS NULL OR event_id = $3)
                 AND ($4::text IS NULL OR class = $4)
                 AND ($5::timestamptz IS NULL OR at >= $5)
                 AND ($6::timestamptz IS NULL OR at < $6)
                 AND ($7::timestamptz IS NULL OR (at, event_id) < ($7, $8::uuid))
               ORDER BY at DESC, event_id DESC
               LIMIT $9"#,
            tenant.uuid(),
            endpoint.uuid(),
            filter.event,
            filter.class,
            filter.since,
            filter.until,
            behind.map(|place| place.0),
            behind.map(|place| place.1),
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// The last failed attempts to tell these endpoints of an event, oldest first. None is older than the event.
    pub async fn attempts_of_event(
        &self,
        tenant: TenantId,
        event: EventId,
        endpoints: &[Uuid],
        limit: i64,
    ) -> Result<Vec<LoggedAttempt>, StoreError> {
        let mut rows = sqlx::query_as!(
            LoggedAttempt,
            r#"SELECT endpoint_id, event_id, number, class, http_status, millis, request_bytes, response_bytes, at FROM attempt
               WHERE tenant_id = $1 AND part_day >= $2 AND endpoint_id = ANY($3) AND event_id = $4
               ORDER BY at DESC
               LIMIT $5"#,
            tenant.uuid(),
            // The clocks of two processes differ.
            event.day().previous_day().unwrap_or(Date::MIN),
            endpoints,
            event.uuid(),
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        rows.reverse();
        Ok(rows)
    }

    /// What these endpoints are still owed of an event, and what of it was given up.
    pub async fn owed_of_event(
        &self,
        tenant: TenantId,
        event: EventId,
        endpoints: &[Uuid],
    ) -> Result<Vec<OwedRow>, StoreError> {
        let rows = sqlx::query_as!(
            OwedRow,
            r#"SELECT endpoint_id AS "endpoint_id!", 0::int2 AS "attempts!", NULL::timestamptz AS next_at, NULL::text AS reason,
                      NULL::timestamptz AS died_at
               FROM delivery WHERE tenant_id = $1 AND endpoint_id = ANY($2) AND shard = 0 AND event_id = $3
               UNION ALL
               SELECT endpoint_id, attempts, next_at, NULL, NULL
               FROM delivery_retry WHERE tenant_id = $1 AND endpoint_id = ANY($2) AND shard = 0 AND event_id = $3
               UNION ALL
               SELECT endpoint_id, attempts, NULL, reason, died_at
               FROM delivery_dead WHERE tenant_id = $1 AND endpoint_id = ANY($2) AND event_id = $3"#,
            tenant.uuid(),
            endpoints,
            event.uuid(),
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// What filters ask of an event. `None`: there is no such event.
    pub async fn facts_of_event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventFacts>, StoreError> {
        let (first, last) = partitions_of(event.day(), event.day());
        let row = sqlx::query!(
            "SELECT type, channel_id FROM event WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND event_id = $4",
            tenant.uuid(),
            first,
            last,
            event.uuid(),
        )
        .fetch_optional(self.reading(tenant))
        .await?;
        Ok(row.map(|row| EventFacts { event_type: row.r#type, channel: row.channel_id.map(ChannelId::from_uuid) }))
    }
}
