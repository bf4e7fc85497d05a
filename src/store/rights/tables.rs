//! Every table, and which role may do what with it.

use super::super::roles::Role::{Eraser, Ingest, Janitor, Keyring, Reader, Worker};
use super::{Table, of_nobody, of_tenants};

/// What removes the rows of a person.
const OF_A_PERSON: &str = "SELECT (tenant_id, contact_id), DELETE";

/// The data. Nobody updates an event or an entry of the audit log; nobody but the owner, who does not work here, removes an entry,
/// and nobody but the eraser an event.
/// `UPDATE` of a column that is never written is what `FOR UPDATE` asks for.
pub(super) const DATA: &[Table] = &[
    of_tenants("tenant", &[(Worker, "SELECT, INSERT, UPDATE (region)")]),
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
        "index_version",
        &[(Ingest, "SELECT (tenant_id, version, ended_at), UPDATE (tenant_id)"), (Worker, "SELECT, INSERT, UPDATE")],
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
            (Worker, "SELECT, INSERT, UPDATE (wording)"),
            (Reader, "SELECT"),
            (
                Eraser,
                "SELECT (tenant_id, contact_id, consent_id, channel_id, purpose, state, source, wording_version, occurred_at, recorded_at), \
                 DELETE",
            ),
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
            (
                Eraser,
                "SELECT (tenant_id, part_day, subject, variant, event_id, type, channel_id, contact_id, message_id, status_rank, \
                 error_code, occurred_at), DELETE",
            ),
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
            (
                Eraser,
                "SELECT (tenant_id, request_id, contact_id, closed_at), UPDATE (contact_id, reference, reason), DELETE",
            ),
        ],
    ),
    of_tenants(
        "privacy_request_deed",
        &[(Worker, "SELECT, INSERT"), (Reader, "SELECT"), (Eraser, "SELECT (tenant_id, request_id), DELETE")],
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
            (
                Eraser,
                "SELECT (tenant_id, hold_id, contact_id, state, owner_id, approver_id, created_at, active_at, expires_at, ended_at), \
                 DELETE",
            ),
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
            (Eraser, "SELECT (tenant_id, contact_id, actor_id, created_at), DELETE"),
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
    of_tenants("row_mark", &[(Worker, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("row_removal", &[(Worker, "SELECT, INSERT, UPDATE (content), DELETE"), (Eraser, "INSERT")]),
    of_nobody("_sqlx_migrations", &[(Worker, "SELECT")]),
];

/// The keys, which nobody who touches the data can read.
pub(super) const KEYS: &[Table] = &[
    of_nobody("waxseal_keys.installation", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.tenant_kek", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.bucket_key", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.index_key", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.data_rotation", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("waxseal_keys.dek", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("waxseal_keys.forgotten_key", &[(Keyring, "SELECT, INSERT")]),
    of_tenants("waxseal_keys.forgotten_subject", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.touched_bucket", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_tenants("waxseal_keys.touched_tenant", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
    of_nobody("waxseal_keys.epoch_step", &[(Keyring, "SELECT, INSERT, UPDATE")]),
    of_tenants("waxseal_keys.rotation", &[(Keyring, "SELECT, INSERT, UPDATE, DELETE")]),
];
