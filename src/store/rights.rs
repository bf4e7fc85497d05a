//! What each database role may do with each table: one table of grants, as small as the statements of this room allow, and the policies
//! that say which rows. `row_security.rs` puts it in force; `tests/it/rows` compares it with what Postgres does. Grants are on the parents of partitions alone, so that
//! nobody reaches a partition past its parent's policy.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::pool::SETTING;
use super::roles::Role::{self, Eraser, Ingest, Janitor, Keyring, Reader, Worker};
use crate::config::RolePrefix;

/// A table, and who may do what with it. Privileges are written as SQL has them: of the whole table, or of columns.
struct Table {
    name: &'static str,
    /// Whether it has a `tenant_id`, and so policies.
    of_tenants: bool,
    grants: &'static [(Role, &'static str)],
}

const fn of_tenants(name: &'static str, grants: &'static [(Role, &'static str)]) -> Table {
    Table { name, of_tenants: true, grants }
}

const fn of_nobody(name: &'static str, grants: &'static [(Role, &'static str)]) -> Table {
    Table { name, of_tenants: false, grants }
}

/// What removes the rows of a person.
const OF_A_PERSON: &str = "SELECT (tenant_id, contact_id), DELETE";

/// The data. Nobody updates an event or an entry of the audit log; nobody but the owner, who does not work here, removes an entry,
/// and nobody but the eraser an event.
/// `UPDATE` of a column that is never written is what `FOR UPDATE` asks for.
const DATA: &[Table] = &[
    of_tenants("tenant", &[(Worker, "SELECT, INSERT")]),
    of_tenants("meta_app", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants(
        "channel",
        &[
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT (tenant_id, channel_id, messages_per_second, pace_limit, created_at)"),
        ],
    ),
    of_tenants(
        "endpoint",
        &[
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Janitor, "SELECT (tenant_id, endpoint_id)"),
            (Eraser, "SELECT (tenant_id, endpoint_id)"),
        ],
    ),
    of_tenants("api_key", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT (tenant_id, key_id, last_used_on)")]),
    of_tenants(
        "key_read",
        &[(Worker, "SELECT, INSERT, UPDATE, DELETE"), (Janitor, "SELECT (ctid, seen_at), UPDATE (seen_at), DELETE")],
    ),
    of_nobody("settings_version", &[(Ingest, "SELECT (version), UPDATE (version)"), (Worker, "SELECT, UPDATE")]),
    of_tenants(
        "contact",
        &[
            (Ingest, "SELECT, INSERT, UPDATE"),
            (Worker, "SELECT, INSERT, UPDATE"),
            (Reader, "SELECT"),
            (Eraser, OF_A_PERSON),
        ],
    ),
    of_tenants(
        "contact_identifier",
        &[(Ingest, "SELECT, INSERT, UPDATE, DELETE"), (Worker, "SELECT, INSERT, UPDATE, DELETE")],
    ),
    of_tenants(
        "service_window",
        &[
            (
                Ingest,
                "SELECT (tenant_id, contact_id, channel_id, closes_at, closing_hour), INSERT, UPDATE (closes_at, closing_hour)",
            ),
            (Worker, "SELECT, INSERT, UPDATE (closes_at, closing_hour, told_of)"),
            (Reader, "SELECT"),
            (Eraser, OF_A_PERSON),
        ],
    ),
    of_tenants(
        "consent",
        &[
            (Ingest, "SELECT (tenant_id, contact_id, consent_id, channel_id, purpose, state, occurred_at), INSERT"),
            (Worker, "SELECT, INSERT"),
            (Reader, "SELECT"),
            (Eraser, OF_A_PERSON),
        ],
    ),
    of_tenants("poll", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("template", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("channel_state", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("decoy", &[(Worker, "SELECT, INSERT, DELETE")]),
    of_tenants(
        "event",
        &[
            (Ingest, "SELECT (tenant_id, part_day, subject, variant, event_id, contact_id), INSERT"),
            (Worker, "SELECT, INSERT"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, part_day, subject, variant, event_id, contact_id, status_rank), DELETE"),
        ],
    ),
    of_tenants(
        "event_payload",
        &[
            (Ingest, "INSERT"),
            (Worker, "SELECT, INSERT"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, part_day, event_id), DELETE"),
        ],
    ),
    of_tenants(
        "event_ledger",
        &[
            (Ingest, "SELECT (tenant_id, subject, variant), INSERT"),
            (Worker, "SELECT, INSERT"),
            (Janitor, "SELECT (seen_on), DELETE"),
            (Eraser, "INSERT"),
        ],
    ),
    of_nobody("worker", &[(Worker, "SELECT, INSERT, UPDATE, DELETE"), (Janitor, "SELECT (lease_until), DELETE")]),
    of_tenants("lane", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants(
        "delivery",
        &[
            (Ingest, "INSERT"),
            (Worker, "SELECT, INSERT, DELETE"),
            (Reader, "SELECT"),
            (Janitor, "SELECT (ctid, tenant_id, endpoint_id), UPDATE (shard), DELETE"),
            (Eraser, "SELECT (tenant_id, endpoint_id, shard, event_id), DELETE"),
        ],
    ),
    of_tenants(
        "delivery_retry",
        &[
            (Worker, "SELECT, INSERT, DELETE"),
            (Reader, "SELECT"),
            (Janitor, "SELECT (ctid, tenant_id, endpoint_id), UPDATE (shard), DELETE"),
            (Eraser, "SELECT (tenant_id, endpoint_id, shard, event_id), DELETE"),
        ],
    ),
    of_tenants(
        "delivery_dead",
        &[
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT"),
            (Janitor, "SELECT (ctid, tenant_id, endpoint_id), DELETE"),
            (Eraser, "SELECT (ctid, tenant_id, endpoint_id, event_id, died_at), DELETE"),
        ],
    ),
    of_tenants(
        "attempt",
        &[
            (Worker, "SELECT, INSERT"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, part_day, endpoint_id, event_id), DELETE"),
        ],
    ),
    of_tenants(
        "message",
        &[
            (
                Ingest,
                "SELECT (ctid, tenant_id, part_day, message_id, channel_id, subject, state, settled_at), UPDATE (subject, state, settled_at)",
            ),
            (Worker, "SELECT, INSERT, UPDATE"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, part_day, message_id, channel_id, contact_id, subject), DELETE"),
        ],
    ),
    of_tenants(
        "media_fetch",
        &[
            (Ingest, "INSERT"),
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, media_id), DELETE"),
        ],
    ),
    of_tenants(
        "media",
        &[
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, media_id), DELETE"),
        ],
    ),
    of_tenants(
        "outbox",
        &[
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, channel_id, message_id), DELETE"),
        ],
    ),
    of_tenants("media_at_meta", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("on_the_wire", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("channel_pace", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT")]),
    of_tenants(
        "pair_pace",
        &[
            (Worker, "SELECT, INSERT, UPDATE"),
            (Janitor, "SELECT (ctid, taken_until, promised_until), UPDATE (refused), DELETE"),
            (Eraser, "SELECT (tenant_id, channel_id, contact_id), DELETE"),
        ],
    ),
    of_tenants(
        "idempotency",
        &[
            (Worker, "SELECT, INSERT, UPDATE"),
            (Janitor, "SELECT (ctid, created_at), UPDATE (created_at), DELETE"),
            (Eraser, "SELECT (tenant_id, message_id), DELETE"),
        ],
    ),
    of_tenants(
        "replay",
        &[(Worker, "SELECT, INSERT, UPDATE, DELETE"), (Reader, "SELECT"), (Janitor, "SELECT (ended_at), DELETE")],
    ),
    of_tenants("audit_entry", &[(Worker, "SELECT, INSERT"), (Reader, "SELECT")]),
    of_tenants(
        "audit_subject",
        &[(Worker, "INSERT"), (Reader, "SELECT"), (Eraser, "SELECT (tenant_id, part_day, contact_id), DELETE")],
    ),
    of_tenants("audit_log", &[(Worker, "SELECT, INSERT, UPDATE"), (Janitor, "SELECT (tenant_id)")]),
    of_tenants("audit_leaf", &[(Worker, "SELECT, INSERT"), (Reader, "SELECT")]),
    of_tenants("audit_tile", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT")]),
    of_tenants("audit_bundle", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT")]),
    of_tenants(
        "audit_checkpoint",
        &[
            (Worker, "SELECT, INSERT, UPDATE (note, published)"),
            (Reader, "SELECT"),
            (Janitor, "SELECT (ctid, tenant_id, size, made_at, published), DELETE"),
        ],
    ),
    of_tenants("erasure", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT")]),
    of_tenants(
        "privacy_request",
        &[
            (Worker, "SELECT, INSERT, UPDATE"),
            (Reader, "SELECT"),
            (Eraser, "SELECT (tenant_id, contact_id, closed_at), UPDATE (contact_id, reference, reason), DELETE"),
        ],
    ),
    of_tenants(
        "erasure_count",
        &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT"), (Eraser, "SELECT, INSERT, UPDATE")],
    ),
    of_tenants("erasure_receipt", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT")]),
    of_tenants(
        "erased_contact",
        &[
            (Ingest, "SELECT (tenant_id, contact_id)"),
            (Worker, "SELECT, INSERT"),
            (Eraser, "SELECT (erased_at), DELETE"),
        ],
    ),
    of_tenants("consent_proof", &[(Worker, "INSERT"), (Reader, "SELECT"), (Eraser, "SELECT (kept_until), DELETE")]),
    of_tenants(
        "hold",
        &[
            (Ingest, "SELECT (tenant_id, contact_id, state)"),
            (Worker, "SELECT, INSERT, UPDATE"),
            (Reader, "SELECT"),
            (Eraser, OF_A_PERSON),
        ],
    ),
    of_tenants("passing", &[(Ingest, "INSERT"), (Worker, "SELECT, INSERT"), (Eraser, "SELECT, DELETE")]),
    of_tenants(
        "in_chat",
        &[
            (Ingest, "SELECT, INSERT, UPDATE"),
            (Worker, "SELECT, UPDATE (state, message_id, changed_at)"),
            (Eraser, "SELECT (tenant_id, contact_id, state, expires_at, changed_at), DELETE"),
        ],
    ),
    of_tenants("notice", &[(Worker, "SELECT, INSERT, UPDATE"), (Reader, "SELECT"), (Eraser, OF_A_PERSON)]),
    of_tenants(
        "restriction",
        &[
            (Ingest, "SELECT (tenant_id, contact_id)"),
            (Worker, "SELECT, INSERT, UPDATE, DELETE"),
            (Reader, "SELECT"),
            (Eraser, OF_A_PERSON),
        ],
    ),
    of_tenants(
        "export",
        &[
            (Worker, "SELECT, INSERT, UPDATE"),
            (
                Reader,
                "SELECT (tenant_id, export_id, contact_id, contact_ids, state, sealed_for, dek_id, actor_id, messages, messages_done, \
                 files, files_done, bytes, created_at, ready_at, expires_at)",
            ),
            (Eraser, "SELECT (tenant_id, contact_id, state, expires_at), DELETE"),
        ],
    ),
    of_nobody("_sqlx_migrations", &[(Worker, "SELECT")]),
];

/// The keys, which nobody who touches the data can read.
const KEYS: &[Table] = &[
    of_nobody("waxseal_keys.installation", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.tenant_kek", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.bucket_key", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.index_key", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.dek", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("waxseal_keys.forgotten_key", &[(Keyring, "SELECT, INSERT")]),
    of_tenants("waxseal_keys.forgotten_subject", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.touched_bucket", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("waxseal_keys.touched_tenant", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_nobody("waxseal_keys.epoch_step", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.rotation", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
];

/// One of the two databases, which may be one.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Who works there.
    pub(super) roles: &'static [Role],
    /// Its comment says which rights are in force.
    pub(super) stamped: &'static str,
    schema: Option<&'static str>,
    tables: &'static [Table],
}

/// The data.
pub(super) const DATA_PART: Part = Part { roles: &Role::OF_DATA, stamped: "tenant", schema: None, tables: DATA };
/// The keys.
pub(super) const KEYS_PART: Part =
    Part { roles: &Role::OF_KEYS, stamped: "waxseal_keys.installation", schema: Some("waxseal_keys"), tables: KEYS };

impl Part {
    /// Its tables, without their schema.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(|table| table.name.rsplit_once('.').map_or(table.name, |(_, name)| name))
    }

    /// What puts the rights in force, whatever was in force before: a transaction for each table, so that none waits for another.
    /// `current_schema` is the one that the data lies in, quoted.
    pub(super) fn statements(&self, prefix: &RolePrefix, current_schema: &str) -> Vec<String> {
        let schema = self.schema.unwrap_or(current_schema);
        let usage = format!("GRANT USAGE ON SCHEMA {schema} TO {};", self.everybody(prefix));
        let tables = self.tables.iter().map(|table| self.secure(table, prefix));
        let stamp = format!("COMMENT ON TABLE {} IS '{}';", self.stamped, self.stamp(prefix));
        std::iter::once(usage).chain(tables).chain([stamp]).collect()
    }

    /// Names the rights: other rights have another name.
    pub(super) fn stamp(&self, prefix: &RolePrefix) -> String {
        let rights: String = self.tables.iter().map(|table| self.secure(table, prefix)).collect();
        let digest = HEXLOWER.encode(&Sha256::digest(rights.as_bytes()));
        format!("rights {}", digest.get(..16).unwrap_or_default())
    }

    /// Policies that are there when the rights are in force.
    pub(super) fn policies(&self) -> i64 {
        let of = |table: &Table| table.policies().into_iter().filter(|roles| !roles.is_empty()).count();
        i64::try_from(self.tables.iter().filter(|table| table.of_tenants).map(of).sum::<usize>()).unwrap_or(i64::MAX)
    }

    fn everybody(&self, prefix: &RolePrefix) -> String {
        names(self.roles, prefix)
    }

    fn secure(&self, table: &Table, prefix: &RolePrefix) -> String {
        let name = table.name;
        let mut sql = vec![format!("REVOKE ALL ON {name} FROM {}", self.everybody(prefix))];
        sql.extend(table.grants.iter().map(|(role, what)| format!("GRANT {what} ON {name} TO {}", role.name(prefix))));
        if table.of_tenants {
            let [confined, free] = table.policies();
            let (confined_name, free_name) = (format!("{prefix}_one_tenant"), format!("{prefix}_all_tenants"));
            sql.push(format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"));
            sql.extend([&confined_name, &free_name].map(|policy| format!("DROP POLICY IF EXISTS {policy} ON {name}")));
            if !confined.is_empty() {
                let roles = names(&confined, prefix);
                // Null where no tenant is named: no row equals it.
                let tenant = format!("NULLIF(current_setting('{SETTING}', true), '')::uuid");
                sql.push(format!(
                    "CREATE POLICY {confined_name} ON {name} FOR SELECT TO {roles} USING (tenant_id = {tenant})"
                ));
            }
            if !free.is_empty() {
                let roles = names(&free, prefix);
                sql.push(format!("CREATE POLICY {free_name} ON {name} TO {roles} USING (true) WITH CHECK (true)"));
            }
        }
        sql.join(";\n") + ";\n"
    }
}

impl Table {
    /// Who sees the rows of one tenant, and who those of all.
    fn policies(&self) -> [Vec<Role>; 2] {
        let (confined, free) = self.grants.iter().map(|grant| grant.0).partition(|role| *role == Reader);
        [confined, free]
    }
}

fn names(roles: &[Role], prefix: &RolePrefix) -> String {
    roles.iter().map(|role| role.name(prefix)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
