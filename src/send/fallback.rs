//! The template that goes out in the place of a message that is no longer allowed.

use zeroize::Zeroizing;

use super::Sender;
use super::queue::QueueError;
use crate::crypto::envelope::{self, Sealed};
use crate::ids::{ContactId, MessageId, TenantId};
use crate::keyring::places;

impl Sender {
    /// The JSON of a message's template for Meta, with recipient and callback data. `None`: it has none, or its key is gone for good.
    pub async fn fallback(
        &self,
        tenant: TenantId,
        message: MessageId,
        contact: ContactId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, QueueError> {
        let Some(sealed) = self.store.fallback_of(tenant, message).await?.map(Sealed::from_stored) else {
            return Ok(None);
        };
        let Some(id) = sealed.dek_id() else { return Ok(None) };
        let keys = self.keyring.for_opening(tenant, [id]).await?;
        let place = places::message_fallback(tenant, message, contact);
        Ok(keys.get(&id).and_then(|key| envelope::open(&key.dek, &place, &sealed).ok()))
    }
}
