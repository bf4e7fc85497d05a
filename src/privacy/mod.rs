//! Keeping and forgetting: people are erased with everything that is stored about them, data are held, and what is old goes.
//!
//! An erasure is a row that goes from state to state, each step an update from the state before together with its entry in the audit log.
//! It is worked on through a lane of its own, and may be taken up by anybody at any moment: every step does no harm when it is done twice.

mod anchor;
mod astray;
pub mod certificate;
pub mod cover;
mod erasure;
mod export;
mod holds;
mod identity;
mod in_chat;
mod lane;
mod marked_settings;
mod marks;
mod receipt;
mod requests;
mod reseal;
mod restored;
mod restrictions;
mod retention;
mod rows;
mod shorter;
mod steps;
mod subject;

pub use astray::{Astray, RowFault, RowsFound};
pub use erasure::{Asked, Basis, Found, Progress};
pub use export::{ExportTerms, SealedFor, object_of as object_of_export, run_export};
pub use holds::{HoldChange, HoldView, LONGEST as LONGEST_HOLD, NewHold};
pub use identity::{Identity, IdentityView, Method as IdentityMethod};
pub use lane::run as run_lane;
pub use requests::{DUE_SOON, Law, NewRequest, Outcome, RequestKind, RequestView};
pub use reseal::{Reseal, Resealed};
pub use restrictions::RestrictionView;
pub use retention::{Attested, RetentionTerms};
pub use shorter::{ChannelRule, PassingCursor};
pub use steps::Next;
pub use subject::Named;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::audit::{Audit, AuditError};
use crate::clock::SharedClock;
use crate::directory::contacts::ResolveError;
use crate::directory::{Bells, Contacts, Directory};
use crate::ids::{AuditEntryId, ContactId, ErasureId, MediaId, TenantId};
use crate::keyring::{Keyring, KeyringError, OwnedDek};
use crate::store::{Store, StoreError};

/// Owner, id, and whom it is about.
pub type FilePlace = (TenantId, MediaId, Option<ContactId>);
/// What a file holds, piece by piece.
pub type FileContent = BoxStream<'static, Result<Bytes, FileError>>;

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// Not now.
    Away,
    /// It is not there, or does not open.
    Lost,
}

/// Files outside of the database.
pub trait Files: Send + Sync + std::fmt::Debug {
    /// Whether there is a place for them at all.
    fn has_place(&self) -> bool;
    /// Removes the file of an event, if there is one, here and at Meta. False: it could not be removed now. What Meta does not delete is
    /// recorded with the erasure that it is removed for.
    fn remove(
        &self,
        tenant: TenantId,
        media: MediaId,
        contact: Option<ContactId>,
        erasure: Option<ErasureId>,
    ) -> BoxFuture<'_, bool>;
    /// Reads a file that is kept.
    fn read(&self, place: FilePlace, key: Arc<OwnedDek>) -> BoxFuture<'_, Result<FileContent, FileError>>;
    /// Begins a file, in the place of what may lie there. `None`: not now.
    fn begin(&self, place: FilePlace, key: Arc<OwnedDek>) -> BoxFuture<'_, Option<Box<dyn Writing>>>;
}

/// A file that is being written.
pub trait Writing: Send {
    /// Adds content. False: it could not be written.
    fn push(&mut self, content: Vec<u8>) -> BoxFuture<'_, bool>;
    /// Puts it where it belongs: its length. `None`: it could not be.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Option<u64>>;
    /// Leaves everything as it was before.
    fn abort(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// How long what cannot be reached from here lives on.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Unwrapped keys in the memory of other processes.
    pub key_cache: Duration,
    /// Backups of the database, by what the operator says.
    pub backups: time::Duration,
    /// Entries of the audit log.
    pub audit: time::Duration,
}

/// A page of what was recorded and then opened.
#[derive(Debug)]
pub struct Shown<V> {
    /// What is shown, and nothing else was opened.
    pub views: Vec<V>,
    /// Whether there is more.
    pub has_more: bool,
    /// The entry, if there is anything.
    pub receipt: Option<AuditEntryId>,
}

impl<V> Shown<V> {
    const NOTHING: Self = Self { views: Vec::new(), has_more: false, receipt: None };
}

/// How many rows to ask for: one more than are shown tells whether there is more.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// The rows that are shown, and whether there is more.
fn cut<R>(mut rows: Vec<R>, limit: usize) -> (Vec<R>, bool) {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}

/// Keeps and forgets. Clones share everything.
#[derive(Debug, Clone)]
pub struct Privacy {
    /// What is stored.
    pub store: Store,
    /// What it is sealed with.
    pub keyring: Keyring,
    /// Who is told.
    pub directory: Directory,
    /// Whom this process remembers.
    pub contacts: Contacts,
    /// Where each step is recorded.
    pub audit: Audit,
    /// Wakes the lanes.
    pub bells: Bells,
    /// Files that people sent; `None`: they are not kept.
    pub files: Arc<dyn Files>,
    /// What lives on elsewhere.
    pub terms: Terms,
    /// What is kept for how long.
    pub retention: RetentionTerms,
    /// What exports say of the operator, and how long they are there.
    pub exports: Arc<ExportTerms>,
    /// When.
    pub clock: SharedClock,
}

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// Nobody is known by that name, or nothing by that id.
    #[error("there is nobody of that name, or nothing of that id")]
    Unknown,
    /// Another erasure of the same person is under way.
    #[error("this person is being erased already")]
    UnderWay,
    /// The request is not open, or may not be given longer.
    #[error("the request cannot be changed so")]
    RequestNotChanged,
    /// It was changed meanwhile, or is not this key's to change.
    #[error("it cannot be changed so")]
    Refused,
    /// The database.
    #[error("the privacy tables could not be read or written")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("keys could not be made or destroyed")]
    Keys(#[from] KeyringError),
    /// No entry, no step.
    #[error("a step could not be recorded")]
    Audit(#[from] AuditError),
    /// Files could not be read, written or removed now.
    #[error("files could not be read, written or removed yet")]
    Files,
    /// Nothing says where files are kept.
    #[error("there is no place for files")]
    NoPlace,
    /// Somebody else may be asking.
    #[error("the person's number, id or device has changed of late")]
    IdentityChanged,
    /// An archive could not be written, or not for whom it was asked for.
    #[error("an archive could not be written")]
    Archive,
}

impl From<ResolveError> for PrivacyError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Keys(error) => Self::Keys(error),
        }
    }
}

impl PrivacyError {
    /// Whether the same may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown
            | Self::UnderWay
            | Self::Refused
            | Self::RequestNotChanged
            | Self::NoPlace
            | Self::IdentityChanged
            | Self::Archive => false,
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
            Self::Audit(_) | Self::Files => true,
        }
    }
}
