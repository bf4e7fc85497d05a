//! Every table, and what an erasure does with it. A test compares the list with the migrations: a new table is a decision, and this is
//! where it is asked for.

use Cover::{Kept as Stays, Nobody, Removed, Traceless};
use time::{Date, Duration, OffsetDateTime, UtcOffset};

use crate::store::REQUESTS_KEPT;

/// Keyed hashes of messages are kept for a year and more: they are few, and a captured POST can be replayed as long as its secret lives.
pub const LEDGER: Duration = Duration::days(400);
/// Fences: nobody remembers for so long a contact that was erased.
pub const FENCES: Duration = Duration::days(40);
/// Proofs of consent: three years, of which one may be longer.
const PROOFS: Duration = Duration::days(3 * 365 + 1);

/// What an erasure does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// Rows about the person are removed.
    Removed,
    /// What names the person by a keyed hash, or by an id of a message or file alone, is removed, uncounted.
    Traceless,
    /// Something stays, and why. Stands in every certificate.
    Kept(&'static str),
    /// Nothing in it is about a person.
    Nobody,
}

/// Every table of the data.
pub const TABLES: &[(&str, Cover)] = &[
    ("tenant", Nobody),
    ("meta_app", Nobody),
    ("channel", Nobody),
    ("endpoint", Nobody),
    ("api_key", Nobody),
    ("key_read", Removed),
    ("settings_version", Nobody),
    ("contact", Removed),
    ("contact_identifier", Removed),
    ("index_version", Nobody),
    ("decoy", Traceless),
    ("event", Removed),
    ("event_payload", Removed),
    (
        "event_ledger",
        Stays(
            "keyed hashes of messages, without a person, so that a webhook that is sent again is not stored again; 400 days",
        ),
    ),
    ("worker", Nobody),
    ("lane", Nobody),
    ("delivery", Removed),
    ("delivery_retry", Removed),
    ("delivery_dead", Removed),
    ("attempt", Removed),
    ("replay", Removed),
    ("message", Removed),
    ("idempotency", Removed),
    ("outbox", Removed),
    (
        "audit_entry",
        Stays(
            "who read or changed what, with random ids and a commitment that nobody can open any more; audit.retention_days",
        ),
    ),
    ("audit_subject", Removed),
    ("audit_log", Nobody),
    ("audit_leaf", Nobody),
    ("audit_tile", Nobody),
    ("audit_bundle", Nobody),
    ("audit_checkpoint", Nobody),
    ("channel_pace", Nobody),
    ("pair_pace", Removed),
    ("service_window", Removed),
    ("consent", Removed),
    ("poll", Nobody),
    ("template", Nobody),
    ("channel_state", Nobody),
    ("media_fetch", Removed),
    ("media", Removed),
    ("media_at_meta", Traceless),
    ("on_the_wire", Stays("random ids of messages that lead nowhere, until the owner's next list")),
    ("erasure", Stays("that somebody was erased, when and by which steps; not who")),
    ("erasure_count", Nobody),
    ("erasure_receipt", Nobody),
    ("erased_contact", Stays("random ids that lead nowhere, so that nothing is stored under them again; 40 days")),
    (
        "consent_proof",
        Stays(
            "that somebody agreed or refused, under a keyed hash that is joined to nothing, as evidence; three years",
        ),
    ),
    ("hold", Removed),
    (
        "privacy_request",
        Stays("that somebody asked something by a law, and when it was answered; not who; three years from then"),
    ),
    ("privacy_request_deed", Stays("what was done for that, and when, by random ids that lead nowhere; as long")),
    ("export", Removed),
    ("restriction", Removed),
    ("notice", Removed),
    ("passing", Removed),
    ("in_chat", Removed),
    ("row_mark", Nobody),
    ("row_removal", Stays("sealed ids of rows that were removed, without a person, until the next day")),
];

/// What stays, and why.
pub fn kept() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.iter().filter_map(|(table, cover)| match cover {
        Stays(why) => Some((*table, *why)),
        Removed | Traceless | Nobody => None,
    })
}

/// From when what stays is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// When the certificate is written.
    pub now: OffsetDateTime,
    /// From when on nothing was stored about the person.
    pub fenced_at: OffsetDateTime,
    /// How long entries of the audit log are kept.
    pub audit: Duration,
}

impl Kept {
    /// The last day on which something that stays may be there, by its table. `None`: there is none, or nobody can say. Cleaning is done
    /// once a day, so that each is a day later than what is counted.
    #[must_use]
    pub fn until(&self, table: &str) -> Option<Date> {
        let end = match table {
            "event_ledger" => self.now + LEDGER,
            "audit_entry" => self.now + self.audit,
            "erased_contact" => self.fenced_at + FENCES,
            "consent_proof" => self.fenced_at + PROOFS,
            "privacy_request" | "privacy_request_deed" => self.now + REQUESTS_KEPT,
            "row_removal" => self.now,
            _ => return None,
        };
        Some(end.to_offset(UtcOffset::UTC).date() + Duration::DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The tables that the migrations make.
    fn made() -> BTreeSet<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/data");
        let files =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let text: String = files.collect::<Vec<_>>().join("\n").replace("CREATE UNLOGGED TABLE", "CREATE TABLE");
        let names = text.split("\nCREATE TABLE ").skip(1).filter_map(|rest| rest.split([' ', '(']).next());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_table_is_in_the_list_of_what_an_erasure_does_with_it() {
        let listed: BTreeSet<String> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
        assert_eq!(listed.len(), TABLES.len(), "a table stands there twice");
        assert_eq!(listed, made());
    }
}
