//! What a lane takes in hand: due messages, marked as being on the wire and opened, each with its moment; and what is overdue.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::Sender;
use super::files::Filled;
use super::flight::again;
use super::outcome::{Ended, Ending, Fate};
use super::turns::Ready;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::channel::Channel;
use crate::ids::{ContactId, MediaId, MessageId};
use crate::keyring::places;
use crate::store::StoreError;
use crate::store::lanes::OwnedLane;
use crate::store::outbox::{ClaimedMessage, OVERDUE, Wanted};
use crate::store::queued::Request;

/// What a claim came to.
pub(super) struct Taken {
    pub(super) ready: Vec<Ready>,
    /// What names a file that is not at Meta, with that file.
    pub(super) waiting: Vec<(Ready, MediaId)>,
    /// What ended without being sent.
    pub(super) ended: Vec<Ended>,
    pub(super) last_key: Option<Uuid>,
    /// Whether more may be due.
    pub(super) more: bool,
    /// Messages a second; 0: no limit.
    pub(super) per_second: usize,
    /// When the turn of the message after the last one is.
    pub(super) tail: Instant,
}

/// What a look at what nobody works on came to.
pub(super) struct Overdue {
    pub(super) ended: Vec<Ended>,
    /// Whether there may be more.
    pub(super) more: bool,
    /// Whether what a lost answer left marked was put back.
    pub(super) forgotten: Result<(), StoreError>,
}

impl Sender {
    /// Marks due messages and opens them, all with one look at the keys.
    pub(super) async fn take(
        &self,
        lane: OwnedLane,
        channel: &Channel,
        limit: usize,
        after: Uuid,
    ) -> Result<Taken, StoreError> {
        let wanted = Wanted {
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            after,
            per_second: self.pacing.per_second,
            pairs: self.pacing.pairs,
        };
        let mut claim = self.store.claim_messages(lane, wanted, self.clock.now()).await?;
        // Postgres's clock as of the statement: what the answer took is added, never left out.
        let tail = Instant::now() + claim.ahead;
        let more = claim.messages.len() == limit || claim.put_off > 0;
        let (per_second, last_key) = (usize::try_from(claim.per_second).unwrap_or(0), claim.last_key);
        let messages = std::mem::take(&mut claim.messages);
        let ids: Vec<MessageId> = messages.iter().map(|one| one.message).collect();
        // A statement of its own: only now is it known in which partitions they lie, and to open all of them takes longer than the rest.
        let (ready, mut ended) = match self.store.requests_of(lane.tenant, &ids).await {
            Ok(requests) => self.open(lane, (messages, requests), claim.per_second, tail).await,
            Err(error) => {
                tracing::warn!(channel = %channel.id, %error, "messages that were to go could not be read");
                let all = messages.into_iter().map(|one| (one.message, one.contact, one.attempts));
                (Vec::new(), self.not_now(lane, all).collect())
            }
        };
        let (ready, refused) = self.ask_again(lane, channel, ready).await;
        ended.extend(refused);
        let (ready, waiting) = match self.filled(channel, ready).await {
            Ok(Filled { ready, waiting }) => (ready, waiting),
            Err((all, error)) => {
                tracing::warn!(channel = %channel.id, %error, "where files are at Meta could not be read");
                ended.extend(self.not_now(lane, all.into_iter().map(|one| (one.message, one.contact, one.attempts))));
                (Vec::new(), Vec::new())
            }
        };
        Ok(Taken { ready, waiting, ended, last_key, more, per_second, tail })
    }

    /// What cannot go for a reason of ours: later, and without its place.
    fn not_now(
        &self,
        lane: OwnedLane,
        all: impl Iterator<Item = (MessageId, ContactId, i16)>,
    ) -> impl Iterator<Item = Ended> {
        let now = self.clock.now();
        all.map(move |(message, contact, attempts)| {
            let fate = Fate::PutBack { until: again(now, attempts, None), unburnt: true, resend: false };
            Ended { message, contact, mark: Some(lane.epoch), fate }
        })
    }

    async fn open(
        &self,
        lane: OwnedLane,
        (messages, requests): (Vec<ClaimedMessage>, Vec<Request>),
        per_second: i32,
        tail: Instant,
    ) -> (Vec<Ready>, Vec<Ended>) {
        let step = match u32::try_from(per_second) {
            Ok(per_second) if per_second > 0 => Duration::from_secs(1) / per_second,
            _ => Duration::ZERO,
        };
        let (mut ready, mut ended) = (Vec::with_capacity(messages.len()), Vec::new());
        let mut requests: HashMap<MessageId, Request> = requests.into_iter().map(|one| (one.message, one)).collect();
        let sealed = messages.into_iter().filter_map(|message| {
            let Request { sealed, resend, .. } = requests.remove(&message.message)?;
            Some((message, Sealed::from_stored(sealed), resend))
        });
        let sealed: Vec<(ClaimedMessage, Sealed, bool)> = sealed.collect();
        let ids = sealed.iter().filter_map(|(_, sealed, _)| sealed.dek_id());
        let keys = self.keyring.whatever_opens(lane.tenant, ids).await.inspect_err(|error| {
            tracing::warn!(channel = %lane.owner, error = %error, "the keys of messages are not available");
        });
        let mut place = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        for (ClaimedMessage { message, contact, attempts, expires_at, resent }, sealed, resend) in sealed {
            let resend = resend && !resent;
            let at = tail.checked_sub(step * place).unwrap_or(tail);
            place = place.saturating_sub(1);
            let mark = Some(lane.epoch);
            let Ok(keys) = &keys else {
                ended.extend(self.not_now(lane, std::iter::once((message, contact, attempts))));
                continue;
            };
            let key = sealed.dek_id().and_then(|id| keys.get(&id));
            let place = places::message_request(lane.tenant, message, contact);
            match key.and_then(|key| envelope::open(&key.dek, &place, &sealed).ok()) {
                Some(body) => {
                    let body = body.to_vec();
                    ready.push(Ready { message, contact, attempts, body, expires_at, resend, at });
                }
                // Erased meanwhile: there is nothing to send.
                None => {
                    let fate = Fate::Ended(Ending::Failed { code: None, answer: Vec::new() });
                    ended.push(Ended { message, contact, mark, fate });
                }
            }
        }
        (ready, ended)
    }

    /// Messages that somebody put on the wire and did not live to record, and those that are too late. `in_hand` is there when the
    /// answer to a claim was lost: what has our mark beside it goes back.
    pub(super) async fn take_overdue(&self, lane: OwnedLane, in_hand: Option<Vec<Uuid>>) -> Overdue {
        let forgotten = match in_hand {
            Some(in_hand) => self.store.put_back_unseen(lane, &in_hand).await,
            None => Ok(()),
        };
        let overdue = self.store.overdue_messages(lane, self.clock.now()).await.unwrap_or_default();
        let more = overdue.len() >= OVERDUE;
        let ended = overdue.into_iter().map(|one| {
            let fate = match one.mark {
                None => Fate::Ended(Ending::Expired),
                // Whoever marked it died before it was sent: it is as if it had never been touched.
                Some(_) if !one.may_be_sent => Fate::PutBack { until: self.clock.now(), unburnt: true, resend: false },
                Some(_) => {
                    tracing::warn!(message = %one.message, again = one.resend, "the answer to this message was lost");
                    self.doubted(one.resend)
                }
            };
            Ended { message: one.message, contact: one.contact, mark: one.mark, fate }
        });
        Overdue { ended: ended.collect(), more, forgotten }
    }
}
