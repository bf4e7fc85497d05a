//! The files of a person, in the archive.

use std::collections::HashSet;

use futures_util::StreamExt;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{FileError, Privacy, PrivacyError};
use super::gather::Keys;
use super::sealing::Archive;
use crate::domain::file::ending;
use crate::ids::{MediaId, TenantId};
use crate::keyring::places;
use crate::store::export_reads::KeptFile;
use crate::store::exports::ExportRow;

/// Files that are listed at once.
const PAGE: i64 = 100;

/// A file, as the archive tells of it.
#[derive(Serialize)]
pub(super) struct FileIn {
    pub(super) id: MediaId,
    /// Where it lies in the archive; absent: it could not be read.
    pub(super) path: Option<String>,
    pub(super) direction: String,
    pub(super) mime_type: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) bytes: Option<i64>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
}

/// What is known of a file, as the room of files writes it.
#[derive(Default, serde::Deserialize)]
struct Details {
    mime_type: Option<String>,
    filename: Option<String>,
}

/// The files of a person, newest first.
pub(super) struct Files<'a> {
    privacy: &'a Privacy,
    tenant: TenantId,
    export: &'a ExportRow,
    before: Uuid,
}

impl<'a> Files<'a> {
    pub(super) fn of(privacy: &'a Privacy, tenant: TenantId, export: &'a ExportRow) -> Self {
        Self { privacy, tenant, export, before: export.export_id }
    }

    /// The next of them, with what opens them; none: it is over.
    async fn page(&mut self) -> Result<(Vec<KeptFile>, Keys), PrivacyError> {
        let contacts = &self.export.contact_ids;
        let rows = self.privacy.store.kept_files_of(self.tenant, contacts, self.before, PAGE).await?;
        self.before = rows.last().map_or(self.before, |row| row.media.uuid());
        let ids = Keys::ids(rows.iter().filter_map(|row| row.details.as_ref()));
        let keys = Keys::fetch(&self.privacy.keyring, self.tenant, ids).await?;
        Ok((rows, keys))
    }

    /// The next of them; none: it is over. `lost`: those that could not be read.
    pub(super) async fn next(&mut self, lost: &HashSet<MediaId>) -> Result<Vec<FileIn>, PrivacyError> {
        let (rows, keys) = self.page().await?;
        Ok(rows.iter().map(|row| self.shown(row, &keys, lost)).collect())
    }

    fn shown(&self, row: &KeptFile, keys: &Keys, lost: &HashSet<MediaId>) -> FileIn {
        let place = places::media_details(self.tenant, row.media, Some(row.contact));
        let opened = row.details.as_ref().and_then(|sealed| keys.open(&place, sealed));
        let details: Details = opened.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let path = (!lost.contains(&row.media)).then(|| path_of(row.media, details.mime_type.as_deref()));
        FileIn {
            id: row.media,
            path,
            direction: row.direction.clone(),
            mime_type: details.mime_type,
            filename: details.filename,
            bytes: row.bytes,
            at: row.settled_at,
        }
    }

    /// Writes the next of them into the archive, and notes those that cannot be read. How many there were; 0: it is over.
    pub(super) async fn write(
        &mut self,
        archive: &mut Archive,
        lost: &mut HashSet<MediaId>,
    ) -> Result<i64, PrivacyError> {
        let (rows, keys) = self.page().await?;
        for row in &rows {
            let key = row.details.as_ref().and_then(|sealed| keys.key(sealed)).cloned();
            let place = (self.tenant, row.media, Some(row.contact));
            let content = match key {
                Some(key) => self.privacy.files.read(place, key).await,
                None => Err(FileError::Lost),
            };
            let mut content = match content {
                Ok(content) => content,
                Err(FileError::Away) => return Err(PrivacyError::Files),
                Err(FileError::Lost) => {
                    lost.insert(row.media);
                    continue;
                }
            };
            let shown = self.shown(row, &keys, &HashSet::new());
            archive.file(&shown.path.unwrap_or_default()).await?;
            while let Some(piece) = content.next().await {
                match piece {
                    Ok(piece) => archive.add(&piece).await?,
                    Err(FileError::Away) => return Err(PrivacyError::Files),
                    Err(FileError::Lost) => {
                        lost.insert(row.media);
                        break;
                    }
                }
            }
            archive.end().await?;
        }
        Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
    }
}

/// By its id: people call files after people, and twice the same.
fn path_of(media: MediaId, mime_type: Option<&str>) -> String {
    format!("files/{media}.{}", mime_type.map_or("bin", ending))
}
