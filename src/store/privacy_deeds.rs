//! What was done for the requests of people: which export, which hold. A deed is joined to its request in the commit in which it is done.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{ExportId, PrivacyRequestId, TenantId};

/// What can be done for a request, beside an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The person's data were written into an archive.
    Export,
    /// They are held.
    Hold,
    /// They are kept and not used.
    Restriction,
    /// They were put right.
    Rectification,
}

/// What became of a wish about somebody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wished {
    /// It is done.
    Done,
    /// The person is being erased, or gone.
    Erased,
    /// The request that it was to be done for is not open, asks for something else, or is about somebody else.
    NoRequest,
}

impl Deed {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Hold => "hold",
            Self::Restriction => "restriction",
            Self::Rectification => "rectification",
        }
    }

    /// The kinds of request that it can be done for. Whoever asks to be forgotten may be held or restricted instead (Art. 17(3), 18(1)(b)).
    #[must_use]
    pub const fn answers(self) -> &'static [&'static str] {
        match self {
            Self::Export => &["access", "portability", "information"],
            Self::Hold | Self::Restriction => &["erasure", "restriction", "objection", "rectification"],
            Self::Rectification => &["rectification"],
        }
    }

    /// The kind that is answered by it and by nothing else: such a request ends with it.
    const fn ends(self) -> Option<&'static str> {
        match self {
            // An archive that is made is not yet in the person's hands, and a hold is in force when another has approved it.
            Self::Export | Self::Hold => None,
            Self::Restriction => Some("restriction"),
            Self::Rectification => Some("rectification"),
        }
    }
}

/// Something that is done for a request.
#[derive(Debug, Clone, Copy)]
pub struct NewDeed<'a> {
    /// Which request.
    pub request: PrivacyRequestId,
    /// What.
    pub deed: Deed,
    /// Of the export or the hold; else of the entry in the audit log.
    pub id: Uuid,
    /// Of whom: every id of the person.
    pub people: &'a [Uuid],
}

/// Something that was done for a request.
#[derive(Debug, Clone)]
pub struct DeedRow {
    /// Which request.
    pub request_id: Uuid,
    /// A name of [`Deed`].
    pub deed: String,
    /// Of the export or the hold; else of the entry in the audit log.
    pub deed_id: Uuid,
    /// When.
    pub done_at: OffsetDateTime,
    /// How far the export or the hold is. `None`: it is no such thing, or went with the person or with age.
    pub state: Option<String>,
}

/// Joins a deed to the request that it is done for, which may end with it. False: that is not open, asks for something else, or is about
/// somebody else; then nothing may be committed.
pub async fn join(
    connection: &mut Connection,
    tenant: TenantId,
    new: &NewDeed<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let kinds: Vec<String> = new.deed.answers().iter().map(|kind| (*kind).to_owned()).collect();
    // The lock: nobody ends the request meanwhile.
    let done = sqlx::query!(
        "WITH asked AS (
             SELECT request_id FROM privacy_request
             WHERE tenant_id = $1 AND request_id = $2 AND state = 'open' AND kind = ANY($3)
               AND (contact_id IS NULL OR contact_id = ANY($4)) FOR UPDATE
         )
         INSERT INTO privacy_request_deed (tenant_id, request_id, deed, deed_id, done_at)
         SELECT $1, request_id, $5, $6, $7 FROM asked",
        tenant.uuid(),
        new.request.uuid(),
        &kinds,
        new.people,
        new.deed.as_str(),
        new.id,
        now,
    );
    if done.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    if let Some(kind) = new.deed.ends() {
        sqlx::query!(
            "UPDATE privacy_request SET state = 'done', closed_at = $4
             WHERE tenant_id = $1 AND request_id = $2 AND state = 'open' AND kind = $3",
            tenant.uuid(),
            new.request.uuid(),
            kind,
            now,
        )
        .execute(connection)
        .await?;
    }
    Ok(true)
}

impl Store {
    /// What was done for these requests, the oldest first.
    pub async fn deeds_for(&self, tenant: TenantId, requests: &[Uuid]) -> Result<Vec<DeedRow>, StoreError> {
        let rows = sqlx::query_as!(
            DeedRow,
            r#"SELECT d.request_id, d.deed, d.deed_id, d.done_at, COALESCE(e.state, h.state) AS "state?"
               FROM privacy_request_deed d
               LEFT JOIN export e ON d.deed = 'export' AND e.tenant_id = $1 AND e.export_id = d.deed_id
               LEFT JOIN hold h ON d.deed = 'hold' AND h.tenant_id = $1 AND h.hold_id = d.deed_id
               WHERE d.tenant_id = $1 AND d.request_id = ANY($2) ORDER BY d.done_at, d.deed_id"#,
            tenant.uuid(),
            requests,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// The open request for a copy that an export was made for.
    pub async fn request_of_export(
        &self,
        tenant: TenantId,
        export: ExportId,
    ) -> Result<Option<PrivacyRequestId>, StoreError> {
        let id = sqlx::query_scalar!(
            "SELECT r.request_id FROM privacy_request_deed d
             JOIN privacy_request r ON r.tenant_id = d.tenant_id AND r.request_id = d.request_id
             WHERE d.tenant_id = $1 AND d.deed = 'export' AND d.deed_id = $2 AND r.state = 'open'
               AND r.kind IN ('access', 'portability')",
            tenant.uuid(),
            export.uuid(),
        );
        Ok(id.fetch_optional(self.reading(tenant)).await?.map(PrivacyRequestId::from_uuid))
    }
}
