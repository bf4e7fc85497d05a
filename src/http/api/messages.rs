//! `POST /v1/messages` and `GET /v1/messages/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, request};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::views::{Content, MessageView, StatusView};
use crate::access::{Caller, Door, Purpose};
use crate::domain::event::Status;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::send::{QueueError, Sender};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

request! {
    /// A message for Meta.
    NewMessage {
        /// Through which number.
        channel_id: ChannelId,
        /// Meta's message object: `to`, `type` and what the type needs. `messaging_product` may be left out.
        #[schema(value_type = Object)]
        message: Box<RawValue>,
    }
}

/// A message that was taken.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuedMessage {
    /// To ask for its state, and in every event about it.
    id: MessageId,
    /// Always `queued`.
    state: &'static str,
}

/// What Meta said of a message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageStatus)]
pub(super) struct StatusJson {
    /// `sent`, `delivered`, `read`, `played`, `failed` or `other`.
    status: &'static str,
    /// Meta's error code, of `failed`.
    error_code: Option<i32>,
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
    /// `queued`, `accepted`, `sent`, `delivered`, `read`, `played`, `failed` or `in_doubt`: the furthest that is known.
    state: &'static str,
    /// Meta's error code.
    error_code: Option<i32>,
    /// What Meta said, in the order of its times.
    statuses: Vec<StatusJson>,
    /// What was asked of Meta; null once erased.
    #[schema(value_type = Option<Object>)]
    request: Option<Box<RawValue>>,
    /// What Meta answered; null before it did, and once erased.
    #[schema(value_type = Option<Object>)]
    answer: Option<Box<RawValue>>,
    /// True: the content was erased.
    erased: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When Meta accepted it, or when it was given up.
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
}

impl From<StatusView> for StatusJson {
    fn from(status: StatusView) -> Self {
        let word = match status.status {
            Status::Other => "other",
            Status::Sent => "sent",
            Status::Delivered => "delivered",
            Status::Read => "read",
            Status::Played => "played",
            Status::Failed => "failed",
        };
        Self { status: word, error_code: status.error_code, timestamp: status.occurred_at }
    }
}

impl From<MessageView> for MessageJson {
    fn from(message: MessageView) -> Self {
        Self {
            id: message.id,
            channel_id: message.channel,
            contact_id: message.contact,
            origin: message.origin,
            kind: message.kind,
            state: message.state,
            error_code: message.error_code,
            statuses: message.statuses.into_iter().map(StatusJson::from).collect(),
            erased: matches!(message.request, Content::Erased),
            request: raw(&message.request),
            answer: message.answer.as_ref().and_then(raw),
            created_at: message.created_at,
            settled_at: message.settled_at,
        }
    }
}

/// The content as it stands. `None` when it is gone, does not open, or is no JSON: Meta's proxies answer with pages too.
fn raw(content: &Content) -> Option<Box<RawValue>> {
    match content {
        Content::Opened(json) => serde_json::from_slice(json).ok(),
        Content::Erased | Content::Damaged => None,
    }
}

/// Hands a message over for Meta.
///
/// 202 means that the message is stored and will be sent. Whether Meta accepted it, and what became of it, is told by
/// events and by `GET /v1/messages/{id}`.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Messages", operation_id = "send_message",
    request_body = NewMessage,
    responses(
        (status = 202, description = "The message is queued.", body = QueuedMessage),
        (status = 400, description = "`idempotency_unsupported`: leave `Idempotency-Key` out"),
        (status = 422, description = "`channel_cannot_send`: the channel has no access token"),
    ),
)]
pub(super) async fn send(
    who: Caller,
    State(sender): State<Sender>,
    params: Params,
    headers: HeaderMap,
    body::Json(new): body::Json<NewMessage>,
) -> Result<(StatusCode, Json<QueuedMessage>), Problem> {
    params.finish()?;
    // Whoever sends one relies on it; to ignore it would be to send twice.
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Problem::new(Code::IdempotencyUnsupported));
    }
    if !who.may_use(new.channel_id) {
        return Err(refusal(QueueError::UnknownChannel));
    }
    let id = sender.queue(who.tenant, new.channel_id, new.message.get()).await.map_err(refusal)?;
    Ok((StatusCode::ACCEPTED, Json(QueuedMessage { id, state: "queued" })))
}

fn refusal(refused: QueueError) -> Problem {
    let mut faults = Faults::default();
    match refused {
        QueueError::NoToken => return Problem::new(Code::ChannelCannotSend),
        QueueError::Store(_) | QueueError::Keys(_) => return Problem::new(Code::Unavailable),
        QueueError::UnknownChannel => faults.note("/channel_id", "channel", "a channel of yours").unwrap_or(()),
        QueueError::Faulty(all) => {
            for fault in all {
                faults.note(&format!("/message{}", fault.pointer), "message", fault.detail).unwrap_or(());
            }
        }
    }
    faults.refuse().err().unwrap_or(Problem::new(Code::InvalidBody))
}

/// One message with its state.
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "Messages", operation_id = "show_message",
    params(("id" = MessageId, Path, description = "The message.")),
    responses((status = 200, description = "The message.", body = MessageJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(door): State<Door>,
    Target(id): Target<MessageId>,
    params: Params,
) -> Result<Json<MessageJson>, Problem> {
    params.finish()?;
    let message = door.message(&who, Purpose::Application, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(Json(message.into()))
}
