//! What was accepted and what was posted, so that a test can compare both ends. Oldest entries are forgotten beyond
//! `Settings::ledger_keep`; the totals go on counting.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// A message that was answered with a wamid, or would have been had the connection held.
pub(super) struct Accepted {
    pub(super) wamid: String,
    pub(super) to: String,
    pub(super) kind: String,
    pub(super) opaque: Option<String>,
    pub(super) at: i64,
    pub(super) body: Bytes,
}

/// What a webhook is about: a message or one status of it.
#[derive(Clone, Serialize)]
pub(super) struct Item {
    pub(super) wamid: String,
    /// None for an inbound message.
    pub(super) status: Option<String>,
    pub(super) timestamp: i64,
}

/// Where a webhook stands, in the words of `message_history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum WebhookState {
    Pending,
    Delivered,
    Retrying,
    Failed,
}

/// One webhook and its attempts: the HTTP status each got, or `None` when there was no answer.
#[derive(Clone)]
pub(super) struct Posted {
    pub(super) seq: u64,
    pub(super) fields: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) url: Option<String>,
    pub(super) state: WebhookState,
    pub(super) attempts: Vec<Option<u16>>,
    pub(super) body: Bytes,
}

/// The book of what happened.
pub(super) struct Ledger {
    books: Mutex<Books>,
    moved: watch::Sender<()>,
}

/// The totals, and the latest of everything.
pub(super) struct Books {
    pub(super) keep: usize,
    pub(super) requests: u64,
    pub(super) accepted_total: u64,
    pub(super) accepted: VecDeque<Accepted>,
    pub(super) reads: VecDeque<Value>,
    pub(super) posted_total: u64,
    pub(super) delivered_total: u64,
    pub(super) posted: VecDeque<Posted>,
    pub(super) next_seq: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            books: Mutex::new(Books::empty(super::Settings::default().ledger_keep, 0)),
            moved: watch::Sender::new(()),
        }
    }
}

impl Books {
    const fn empty(keep: usize, next_seq: u64) -> Self {
        Self {
            keep,
            requests: 0,
            accepted_total: 0,
            accepted: VecDeque::new(),
            reads: VecDeque::new(),
            posted_total: 0,
            delivered_total: 0,
            posted: VecDeque::new(),
            next_seq,
        }
    }

    fn webhook(&mut self, seq: u64) -> Option<&mut Posted> {
        let first = self.posted.front()?.seq;
        self.posted.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)
    }
}

impl Ledger {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request to the messages surface, whatever becomes of it.
    pub(super) fn count_request(&self) {
        self.books().requests += 1;
    }

    /// Enters an accepted message.
    pub(super) fn accept(&self, message: Accepted) {
        let mut books = self.books();
        books.accepted_total += 1;
        let keep = books.keep;
        push_within(&mut books.accepted, message, keep);
        drop(books);
        self.moved.send_replace(());
    }

    /// Enters a mark-as-read or typing request.
    pub(super) fn mark_read(&self, message_id: &str, typing: bool) {
        let mut books = self.books();
        let keep = books.keep;
        push_within(&mut books.reads, json!({"message_id": message_id, "typing": typing}), keep);
    }

    /// Enters a webhook that is about to be posted for the first time. Gives its number.
    pub(super) fn enter(&self, fields: Vec<String>, items: Vec<Item>, body: Bytes) -> u64 {
        let mut books = self.books();
        let (seq, keep) = (books.next_seq, books.keep);
        books.next_seq += 1;
        books.posted_total += 1;
        let posted = Posted { seq, fields, items, url: None, state: WebhookState::Pending, attempts: Vec::new(), body };
        push_within(&mut books.posted, posted, keep);
        seq
    }

    /// Enters the outcome of one attempt. Ignored when the webhook is forgotten already.
    pub(super) fn attempted(&self, seq: u64, url: Option<String>, status: Option<u16>, state: WebhookState) {
        let mut books = self.books();
        if let Some(posted) = books.webhook(seq) {
            posted.url = url;
            posted.state = state;
            posted.attempts.push(status);
            if state == WebhookState::Delivered {
                books.delivered_total += 1;
            }
        }
        drop(books);
        self.moved.send_replace(());
    }

    /// Empties the books. Webhooks that are still being posted go on, unrecorded.
    pub(super) fn clear(&self) {
        let mut books = self.books();
        *books = Books::empty(books.keep, books.next_seq);
    }

    /// Changes how much is remembered.
    pub(super) fn keep_at_most(&self, keep: usize) {
        self.books().keep = keep;
    }

    /// Waits until at least so many messages were accepted and so many webhooks delivered, or until `limit` is over.
    pub(super) async fn wait(&self, messages: u64, webhooks: u64, limit: Duration) {
        let mut moved = self.moved.subscribe();
        let enough = async {
            loop {
                {
                    let books = self.books();
                    if books.accepted_total >= messages && books.delivered_total >= webhooks {
                        return;
                    }
                }
                if moved.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(limit, enough).await;
    }

    /// Every remembered webhook about `wamid`, or about any message when it is `None`.
    pub(super) fn webhooks_about(&self, wamid: Option<&str>) -> Vec<Posted> {
        let books = self.books();
        let about = |posted: &&Posted| posted.items.iter().any(|item| wamid.is_none_or(|wamid| item.wamid == wamid));
        books.posted.iter().filter(about).cloned().collect()
    }
}

fn push_within<T>(queue: &mut VecDeque<T>, item: T, keep: usize) {
    while queue.len() >= keep.max(1) {
        queue.pop_front();
    }
    queue.push_back(item);
}
