//! What a lane does for messages that name files: brings the files to Meta meanwhile, and calls those who waited.

use super::super::files::NotUploaded;
use super::super::outcome::Ended;
use super::super::turns::Ready;
use super::Work;
use crate::ids::{MediaId, MessageId};

/// What was done.
pub(super) enum Carried {
    Uploaded(MediaId, Result<(), NotUploaded>),
    Called,
}

impl Work<'_> {
    /// Brings on their way what somebody waits for, as many as there is room for.
    pub(super) fn start_uploads(&mut self) {
        while let Some(media) = self.awaiting.next() {
            let upload = self.sender.uploads.upload(self.channel.clone(), media);
            self.carrying.push(Box::pin(async move { Carried::Uploaded(media, upload.await) }));
        }
    }

    /// What may go: not what waits for a file, nor what would overtake it.
    pub(super) fn without_those_who_wait(&mut self, ready: Vec<Ready>, waiting: Vec<(Ready, MediaId)>) -> Vec<Ready> {
        if waiting.is_empty() && self.awaiting.is_idle() {
            return ready;
        }
        let (now, mark) = (self.sender.clock.now(), Some(self.lane.epoch));
        self.awaiting.sweep(now);
        for (Ready { message, contact, attempts, .. }, media) in waiting {
            self.in_hand.take(message);
            let fate = self.awaiting.wait((message, contact), attempts, media, now);
            self.ended.push(Ended { message, contact, mark, fate });
        }
        let (behind, going): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .map(|one| (self.awaiting.behind((one.message, one.contact), now), one))
            .partition(|(until, _)| until.is_some());
        for (until, one) in behind {
            self.put_back(vec![one], until.unwrap_or(now));
        }
        going.into_iter().map(|(_, one)| one).collect()
    }

    pub(super) fn carried(&mut self, carried: Carried) {
        match carried {
            Carried::Called => self.more = true,
            Carried::Uploaded(media, result) => {
                let waited = self.awaiting.ended(media, result, self.sender.clock.now());
                let (early, there) = waited.into_iter().partition(|message| self.in_hand.holds(*message));
                let early: Vec<MessageId> = early;
                self.uncalled.extend(early);
                self.call(there);
            }
        }
    }

    /// Has messages taken again that were put back.
    fn call(&mut self, messages: Vec<MessageId>) {
        if messages.is_empty() {
            return;
        }
        let (sender, lane) = (self.sender, self.lane);
        self.carrying.push(Box::pin(async move {
            // Else their time comes by itself.
            if let Err(error) = sender.store.hasten_messages(lane, &messages, sender.clock.now()).await {
                tracing::debug!(channel = %lane.owner, %error, "messages whose file is at Meta are sent later");
            }
            Carried::Called
        }));
    }

    /// Those whose file was there before it was recorded that they wait for it.
    pub(super) fn call_recorded(&mut self, recorded: &[Ended]) {
        if !self.uncalled.is_empty() {
            let messages = recorded.iter().map(|one| one.message);
            let called = messages.filter(|message| self.uncalled.remove(message)).collect();
            self.call(called);
        }
    }
}
