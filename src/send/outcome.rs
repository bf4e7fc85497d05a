//! How messages ended, recorded together with the events that tell applications of it: many in one commit.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::Sender;
use crate::crypto::envelope;
use crate::directory::{ConsentError, OwnEvent, Statement};
use crate::domain::channel::Channel;
use crate::domain::consent::{MARKETING, OPTED_OUT, Source, State};
use crate::domain::event::EventType;
use crate::domain::keeping::ContentClass;
use crate::ids::{ContactId, MessageId, Wamid};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::events::{self, NewEvent};
use crate::store::lanes::OwnedLane;
use crate::store::outbox::{MIRROR_EPOCH, PutBack};
use crate::store::settlements::{self, Settlement};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);

/// The end of a message, as far as sending goes.
pub(super) enum Ending {
    /// Meta took it.
    Accepted { wamid: Option<Wamid>, answer: Vec<u8> },
    /// Meta refused it for good, or could not be asked in time.
    Failed { code: Option<i32>, answer: Vec<u8> },
    /// It was not sent, because Meta would refuse it with this code, or its person wants no such message.
    Refused { code: i32 },
    /// The answer was lost.
    InDoubt,
    /// It was too late to be sent.
    Expired,
}

/// What becomes of a message that was in hand.
pub(super) enum Fate {
    /// It is owed no longer.
    Ended(Ending),
    /// It is owed again, from `until` on.
    PutBack { until: OffsetDateTime, unburnt: bool, resend: bool },
}

/// A message that is to be recorded.
pub(super) struct Ended {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    /// What marks it as being on the wire.
    pub(super) mark: Option<i64>,
    pub(super) fate: Fate,
}

/// Why an ending was not recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

impl From<ConsentError> for RecordError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::Keys(error) => Self::Keys(error),
        }
    }
}

impl RecordError {
    /// Whether the same call may succeed later.
    pub(super) const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
        }
    }
}

impl Ending {
    const fn state(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Failed { .. } | Self::Refused { .. } => "failed",
            Self::InDoubt => "in_doubt",
            Self::Expired => "expired",
        }
    }

    const fn event_type(&self) -> EventType {
        match self {
            Self::Accepted { .. } => EventType::MessageAccepted,
            Self::Failed { .. } | Self::Refused { .. } => EventType::MessageFailed,
            Self::InDoubt => EventType::MessageInDoubt,
            Self::Expired => EventType::MessageExpired,
        }
    }

    const fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { code, .. } => *code,
            Self::Refused { code } => Some(*code),
            Self::Accepted { .. } | Self::InDoubt | Self::Expired => None,
        }
    }

    fn answer(&self) -> Option<&[u8]> {
        match self {
            Self::Accepted { answer, .. } | Self::Failed { answer, .. } => Some(answer.as_slice()),
            Self::Refused { .. } | Self::InDoubt | Self::Expired => None,
        }
    }

    /// Whether Meta says that the person wants no marketing. What we refuse for that is known.
    const fn tells_of_opting_out(&self) -> bool {
        matches!(self, Self::Failed { code: Some(OPTED_OUT), .. })
    }
}

/// An ending and whose it is.
struct Known<'a> {
    message: MessageId,
    contact: ContactId,
    mark: Option<i64>,
    ending: &'a Ending,
}

/// What is left to record: a stack, so that a batch that is refused is halved until what cannot be recorded stands alone.
struct Left<'a, T>(Vec<&'a [T]>);

impl<'a, T> Left<'a, T> {
    fn of(all: &'a [T]) -> Self {
        Self(if all.is_empty() { Vec::new() } else { vec![all] })
    }

    fn next(&mut self) -> Option<&'a [T]> {
        self.0.pop()
    }

    /// What became of a batch. The one that cannot be recorded, when it stands alone.
    async fn note(&mut self, channel: &Channel, batch: &'a [T], done: Result<(), RecordError>) -> Option<&'a T> {
        let Err(error) = done else { return None };
        if error.is_retryable() {
            tracing::warn!(channel = %channel.id, error = %error, "what became of messages could not be recorded yet");
            tokio::time::sleep(PAUSE).await;
            self.0.push(batch);
            return None;
        }
        if let [one] = batch {
            tracing::error!(channel = %channel.id, error = %error, "what became of a message cannot be recorded");
            return Some(one);
        }
        self.0.extend(batch.chunks(batch.len().div_ceil(2)).rev());
        None
    }
}

impl Sender {
    /// Records what became of messages, trying again while the database is away: nobody else knows it. Returns those of which it cannot
    /// be recorded. They stay marked: never sent again by this owner, and in doubt for the next one as long as they are listed.
    pub(super) async fn record(&self, lane: OwnedLane, channel: &Channel, ended: &[Ended]) -> Vec<MessageId> {
        let mut endings = Vec::with_capacity(ended.len());
        let mut back = Vec::new();
        for one in ended {
            let (message, contact, mark) = (one.message, one.contact, one.mark);
            match &one.fate {
                Fate::Ended(ending) => endings.push(Known { message, contact, mark, ending }),
                Fate::PutBack { until, unburnt, resend } => {
                    let Some(mark) = mark else { continue };
                    back.push(PutBack { message, mark, until: *until, unburnt: *unburnt, resend: *resend });
                }
            }
        }
        let mut stuck = Vec::new();
        metrics::counter!(telemetry::SENDS, "outcome" => "postponed").increment(back.len() as u64);
        back.sort_unstable_by_key(|one| one.message.uuid());
        let mut left = Left::of(&back);
        while let Some(batch) = left.next() {
            let done = self.store.put_back_messages(lane, batch, self.pacing.per_second).await;
            let done = done.map_err(RecordError::from);
            stuck.extend(left.note(channel, batch, done).await.map(|one| one.message));
        }
        endings.sort_unstable_by_key(|one| one.message.uuid());
        for day in endings.chunk_by(|one, next| one.message.day() == next.message.day()) {
            let mut left = Left::of(day);
            while let Some(batch) = left.next() {
                let done = self.settle(channel, batch).await;
                stuck.extend(left.note(channel, batch, done).await.map(|one| one.message));
            }
        }
        stuck
    }

    /// Records how a message of the mirror ended.
    pub(super) async fn settle_mirrored(
        &self,
        channel: &Channel,
        message: MessageId,
        contact: ContactId,
        ending: &Ending,
    ) -> Result<(), RecordError> {
        self.settle(channel, &[Known { message, contact, mark: Some(MIRROR_EPOCH), ending }]).await
    }

    /// Records how messages of one day ended and tells the endpoints, in one commit. An ending that is known already stays.
    async fn settle(&self, channel: &Channel, endings: &[Known<'_>]) -> Result<(), RecordError> {
        let Some(day) = endings.first().map(|one| one.message.day()) else { return Ok(()) };
        let (tenant, now) = (channel.tenant, self.clock.now());
        self.store.ensure_partitions(now.date()).await?;
        let ends = self.seal_answers(channel, endings, now).await?;
        let mut transaction = self.store.begin().await?;
        let settled = settlements::settle(&mut transaction, (tenant, channel.id), day, &ends, now).await?;
        let states: HashMap<MessageId, String> = settled.into_iter().collect();
        let mut told = Vec::with_capacity(states.len());
        for one in endings {
            if let Some(state) = states.get(&one.message) {
                told.push(self.tell(channel, one, state, now).await?);
            }
        }
        told.sort_unstable_by_key(|event: &NewEvent| (event.part_day, event.subject, event.variant));
        events::insert_batch(&mut transaction, tenant, &told, now).await?;
        let mut owners: Vec<_> = told.iter().flat_map(|event| &event.owed_to).map(|(owner, _)| owner.uuid()).collect();
        let settled = |one: &&Known<'_>| states.contains_key(&one.message);
        for one in endings.iter().filter(|one| one.ending.tells_of_opting_out()).filter(settled) {
            let (state, source, channel) = (State::Withdrawn, Source::MetaError, Some(channel.id));
            let (contact, purpose, at) = (one.contact, MARKETING, now);
            let said = Statement { tenant, contact, channel, purpose, state, source, at, wording: None, version: None };
            let owed = said.record(&mut transaction, &self.keyring, &self.directory.snapshot(), now).await?;
            owners.extend(owed.into_iter().map(|(owner, _)| owner.uuid()));
        }
        Store::commit(transaction).await?;
        for one in endings.iter().filter(|one| states.contains_key(&one.message)) {
            metrics::counter!(telemetry::SENDS, "outcome" => one.ending.state()).increment(1);
        }
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            self.bells.ring(owner);
        }
        self.bells.ring_for_events();
        Ok(())
    }

    /// Seals Meta's answers. Fetches the keys of the events too, so that no key is waited for while the transaction is open.
    async fn seal_answers(
        &self,
        channel: &Channel,
        endings: &[Known<'_>],
        now: OffsetDateTime,
    ) -> Result<Vec<Settlement>, RecordError> {
        let (tenant, number) = (channel.tenant, channel.phone_number_id.as_str());
        let keys = self.keyring.tenant(tenant).await?;
        let snapshot = self.directory.snapshot();
        let name = |one: &Known<'_>, class, day| {
            DekName::kept(tenant, Some(one.contact), snapshot.kept_by(channel, class), day, now.date())
        };
        let answered = |one: &Known<'_>| name(one, ContentClass::Sent, one.message.day());
        let names = endings.iter().flat_map(|one| [answered(one), name(one, ContentClass::Statuses, now.date())]);
        let deks = self.keyring.for_sealing(tenant, names).await?;
        let settlement = |one: &Known<'_>| {
            let place = places::message_answer(tenant, one.message, one.contact);
            let answer = match (one.ending.answer(), deks.get(&answered(one))) {
                (Some(answer), Some(dek)) => Some(envelope::seal(&dek.dek, &place, answer)),
                (Some(_), None) => return Err(KeyringError::Gone),
                (None, _) => None,
            };
            let subject = match one.ending {
                Ending::Accepted { wamid: Some(wamid), .. } => Some(keys.message_subject(number, wamid.as_str())),
                _ => None,
            };
            let (state, error_code) = (one.ending.state(), one.ending.code());
            Ok(Settlement { message: one.message, mark: one.mark, state, answer, subject, error_code })
        };
        Ok(endings.iter().map(settlement).collect::<Result<_, _>>()?)
    }

    async fn tell(
        &self,
        channel: &Channel,
        one: &Known<'_>,
        state: &str,
        now: OffsetDateTime,
    ) -> Result<NewEvent, KeyringError> {
        let error_code = one.ending.code();
        // A status may have settled the doubt before it arose.
        let event_type = if state == "accepted" { EventType::MessageAccepted } else { one.ending.event_type() };
        let told = OwnEvent {
            tenant: channel.tenant,
            event_type,
            channel: Some(channel.id),
            contact: one.contact,
            message: Some(one.message),
            error_code,
            details: json!({ "message_id": one.message, "state": state, "error_code": error_code }),
        };
        told.file(&self.keyring, &self.directory.snapshot(), now).await
    }
}
