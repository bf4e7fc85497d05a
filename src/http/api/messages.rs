//! `POST /v1/messages` and `GET /v1/messages/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, request};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::views::{Content, MessageView, StatusView};
use crate::access::{Caller, Door, Errand, Sight};
use crate::domain::event::Status;
use crate::egress::view::View;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::meta::errors;
use crate::send::{Draft, Idempotency, QueueError, Sender};

/// Makes a repetition harmless (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is that of the first time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST_KEY: usize = 255;

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

impl MessageJson {
    /// The message, as far as its reader may see it.
    pub(super) fn new(message: MessageView, sight: Sight) -> Self {
        let erased = matches!(message.request, Content::Erased);
        let error = message.error_code.and_then(errors::find);
        Self {
            id: message.id,
            channel_id: message.channel,
            contact_id: message.contact,
            origin: message.origin,
            kind: message.kind,
            state: message.state,
            error_code: message.error_code,
            error_meaning: error.map(|error| error.meaning),
            error_verdict: error.map(|error| error.verdict.as_str()),
            statuses: message.statuses.into_iter().map(StatusJson::from).collect(),
            erased,
            withheld: !erased && !sight.has_content(),
            masked: sight == Sight::MASKED,
            request: raw(&message.request, sight),
            answer: message.answer.as_ref().and_then(|answer| raw(answer, sight)),
            created_at: message.created_at,
            settled_at: message.settled_at,
        }
    }
}

/// The content as it stands, or masked. `None` when it is gone, does not open, is not to be seen, or is no JSON: Meta's proxies
/// answer with pages too.
fn raw(content: &Content, sight: Sight) -> Option<Box<RawValue>> {
    match content {
        Content::Opened(json) => serde_json::from_slice(&View::new(sight.fields(), None).envelope(json)?).ok(),
        Content::Erased | Content::Damaged => None,
    }
}

/// Hands a message over for Meta.
///
/// 202 means that the message is stored and will be sent. Whether Meta accepted it, and what became of it, is told by
/// events and by `GET /v1/messages/{id}`. With an `Idempotency-Key` the request may be repeated for 24 hours: the same key and
/// body give the same message, which is sent once.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Messages", operation_id = "send_message",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; best a random UUID."),
    ),
    request_body = NewMessage,
    responses(
        (status = 202, description = "The message is queued, now or, with `idempotent-replayed: true`, before.", body = QueuedMessage),
        (status = 400, description = "`invalid_idempotency_key`"),
        (status = 409, description = "`idempotency_in_progress`"),
        (status = 422, description = "`channel_cannot_send`: the channel has no access token · `idempotency_key_reused`"),
    ),
)]
pub(super) async fn send(
    who: Caller,
    trail: Trail,
    State(sender): State<Sender>,
    params: Params,
    headers: HeaderMap,
    body::Json(new): body::Json<NewMessage>,
) -> Result<Response, Problem> {
    params.finish()?;
    let key = idempotency_key(&headers)?;
    if !who.may_use(new.channel_id) {
        return Err(refusal(QueueError::UnknownChannel));
    }
    let (request, caller) = (new.message.get(), who.key);
    let (draft, idempotency) = (Draft::read(request), key.map(|key| Idempotency { caller, key, request }));
    let contact = sender.addressee(who.tenant, &draft).await.map_err(refusal)?;
    trail.leave_message(&who, new.channel_id, contact).await?;
    let queued = sender.queue(who.tenant, new.channel_id, draft, idempotency).await.map_err(refusal)?;
    let answer = (StatusCode::ACCEPTED, Json(QueuedMessage { id: queued.message, state: "queued" }));
    Ok(if queued.is_repetition { ([(REPLAYED, "true")], answer).into_response() } else { answer.into_response() })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let key = first
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(Problem::new(Code::InvalidIdempotencyKey)),
    }
}

fn refusal(refused: QueueError) -> Problem {
    let mut faults = Faults::default();
    match refused {
        QueueError::NoToken => return Problem::new(Code::ChannelCannotSend),
        QueueError::KeyReused => return Problem::new(Code::IdempotencyKeyReused),
        QueueError::InProgress => return Problem::new(Code::IdempotencyInProgress),
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
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<MessageId>,
    params: Params,
) -> Result<Json<MessageJson>, Problem> {
    params.finish()?;
    let message = door.message(&who, &errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(Json(MessageJson::new(message, who.sight)))
}
