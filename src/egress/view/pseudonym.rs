//! Pseudonyms of contacts: an endpoint knows each person by an id of its own.

use uuid::Builder;

use crate::crypto::keyed_hash::HashKey;
use crate::ids::{ContactId, EndpointId};

/// Gives one endpoint's pseudonyms. The same contact always has the same one there, another at every other endpoint; who
/// has not the key cannot tell which contact it is, nor which two belong together.
#[derive(Debug, Clone)]
pub struct Pseudonyms {
    key: HashKey,
    endpoint: EndpointId,
}

impl Pseudonyms {
    /// The pseudonyms of an endpoint, under the tenant's key for them.
    #[must_use]
    pub const fn new(key: HashKey, endpoint: EndpointId) -> Self {
        Self { key, endpoint }
    }

    /// The pseudonym of a contact: a UUID of version 8, because it says nothing about a time.
    #[must_use]
    pub fn of(&self, contact: ContactId) -> ContactId {
        let hash = self.key.hash(&[b"contact", self.endpoint.uuid().as_bytes(), contact.uuid().as_bytes()]);
        ContactId::from_uuid(Builder::from_custom_bytes(hash).into_uuid())
    }
}
