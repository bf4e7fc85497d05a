//! After a restore: people who were forgotten after the backup was made are forgotten once more, by the same steps.

use uuid::Uuid;

use super::{Next, Privacy, PrivacyError};
use crate::ids::{ErasureId, TenantId};

impl Privacy {
    /// Removes the rows of everybody whom a restore brought back. Done before anybody is listened to; killed in it, the next start goes
    /// on. Returns for how many people it has to wait, because somebody holds their data.
    pub async fn forget_restored(&self) -> Result<usize, PrivacyError> {
        let mut waiting: Vec<Uuid> = Vec::new();
        loop {
            let under_way = self.store.restored_erasures(&waiting).await?;
            if under_way.is_empty() {
                return Ok(waiting.len());
            }
            for (tenant, id) in under_way {
                match self.step(TenantId::from_uuid(tenant), ErasureId::from_uuid(id)).await? {
                    Next::Go => {}
                    Next::Wait | Next::Done => waiting.push(id),
                }
            }
        }
    }
}
