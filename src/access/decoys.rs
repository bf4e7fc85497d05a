//! Decoys: an operator marks contacts that nobody has a reason to look at, and is told when somebody does. No answer says which.

use super::{Caller, Door, DoorError, Errand, Permission};
use crate::audit::{Action, Object};
use crate::directory::SaveError;
use crate::ids::ContactId;

/// Why a contact was not made a decoy, or not an ordinary one again.
#[derive(Debug, thiserror::Error)]
pub enum DecoyError {
    /// The door.
    #[error("it could not be looked up or recorded")]
    Door(#[from] DoorError),
    /// The settings.
    #[error("it could not be stored")]
    Save(#[from] SaveError),
}

impl Door {
    /// Makes a contact a decoy, or an ordinary one again; it does not matter what it was, and nobody is told. False: the contact is
    /// unknown, or was never met in the caller's channels. The entry in the audit log does not name the contact.
    pub async fn set_decoy(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
        is_decoy: bool,
    ) -> Result<bool, DecoyError> {
        self.admit(who, errand, Permission::DecoysManage).await?;
        if self.find_contact(who, contact).await?.is_none() {
            return Ok(false);
        }
        let action = if is_decoy { Action::DecoyMarked } else { Action::DecoyUnmarked };
        let act = errand.act(who, action, Object::several("decoy"));
        errand.keep(self.audit.record(act).await.map_err(DoorError::from)?);
        self.directory.set_decoy(who.tenant, contact, is_decoy).await?;
        Ok(true)
    }
}
