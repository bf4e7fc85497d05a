//! Lists of messages: newest first, along the index that the filter calls for. Each is a statement of its own, because one plan
//! serves all values of a statement.

use time::Date;
use uuid::Uuid;

use super::messages::MessageRow;
use super::{Store, StoreError};
use crate::ids::{MessageId, TenantId};

/// States that a message is in for now.
pub const UNSETTLED: [&str; 2] = ["queued", "in_doubt"];
/// States of messages that Meta did not take.
pub const UNSUCCESSFUL: [&str; 3] = ["failed", "cancelled", "expired"];
/// The state of the others.
pub const ACCEPTED: &str = "accepted";

/// Which messages.
#[derive(Debug, Default)]
pub struct MessageFilter<'a> {
    /// In this state, as far as handing over goes.
    pub state: Option<&'a str>,
    /// Through this channel.
    pub channel: Option<Uuid>,
    /// Through one of these; `None`: any.
    pub channels: Option<&'a [Uuid]>,
    /// To one of these; `None`: anybody.
    pub contacts: Option<&'a [Uuid]>,
    /// Older than this one.
    pub before: Option<MessageId>,
    /// At most so many.
    pub limit: i64,
}

/// A page along one index: `$chosen` is what leads to it, `$filter` the values.
macro_rules! page {
    ($tenant:expr, $filter:expr, $chosen:literal) => {{
        let (day, id) = match $filter.before {
            Some(before) => (before.day(), before.uuid()),
            None => (Date::MAX, Uuid::max()),
        };
        sqlx::query_as!(
            MessageRow,
            r#"SELECT message_id, channel_id, contact_id, origin, kind, state, request::bytea AS "request!",
                      answer::bytea AS answer, subject, error_code, created_at, settled_at, send_at, expires_at, priority
               FROM message
               WHERE tenant_id = $1 AND (part_day, message_id) < ($2, $3) AND "#
                + $chosen
                + r#" AND ($4::text IS NULL OR state = $4) AND ($5::uuid IS NULL OR channel_id = $5)
                 AND ($6::uuid[] IS NULL OR channel_id = ANY($6)) AND ($7::uuid[] IS NULL OR contact_id = ANY($7))
               ORDER BY part_day DESC, message_id DESC LIMIT $8"#,
            $tenant.uuid(),
            day,
            id,
            $filter.state,
            $filter.channel,
            $filter.channels,
            $filter.contacts,
            $filter.limit,
        )
    }};
}

impl Store {
    /// Messages, newest first.
    pub async fn messages(&self, tenant: TenantId, filter: &MessageFilter<'_>) -> Result<Vec<MessageRow>, StoreError> {
        let reader = self.reading(tenant);
        let is_one_of = |states: &[&str]| filter.state.is_some_and(|state| states.contains(&state));
        Ok(if filter.contacts.is_some() {
            page!(tenant, filter, "contact_id = ANY($7)").fetch_all(reader).await?
        } else if is_one_of(&UNSETTLED) {
            page!(tenant, filter, "state IN ('queued', 'in_doubt')").fetch_all(reader).await?
        } else if is_one_of(&UNSUCCESSFUL) {
            page!(tenant, filter, "state IN ('failed', 'cancelled', 'expired')").fetch_all(reader).await?
        } else if filter.channel.is_some() {
            page!(tenant, filter, "channel_id = $5").fetch_all(reader).await?
        } else {
            page!(tenant, filter, "true").fetch_all(reader).await?
        })
    }
}
