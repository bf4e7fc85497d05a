//! Message in: verify, parse, queue, and answer when the batch that holds it has committed.

mod backpressure;
mod batcher;
mod callback;
mod consent;
mod file;
mod filing;
mod hasten;
mod in_chat;
mod queue;
mod versions;
mod windows;
mod write;
mod write_error;

pub use backpressure::Coming;
pub use batcher::Limits;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::clock::SharedClock;
use crate::directory::{Bells, Contacts, Directory};
use crate::domain::consent::Words;
use crate::domain::in_chat::Words as ChatWords;
use crate::ids::TenantId;
use crate::keyring::Keyring;
use crate::meta::parse;
use crate::meta::signature::{RawBody, VerifiedBody};
use crate::store::Store;
use queue::{Full, Load, Queue};

/// Why a webhook was not accepted. The HTTP answer says no more than the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No app secret of ours signed it.
    #[error("not signed by an app of ours")]
    Unproved,
    /// More is waiting than we are willing to hold. Meta keeps it.
    #[error("too much is waiting")]
    Full,
    /// The database is away or too slow. Meta keeps it.
    #[error("could not be stored")]
    Unavailable,
}

/// The way in. Clones share one queue.
#[derive(Debug, Clone)]
pub struct Ingest {
    directory: Directory,
    queue: Arc<Queue>,
    commit_timeout: Duration,
}

/// Everything that writing a batch needs.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where events go.
    pub store: Store,
    /// What they are sealed with.
    pub keyring: Keyring,
    /// Who is told.
    pub directory: Directory,
    /// Whom they are about.
    pub contacts: Contacts,
    /// Where it is told how many came.
    pub audit: Audit,
    /// Wakes the lanes.
    pub bells: Bells,
    /// Words by which people stop marketing and allow it again.
    pub words: Arc<Words>,
    /// Words by which people ask about their data.
    pub chat_words: Arc<ChatWords>,
    /// When.
    pub clock: SharedClock,
    /// Whether files are kept that people send.
    pub keeps_media: bool,
}

impl Ingest {
    /// Starts the batchers. They run until `stop` is cancelled and the queue is empty; `tasks` waits for that.
    #[must_use]
    pub fn start(parts: &Parts, limits: Limits, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let queue = Arc::new(Queue::new(limits.queue_bytes, limits.writers * limits.batch_bytes));
        let windows = Arc::new(windows::Windows::new());
        for _ in 0..limits.writers {
            let parts = (parts.clone(), windows.clone());
            tasks.spawn(batcher::supervise(parts, limits, queue.clone(), stop.clone()));
        }
        Self { directory: parts.directory.clone(), queue, commit_timeout: limits.commit_timeout }
    }

    /// Returns when a body of so many bytes is to be read: at once, unless so much waits that it had better stay with its sender,
    /// and then within a second. To be dropped when the body has come.
    pub async fn admit(&self, bytes: usize) -> Coming {
        self.queue.admit(bytes).await
    }

    /// Takes a webhook and returns when everything in it is committed. A caller that goes away does not undo anything.
    pub async fn receive(&self, body: Bytes, signature: Option<&[u8]>) -> Result<(), Refusal> {
        let (body, tenant) = self.prove(body, signature)?;
        let answer = self.queue.push(tenant, self.load(body)).map_err(|Full| Refusal::Full)?;
        match tokio::time::timeout(self.commit_timeout, answer).await {
            Ok(Ok(true)) => Ok(()),
            // Refused by the database, dropped by a batcher that died, or not in time: never 200.
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Refusal::Unavailable),
        }
    }

    fn prove(&self, body: Bytes, signature: Option<&[u8]>) -> Result<(VerifiedBody, TenantId), Refusal> {
        let snapshot = self.directory.snapshot();
        RawBody::new(body).verify(signature, snapshot.webhook_secrets()).map_err(|_| Refusal::Unproved)
    }

    /// Cut here, where it takes no batcher's time, unless so much is cut already that the batchers have enough to do.
    fn load(&self, body: VerifiedBody) -> Load {
        let bytes = body.bytes().len();
        match self.queue.turn(bytes) {
            Some(turn) => Load::Items(parse::parse(&body), turn),
            None => Load::Body { bytes, cut: Box::new(move || parse::parse(&body)) },
        }
    }

    /// Bytes of the items that wait or are being written.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.queue.waiting()
    }

    /// How full the queue is, from 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.queue.fill()
    }
}
