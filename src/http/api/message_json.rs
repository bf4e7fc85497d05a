//! A message as the API shows it: its state, its history, and as much of its content as the key sees.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::Sight;
use crate::access::views::{Content, MessageView, QueueView, StatusView};
use crate::egress::view::View;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::meta::{errors, told};
use crate::send::Standing;

/// What Meta said of a message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageStatus)]
pub(super) struct StatusJson {
    /// `sent`, `delivered`, `read`, `played`, `failed` or `other`.
    status: &'static str,
    /// Meta's error code, of `failed`.
    error_code: Option<i32>,
    /// What Meta calls the error; null for keys that see no content.
    error_title: Option<String>,
    /// What Meta says of it beyond that; null for keys that see no content.
    error_details: Option<String>,
    /// Meta's time.
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
}

/// A message to a contact.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(super) struct MessageJson {
    id: MessageId,
    channel_id: ChannelId,
    contact_id: ContactId,
    /// `api`, or `mirror` when it came through the Graph mirror.
    origin: String,
    /// Meta's `type`.
    #[serde(rename = "type")]
    kind: String,
    /// `queued`, `accepted`, `sent`, `delivered`, `read`, `played`, `failed`, `in_doubt`, `cancelled` or `expired`: the furthest that
    /// is known.
    state: &'static str,
    /// Where it stands in the queue of its channel. Null when it does not wait, and in lists.
    queue: Option<QueueJson>,
    /// Meta's error code, from its answer or from a status.
    error_code: Option<i32>,
    /// What Meta calls the error; null for keys that see no content.
    error_title: Option<String>,
    /// What Meta says of it beyond that; null for keys that see no content.
    error_details: Option<String>,
    /// What the code means, in our words; null for codes that are not known.
    error_meaning: Option<&'static str>,
    /// What the code calls for: `back_off`, `wait`, `fix` or `never`; null for codes that are not known.
    error_verdict: Option<&'static str>,
    /// What Meta said, in the order of its times.
    statuses: Vec<StatusJson>,
    /// What was asked of Meta; null once erased, and for keys that see no content.
    #[schema(value_type = Option<Object>)]
    request: Option<Box<RawValue>>,
    /// What Meta answered; null before it did, once erased, and for keys that see no content.
    #[schema(value_type = Option<Object>)]
    answer: Option<Box<RawValue>>,
    /// True: the content was erased.
    erased: bool,
    /// True: there is content, and the key does not see it.
    withheld: bool,
    /// True: names, numbers and Meta's ids in the content are masked.
    masked: bool,
    /// `high`, `normal` or `bulk`.
    priority: &'static str,
    /// Not sent before; null: at once.
    #[serde(with = "time::serde::rfc3339::option")]
    send_at: Option<OffsetDateTime>,
    /// Not sent after.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When Meta accepted it, or when it was given up or taken back.
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
}

/// Where a message stands in the queue of its channel.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuePlace)]
pub(super) struct QueueJson {
    /// How many messages go before it; 10000 stands for that many or more. Those of other API keys take turns with it.
    position: i64,
    /// About when it is sent, if the channel sends as fast as it may now.
    #[serde(with = "time::serde::rfc3339")]
    estimated_send_at: OffsetDateTime,
}

impl From<QueueView> for QueueJson {
    fn from(queue: QueueView) -> Self {
        Self { position: queue.position, estimated_send_at: queue.estimated_send_at }
    }
}

impl From<Standing> for QueueJson {
    fn from(standing: Standing) -> Self {
        Self { position: standing.position, estimated_send_at: standing.estimated_send_at }
    }
}

impl StatusJson {
    fn new(status: &StatusView, sight: Sight) -> Self {
        let told = status.content.as_ref().and_then(|content| shown(content, sight)).and_then(told::of_status);
        let (error_title, error_details) = told.map_or((None, None), |told| (told.title, told.details));
        Self {
            status: status.status.as_str(),
            error_code: status.error_code,
            error_title,
            error_details,
            timestamp: status.occurred_at,
        }
    }
}

impl MessageJson {
    /// The message, as far as its reader may see it.
    pub(super) fn new(message: MessageView, sight: Sight) -> Self {
        let erased = matches!(message.request, Content::Erased);
        let error = message.error_code.and_then(errors::find);
        let statuses: Vec<StatusJson> = message.statuses.iter().map(|status| StatusJson::new(status, sight)).collect();
        let answer = message.answer.as_ref();
        let told = answer.and_then(|answer| shown(answer, sight)).and_then(told::of_answer);
        let (error_title, error_details) = match (told, statuses.iter().rev().find(|one| one.error_code.is_some())) {
            (Some(told), _) => (told.title, told.details),
            (None, Some(failed)) => (failed.error_title.clone(), failed.error_details.clone()),
            (None, None) => (None, None),
        };
        Self {
            id: message.id,
            channel_id: message.channel,
            contact_id: message.contact,
            origin: message.origin,
            kind: message.kind,
            state: message.state,
            queue: message.queue.map(QueueJson::from),
            error_code: message.error_code,
            error_title,
            error_details,
            error_meaning: error.map(|error| error.meaning),
            error_verdict: error.map(|error| error.verdict.as_str()),
            statuses,
            erased,
            withheld: !erased && !sight.has_content(),
            masked: sight == Sight::MASKED,
            request: raw(&message.request, sight),
            answer: answer.and_then(|answer| raw(answer, sight)),
            priority: message.priority.as_str(),
            send_at: message.send_at,
            expires_at: message.expires_at,
            created_at: message.created_at,
            settled_at: message.settled_at,
        }
    }
}

/// The content as it stands, or masked. `None` when it is gone, does not open, or is not to be seen.
fn shown(content: &Content, sight: Sight) -> Option<Cow<'_, [u8]>> {
    match content {
        Content::Opened(json) => View::new(sight.fields(), None).envelope(json),
        Content::Erased | Content::Damaged => None,
    }
}

/// The same as JSON. `None` also when it is none: Meta's proxies answer with pages too.
fn raw(content: &Content, sight: Sight) -> Option<Box<RawValue>> {
    serde_json::from_slice(&shown(content, sight)?).ok()
}
