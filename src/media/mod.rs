//! Files. Those that people send: fetched from Meta while it has them, checked, stripped of what they say beside their content, sealed, kept.
//!
//! A file is owed from the commit of its event on. It lies in the object store before its row says so, under a name that follows from
//! the row: who is killed between the two fetches it again over the same name, and who gives up removes what lies there. So nothing
//! lies there that no row names.
//!
//! Those that applications hand over: kept in the same way, and uploaded at Meta once for each channel when a message needs them.

mod deletion;
mod fetch;
mod handing_over;
mod lane;
mod passing;
mod shelf;
pub mod strip;
mod telling;
mod uploading;

pub use deletion::DeleteError;
pub use handing_over::{Handed, NotKept, Offer};
pub use lane::run as run_lane;
pub use passing::{NotPassed, Through};
pub use shelf::{Place, PuttingBack, Reading, Shelf, ShelfError, Writing};
pub use uploading::NotUploaded;

use serde::{Deserialize, Serialize};

use crate::clock::SharedClock;
use crate::crypto::envelope::{self, Sealed};
use crate::directory::{Bells, Directory};
use crate::keyring::{Keyring, OwnedDek, places};
use crate::meta::client::GraphClient;
use crate::store::Store;

/// Everything that fetching needs. Clones share connections and caches.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// What is owed.
    pub store: Store,
    /// Opens the event, seals the file.
    pub keyring: Keyring,
    /// Through which channel.
    pub directory: Directory,
    /// Where it comes from.
    pub graph: GraphClient,
    /// Where it goes; without one, nothing is fetched.
    pub shelf: Option<Shelf>,
    /// Wakes the lanes of those who are told.
    pub bells: Bells,
    /// When.
    pub clock: SharedClock,
    /// Files on their way for one channel.
    pub max_in_flight: usize,
}

/// What is known of a file beside its bytes. Sealed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Details {
    /// The type that Meta named.
    pub mime_type: Option<String>,
    /// The name that the sender gave it.
    pub filename: Option<String>,
    /// Whether everything was taken out of it but its content.
    #[serde(default)]
    pub stripped: bool,
}

impl Details {
    fn seal(&self, dek: &OwnedDek, place: Place) -> Option<Sealed> {
        let json = serde_json::to_vec(self).ok()?;
        Some(envelope::seal(&dek.dek, &places::media_details(place.tenant, place.media, place.contact), &json))
    }

    fn open(dek: &OwnedDek, place: Place, sealed: &Sealed) -> Option<Self> {
        let context = places::media_details(place.tenant, place.media, place.contact);
        serde_json::from_slice(&envelope::open(&dek.dek, &context, sealed).ok()?).ok()
    }
}
