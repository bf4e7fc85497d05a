//! Message out, to applications: at least once to every endpoint whose filter matches, from the commit that answered Meta until
//! 2xx or dead letter. One worker owns an endpoint's lane; every write carries the lane's epoch.

mod breaker;
mod deliveries;
mod fly;
mod health;
mod lane;
mod prepare;
mod rate;
mod read;
mod record;
mod replay;
mod schedule;
mod test_send;
mod transport;

pub use deliveries::{Behind, Count, Deliveries, Fate, ReplayRefused, Wanted, WantedEvents};
pub use lane::run as run_lane;
pub use replay::run as run_replay;
pub use test_send::TestRefused;

use std::time::Duration;

use crate::audit::Audit;
use crate::clock::SharedClock;
use crate::directory::{Bells, Directory};
use crate::egress::brokers::Brokers;
use crate::egress::client::EgressClient;
use crate::keyring::Keyring;
use crate::store::Store;

/// Everything that delivering needs. Clones share connections and caches.
#[derive(Debug, Clone)]
pub struct Deliverer {
    /// What is owed.
    pub store: Store,
    /// Opens it.
    pub keyring: Keyring,
    /// To whom.
    pub directory: Directory,
    /// Where it is told that it was opened.
    pub audit: Audit,
    /// How it gets there.
    pub client: EgressClient,
    /// How it gets to brokers.
    pub brokers: Brokers,
    /// Wakes the lanes.
    pub bells: Bells,
    /// When.
    pub clock: SharedClock,
    /// How hard.
    pub limits: Limits,
}

/// Bounds for one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at the same time.
    pub max_in_flight: usize,
    /// One request, from the connection to the end of the answer.
    pub timeout: Duration,
    /// An endpoint that accepted nothing for this long is disabled; `None`: never.
    pub disable_after: Option<Duration>,
    /// Days that content is kept at most: what is owed for longer is given up. `None`: for ever.
    pub content_days: Option<u16>,
}
