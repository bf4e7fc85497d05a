//! Events in the order of their commits, read behind a cursor: nothing is skipped, and no look is without bound.

use time::OffsetDateTime;
use uuid::Uuid;

use super::events::EventRow;
use super::{Store, StoreError};
use crate::ids::TenantId;

/// What a page of events is narrowed to.
#[derive(Debug, Clone, Copy)]
pub struct EventFilter<'a> {
    /// Types; `None`: all.
    pub types: Option<&'a [String]>,
    /// Channels; `None`: all.
    pub channels: Option<&'a [Uuid]>,
    /// People; `None`: all, also what is about nobody.
    pub contacts: Option<&'a [Uuid]>,
    /// A type that is passed over, whatever the others say, and that no cursor tells of. It must be a rare one: a look that finds
    /// nothing else does not get on.
    pub hidden: Option<&'a str>,
}

/// What was found behind a cursor.
#[derive(Debug)]
pub struct EventScan {
    /// What passed the filter, in commit order, at most as many as were wanted.
    pub rows: Vec<EventRow>,
    /// The last event that was looked at, when there are fewer: everything up to it is told. `None`: there was none.
    pub last: Option<(i64, Uuid)>,
    /// Whether the look ended before it had seen everything, because it had seen enough.
    pub ended_early: bool,
}

/// A page cut from an [`EventScan`].
#[derive(Debug)]
pub struct EventPage {
    /// At most `limit` events, in commit order.
    pub rows: Vec<EventRow>,
    /// Everything up to here is told: where the next page begins.
    pub end: (i64, Uuid),
    /// Whether there is more now, or may be.
    pub has_more: bool,
}

impl EventScan {
    /// The page of a look behind `after` that asked for one row more than `limit`.
    #[must_use]
    pub fn into_page(mut self, after: (i64, Uuid), limit: usize) -> EventPage {
        let is_cut = self.rows.len() > limit;
        self.rows.truncate(limit);
        let told = self.rows.last().filter(|_| is_cut).map(|row| (row.xid, row.event_id));
        EventPage { end: told.or(self.last).unwrap_or(after), has_more: is_cut || self.ended_early, rows: self.rows }
    }
}

/// Where the order of commits stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHead {
    /// Transaction of the newest event that a cursor shows; 0: there is none.
    pub shown: i64,
    /// Whether there are newer ones that are held back, because an older transaction is open somewhere on the server.
    pub holds_back: bool,
}

/// Most events that one look behind a cursor passes over. A rare filter would otherwise look until the statement times out,
/// and then begin anew.
const SCANNED: i64 = 20_000;

impl Store {
    /// The next events in commit order behind `(after_xid, after_id)`. Never skips a transaction that commits late: rows of
    /// transactions that may still be open are left for the next call. One statement, so that the rows and the place that was
    /// reached are of one moment. The place is always that of a committed event: numbers of transactions that wrote nothing
    /// may be given out again after a crash.
    pub async fn page_of_events(
        &self,
        tenant: TenantId,
        after: (i64, Uuid),
        filter: EventFilter<'_>,
        limit: i64,
    ) -> Result<EventScan, StoreError> {
        let found = sqlx::query!(
            r#"WITH page AS MATERIALIZED (
                   SELECT * FROM (
                       SELECT * FROM event
                       WHERE tenant_id = $1 AND (xid, event_id) > ($2::bigint::text::xid8, $3)
                         AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       ORDER BY xid, event_id
                       LIMIT $8
                   ) seen
                   WHERE ($4::text[] IS NULL OR type = ANY($4))
                     AND ($5::uuid[] IS NULL OR channel_id = ANY($5))
                     AND ($6::uuid[] IS NULL OR contact_id = ANY($6))
                     AND ($9::text IS NULL OR type <> $9)
                   ORDER BY xid, event_id
                   LIMIT $7
               )
               SELECT NULL::bigint AS seen, e.xid::text::bigint AS "xid!", e.event_id AS "event_id!", e.part_day AS "part_day!",
                      e.type AS "event_type!", e.channel_id, e.contact_id, e.message_id, e.error_code,
                      e.occurred_at AS "occurred_at!", e.received_at AS "received_at!", p.payload::bytea AS payload
               FROM page e LEFT JOIN LATERAL (
                   -- LATERAL with LIMIT: one index look-up each, in one partition.
                   SELECT payload FROM event_payload c
                   WHERE c.tenant_id = e.tenant_id AND c.part_day = e.part_day AND c.event_id = e.event_id LIMIT 1
               ) p ON true
               UNION ALL
               -- Where a page that is not full ended: never at what is hidden, of which the cursor would tell.
               SELECT * FROM (
                   SELECT seen, xid::text::bigint, event_id, part_day, type, channel_id, contact_id, message_id,
                          error_code, occurred_at, received_at, NULL::bytea
                   FROM (
                       SELECT *, count(*) OVER () AS seen FROM (
                           SELECT * FROM event
                           WHERE tenant_id = $1 AND (xid, event_id) > ($2::bigint::text::xid8, $3)
                             AND xid < pg_snapshot_xmin(pg_current_snapshot())
                           ORDER BY xid, event_id
                           LIMIT $8
                       ) first
                   ) counted
                   WHERE ($9::text IS NULL OR type <> $9)
                   ORDER BY counted.xid DESC, counted.event_id DESC
                   LIMIT 1
               ) last
               WHERE (SELECT count(*) FROM page) < $7
               ORDER BY 1 NULLS FIRST, 2, 3"#,
            tenant.uuid(),
            after.0,
            after.1,
            filter.types,
            filter.channels,
            filter.contacts,
            limit,
            SCANNED,
            filter.hidden,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        let mut scan = EventScan { rows: Vec::with_capacity(found.len()), last: None, ended_early: false };
        for row in found {
            if let Some(seen) = row.seen {
                scan.last = Some((row.xid, row.event_id));
                scan.ended_early = seen >= SCANNED;
                continue;
            }
            scan.rows.push(EventRow {
                xid: row.xid,
                event_id: row.event_id,
                part_day: row.part_day,
                event_type: row.event_type,
                channel_id: row.channel_id,
                contact_id: row.contact_id,
                message_id: row.message_id,
                error_code: row.error_code,
                occurred_at: row.occurred_at,
                received_at: row.received_at,
                payload: row.payload,
            });
        }
        Ok(scan)
    }

    /// Where the order of commits stands now.
    pub async fn head_of_events(&self, tenant: TenantId) -> Result<EventHead, StoreError> {
        let head = sqlx::query!(
            r#"SELECT (SELECT xid FROM event
                       WHERE tenant_id = $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       ORDER BY xid DESC LIMIT 1)::text::bigint AS shown,
                      EXISTS (SELECT 1 FROM event
                              WHERE tenant_id = $1 AND xid >= pg_snapshot_xmin(pg_current_snapshot())) AS "holds_back!""#,
            tenant.uuid(),
        )
        .fetch_one(self.reading(tenant))
        .await?;
        Ok(EventHead { shown: head.shown.unwrap_or(0), holds_back: head.holds_back })
    }

    /// When the oldest event came in, of any tenant, that no cursor shows yet, because an older transaction is open somewhere on
    /// the server. `None`: every event is shown.
    pub async fn oldest_held_back(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let oldest = sqlx::query_scalar!(
            r#"SELECT min(e.received_at) FROM tenant t
               CROSS JOIN LATERAL (
                   SELECT received_at FROM event
                   WHERE tenant_id = t.tenant_id AND xid >= pg_snapshot_xmin(pg_current_snapshot())
                   ORDER BY xid, event_id LIMIT 1
               ) e"#
        )
        .fetch_one(&self.data)
        .await?;
        Ok(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: i64) -> (i64, Uuid) {
        (number, Uuid::from_u128(number.unsigned_abs().into()))
    }

    fn scan(rows: i64, last: Option<(i64, Uuid)>, ended_early: bool) -> EventScan {
        let at = OffsetDateTime::UNIX_EPOCH;
        let row = |number| EventRow {
            xid: place(number).0,
            event_id: place(number).1,
            part_day: at.date(),
            event_type: String::new(),
            channel_id: None,
            contact_id: None,
            message_id: None,
            error_code: None,
            occurred_at: at,
            received_at: at,
            payload: None,
        };
        EventScan { rows: (1..=rows).map(row).collect(), last, ended_early }
    }

    #[test]
    fn a_page_ends_where_the_next_one_goes_on() {
        for (scan, rows, end, has_more) in [
            (scan(3, None, false), 2, place(2), true),
            (scan(2, Some(place(7)), false), 2, place(7), false),
            (scan(1, Some(place(7)), true), 1, place(7), true),
            (scan(0, None, false), 0, place(0), false),
        ] {
            let page = scan.into_page(place(0), 2);
            assert_eq!((page.rows.len(), page.end, page.has_more), (rows, end, has_more));
        }
    }
}
