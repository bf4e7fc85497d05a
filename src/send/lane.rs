//! The lane of a channel: marks messages as being on the wire, sends them, records how they ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::Sender;
use super::outcome::Ending;
use crate::crypto::envelope::{self, Sealed};
use crate::directory::bells::Bell;
use crate::domain::channel::Channel;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::keyring::places;
use crate::meta::answer::Outcome;
use crate::meta::client::SendError;
use crate::meta::errors::Verdict;
use crate::store::lanes::OwnedLane;
use crate::store::messages::ClaimedMessage;
use crate::telemetry;

/// The lane looks by itself this often: bells are hints.
const POLL: time::Duration = time::Duration::seconds(1);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);
/// Waits before a request that was certainly not processed is tried again; the last one repeats.
const AGAIN: [i64; 6] = [1, 5, 15, 60, 300, 900];
/// Attempts after which a message fails for good: about a day.
const MOST_ATTEMPTS: i16 = 100;

/// Works on a lane until `stop` is cancelled or the lane is lost.
pub async fn run(sender: Sender, lane: OwnedLane, bell: Arc<Bell>, stop: CancellationToken) {
    let id = ChannelId::from_uuid(lane.owner);
    while !stop.is_cancelled() {
        // Before the look, so that what falls due during it is not put off.
        let wake = sender.clock.now() + POLL;
        let Some(channel) = sender.directory.snapshot().channel(lane.tenant, id).cloned() else { return };
        sender.doubt_abandoned(lane, &channel).await;
        if channel.token.is_some() {
            sender.drain(lane, &channel, &bell, &stop).await;
        }
        tokio::select! {
            _ = bell.rung() => {}
            () = sender.clock.wait_until(wake) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Codes by which Meta says that a limit stopped the message before anything was done with it (Cloud API error reference).
const BEFORE_PROCESSING: [i32; 10] = [4, 80_007, 80_008, 130_429, 131_048, 131_049, 131_056, 131_057, 133_004, 134_101];
/// Repetitions after a refusal that leaves open whether something was done: the facts say "once or twice".
const UNSURE_REPEATS: i16 = 2;

/// Whether a refused message is sent again.
fn may_repeat(code: Option<i32>, verdict: Verdict, attempts: i16) -> bool {
    let certain = code.is_some_and(|code| BEFORE_PROCESSING.contains(&code));
    verdict.is_retryable() && attempts < if certain { MOST_ATTEMPTS } else { UNSURE_REPEATS }
}

impl Sender {
    /// Messages that somebody put on the wire and did not live to record. Never sent again.
    async fn doubt_abandoned(&self, lane: OwnedLane, channel: &Channel) {
        let Ok(abandoned) = self.store.abandoned_messages(lane, self.clock.now()).await else { return };
        for message in abandoned {
            let Ok(Some(row)) = self.store.find_message(lane.tenant, message).await else { continue };
            let contact = ContactId::from_uuid(row.contact_id);
            tracing::warn!(%message, "the answer to this message was lost; it is in doubt and not sent again");
            self.settle_stubbornly(lane, channel, message, contact, &Ending::InDoubt).await;
        }
    }

    async fn drain(&self, lane: OwnedLane, channel: &Arc<Channel>, bell: &Bell, stop: &CancellationToken) {
        let mut flying = FuturesUnordered::new();
        let mut more = true;
        let mut look = self.clock.now() + POLL;
        loop {
            let room = self.max_in_flight.max(1).saturating_sub(flying.len());
            if more && room > 0 && !stop.is_cancelled() && self.is_current(channel) {
                let claimed = self.claim(lane, room).await;
                more = claimed.len() == room;
                flying.extend(claimed.into_iter().map(|message| self.send(lane, channel, message)));
            }
            tokio::select! {
                done = flying.next() => if done.is_none() { return },
                // A request that hangs must not make the lane deaf for what comes meanwhile.
                _ = bell.rung() => more = true,
                () = self.clock.wait_until(look) => {
                    more = true;
                    look = self.clock.now() + POLL;
                }
            }
        }
    }

    /// Whether the channel is as it was when this drain began: a new token must be picked up.
    fn is_current(&self, channel: &Arc<Channel>) -> bool {
        let snapshot = self.directory.snapshot();
        snapshot.channel(channel.tenant, channel.id).is_some_and(|now| Arc::ptr_eq(now, channel))
    }

    async fn claim(&self, lane: OwnedLane, room: usize) -> Vec<ClaimedMessage> {
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        match self.store.claim_messages(lane, self.clock.now(), limit).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(channel = %lane.owner, error = %error, "messages to Meta could not be read");
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    async fn send(&self, lane: OwnedLane, channel: &Channel, claimed: ClaimedMessage) {
        let message = MessageId::from_uuid(claimed.message_id);
        let contact = ContactId::from_uuid(claimed.contact_id);
        let body = match self.open_request(lane, message, contact, claimed.request).await {
            Ok(Some(body)) => body,
            // Erased meanwhile: there is nothing to send.
            Ok(None) => {
                return self
                    .settle_stubbornly(
                        lane,
                        channel,
                        message,
                        contact,
                        &Ending::Failed { code: None, answer: Vec::new() },
                    )
                    .await;
            }
            Err(()) => return self.postpone(lane, message, claimed.attempts, None).await,
        };
        let ending = match self.post(channel, "", body.into()).await {
            Ok(answer) => match answer.outcome() {
                Outcome::Accepted { wamid } => Ending::Accepted { wamid, answer: answer.body.to_vec() },
                Outcome::Refused { code, verdict, retry_after } if may_repeat(code, verdict, claimed.attempts) => {
                    let asked = match verdict {
                        Verdict::Wait(least) => Some(retry_after.unwrap_or_default().max(least)),
                        _ => retry_after,
                    };
                    return self.postpone(lane, message, claimed.attempts, asked).await;
                }
                Outcome::Refused { code, .. } => Ending::Failed { code, answer: answer.body.to_vec() },
            },
            Err(error) if error.is_retryable() && claimed.attempts < MOST_ATTEMPTS => {
                return self.postpone(lane, message, claimed.attempts, None).await;
            }
            Err(SendError::NotSent(_)) => Ending::Failed { code: None, answer: Vec::new() },
            Err(SendError::InDoubt(_)) => Ending::InDoubt,
        };
        self.settle_stubbornly(lane, channel, message, contact, &ending).await;
    }

    /// The body for Meta; `None` when its key is gone for good.
    async fn open_request(
        &self,
        lane: OwnedLane,
        message: MessageId,
        contact: ContactId,
        request: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, ()> {
        let sealed = Sealed::from_stored(request);
        let Some(id) = sealed.dek_id() else { return Ok(None) };
        let keys = self.keyring.for_opening(lane.tenant, [id]).await.map_err(|error| {
            tracing::warn!(%message, error = %error, "the key of a message is not available");
        })?;
        let place = places::message_request(lane.tenant, message, contact);
        Ok(keys.get(&id).and_then(|key| envelope::open(&key.dek, &place, &sealed).ok()).map(|body| body.to_vec()))
    }

    /// Certainly not processed: tried again later.
    async fn postpone(&self, lane: OwnedLane, message: MessageId, attempts: i16, asked: Option<Duration>) {
        let rung = usize::from(attempts.unsigned_abs()).min(AGAIN.len() - 1);
        let wait = time::Duration::seconds(AGAIN.get(rung).copied().unwrap_or(900));
        let wait = asked.and_then(|asked| time::Duration::try_from(asked).ok()).map_or(wait, |asked| asked.max(wait));
        metrics::counter!(telemetry::SENDS, "outcome" => "postponed").increment(1);
        while let Err(error) = self.store.postpone_message(lane, message, self.clock.now() + wait).await {
            tracing::warn!(%message, error = %error, "a message could not be put back yet");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records an ending, trying again while the database is away: nobody else knows it.
    async fn settle_stubbornly(
        &self,
        lane: OwnedLane,
        channel: &Channel,
        message: MessageId,
        contact: ContactId,
        ending: &Ending,
    ) {
        while let Err(error) = self.settle(lane.tenant, channel, message, contact, ending).await {
            tracing::warn!(%message, error = %error, "the end of a message could not be recorded yet");
            if !error.is_retryable() {
                // Stays marked as being on the wire: never sent again, and in doubt for whoever owns the lane next.
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
