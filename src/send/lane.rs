//! The lane of a channel: takes due messages in hand, puts each on the wire at its moment, records how they ended. Taking, sending and
//! recording overlap; what ends while a record is being written goes into the next one, so that a busy lane commits in groups.

mod boarding;
mod carrying;
mod hand;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::boarding::{AHEAD, Boarding};
use super::Sender;
use super::awaiting::Awaiting;
use super::busy::Place;
use super::claim::{Overdue, Taken};
use super::flight::Flown;
use super::outcome::{Ended, Fate};
use super::turns::{Ready, Turns};
use crate::directory::bells::Bell;
use crate::domain::channel::Channel;
use crate::ids::{ChannelId, MessageId};
use crate::store::StoreError;
use crate::store::lanes::OwnedLane;
use carrying::Carried;
use hand::Hand;

/// The lane looks by itself this often: bells are hints.
const POLL: time::Duration = time::Duration::seconds(1);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);
/// So much is recorded at once, and at most.
const WORTH_A_RECORD: usize = 64;
const MOST_IN_A_RECORD: usize = 256;
/// Places of the channel are taken this far ahead at most, so that a hesitation does not cost any.
const LEAD: Duration = Duration::from_millis(150);
/// A claim takes places for this part of a second.
const CLAIMS_A_SECOND: usize = 10;
/// Messages of one claim.
const MOST_IN_A_CLAIM: usize = 256;
/// For so long after a claim whose answer was lost, Postgres may still be at it.
const UNSEEN: time::Duration = time::Duration::seconds(30);

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lane at work.
struct Work<'a> {
    sender: &'a Sender,
    lane: OwnedLane,
    channel: Arc<Channel>,
    turns: Turns,
    boarding: Boarding,
    flying: FuturesUnordered<Later<'a, Flown>>,
    /// Whether the list was kept.
    listing: Option<Later<'a, Result<bool, StoreError>>>,
    taking: Option<Later<'a, Result<Taken, StoreError>>>,
    /// What was recorded, and what of it cannot be.
    recording: Option<Later<'a, (Vec<Ended>, Vec<MessageId>)>>,
    looking: Option<Later<'a, Overdue>>,
    /// Files on their way to Meta, and calls to those who waited for them.
    carrying: FuturesUnordered<Later<'a, Carried>>,
    awaiting: Awaiting,
    /// Those who are to be called once it is recorded that they were put back.
    uncalled: HashSet<MessageId>,
    /// What has ended and is not being recorded yet.
    ended: Vec<Ended>,
    /// Everything with our mark that we know of.
    in_hand: Hand,
    busy: Place,
    /// Whether something may be due.
    more: bool,
    /// The key that had the last turn.
    last_key: Uuid,
    /// Messages a second; 0: no limit.
    per_second: usize,
    /// The turn of the next message that will be taken, as far as we know.
    tail: Instant,
    slowed_until: OffsetDateTime,
    unseen_until: Option<OffsetDateTime>,
    /// Neither taking nor recording begins before these.
    take_from: Instant,
    record_from: Instant,
    /// The next look at everything.
    look: OffsetDateTime,
}

enum Happened {
    Flown(Flown),
    Listed(Result<bool, StoreError>),
    Carried(Carried),
    Taken(Result<Taken, StoreError>),
    Recorded((Vec<Ended>, Vec<MessageId>)),
    Looked(Overdue),
    Rung,
    Rested,
}

/// Works on a lane until `stop` is cancelled or the lane is lost.
pub async fn run(sender: Sender, lane: OwnedLane, bell: Arc<Bell>, stop: CancellationToken) {
    let Some(mut work) = Work::begin(&sender, lane) else { return };
    loop {
        let (there, now) = (work.follow_settings(), sender.clock.now());
        let stopping = stop.is_cancelled() || !there;
        work.busy.is(!work.in_hand.is_empty());
        if stopping || work.slowed_until > now {
            work.put_all_back(now.max(work.slowed_until));
        }
        // One moment for both: what it does not find due is rested for, however long it took to look.
        let instant = Instant::now();
        work.start_what_may(stopping, now, instant);
        if stopping && work.is_at_rest() {
            return;
        }
        // While it cannot look it waits for what keeps it from it: a look that is overdue would not let it rest.
        let (rest, look, may_look) = (work.rests_until(instant), work.look, !stopping && work.has_time());
        let happened = tokio::select! {
            Some(flown) = work.flying.next() => Happened::Flown(flown),
            listed = wait_for(&mut work.listing) => Happened::Listed(listed),
            Some(carried) = work.carrying.next() => Happened::Carried(carried),
            taken = wait_for(&mut work.taking) => Happened::Taken(taken),
            recorded = wait_for(&mut work.recording) => Happened::Recorded(recorded),
            overdue = wait_for(&mut work.looking) => Happened::Looked(overdue),
            _ = bell.rung() => Happened::Rung,
            () = sender.clock.wait_until(look), if may_look => Happened::Rested,
            () = until(rest) => Happened::Rested,
            () = stop.cancelled(), if !stopping => Happened::Rested,
        };
        match happened {
            Happened::Flown(flown) => work.note(flown),
            Happened::Listed(listed) => work.was_listed(&listed),
            Happened::Carried(carried) => work.carried(carried),
            Happened::Taken(taken) => work.take_in(taken),
            Happened::Recorded((recorded, stuck)) => work.was_recorded(&recorded, &stuck),
            Happened::Looked(overdue) => work.looked(overdue),
            Happened::Rung => work.more = true,
            Happened::Rested => {}
        }
    }
}

impl<'a> Work<'a> {
    fn begin(sender: &'a Sender, lane: OwnedLane) -> Option<Self> {
        let channel = sender.directory.snapshot().channel(lane.tenant, ChannelId::from_uuid(lane.owner)).cloned()?;
        let (now, instant) = (sender.clock.now(), Instant::now());
        Some(Self {
            sender,
            lane,
            channel,
            turns: Turns::default(),
            boarding: Boarding::new(sender.max_in_flight, instant),
            flying: FuturesUnordered::new(),
            listing: None,
            taking: None,
            recording: None,
            looking: None,
            carrying: FuturesUnordered::new(),
            awaiting: Awaiting::default(),
            uncalled: HashSet::new(),
            ended: Vec::new(),
            in_hand: Hand::default(),
            busy: sender.busy.place(),
            more: true,
            last_key: Uuid::nil(),
            per_second: CLAIMS_A_SECOND,
            tail: instant,
            slowed_until: now,
            unseen_until: None,
            take_from: instant,
            record_from: instant,
            look: now,
        })
    }

    /// Takes over a changed channel: a new token must be picked up. False when it is no more.
    fn follow_settings(&mut self) -> bool {
        let snapshot = self.sender.directory.snapshot();
        let channel = snapshot.channel(self.lane.tenant, self.channel.id);
        if let Some(channel) = channel
            && !Arc::ptr_eq(channel, &self.channel)
        {
            self.channel = channel.clone();
            self.more = true;
        }
        channel.is_some()
    }

    /// Once a second: what nobody answered for, what is too late, what a lost answer left marked.
    fn start_looking(&mut self, now: OffsetDateTime) {
        // Taken before the look, so that what falls due during it is not put off.
        self.look = now + POLL;
        self.more = true;
        let (sender, lane) = (self.sender, self.lane);
        let in_hand = self.unseen_until.map(|_| self.in_hand.ids());
        if self.unseen_until.is_some_and(|until| until < now) {
            self.unseen_until = None;
        }
        self.looking = Some(Box::pin(async move { sender.take_overdue(lane, in_hand).await }));
    }

    fn looked(&mut self, overdue: Overdue) {
        self.looking = None;
        if overdue.forgotten.is_err() {
            self.unseen_until = Some(self.sender.clock.now() + UNSEEN);
        }
        // What is being recorded at this moment was looked at before.
        let new: Vec<Ended> = overdue.ended.into_iter().filter(|one| !self.in_hand.holds(one.message)).collect();
        if overdue.more && !new.is_empty() {
            self.look = self.sender.clock.now();
        }
        for one in &new {
            self.in_hand.take(one.message);
        }
        self.ended.extend(new);
    }

    fn start_what_may(&mut self, stopping: bool, now: OffsetDateTime, instant: Instant) {
        let sender = self.sender;
        self.board(instant);
        if !stopping {
            self.start_uploads();
        }
        let has_time = !stopping && self.has_time();
        let limit = self.room(instant);
        if has_time && self.look <= now {
            self.start_looking(now);
        } else if has_time
            && self.more
            && limit > 0
            && self.boarding.has_list()
            && self.take_from <= instant
            && self.slowed_until <= now
            && self.channel.token.is_some()
        {
            self.more = false;
            let (lane, channel, after) = (self.lane, self.channel.clone(), self.last_key);
            self.taking = Some(Box::pin(async move { sender.take(lane, &channel, limit, after).await }));
        }
        if self.recording.is_none() && self.is_worth_recording(stopping, instant) {
            self.record_from = instant + self.busy.breath();
            let rest = self.ended.split_off(self.ended.len().min(MOST_IN_A_RECORD));
            let (ended, channel, lane) = (std::mem::replace(&mut self.ended, rest), self.channel.clone(), self.lane);
            self.recording = Some(Box::pin(async move {
                let stuck = sender.record(lane, &channel, &ended).await;
                (ended, stuck)
            }));
        }
    }

    fn fly(&mut self, ready: Ready) {
        let (sender, channel) = (self.sender, self.channel.clone());
        self.flying.push(Box::pin(async move { sender.fly(&channel, ready).await }));
    }

    /// How many messages may be taken now.
    fn room(&self, instant: Instant) -> usize {
        let most = self.sender.max_in_flight;
        let chunk = match self.per_second {
            0 => most,
            _ if self.tail > instant + LEAD => 0,
            per_second => per_second.div_ceil(CLAIMS_A_SECOND),
        };
        (most + chunk)
            .saturating_sub(self.flying.len() + self.boarding.len() + self.turns.len())
            .min(chunk)
            .min(MOST_IN_A_CLAIM)
    }

    fn is_worth_recording(&self, stopping: bool, instant: Instant) -> bool {
        let is_time = || stopping || self.record_from <= instant;
        !self.ended.is_empty() && (self.ended.len() >= WORTH_A_RECORD || is_time())
    }

    /// When what waits for a moment may begin.
    fn rests_until(&self, instant: Instant) -> Option<Instant> {
        let room = self.flying.len() < self.sender.max_in_flight;
        let [send, list] = self.boarding.wakes();
        let board = self.turns.wake().and_then(|at| at.checked_sub(AHEAD));
        let record = (self.recording.is_none() && !self.ended.is_empty()).then_some(self.record_from);
        let take = (self.taking.is_none() && self.more).then(|| match self.per_second {
            0 => self.take_from,
            _ => self.take_from.max(self.tail.checked_sub(LEAD).unwrap_or(instant)),
        });
        // What is past waits for something else: for room, for the end of a pause.
        [send.filter(|_| room), list, board, record, take].into_iter().flatten().filter(|rest| *rest > instant).min()
    }

    /// Whether neither a claim nor a look is under way.
    fn has_time(&self) -> bool {
        self.taking.is_none() && self.looking.is_none()
    }

    fn is_at_rest(&self) -> bool {
        self.flying.is_empty()
            && self.listing.is_none()
            && self.boarding.len() == 0
            && self.taking.is_none()
            && self.looking.is_none()
            && self.recording.is_none()
            && self.ended.is_empty()
    }

    fn take_in(&mut self, taken: Result<Taken, StoreError>) {
        self.taking = None;
        match taken {
            Ok(taken) => {
                self.per_second = taken.per_second;
                self.last_key = taken.last_key.unwrap_or(self.last_key);
                self.more |= taken.more;
                taken.ready.iter().for_each(|one| self.in_hand.take(one.message));
                for one in &taken.ended {
                    self.in_hand.take(one.message);
                    if matches!(one.fate, Fate::Ended(_)) {
                        self.awaiting.let_go(one.message, one.contact);
                    }
                }
                let ready = self.without_those_who_wait(taken.ready, taken.waiting);
                // Where nothing goes, the places that were taken for it come back.
                if !ready.is_empty() {
                    self.tail = taken.tail;
                }
                if ready.is_empty() || !taken.more {
                    self.take_from = Instant::now() + self.busy.breath();
                }
                self.turns.offer(ready);
                self.ended.extend(taken.ended);
            }
            Err(error) => {
                tracing::warn!(channel = %self.channel.id, error = %error, "messages to Meta could not be read");
                self.unseen_until = Some(self.sender.clock.now() + UNSEEN);
                self.more = true;
                self.take_from = Instant::now() + PAUSE;
            }
        }
    }

    fn was_recorded(&mut self, recorded: &[Ended], stuck: &[MessageId]) {
        self.recording = None;
        for one in recorded {
            self.more |= matches!(one.fate, Fate::PutBack { .. });
            // The next owner must know that Meta may have what cannot be recorded, and we must not take it for unseen.
            if !stuck.contains(&one.message) && self.in_hand.is_recorded(one.message) {
                self.boarding.is_recorded(one.message);
            }
        }
        self.call_recorded(recorded);
    }

    /// A request has ended.
    fn note(&mut self, flown: Flown) {
        let Flown { message, contact, fate, slowed_until } = flown;
        match fate {
            Fate::PutBack { until, resend: false, .. } => {
                let behind = self.turns.give_back(contact);
                self.ended.push(Ended { message, contact, mark: Some(self.lane.epoch), fate });
                self.put_back(behind, until);
            }
            _ => {
                self.ended.push(Ended { message, contact, mark: Some(self.lane.epoch), fate });
                if let Some(next) = self.turns.ended(contact) {
                    self.boarding.offer(next);
                }
            }
        }
        if let Some(until) = slowed_until {
            self.slowed_until = self.slowed_until.max(until);
            self.look = self.look.min(self.slowed_until);
        }
    }

    fn put_back(&mut self, all: Vec<Ready>, until: OffsetDateTime) {
        let mark = Some(self.lane.epoch);
        self.ended.extend(all.into_iter().map(|Ready { message, contact, .. }| {
            let fate = Fate::PutBack { until, unburnt: true, resend: false };
            Ended { message, contact, mark, fate }
        }));
    }
}

/// Waits for what is under way; for ever, when nothing is.
async fn wait_for<T>(under_way: &mut Option<Later<'_, T>>) -> T {
    match under_way {
        Some(later) => later.await,
        None => std::future::pending().await,
    }
}

async fn until(rest: Option<Instant>) {
    match rest {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
