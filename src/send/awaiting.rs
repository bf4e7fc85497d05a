//! Messages that wait for their files: which files are on their way to Meta, and who waits for which. They are put back meanwhile, and
//! so is what else goes to the same person, so that nothing overtakes. Pure.

use std::collections::{HashMap, VecDeque};

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
pub(super) enum Waits {
    /// It is put back until then: the file is on its way.
    Until(OffsetDateTime),
    /// It is put back, and the attempt counts: Meta is not to be asked before then.
    Again(OffsetDateTime),
    /// It fails: Meta does not take the file, or there is none.
    Never(NotUploaded),
}

impl Waits {
    /// What that means for a message that was attempted so often.
    pub(super) fn fate(self, attempts: i16, now: OffsetDateTime) -> Fate {
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

/// The files that messages of one lane wait for.
#[derive(Debug, Default)]
pub(super) struct Awaiting {
    /// On their way, or to be brought on their way.
    wanted: HashMap<MediaId, Vec<MessageId>>,
    queue: VecDeque<MediaId>,
    flying: usize,
    people: HashMap<ContactId, MediaId>,
    failed: HashMap<MediaId, (NotUploaded, OffsetDateTime)>,
}

impl Awaiting {
    /// A message needs a file.
    pub(super) fn wait(
        &mut self,
        (message, contact): (MessageId, ContactId),
        media: MediaId,
        now: OffsetDateTime,
    ) -> Waits {
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
        self.people.insert(contact, media);
        Waits::Until(now + HELD)
    }

    /// Whether a message has to wait because another to the same person waits. Until when.
    pub(super) fn behind(
        &mut self,
        (message, contact): (MessageId, ContactId),
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let media = self.people.get(&contact)?;
        self.wanted.get_mut(media)?.push(message);
        Some(now + HELD)
    }

    /// Whether anything waits at all.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
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
        self.people.retain(|_, waits_for| *waits_for != media);
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

    #[test]
    fn a_file_is_brought_once_and_whoever_waits_for_it_is_called_together_with_those_behind() {
        let (mut awaiting, (one, ana, media), (two, ben, _), (three, _, _)) =
            (Awaiting::default(), ids(), ids(), ids());
        assert!(awaiting.behind((three, ana), NOW).is_none() && awaiting.is_idle());
        for (message, contact) in [(one, ana), (two, ben)] {
            assert!(matches!(awaiting.wait((message, contact), media, NOW), Waits::Until(_)));
        }
        assert!(awaiting.behind((three, ana), NOW).is_some());
        assert_eq!((awaiting.next(), awaiting.next()), (Some(media), None));
        assert_eq!(awaiting.ended(media, Ok(()), NOW), [one, two, three]);
        assert!(awaiting.behind((three, ana), NOW).is_none() && awaiting.is_idle());
    }

    #[test]
    fn what_meta_said_of_a_file_is_believed_for_a_while_and_then_asked_again() {
        let (mut awaiting, (one, ana, media)) = (Awaiting::default(), ids());
        let mut fails = |why: NotUploaded, at: OffsetDateTime| {
            assert!(matches!(awaiting.wait((one, ana), media, at), Waits::Until(_)));
            assert_eq!(awaiting.next(), Some(media));
            awaiting.ended(media, Err(why), at);
            awaiting.wait((one, ana), media, at)
        };
        let wait = Some(std::time::Duration::from_secs(30));
        assert!(
            matches!(fails(NotUploaded::Later { wait }, NOW), Waits::Again(at) if at == NOW + Duration::seconds(30))
        );
        assert!(matches!(fails(NotUploaded::Gone, NOW + Duration::seconds(30)), Waits::Never(_)));
        assert!(matches!(awaiting.wait((one, ana), media, NOW + Duration::minutes(2)), Waits::Until(_)));
    }

    #[test]
    fn so_many_files_are_on_their_way_at_once_and_no_more() {
        let mut awaiting = Awaiting::default();
        let files: Vec<MediaId> = (0..MOST + 2).map(|_| MediaId::new(NOW)).collect();
        for media in &files {
            awaiting.wait((MessageId::new(NOW), ContactId::new(NOW)), *media, NOW);
        }
        assert_eq!(std::iter::from_fn(|| awaiting.next()).count(), MOST);
        awaiting.ended(files[0], Ok(()), NOW);
        assert_eq!(awaiting.next(), Some(files[MOST]));
    }
}
