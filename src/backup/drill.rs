//! Whether what was restored is of use: whether content opens with the keys that came with it.

use crate::crypto::envelope::{self, Sealed};
use crate::ids::{ContactId, EventId, TenantId};
use crate::keyring::{Keyring, places};
use crate::store::Store;

use super::BackupError;

/// Contents that are tried.
const SOME: i64 = 1000;

/// What became of the contents that were tried. What they say is told to nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened {
    /// Opened.
    pub opened: usize,
    /// Their keys were destroyed: they are forgotten, and should not open.
    pub forgotten: usize,
    /// Did not open, though their keys are there.
    pub damaged: usize,
}

impl Opened {
    /// Tries the newest contents.
    pub async fn of(store: &Store, keyring: &Keyring) -> Result<Self, BackupError> {
        let mut found = Self::default();
        for content in store.some_content(SOME).await? {
            let tenant = TenantId::from_uuid(content.tenant);
            let place = places::event_payload(
                tenant,
                EventId::from_uuid(content.event),
                content.contact.map(ContactId::from_uuid),
            );
            let sealed = Sealed::from_stored(content.payload);
            let Some(id) = sealed.dek_id() else {
                found.damaged += 1;
                continue;
            };
            match keyring.whatever_opens(tenant, [id]).await?.get(&id) {
                None => found.forgotten += 1,
                Some(key) if envelope::open(&key.dek, &place, &sealed).is_ok() => found.opened += 1,
                Some(_) => found.damaged += 1,
            }
        }
        Ok(found)
    }
}
