//! One message on the wire: what Meta answers, and what that means for it.

use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::outcome::{Ending, Fate};
use super::pace::TooFast;
use super::turns::Ready;
use super::waited::RESTRICTED;
use super::{Sender, Way};
use crate::domain::channel::Channel;
use crate::ids::{ContactId, MessageId};
use crate::meta::answer::Outcome;
use crate::meta::client::SendError;
use crate::meta::errors::Verdict;

/// Waits before a request that was certainly not processed is tried again; the last one repeats.
const AGAIN: [i64; 6] = [1, 5, 15, 60, 300, 900];
/// Attempts after which a message fails for good: about a day.
pub(super) const MOST_ATTEMPTS: i16 = 100;
/// Codes by which Meta says that a limit stopped the message before anything was done with it (Cloud API error reference).
const BEFORE_PROCESSING: [i32; 10] = [4, 80_007, 80_008, 130_429, 131_048, 131_049, 131_056, 131_057, 133_004, 134_101];
/// Repetitions after a refusal that leaves open whether something was done: the facts say "once or twice".
const UNSURE_REPEATS: i16 = 2;

/// A request that has ended.
pub(super) struct Flown {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    pub(super) fate: Fate,
    /// Nothing may go through the channel before this.
    pub(super) slowed_until: Option<OffsetDateTime>,
}

/// Whether a refused message is sent again.
fn may_repeat(code: Option<i32>, verdict: Verdict, attempts: i16) -> bool {
    let certain = code.is_some_and(|code| BEFORE_PROCESSING.contains(&code));
    verdict.is_retryable() && attempts < if certain { MOST_ATTEMPTS } else { UNSURE_REPEATS }
}

/// When a message that was certainly not processed is tried again.
pub(super) fn again(now: OffsetDateTime, attempts: i16, asked: Option<Duration>) -> OffsetDateTime {
    let rung = usize::from(attempts.unsigned_abs()).min(AGAIN.len() - 1);
    let wait = time::Duration::seconds(AGAIN.get(rung).copied().unwrap_or(900));
    now + asked.and_then(|asked| time::Duration::try_from(asked).ok()).map_or(wait, |asked| asked.max(wait))
}

impl Sender {
    /// Puts a message on the wire, unless it is too late, or its person's data are no longer used.
    pub(super) async fn fly(&self, channel: &Channel, ready: Ready) -> Flown {
        let Ready { message, contact, attempts, body, expires_at, resend, .. } = ready;
        let ended = |fate| Flown { message, contact, fate, slowed_until: None };
        // The claim was before; this is the last look.
        if expires_at.is_some_and(|at| at <= self.clock.now()) {
            return ended(Fate::Ended(Ending::Expired));
        }
        if self.directory.snapshot().is_restricted(channel.tenant, contact) {
            return ended(Fate::Ended(Ending::Refused { code: RESTRICTED }));
        }
        let put_back = |until, unburnt| Fate::PutBack { until, unburnt, resend: false };
        match self.post(channel, &Way::default(), Bytes::from(body)).await {
            Ok(answer) => match answer.outcome() {
                Outcome::Accepted { wamid } => {
                    ended(Fate::Ended(Ending::Accepted { wamid, answer: answer.body.to_vec() }))
                }
                Outcome::Refused { code, verdict, retry_after } => {
                    if let Some(what) = TooFast::of(code) {
                        let until = self.slow_down(channel, contact, what, retry_after).await;
                        let slowed_until = (what == TooFast::Channel).then_some(until);
                        return Flown { slowed_until, ..ended(put_back(until, true)) };
                    }
                    if may_repeat(code, verdict, attempts) {
                        let asked = match verdict {
                            Verdict::Wait(least) => Some(retry_after.unwrap_or_default().max(least)),
                            _ => retry_after,
                        };
                        return ended(put_back(again(self.clock.now(), attempts, asked), false));
                    }
                    ended(Fate::Ended(Ending::Failed { code, answer: answer.body.to_vec() }))
                }
            },
            Err(error) if error.is_retryable() && attempts < MOST_ATTEMPTS => {
                ended(put_back(again(self.clock.now(), attempts, None), false))
            }
            Err(SendError::NotSent(_)) => ended(Fate::Ended(Ending::Failed { code: None, answer: Vec::new() })),
            Err(SendError::InDoubt(_)) => ended(self.doubted(resend)),
        }
    }

    /// What becomes of a message whose answer was lost: in doubt, unless its application would rather have it twice than not at all.
    pub(super) fn doubted(&self, resend: bool) -> Fate {
        if resend {
            return Fate::PutBack { until: self.clock.now(), unburnt: false, resend: true };
        }
        Fate::Ended(Ending::InDoubt)
    }
}
