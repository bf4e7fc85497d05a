//! What a lane knows of its retries, so that it neither looks for them in vain nor misses one. It alone postpones, so it knows of
//! each that was put off since it took the lane, and learns of those before by looking once.

use time::OffsetDateTime;

#[derive(Debug, Clone, Copy)]
enum Knowledge {
    /// Never looked.
    Nothing,
    /// Some may be due.
    Due,
    /// Being read.
    Looking,
    /// None is due that is not in hand; when the next one is has to be asked.
    NoneDue,
    /// Being asked.
    Asking,
    /// The next one falls due then; `None`: there is none.
    Next(Option<OffsetDateTime>),
}

/// What is known of the retries of a lane.
#[derive(Debug)]
pub(in crate::deliver) struct Retries {
    known: Knowledge,
    /// The last look found everything that was due then.
    looked_at: OffsetDateTime,
    /// The first of those that were postponed while it was not known which is the next.
    meanwhile: Option<OffsetDateTime>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { known: Knowledge::Nothing, looked_at: OffsetDateTime::UNIX_EPOCH, meanwhile: None }
    }
}

fn earlier(one: Option<OffsetDateTime>, other: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    one.into_iter().chain(other).min()
}

impl Retries {
    pub(super) fn look_again(&mut self, everything: bool) {
        if everything || matches!(self.known, Knowledge::Nothing) {
            self.known = Knowledge::Due;
        }
    }

    pub(super) fn are_due(&self, now: OffsetDateTime) -> bool {
        match self.known {
            Knowledge::Due => true,
            Knowledge::Next(next) => next.is_some_and(|next| next <= now),
            Knowledge::Nothing | Knowledge::Looking | Knowledge::NoneDue | Knowledge::Asking => false,
        }
    }

    pub(super) fn looking(&mut self, now: OffsetDateTime) {
        (self.known, self.looked_at) = (Knowledge::Looking, now);
    }

    pub(super) fn looked(&mut self, there_are_more: bool) {
        // Otherwise it was told to look again meanwhile.
        if matches!(self.known, Knowledge::Looking) {
            self.known = if there_are_more { Knowledge::Due } else { Knowledge::NoneDue };
        }
    }

    /// One was put off until `at`, and lies there.
    pub(super) fn postponed(&mut self, at: OffsetDateTime) {
        match &mut self.known {
            Knowledge::Next(next) => *next = earlier(*next, Some(at)),
            _ => self.meanwhile = earlier(self.meanwhile, Some(at)),
        }
    }

    /// When the next one falls due, if that is known.
    pub(super) fn next(&self) -> Option<OffsetDateTime> {
        if let Knowledge::Next(next) = self.known { next } else { None }
    }

    /// Whether it has to be asked which is the first that falls due after the returned time. It counts as being asked from now on.
    pub(in crate::deliver) fn asks(&mut self) -> Option<OffsetDateTime> {
        let asks = matches!(self.known, Knowledge::NoneDue);
        asks.then(|| {
            self.known = Knowledge::Asking;
            self.looked_at
        })
    }

    /// The answer; an error is no answer.
    pub(in crate::deliver) fn answered<E>(&mut self, answer: &Result<Option<OffsetDateTime>, E>) {
        if matches!(self.known, Knowledge::Asking) {
            self.known = match answer {
                Ok(next) => Knowledge::Next(earlier(*next, self.meanwhile.take())),
                Err(_) => Knowledge::NoneDue,
            };
        }
    }
}
