//! `POST /v1/messages`: a message is handed over. And the desk where one is, or many.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Body, Faults, Fields};
use super::fields::{OnDoubtText, PriorityText};
use super::message_json::QueueJson;
use super::problem::{Code, Problem};
use super::query::Params;
use super::trail::Trail;
use crate::access::Caller;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::send::{Before, Fault, Idempotency, Order, QueueError, Ready, Sender, Standing, Terms};
use crate::store::audit_entries::NewAuditEntry;

/// Makes a repetition harmless (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is that of the first time.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST_KEY: usize = 255;

/// A message for Meta, and when and how it goes out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "what is not read here was read into the order, and stands here for the documentation")]
pub(super) struct NewMessage {
    /// Through which number.
    channel_id: ChannelId,
    /// Meta's message object: `to`, `type` and what the type needs. `messaging_product` may be left out.
    #[schema(value_type = Object)]
    message: Order,
    /// Not before this time, at most 30 days ahead. Absent, or past: now.
    send_at: Option<OffsetDateTime>,
    /// Not after this time: then it becomes `expired`. It lies ahead, and after `send_at`.
    expires_at: Option<OffsetDateTime>,
    /// `normal` when absent.
    priority: Option<PriorityText>,
    /// A message object of type `template`, without a recipient. It goes out instead when the message is no longer allowed, because
    /// the person has not written for 24 hours.
    #[schema(value_type = Option<Object>)]
    fallback_template: Option<()>,
    /// `hold` when absent.
    on_doubt: Option<OnDoubtText>,
}

impl Body for NewMessage {
    fn read(fields: &mut Fields) -> Option<Self> {
        // Each of them before one that is missing counts, so that all faults are told at once.
        let channel_id = fields.take("channel_id");
        let message: Option<Box<RawValue>> = fields.take("message");
        let fallback: Option<Box<RawValue>> = fields.take("fallback_template").flatten();
        let (send_at, expires_at) = (fields.take("send_at").flatten(), fields.take("expires_at").flatten());
        let priority: Option<PriorityText> = fields.take("priority").flatten();
        let on_doubt: Option<OnDoubtText> = fields.take("on_doubt").flatten();
        let terms = Terms {
            send_at,
            expires_at,
            priority: priority.map(|text| text.0).unwrap_or_default(),
            on_doubt: on_doubt.map(|text| text.0).unwrap_or_default(),
        };
        let order = Order::read(message?.get(), fallback.as_deref().map(RawValue::get), terms, fields.now());
        let order = order.map_err(|faults| note(fields.faults(), faults));
        let message = order.ok()?;
        Some(Self {
            channel_id: channel_id?,
            message,
            send_at,
            expires_at,
            priority,
            fallback_template: None,
            on_doubt,
        })
    }
}

fn note(into: &mut Faults, faults: Vec<Fault>) {
    for Fault { pointer, detail } in faults {
        let code = if pointer.ends_with("_at") { "time" } else { "message" };
        into.note(&pointer, code, detail).unwrap_or(());
    }
}

/// A message that was taken, or taken back.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuedMessage {
    /// To ask for its state, and in every event about it.
    pub(super) id: MessageId,
    /// `queued`, or `cancelled` when it was taken back.
    pub(super) state: &'static str,
    /// Where it stands in the queue of its channel, as far as that is known at once. Null for a message for later, for one that was
    /// taken back, and in the answer to a repetition.
    pub(super) queue: Option<QueueJson>,
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
        (status = 422, description = "`channel_cannot_send`: the channel has no access token · `idempotency_key_reused` · `window_closed` · `opted_out` · `contact_restricted`"),
    ),
)]
pub(super) async fn send(
    who: Caller,
    trail: Trail,
    State(sender): State<Sender>,
    params: Params,
    headers: HeaderMap,
    unread: body::Unread,
) -> Result<Response, Problem> {
    params.finish()?;
    let idempotency = idempotency(&headers, &who, &unread.text)?;
    let desk = Desk { sender, who, trail, idempotency };
    let answer = |id, queue| (StatusCode::ACCEPTED, Json(QueuedMessage { id, state: "queued", queue }));
    Ok(match desk.once(desk.take_one(&unread).await).await? {
        Taken::Now((id, standing)) => answer(id, standing.map(QueueJson::from)).into_response(),
        Taken::Before(before) => ([(REPLAYED, "true")], answer(before.first, None)).into_response(),
    })
}

/// What became of a request.
pub(super) enum Taken<T> {
    /// It was taken.
    Now(T),
    /// The same was taken before.
    Before(Before),
}

impl<T> Taken<T> {
    pub(super) fn of(before: Option<Before>, now: T) -> Self {
        before.map_or(Self::Now(now), Self::Before)
    }
}

/// Where one request is dealt with.
pub(super) struct Desk<'r> {
    pub(super) sender: Sender,
    pub(super) who: Caller,
    pub(super) trail: Trail,
    pub(super) idempotency: Option<Idempotency<'r>>,
}

/// What was not taken, and the entry that tells of it, which is to be stored before that is answered. `None`: it could not even be
/// found out whether to take it.
pub(super) struct Untaken {
    problem: Problem,
    entry: Option<NewAuditEntry>,
}

impl Untaken {
    pub(super) fn with(entry: &NewAuditEntry) -> impl Fn(Problem) -> Self {
        move |problem| Self { problem, entry: Some(entry.clone()) }
    }
}

impl From<Problem> for Untaken {
    fn from(problem: Problem) -> Self {
        Self { problem, entry: None }
    }
}

impl Desk<'_> {
    async fn take_one(&self, unread: &body::Unread) -> Result<Taken<(MessageId, Option<Standing>)>, Untaken> {
        let new = unread.read::<NewMessage>(self.sender.clock.now());
        let (ready, entry) = self.made_ready(vec![new]).await?;
        self.store_one(ready, entry.clone()).await.map_err(Untaken::with(&entry))
    }

    async fn store_one(
        &self,
        ready: Vec<Result<Ready, Problem>>,
        entry: NewAuditEntry,
    ) -> Result<Taken<(MessageId, Option<Standing>)>, Problem> {
        let ready = ready.into_iter().collect::<Result<Vec<Ready>, Problem>>()?;
        let id = ready.first().ok_or(Problem::new(Code::Internal))?.id();
        let standing = self.sender.standings(self.who.tenant, &ready).await.pop().flatten();
        let before = self.sender.queue(self.who.tenant, ready, self.idempotency, Some(entry)).await.map_err(refusal)?;
        Ok(Taken::of(before, (id, standing)))
    }

    /// What was taken was stored together with its entry; of what was not, the entry comes before the answer. What was taken once is
    /// not refused when it is asked for again, whatever has changed meanwhile.
    pub(super) async fn once<T>(&self, taken: Result<Taken<T>, Untaken>) -> Result<Taken<T>, Problem> {
        let (problem, entry) = match taken {
            Ok(taken) => return Ok(taken),
            Err(Untaken { problem, entry: None }) => return Err(problem),
            Err(Untaken { problem, entry: Some(entry) }) => (problem, entry),
        };
        self.trail.file(entry).await?;
        let Some(idempotency) = &self.idempotency else { return Err(problem) };
        let before = self.sender.before(self.who.tenant, idempotency).await.map_err(refusal)?;
        before.map(Taken::Before).ok_or(problem)
    }

    /// Says of each whether it may be stored, in their order, with the entry that tells of them all.
    pub(super) async fn made_ready(
        &self,
        read: Vec<Result<NewMessage, Problem>>,
    ) -> Result<(Vec<Result<Ready, Problem>>, NewAuditEntry), Problem> {
        let (sender, who) = (&self.sender, &self.who);
        let of_the_caller = |new: NewMessage| {
            if who.may_use(new.channel_id) { Ok(new) } else { Err(refusal(QueueError::UnknownChannel)) }
        };
        let (mut orders, mut refused) = (Vec::with_capacity(read.len()), Vec::with_capacity(read.len()));
        for one in read {
            match one.and_then(of_the_caller) {
                Ok(new) => {
                    orders.push((new.channel_id, new.message));
                    refused.push(None);
                }
                Err(problem) => refused.push(Some(problem)),
            }
        }
        if orders.is_empty() {
            let entry = self.trail.of_faulty(who, refused.len()).await?;
            return Ok((refused.into_iter().flatten().map(Err).collect(), entry));
        }
        let channels: Vec<ChannelId> = orders.iter().map(|(channel, _)| *channel).collect();
        let orders = sender.addressed(who.tenant, orders).await.map_err(refusal)?;
        let contacts: Vec<Option<ContactId>> = orders.iter().map(|order| order.contact).collect();
        let entry = self.trail.of_messages(who, &channels, &contacts).await?;
        let ready = sender.ready(who.tenant, Some(who.key), orders).await.map_err(refusal)?;
        let mut ready = ready.into_iter();
        let next = |refused: Option<Problem>| match refused {
            Some(problem) => Err(problem),
            None => ready.next().map_or(Err(Problem::new(Code::Internal)), |one| one.map_err(refusal)),
        };
        Ok((refused.into_iter().map(next).collect(), entry))
    }
}

pub(super) fn idempotency<'a>(
    headers: &'a HeaderMap,
    who: &Caller,
    text: &'a [u8],
) -> Result<Option<Idempotency<'a>>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let key = first
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(Idempotency { caller: who.key, key, request: text, answer: None })),
        _ => Err(Problem::new(Code::InvalidIdempotencyKey)),
    }
}

/// Why messages were not taken, as a problem.
pub(super) fn refusal(refused: QueueError) -> Problem {
    let mut faults = Faults::default();
    match refused {
        QueueError::NoToken => return Problem::new(Code::ChannelCannotSend),
        QueueError::WindowClosed => return Problem::new(Code::WindowClosed),
        QueueError::OptedOut => return Problem::new(Code::OptedOut),
        QueueError::Restricted => return Problem::new(Code::ContactRestricted),
        QueueError::KeyReused => return Problem::new(Code::IdempotencyKeyReused),
        QueueError::InProgress => return Problem::new(Code::IdempotencyInProgress),
        QueueError::Store(error) => return error.into(),
        QueueError::Keys(error) => return error.into(),
        QueueError::UnknownChannel => faults.note("/channel_id", "channel", "a channel of yours").unwrap_or(()),
        QueueError::Faulty(all) => note(&mut faults, all),
    }
    faults.refuse().err().unwrap_or(Problem::new(Code::InvalidBody))
}
