//! `POST /v1/messages/batch`: many messages are handed over at once.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{self, Faults, Field, request};
use super::message_json::QueueJson;
use super::problem::{Code, Problem};
use super::query::Params;
use super::sending::{Desk, NewMessage, REPLAYED, Taken, Untaken, idempotency, refusal};
use super::trail::Trail;
use crate::access::Caller;
use crate::ids::MessageId;
use crate::send::{Idempotency, Ready, Sender, Standing};
use crate::store::audit_entries::NewAuditEntry;

/// Messages in a batch.
const LARGEST_BATCH: usize = 1000;

/// 1 to 1000 messages, each as `POST /v1/messages` takes it.
#[derive(ToSchema)]
#[schema(value_type = Vec<NewMessage>, min_items = 1, max_items = 1000)]
pub(super) struct Messages(Vec<Box<RawValue>>);

impl Field for Messages {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let messages = Vec::<Box<RawValue>>::read(json, at, faults)?;
        if (1..=LARGEST_BATCH).contains(&messages.len()) {
            return Some(Self(messages));
        }
        faults.note(at, "length", "1 to 1000 messages")
    }
}

request! {
    /// Several messages.
    NewMessages {
        /// Each stands for itself: one that is faulty keeps no other from being sent.
        messages: Messages,
    }
}

/// What became of one message of a batch: an `id`, or a `problem`.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchItem {
    /// To ask for its state, and in every event about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<MessageId>,
    /// `queued`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Where it stands in the queue of its channel, behind those before it in the batch. Absent for a message for later.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueJson>,
    /// Why it was not taken: the problem document that it would be answered with alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Box<RawValue>>,
}

impl BatchItem {
    fn taken(id: MessageId, standing: Option<Standing>) -> Self {
        Self { id: Some(id), state: Some("queued"), queue: standing.map(QueueJson::from), problem: None }
    }

    fn refused(problem: &Problem) -> Self {
        let problem = serde_json::from_slice(&problem.json(None)).ok();
        Self { id: None, state: None, queue: None, problem }
    }
}

/// The verdict over a message, and the message where it is taken.
fn apart(ready: Result<Ready, Problem>) -> (Result<MessageId, Problem>, Option<Ready>) {
    match ready {
        Ok(ready) => (Ok(ready.id()), Some(ready)),
        Err(problem) => (Err(problem), None),
    }
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchResult {
    /// One for each message, in their order.
    data: Vec<BatchItem>,
}

/// Hands several messages over for Meta.
///
/// Each stands for itself: those that are in order are stored together and will be sent, and of the others the answer says why
/// not. 202 means that at least one was taken; when none was, the answer is 422 and lists the faults of all. With an
/// `Idempotency-Key` the request may be repeated for 24 hours: the same key and body give the same answer, and nothing is sent twice.
#[utoipa::path(
    post, path = "/v1/messages/batch", tag = "Messages", operation_id = "send_messages",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; best a random UUID."),
    ),
    request_body = NewMessages,
    responses(
        (status = 202, description = "What became of each, now or, with `idempotent-replayed: true`, before.", body = BatchResult),
        (status = 400, description = "`invalid_idempotency_key`"),
        (status = 409, description = "`idempotency_in_progress`"),
        (status = 422, description = "`batch_refused`: none of them was taken · `idempotency_key_reused`"),
    ),
)]
pub(super) async fn send_batch(
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
    let json = [(CONTENT_TYPE, "application/json")];
    Ok(match desk.once(desk.take_batch(&unread).await).await? {
        Taken::Now(answer) => (StatusCode::ACCEPTED, json, answer).into_response(),
        Taken::Before(before) => {
            let answer = before.answer.map(|answer| answer.to_vec()).unwrap_or_default();
            (StatusCode::ACCEPTED, json, [(REPLAYED, "true")], answer).into_response()
        }
    })
}

/// The refusal of a batch that holds nothing but refused messages.
fn all_refused<'p>(problems: impl Iterator<Item = &'p Problem>) -> Problem {
    let faults = problems.enumerate().flat_map(|(at, problem)| problem.faults_at(&format!("/messages/{at}")));
    Problem::with_errors(Code::BatchRefused, faults.collect())
}

impl Desk<'_> {
    /// What is answered, as JSON: it is stored with the messages.
    async fn take_batch(&self, unread: &body::Unread) -> Result<Taken<Vec<u8>>, Untaken> {
        let now = self.sender.clock.now();
        let batch = match unread.read::<NewMessages>(now) {
            Ok(batch) => batch,
            Err(problem) => {
                let entry = self.trail.of_faulty(&self.who, 1).await.map_err(Problem::from)?;
                return Err(Untaken::with(&entry)(problem));
            }
        };
        let read = |raw: &RawValue| body::read::<NewMessage>(raw.get().as_bytes(), now).map(|(new, _)| new);
        let (ready, entry) = self.made_ready(batch.messages.0.iter().map(|raw| read(raw)).collect()).await?;
        self.store_batch(ready, entry.clone()).await.map_err(Untaken::with(&entry))
    }

    async fn store_batch(
        &self,
        ready: Vec<Result<Ready, Problem>>,
        entry: NewAuditEntry,
    ) -> Result<Taken<Vec<u8>>, Problem> {
        if ready.iter().all(Result::is_err) {
            return Err(all_refused(ready.iter().filter_map(|one| one.as_ref().err())));
        }
        let (verdicts, ready): (Vec<Result<MessageId, Problem>>, Vec<Option<Ready>>) =
            ready.into_iter().map(apart).unzip();
        let ready: Vec<Ready> = ready.into_iter().flatten().collect();
        let mut standings = self.sender.standings(self.who.tenant, &ready).await.into_iter();
        let item = |verdict: &Result<MessageId, Problem>| match verdict {
            Ok(id) => BatchItem::taken(*id, standings.next().flatten()),
            Err(problem) => BatchItem::refused(problem),
        };
        let answer = serde_json::to_vec(&BatchResult { data: verdicts.iter().map(item).collect() });
        let answer = answer.map_err(|_| Problem::new(Code::Internal))?;
        let idempotency = self.idempotency.map(|one| Idempotency { answer: Some(&answer), ..one });
        let before = self.sender.queue(self.who.tenant, ready, idempotency, Some(entry)).await.map_err(refusal)?;
        Ok(Taken::of(before, answer))
    }
}
