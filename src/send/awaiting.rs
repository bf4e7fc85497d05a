//! Messages that wait for their files: which files are on their way to Meta, and who waits for which. They are put back meanwhile, and
//! so is what else goes to the same person, so that nothing overtakes. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use time::{Duration, OffsetDateTime};

use super::files::{NO_FILE, NotUploaded};
use super::flight::{MOST_ATTEMPTS, again};
use super::outcome::{Ending, Fate};
use crate::ids::{ContactId, MediaId, MessageId};

/// Files on their way to Meta through one channel at the same time.
const MOST: usize = 4;
/// A message that waits is looked at again after this, should nobody call it.
const HELD: Duration = Duration::seconds(10);
/// What Meta said of a file is believed for so long: those who waited for it are told, and who asks later has it tried again.
const BELIEVED: Duration = Duration::MINUTE;
/// The same where it may go better at once.
const PAUSE: Duration = Duration::SECOND;

/// What becomes of a message that names a file which is not at Meta.
#[derive(Debug)]
enum Waits {
    /// It is put back until then: the file is on its way.
    Until(OffsetDateTime),
    /// It is put back, and the attempt counts: Meta is not to be asked before then.
    Again(OffsetDateTime),
    /// It fails: Meta does not take the file, or there is none.
    Never(NotUploaded),
}

impl Waits {
    /// What that means for a message that was attempted so often.
    fn fate(self, attempts: i16, now: OffsetDateTime) -> Fate {
        match self {
            Self::Until(until) => Fate::PutBack { until, unburnt: true, resend: false },
            Self::Again(at) if attempts < MOST_ATTEMPTS => {
                Fate::PutBack { until: again(now, attempts, None).max(at), unburnt: false, resend: false }
            }
            Self::Never(NotUploaded::Refused { code, answer }) => {
                Fate::Ended(Ending::Failed { code, answer: answer.to_vec() })
            }
            Self::Again(_) | Self::Never(_) => Fate::Ended(Ending::Refused { code: NO_FILE }),
        }
    }
}

/// A message that was put back here.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The file that it waits for, or that those before it wait for.
    media: MediaId,
    /// Due again. When it has not been seen long after that, it is owed no more.
    until: OffsetDateTime,
}

/// What was put back here and goes to one person, the oldest first: each holds up what is younger until it goes or has ended.
type Line = BTreeMap<MessageId, Held>;

/// The files that messages of one lane wait for.
#[derive(Debug, Default)]
pub(super) struct Awaiting {
    /// On their way, or to be brought on their way.
    wanted: HashMap<MediaId, Vec<MessageId>>,
    queue: VecDeque<MediaId>,
    flying: usize,
    people: HashMap<ContactId, Line>,
    swept_at: Option<OffsetDateTime>,
    failed: HashMap<MediaId, (NotUploaded, OffsetDateTime)>,
}

impl Awaiting {
    /// A message that was attempted so often needs a file: what becomes of it.
    pub(super) fn wait(
        &mut self,
        (message, contact): (MessageId, ContactId),
        attempts: i16,
        media: MediaId,
        now: OffsetDateTime,
    ) -> Fate {
        let fate = self.ask(message, media, now).fate(attempts, now);
        match fate {
            Fate::PutBack { until, .. } => self.hold((message, contact), Held { media, until }),
            Fate::Ended(_) => self.let_go(message, contact),
        }
        fate
    }

    fn ask(&mut self, message: MessageId, media: MediaId, now: OffsetDateTime) -> Waits {
        if let Some((why, until)) = self.failed.get(&media)
            && *until > now
        {
            return match why {
                NotUploaded::Later { .. } => Waits::Again(*until),
                why => Waits::Never(why.clone()),
            };
        }
        self.failed.remove(&media);
        let waiting = self.wanted.entry(media).or_insert_with(|| {
            self.queue.push_back(media);
            Vec::new()
        });
        waiting.push(message);
        Waits::Until(now + HELD)
    }

    fn hold(&mut self, (message, contact): (MessageId, ContactId), held: Held) {
        self.people.entry(contact).or_default().insert(message, held);
    }

    /// A message goes, or has ended: nobody waits behind it.
    pub(super) fn let_go(&mut self, message: MessageId, contact: ContactId) {
        if let Some(line) = self.people.get_mut(&contact) {
            line.remove(&message);
            if line.is_empty() {
                self.people.remove(&contact);
            }
        }
    }

    /// Whether a message has to wait because an older one to the same person waits. Until when. `None`: it goes.
    pub(super) fn behind(
        &mut self,
        (message, contact): (MessageId, ContactId),
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let first = self.people.get_mut(&contact).and_then(|line| {
            line.retain(|_, held| held.until + HELD > now);
            line.range(..message).next().map(|(_, first)| *first)
        });
        let Some(first) = first else {
            self.let_go(message, contact);
            return None;
        };
        // Together with the first, or a little later where that is due already.
        let until = first.until.max(now + PAUSE);
        if let Some(waiting) = self.wanted.get_mut(&first.media) {
            waiting.push(message);
        }
        self.hold((message, contact), Held { until, ..first });
        Some(until)
    }

    /// Forgets what was put back and has long been due: it ended elsewhere.
    pub(super) fn sweep(&mut self, now: OffsetDateTime) {
        if self.swept_at.is_none_or(|at| at + HELD <= now) {
            self.swept_at = Some(now);
            self.people.retain(|_, line| {
                line.retain(|_, held| held.until + HELD > now);
                !line.is_empty()
            });
        }
    }

    /// Whether anything waits at all.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.people.is_empty()
    }

    /// The next file to be brought on its way, if there is room.
    pub(super) fn next(&mut self) -> Option<MediaId> {
        let media = if self.flying < MOST { self.queue.pop_front() } else { None }?;
        self.flying += 1;
        Some(media)
    }

    /// A file is at Meta, or is not to be had. Returns who waited for it.
    pub(super) fn ended(
        &mut self,
        media: MediaId,
        result: Result<(), NotUploaded>,
        now: OffsetDateTime,
    ) -> Vec<MessageId> {
        self.flying = self.flying.saturating_sub(1);
        self.failed.retain(|_, (_, until)| *until > now);
        if let Err(why) = result {
            let believed = match &why {
                NotUploaded::Later { wait } => {
                    wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(PAUSE).max(PAUSE)
                }
                NotUploaded::Gone | NotUploaded::Refused { .. } => BELIEVED,
            };
            self.failed.insert(media, (why, now + believed));
        }
        self.wanted.remove(&media).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn ids() -> (MessageId, ContactId, MediaId) {
        (MessageId::new(NOW), ContactId::new(NOW), MediaId::new(NOW))
    }

    fn later(fate: &Fate) -> Option<OffsetDateTime> {
        match fate {
            Fate::PutBack { until, .. } => Some(*until),
            Fate::Ended(_) => None,
        }
    }

    #[test]
    fn a_file_is_brought_once_and_whoever_waits_for_it_is_called_together_with_those_behind() {
        let (mut awaiting, (one, ana, media), (two, ben, _), (three, _, _)) =
            (Awaiting::default(), ids(), ids(), ids());
        assert!(awaiting.behind((three, ana), NOW).is_none() && awaiting.is_idle());
        for (message, contact) in [(one, ana), (two, ben)] {
            assert_eq!(later(&awaiting.wait((message, contact), 0, media, NOW)), Some(NOW + HELD));
        }
        assert!(awaiting.behind((three, ana), NOW).is_some());
        assert_eq!((awaiting.next(), awaiting.next()), (Some(media), None));
        assert_eq!(awaiting.ended(media, Ok(()), NOW), [one, two, three]);
        assert!(awaiting.behind((three, ana), NOW).is_some(), "the first was called and has not gone yet");
        for (message, contact) in [(one, ana), (two, ben), (three, ana)] {
            assert!(awaiting.behind((message, contact), NOW).is_none());
        }
        assert!(awaiting.is_idle());
    }

    #[test]
    fn of_two_files_for_one_person_the_later_one_waits_for_the_earlier_one() {
        let (mut awaiting, (one, ana, first), (two, _, second), (three, _, _)) =
            (Awaiting::default(), ids(), ids(), ids());
        awaiting.wait((one, ana), 0, first, NOW);
        awaiting.wait((two, ana), 0, second, NOW);
        assert_eq!(awaiting.ended(second, Ok(()), NOW), [two]);
        assert!(awaiting.behind((two, ana), NOW).is_some() && awaiting.behind((three, ana), NOW).is_some());
        assert_eq!(awaiting.ended(first, Ok(()), NOW), [one, two, three]);
        for message in [one, two, three] {
            assert!(awaiting.behind((message, ana), NOW).is_none());
        }
    }

    #[test]
    fn a_person_stays_behind_a_message_whose_file_is_tried_again_and_not_behind_one_that_ended() {
        let (mut awaiting, (one, ana, media), (two, _, _)) = (Awaiting::default(), ids(), ids());
        awaiting.wait((one, ana), 0, media, NOW);
        let wait = Some(std::time::Duration::from_secs(30));
        awaiting.ended(media, Err(NotUploaded::Later { wait }), NOW);
        let until = later(&awaiting.wait((one, ana), 0, media, NOW));
        assert_eq!((until, awaiting.behind((two, ana), NOW)), (Some(NOW + Duration::seconds(30)), until));
        awaiting.let_go(one, ana);
        assert!(awaiting.behind((two, ana), NOW).is_none() && awaiting.wanted.is_empty());
        awaiting.wait((one, ana), 0, media, NOW + Duration::MINUTE);
        awaiting.ended(media, Ok(()), NOW + Duration::MINUTE);
        let long_after = NOW + Duration::minutes(2);
        assert!(awaiting.behind((two, ana), long_after).is_none(), "the first was cancelled, say");
        awaiting.sweep(long_after);
        assert!(awaiting.is_idle());
    }

    #[test]
    fn what_meta_said_of_a_file_is_believed_for_a_while_and_then_asked_again() {
        let (mut awaiting, (one, ana, media)) = (Awaiting::default(), ids());
        let mut fails = |why: NotUploaded, at: OffsetDateTime| {
            assert_eq!(later(&awaiting.wait((one, ana), 0, media, at)), Some(at + HELD));
            assert_eq!(awaiting.next(), Some(media));
            awaiting.ended(media, Err(why), at);
            later(&awaiting.wait((one, ana), 0, media, at))
        };
        let wait = Some(std::time::Duration::from_secs(30));
        assert_eq!(fails(NotUploaded::Later { wait }, NOW), Some(NOW + Duration::seconds(30)));
        assert_eq!(fails(NotUploaded::Gone, NOW + Duration::seconds(30)), None);
        assert!(later(&awaiting.wait((one, ana), 0, media, NOW + Duration::minutes(2))).is_some());
    }

    #[test]
    fn so_many_files_are_on_their_way_at_once_and_no_more() {
        let mut awaiting = Awaiting::default();
        let files: Vec<MediaId> = (0..MOST + 2).map(|_| MediaId::new(NOW)).collect();
        for media in &files {
            awaiting.wait((MessageId::new(NOW), ContactId::new(NOW)), 0, *media, NOW);
        }
        assert_eq!(std::iter::from_fn(|| awaiting.next()).count(), MOST);
        awaiting.ended(files[0], Ok(()), NOW);
        assert_eq!(awaiting.next(), Some(files[MOST]));
    }
}
