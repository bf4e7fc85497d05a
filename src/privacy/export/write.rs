//! Writes the archive: the files, then all of it for programs, then the same for people. Nothing is held longer than a page of it.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::super::{Privacy, PrivacyError};
use super::facts::Facts;
use super::files::Files;
use super::gather::Conversation;
use super::history::History;
use super::sealing::Archive;
use super::{json, page};
use crate::ids::MediaId;
use crate::store::exports::{ExportProgress, ExportRow};
use crate::store::lanes::OwnedLane;

/// What belongs to one export while it is written.
struct Writer<'a> {
    privacy: &'a Privacy,
    lane: OwnedLane,
    export: &'a ExportRow,
    lost: HashSet<MediaId>,
    so_far: ExportProgress,
}

impl Privacy {
    /// Writes everything. False: the lane is somebody else's, or the person is being erased.
    pub(super) async fn write(
        &self,
        lane: OwnedLane,
        export: &ExportRow,
        archive: &mut Archive,
        so_far: ExportProgress,
    ) -> Result<bool, PrivacyError> {
        let facts = self.facts(lane.tenant, export).await?;
        let mut writer = Writer { privacy: self, lane, export, lost: HashSet::new(), so_far };
        let is_ours = writer.files(archive).await?
            && writer.data(&facts, archive).await?
            && writer.index(&facts, archive).await?;
        // The last look before it takes its place.
        Ok(is_ours && writer.note().await?)
    }
}

impl Writer<'_> {
    async fn note(&self) -> Result<bool, PrivacyError> {
        Ok(self.privacy.store.note_export(self.lane, self.so_far).await?)
    }

    async fn files(&mut self, archive: &mut Archive) -> Result<bool, PrivacyError> {
        let mut files = Files::of(self.privacy, self.lane.tenant, self.export);
        loop {
            let written = files.write(archive, &mut self.lost).await?;
            self.so_far.files_done += written;
            if written == 0 {
                return Ok(true);
            }
            if !self.note().await? {
                return Ok(false);
            }
        }
    }

    async fn data(&mut self, facts: &Facts, archive: &mut Archive) -> Result<bool, PrivacyError> {
        archive.file("data.json").await?;
        let head = serde_json::to_string(facts).map_err(|_| PrivacyError::Archive)?;
        let open = head.strip_suffix('}').ok_or(PrivacyError::Archive)?;
        archive.add(open.as_bytes()).await?;
        archive.add(b",\"files\":").await?;
        let (mut list, mut files) = (List::default(), Files::of(self.privacy, self.lane.tenant, self.export));
        loop {
            let next = files.next(&self.lost).await?;
            if next.is_empty() {
                break;
            }
            archive.add(&list.of(next.iter().map(json::file))).await?;
        }
        archive.add(list.end()).await?;
        archive.add(b",\"access_history\":").await?;
        let (mut list, mut history) =
            (List::default(), History::of(self.privacy, self.lane.tenant, self.export).await?);
        loop {
            let next = history.next().await?;
            if next.is_empty() {
                break;
            }
            archive.add(&list.of(next.iter().map(json::looked))).await?;
        }
        archive.add(list.end()).await?;
        archive.add(b",\"messages\":").await?;
        let (mut list, mut conversation) =
            (List::default(), Conversation::of(self.privacy, self.lane.tenant, self.export));
        loop {
            let next = conversation.next().await?;
            if next.is_empty() {
                break;
            }
            archive.add(&list.of(next.iter().map(json::said))).await?;
            let said = self.so_far.messages_done + i64::try_from(next.len()).unwrap_or(0);
            self.so_far.messages_done = said.min(self.so_far.messages);
            if !self.note().await? {
                return Ok(false);
            }
        }
        archive.add(list.end()).await?;
        archive.add(b"}\n").await?;
        archive.end().await?;
        Ok(true)
    }

    async fn index(&mut self, facts: &Facts, archive: &mut Archive) -> Result<bool, PrivacyError> {
        archive.file("index.html").await?;
        archive.add(page::head(facts).as_bytes()).await?;
        archive.add(page::FILES.as_bytes()).await?;
        let mut files = Files::of(self.privacy, self.lane.tenant, self.export);
        loop {
            let next = files.next(&self.lost).await?;
            if next.is_empty() {
                break;
            }
            archive.add(next.iter().map(page::file).collect::<String>().as_bytes()).await?;
        }
        archive.add(page::LIST_ENDS.as_bytes()).await?;
        archive.add(page::CONVERSATION.as_bytes()).await?;
        let mut conversation = Conversation::of(self.privacy, self.lane.tenant, self.export);
        loop {
            let next = conversation.next().await?;
            if next.is_empty() {
                break;
            }
            archive.add(next.iter().map(page::said).collect::<String>().as_bytes()).await?;
            if !self.note().await? {
                return Ok(false);
            }
        }
        archive.add(page::HISTORY.as_bytes()).await?;
        let mut history = History::of(self.privacy, self.lane.tenant, self.export).await?;
        loop {
            let next = history.next().await?;
            if next.is_empty() {
                break;
            }
            archive.add(next.iter().map(page::looked).collect::<String>().as_bytes()).await?;
        }
        archive.add(page::LIST_ENDS.as_bytes()).await?;
        archive.add(page::END.as_bytes()).await?;
        archive.end().await?;
        Ok(true)
    }
}

/// A list of JSON on its way.
#[derive(Default)]
struct List {
    begun: bool,
}

impl List {
    /// More of it.
    fn of(&mut self, items: impl Iterator<Item = Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        for item in items {
            bytes.extend([if self.begun { b',' } else { b'[' }, b'\n']);
            bytes.extend(item);
            self.begun = true;
        }
        bytes
    }

    /// Its end.
    const fn end(&self) -> &'static [u8] {
        if self.begun { b"]" } else { b"[]" }
    }
}
