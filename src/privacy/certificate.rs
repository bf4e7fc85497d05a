//! The certificate of an erasure: what went, what stays and until when, in a form that one hash commits to. An entry of the audit log
//! holds that hash, and the log's proof holds the entry, so that nobody writes another certificate afterwards.
//!
//! The form is JSON without spaces, members in the order of their names, numbers that are whole, texts in ASCII: what any library
//! writes when it is asked for sorted keys and no spaces. `docs/privacy.md` specifies it.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::cover::{self, Kept};
use crate::ids::{ErasureId, TenantId};
use crate::store::erasure_proofs::IdentityRow;
use crate::store::erasures::{ErasureRow, ReceiptRow};
use crate::tlog::merkle::{Hash, fold, leaf_hash, perfect, subtrees};

/// Version of the form.
pub const VERSION: u64 = 1;
/// What it shows, in words.
pub const PROVES: &str = "The operator recorded irrevocably, in a log that only grows, that these keys were destroyed and these rows removed. \
    What is left anywhere of the person's content and name was sealed under these keys, and opens under no other.";
/// What it shows beside that where the step of the epoch wrote an epoch cell.
pub const PROVES_WITH_CELL: &str = " No copy of the key tables from before that step opens any of it, with the secret of the KMS either, \
    where the old shares of the epoch cell are really overwritten.";
/// What it does not show.
pub const DOES_NOT_PROVE: &str = "That nobody copied plaintext or keys before, that Meta has deleted its own copy, that the endpoints did what \
    they acknowledged, or that a disk forgets what was overwritten.";

/// What it does not show beside that where there is no epoch cell.
pub const WITHOUT_CELL: &str = " There is no epoch cell: a copy of the key tables from before still opens, with the secret of the KMS, what a \
    copy of the data still holds. It is gone when the last such copy is.";

/// Why files may be left at Meta.
pub const LEFT_AT_META: &str = "files that Meta refused to delete, or could not be asked to; it forgets each by itself within 30 days of its upload";

/// What came of the steps.
#[derive(Debug)]
pub struct Ends<'a> {
    /// How many rows of each table went.
    pub counts: &'a [(String, i64)],
    /// Who was told.
    pub receipts: &'a [ReceiptRow],
    /// How the person was known to be who they said.
    pub identity: Option<&'a IdentityRow>,
    /// Files that Meta did not delete.
    pub left_at_meta: i64,
    /// When Meta has forgotten the last of them by itself.
    pub left_at_meta_until: OffsetDateTime,
    /// From when what stays is kept.
    pub kept: Kept,
    /// Until when something may be left that is not in reach from here.
    pub residual_until: OffsetDateTime,
}

/// Writes the certificate of an erasure that has been through every step.
#[must_use]
pub fn write(tenant: TenantId, row: &ErasureRow, ends: &Ends<'_>, now: OffsetDateTime) -> String {
    let removed: Map<String, Value> = ends.counts.iter().map(|(table, rows)| (table.clone(), json!(rows))).collect();
    let checks = row.key_checks.as_chunks::<32>().0;
    let told = ends.receipts.iter().map(
        |one| json!({ "endpoint_id": one.endpoint_id, "state": one.state, "settled_at": one.settled_at.map(shown) }),
    );
    let has_cell = row.places.is_some_and(|places| places > 0);
    let proves = [PROVES, if has_cell { PROVES_WITH_CELL } else { "" }].concat();
    let does_not_prove = [DOES_NOT_PROVE, if has_cell { "" } else { WITHOUT_CELL }].concat();
    let until = |what: &str| ends.kept.until(what).map(|day| day.to_string());
    let kept = cover::kept().map(|(what, why)| json!({ "what": what, "why": why, "until": until(what) }));
    // What it rests on is in no certificate.
    let identity = ends.identity.map_or_else(
        || json!({ "method": null, "checked_on": null }),
        |one| json!({ "method": one.method, "checked_on": one.checked_at.to_offset(time::UtcOffset::UTC).date().to_string() }),
    );
    let left_until = (ends.left_at_meta > 0).then(|| shown(ends.left_at_meta_until));
    let document = json!({
        "waxseal_erasure_certificate": VERSION,
        "tenant_id": tenant,
        "erasure_id": ErasureId::from_uuid(row.erasure_id),
        "subject": { "commitment": HEXLOWER.encode(&row.commitment), "named_by": row.asked_by },
        "basis": row.basis,
        "identity": identity,
        "requested_at": shown(row.created_at),
        "nothing_stored_since": row.fenced_at.map(shown),
        "removed": removed,
        "keys": {
            "destroyed": checks.len(),
            "destroyed_at": row.keys_destroyed_at.map(shown),
            "check_values": checks.iter().map(|one| HEXLOWER.encode(one)).collect::<Vec<_>>(),
            "root": HEXLOWER.encode(&root(checks)),
        },
        "epoch": {
            "before": row.epoch_before,
            "after": row.epoch_after,
            "stepped_at": row.epoch_stepped_at.map(shown),
            "places_written": row.places_written,
            "places": row.places,
        },
        "told": told.collect::<Vec<_>>(),
        "kept": kept.collect::<Vec<_>>(),
        "left_at_meta": { "files": ends.left_at_meta, "why": LEFT_AT_META, "until": left_until },
        "residual_until": shown(ends.residual_until),
        "certified_at": shown(now),
        "proves": proves,
        "does_not_prove": does_not_prove,
    });
    canonical(&document)
}

/// The one form of a document.
#[must_use]
pub fn canonical(document: &Value) -> String {
    match document {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            let member = |name: &String| {
                let value = members.get(name).map(canonical).unwrap_or_default();
                format!("{}:{value}", Value::String(name.clone()))
            };
            format!("{{{}}}", names.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

/// What the entry of the audit log says of a certificate.
#[must_use]
pub fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// The root of the tree (RFC 6962) over the check values of destroyed keys, in the order of the keys' ids.
#[must_use]
pub fn root(checks: &[[u8; 32]]) -> Hash {
    let leaves: Vec<Hash> = checks.iter().map(|one| leaf_hash(one)).collect();
    let nodes = subtrees(0..leaves.len() as u64).into_iter().filter_map(|node| {
        let from = usize::try_from(node.index << node.level).ok()?;
        leaves.get(from..from + (1_usize << node.level)).map(perfect)
    });
    fold(&nodes.collect::<Vec<_>>())
}

/// To the second, so that every library writes the same.
fn shown(at: OffsetDateTime) -> String {
    at.truncate_to_second().to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_does_not_depend_on_the_order_in_which_members_were_written() {
        let [one, other] = [r#"{"b":1,"a":[{"d":null,"c":"x\"y"}]}"#, r#"{"a":[{"c":"x\"y","d":null}],"b":1}"#]
            .map(|text| canonical(&serde_json::from_str(text).unwrap()));
        assert_eq!(one, r#"{"a":[{"c":"x\"y","d":null}],"b":1}"#);
        assert_eq!(one, other);
    }

    #[test]
    fn every_word_is_ascii() {
        assert!(
            [PROVES, PROVES_WITH_CELL, DOES_NOT_PROVE, WITHOUT_CELL, LEFT_AT_META].iter().all(|text| text.is_ascii())
        );
        assert!(cover::kept().all(|(what, why)| what.is_ascii() && why.is_ascii()));
    }
}
