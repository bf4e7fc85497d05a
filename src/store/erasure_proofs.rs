//! What an erasure rests on and what it leaves: how the person was known to be who they said, and the certificate.

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::{self, Kind};
use super::{Store, StoreError, Transaction};
use crate::ids::{ErasureId, TenantId};

/// How a person was known to be who they said.
#[derive(Debug)]
pub struct NewIdentity<'a> {
    /// A word from the list that the table holds.
    pub method: &'static str,
    /// Sealed.
    pub note: Option<&'a [u8]>,
}

/// The same as it is stored.
#[derive(Debug, Clone)]
pub struct IdentityRow {
    /// How.
    pub method: String,
    /// Sealed; gone with the certificate.
    pub note: Option<Vec<u8>>,
    /// When it was said.
    pub checked_at: OffsetDateTime,
}

/// Keeps it with an erasure that this transaction has stored.
pub(super) async fn keep_identity(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ErasureId,
    new: &NewIdentity<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE erasure SET identity = $3, identity_note = $4::bytea, identity_at = $5 WHERE tenant_id = $1 AND erasure_id = $2",
        tenant.uuid(),
        id.uuid(),
        new.method,
        new.note,
        now,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

impl Store {
    /// How the person of an erasure was known to be who they said. `None`: nobody has said.
    pub async fn identity_of_erasure(
        &self,
        tenant: TenantId,
        id: ErasureId,
    ) -> Result<Option<IdentityRow>, StoreError> {
        let row = sqlx::query_as!(
            IdentityRow,
            r#"SELECT identity AS "method!", identity_note::bytea AS note, identity_at AS "checked_at!" FROM erasure
               WHERE tenant_id = $1 AND erasure_id = $2 AND identity IS NOT NULL"#,
            tenant.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }
}

/// From here on nothing says who it was.
pub(super) async fn certify(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ErasureId,
    certificate: &str,
    entry: Uuid,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE erasure SET certificate = $3, entry_id = $4, contact_ids = '{}', reference = NULL, identity_note = NULL
         WHERE tenant_id = $1 AND erasure_id = $2",
        tenant.uuid(),
        id.uuid(),
        certificate,
        entry,
    )
    .execute(&mut **transaction)
    .await?;
    lanes::remove(transaction, tenant, Kind::Privacy, id.uuid()).await
}
