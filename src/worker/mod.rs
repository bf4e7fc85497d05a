//! What runs without being asked: keeps this process's lease, works on the lanes it owns, reads changed settings, cleans up.

mod calls;
mod housekeeping;
mod key_tree;
mod lanes;

pub use lanes::Lease;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::Refusals;
use crate::access::usage::Usage;
use crate::audit::{Audit, Witnessing};
use crate::clock::SharedClock;
use crate::deliver::Deliverer;
use crate::directory::Directory;
use crate::ids::WorkerId;
use crate::ingest::Ingest;
use crate::keyring::Keyring;
use crate::media::Fetcher;
use crate::privacy::{Law, Privacy};
use crate::send::{self, Sender};
use crate::store::Store;

/// Everything that works by itself.
#[derive(Debug, Clone)]
pub struct Worker {
    /// This process.
    pub id: WorkerId,
    /// Lanes, leases, partitions.
    pub store: Store,
    /// Settings.
    pub directory: Directory,
    /// Unwrapped keys to be wiped in time.
    pub keyring: Keyring,
    /// Delivers to endpoints.
    pub deliverer: Deliverer,
    /// Fetches files from Meta, and finishes what was left of others.
    pub files: Fetcher,
    /// Forgets people, and what is old.
    pub privacy: Privacy,
    /// By which law people ask in the chat; `None`: they cannot.
    pub in_chat: Option<Law>,
    /// Sends to Meta.
    pub sender: Sender,
    /// Puts entries into the tree of the audit log.
    pub audit: Audit,
    /// Days that entries of the log are kept.
    pub audit_days: u16,
    /// What was forgotten waits so long at most for a step of the key epoch.
    pub epoch_step: std::time::Duration,
    /// Has the tree cosigned.
    pub witnessing: Witnessing,
    /// Refused callers, counted until there is an entry for them.
    pub refusals: Refusals,
    /// Watched for the metrics.
    pub ingest: Ingest,
    /// Kept small while nobody reads them.
    pub metrics: PrometheusHandle,
    /// When.
    pub clock: SharedClock,
    /// How long a silent process keeps its lanes.
    pub lease: Lease,
    /// When API keys were used; stored now and then.
    pub usage: Usage,
    /// Whether processes call each other when something is owed.
    pub notify: bool,
}

impl Worker {
    /// Starts working. Ends when `stop` is cancelled: lanes finish what is on the wire, then are given back; `tasks` waits for
    /// that. `rung` are the lanes that other processes are to be called for.
    pub fn start(self, rung: mpsc::Receiver<Uuid>, tasks: &TaskTracker, stop: &CancellationToken) {
        let look = Arc::new(Notify::new());
        tasks.spawn(calls::look(self.clone(), look.clone(), stop.clone()));
        if self.notify {
            tasks.spawn(calls::call(self.clone(), rung, stop.clone()));
            tasks.spawn(calls::listen(self.clone(), look.clone(), stop.clone()));
        }
        tasks.spawn(self.refusals.alarms().clone().run(stop.clone()));
        tasks.spawn(send::accounts::run(self.sender.clone(), stop.clone()));
        tasks.spawn(send::closing::run(self.sender.clone(), stop.clone()));
        tasks.spawn(send::notice::run(self.sender.clone(), stop.clone()));
        tasks.spawn(send::in_chat::run(self.sender.clone(), stop.clone()));
        tasks.spawn(send::accounts::keep_book(self.sender.clone(), stop.clone()));
        tasks.spawn(key_tree::run(self.clone(), stop.clone()));
        tasks.spawn(housekeeping::settings(self.clone(), stop.clone()));
        tasks.spawn(housekeeping::cleaning(self.clone(), stop.clone()));
        tasks.spawn(lanes::run(self, look, stop.clone()));
    }
}
