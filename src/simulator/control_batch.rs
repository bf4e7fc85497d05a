//! `POST /control/batch`: many updates in few POSTs, with duplicates and out of order on demand.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;

use super::control::{Answer, Refusal, outcome, read};
use super::outbound_wamid;
use super::payloads::{self, Inbound, Recipient, Sender, Status};
use super::platform::Platform;
use super::settings::Step;
use crate::crypto::random;

/// Meta's limit of updates in one POST.
const LARGEST_POST: usize = 1000;
/// The most updates of one request, so that a slip of the finger does not fill the memory.
const LARGEST_BATCH: usize = 200_000;

/// What to make.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Batch {
    /// Different updates: inbound messages, each followed by the statuses of one outbound message.
    updates: usize,
    /// Further updates that repeat one of the others.
    duplicates: usize,
    /// Whether they are shuffled.
    reorder: bool,
    /// Statuses for each inbound message: sent, delivered, read, at most 3.
    statuses_per_message: usize,
    /// Different people who write.
    senders: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { updates: LARGEST_POST, duplicates: 0, reorder: false, statuses_per_message: 0, senders: 50 }
    }
}

#[derive(Clone)]
enum Update {
    Message(Box<Inbound>),
    Status(Box<Status>),
}

/// Posts the batch, 1000 updates a POST.
pub(super) async fn post(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let batch: Batch = read(&body)?;
    let total = batch.updates.saturating_add(batch.duplicates);
    if total > LARGEST_BATCH || batch.statuses_per_message > 3 || (batch.updates == 0 && total > 0) {
        return Err(Refusal(format!("1 to {LARGEST_BATCH} updates, at most 3 statuses per message")));
    }
    let mut updates = make(&batch, platform.seconds());
    let wamids: Vec<String> = updates.iter().filter_map(message_id).collect();
    for _ in 0..batch.duplicates {
        let copy = updates.get(below(batch.updates)).cloned();
        updates.extend(copy);
    }
    if batch.reorder {
        shuffle(&mut updates);
    }
    let mut statuses = Vec::new();
    for part in updates.chunks(LARGEST_POST) {
        let changes = changes(&platform, part);
        let envelope = payloads::envelope(&platform.business.waba_id, platform.seconds(), changes);
        statuses.push(platform.post(&envelope).await);
    }
    let mut answer = outcome(&statuses, &wamids);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("updates".into(), total.into());
        fields.insert("distinct".into(), batch.updates.into());
    }
    Ok(Json(answer))
}

fn message_id(update: &Update) -> Option<String> {
    match update {
        Update::Message(inbound) => inbound.id.clone(),
        Update::Status(_) => None,
    }
}

fn make(batch: &Batch, now: i64) -> Vec<Update> {
    let mut updates = Vec::with_capacity(batch.updates + batch.duplicates);
    for number in 0..batch.updates {
        let place = number % (batch.statuses_per_message + 1);
        let person = number / (batch.statuses_per_message + 1) % batch.senders.max(1);
        let phone = format!("1650555{person:04}");
        if place == 0 {
            let mut inbound = Inbound::text(&phone, &format!("Message {number}"));
            inbound.sender = Sender { name: Some(format!("Person {person}")), ..inbound.sender };
            updates.push(Update::Message(Box::new(inbound)));
            continue;
        }
        let wamid = match updates.last() {
            Some(Update::Status(status)) => status.wamid.clone(),
            _ => outbound_wamid(&phone),
        };
        updates.push(Update::Status(Box::new(Status {
            wamid,
            step: [Step::Sent, Step::Delivered, Step::Read].get(place - 1).copied().unwrap_or(Step::Read),
            recipient: Recipient::of_phone(&phone),
            timestamp: now,
            opaque: None,
            category: (place < 3).then(|| "service".to_owned()),
            conversation: false,
            error: None,
        })));
    }
    updates
}

/// Runs of the same sort share a change, so that one entry has several changes of both sorts.
fn changes(platform: &Platform, updates: &[Update]) -> Vec<(String, Value)> {
    let same = |one: &Update, other: &Update| matches!(one, Update::Message(_)) == matches!(other, Update::Message(_));
    let runs = updates.chunk_by(same).map(|run| {
        let messages: Vec<Inbound> = run
            .iter()
            .filter_map(
                |update| if let Update::Message(inbound) = update { Some(inbound.as_ref().clone()) } else { None },
            )
            .collect();
        let statuses: Vec<Status> = run
            .iter()
            .filter_map(|update| if let Update::Status(status) = update { Some(status.as_ref().clone()) } else { None })
            .collect();
        if statuses.is_empty() {
            payloads::messages_value(&platform.business, &messages, platform.seconds())
        } else {
            payloads::statuses_value(&platform.business, &statuses)
        }
    });
    runs.map(|value| ("messages".to_owned(), value)).collect()
}

/// A random number from 0 to `limit - 1`. The slight bias of the remainder does not matter here.
fn below(limit: usize) -> usize {
    u32::from_be_bytes(random::bytes()) as usize % limit.max(1)
}

fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1));
    }
}
