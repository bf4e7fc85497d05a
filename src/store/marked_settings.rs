//! What somebody set up, as it is compared with the audit log: rows that change, and leave an entry each time.

use uuid::Uuid;

use super::{Connection, StoreError};
use crate::ids::TenantId;

/// Tables of these whose rows are removed with a note of it (`row_removal`), not with an entry alone.
pub const NOTED: [&str; 2] = ["hold", "restriction"];

/// One thing that somebody set up, without what changes by itself.
#[derive(Debug, Clone)]
pub struct SettingRow {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: Uuid,
    /// The key in whose place it is.
    pub instead_of: Option<Uuid>,
    /// Whether it is a key that was taken back.
    pub is_revoked: bool,
    /// How far a hold has come.
    pub state: Option<String>,
    /// What decides who may do and see what, in one form for each row; what is sealed as it is stored.
    pub facts: String,
    /// The sealed part, where it is not among the facts: whoever removes the row cannot read it.
    pub sealed: Option<String>,
}

/// Keys, apps, channels, their PINs, endpoints, holds and restrictions.
pub async fn settings(connection: &mut Connection, tenant: TenantId) -> Result<Vec<SettingRow>, StoreError> {
    let rows = sqlx::query_as!(
        SettingRow,
        r#"SELECT 'key' AS "table!", key_id AS "id!", rotated_from AS "instead_of?", revoked_at IS NOT NULL AS "is_revoked!",
                  NULL AS state,
                  jsonb_build_array(lookup, encode(hash, 'hex'), role, scopes, field_class, unmasked, channel_ids, cidrs, budget,
                      extract(epoch FROM expires_at), extract(epoch FROM revoked_at), extract(epoch FROM locked_at))::text AS "facts!",
                  NULL AS sealed
           FROM api_key WHERE tenant_id = $1
           UNION ALL
           SELECT 'app', app_id, NULL, false, NULL,
                  jsonb_build_array(encode(app_secret::bytea, 'hex'), encode(previous_app_secret::bytea, 'hex'),
                      encode(verify_token::bytea, 'hex'))::text, NULL
           FROM meta_app WHERE tenant_id = $1
           UNION ALL
           SELECT 'channel', channel_id, NULL, false, NULL,
                  jsonb_build_array(phone_number_id, waba_id, encode(access_token::bytea, 'hex'), minimise, retention, media_mode)::text, NULL
           FROM channel WHERE tenant_id = $1
           UNION ALL
           SELECT 'endpoint', endpoint_id, NULL, false, NULL,
                  jsonb_build_array(encode(url::bytea, 'hex'), encode(signing_secret::bytea, 'hex'), encode(options::bytea, 'hex'), format,
                      event_types, channel_ids, direction, fields, pseudonymous)::text, NULL
           FROM endpoint WHERE tenant_id = $1
           UNION ALL
           SELECT 'pin', channel_id, NULL, false, NULL,
                  jsonb_build_array(encode(pin::bytea, 'hex'), encode(pin_next::bytea, 'hex'))::text, NULL
           FROM channel WHERE tenant_id = $1
           UNION ALL
           -- The same facts as in `Store::remove_person`.
           SELECT 'hold', hold_id, NULL, false, state,
                  jsonb_build_array(contact_id, state, owner_id, approver_id, extract(epoch FROM created_at),
                      extract(epoch FROM active_at), extract(epoch FROM expires_at), extract(epoch FROM ended_at))::text,
                  encode(reason::bytea, 'hex')
           FROM hold WHERE tenant_id = $1
           UNION ALL
           -- The same facts as in `Store::remove_person` and `Store::lift_restriction`.
           SELECT 'restriction', contact_id, NULL, false, NULL,
                  jsonb_build_array(actor_id, extract(epoch FROM created_at))::text, encode(reason::bytea, 'hex')
           FROM restriction WHERE tenant_id = $1"#,
        tenant.uuid(),
    );
    Ok(rows.fetch_all(connection).await?)
}
