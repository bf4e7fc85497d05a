//! The database roles: what of us speaks to Postgres. Each pool takes on one of them, and may do what `rights.rs` grants it.

use crate::config::RolePrefix;

/// A role that a pool takes on. What owns the tables is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The way in: adds events and people, of any tenant. Reads no content.
    Ingest,
    /// Lanes, settings, sending, the audit log: of any tenant.
    Worker,
    /// What callers are shown: reads, and of the tenant that its connection is lent for alone.
    Reader,
    /// Removes what is over, of any tenant. Reads nothing that is sealed.
    Janitor,
    /// Removes what people have to do with who are erased, and what is older than is kept, of any tenant. Reads ids, and nothing that is sealed.
    Eraser,
    /// The key tree, and nothing else.
    Keyring,
}

impl Role {
    /// Those that have to do with the data.
    pub(super) const OF_DATA: [Self; 5] = [Self::Ingest, Self::Worker, Self::Reader, Self::Janitor, Self::Eraser];
    /// Those that have to do with the keys.
    pub(super) const OF_KEYS: [Self; 1] = [Self::Keyring];

    /// Its name in Postgres; needs no quotes.
    pub(super) fn name(self, prefix: &RolePrefix) -> String {
        let what = match self {
            Self::Ingest => "ingest",
            Self::Worker => "worker",
            Self::Reader => "reader",
            Self::Janitor => "janitor",
            Self::Eraser => "eraser",
            Self::Keyring => "keyring",
        };
        format!("{prefix}_{what}")
    }
}
