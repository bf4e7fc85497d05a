//! Message out, to Meta: accept, keep, put on the wire, record. Meta has no idempotency key, so a request whose answer was
//! lost is `in_doubt` and never sent again by us.

mod accept;
pub mod accounts;
mod awaiting;
mod busy;
mod cancel;
mod check;
mod claim;
pub mod closing;
mod depth;
mod fallback;
mod files;
mod flight;
pub mod in_chat;
mod lane;
mod mirror;
pub mod notice;
mod order;
mod outcome;
mod pace;
mod queue;
pub mod rules;
mod schema;
mod turns;
mod waited;

pub use accept::{Accepting, Ready};
pub use busy::Busy;
pub use cancel::Found;
pub use check::{Draft, Fault};
pub use depth::{Depths, Standing};
pub use files::{NotUploaded, Uploads};
pub use lane::run as run_lane;
pub use mirror::{MirrorError, Passed, Way};
pub use order::{Order, Terms};
pub use pace::{Limited, Pacing};
pub use queue::{Addressed, Before, Idempotency, QueueError};

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::directory::{Bells, Contacts, Directory};
use crate::keyring::Keyring;
use crate::meta::client::GraphClient;
use crate::store::Store;

/// Everything that sending needs. Clones share connections and caches.
#[derive(Debug, Clone)]
pub struct Sender {
    /// What is owed to Meta.
    pub store: Store,
    /// Seals and opens it.
    pub keyring: Keyring,
    /// Through which channel.
    pub directory: Directory,
    /// To whom.
    pub contacts: Contacts,
    /// The way in.
    pub accepting: Accepting,
    /// How it gets there.
    pub graph: GraphClient,
    /// How files get there.
    pub uploads: Arc<dyn Uploads>,
    /// Wakes the lanes.
    pub bells: Bells,
    /// Requests to Meta that are finished even if whoever asked for them has left.
    pub tasks: TaskTracker,
    /// When.
    pub clock: SharedClock,
    /// Requests at the same time through one channel.
    pub max_in_flight: usize,
    /// How fast.
    pub pacing: Pacing,
    /// What is asked before a message is sent.
    pub rules: rules::Rules,
    /// The templates that messages are compared with.
    pub book: rules::Book,
    /// How much waits.
    pub depths: Depths,
    /// How many lanes of this process have messages in hand.
    pub busy: Busy,
    /// What people are told who write; `None`: nothing.
    pub notice: Option<Arc<notice::Notice>>,
    /// Whether people can ask about their data in the chat.
    pub in_chat: bool,
    /// Where people get the data that they asked for there; `None`: nowhere.
    pub links: Option<Arc<dyn in_chat::ArchiveLinks>>,
}
