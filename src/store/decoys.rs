//! Decoys, by keyed hashes of their contacts' ids.

use uuid::Uuid;

use super::settings::step_version;
use super::{Store, StoreError};
use crate::ids::TenantId;

impl Store {
    /// The decoys of all tenants.
    pub async fn all_decoys(&self) -> Result<Vec<(Uuid, [u8; 16])>, StoreError> {
        let rows = sqlx::query!("SELECT tenant_id, contact_hash FROM decoy").fetch_all(&self.data).await?;
        // The length is checked by the table.
        Ok(rows.into_iter().filter_map(|row| Some((row.tenant_id, row.contact_hash.try_into().ok()?))).collect())
    }

    /// Makes a contact a decoy, or none any more. As much is done whether it was one or not.
    pub async fn set_decoy(&self, tenant: TenantId, contact: &[u8; 16], is_decoy: bool) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        let (tenant, contact) = (tenant.uuid(), contact.as_slice());
        let statement = if is_decoy {
            sqlx::query!(
                "INSERT INTO decoy (tenant_id, contact_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                tenant,
                contact,
            )
        } else {
            sqlx::query!("DELETE FROM decoy WHERE tenant_id = $1 AND contact_hash = $2", tenant, contact)
        };
        statement.execute(&mut *transaction).await?;
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}
