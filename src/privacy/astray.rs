//! What is stored and is not what was stored: where, and how.

use std::fmt;

use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// How something is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Astray {
    /// So many rows are not there any more.
    Missing(u64),
    /// So many rows are there that were not, or were removed.
    TooMany(u64),
    /// As many rows, and not the same.
    Others,
    /// The mark, or a removal, was not written by us.
    Damaged,
    /// The marks are not those that the newest entry commits to.
    NotOfLog,
    /// A setting is another, and no entry tells of it.
    Changed,
    /// A setting is there, and no entry tells of it.
    Appeared,
    /// A setting is gone, and no entry tells of it.
    Gone,
    /// A key is in force that was revoked.
    InForce,
    /// A setting is there that was removed.
    Back,
    /// It stands as it did before its newest entry.
    Undone,
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Missing(rows) => return write!(f, "{rows} rows are missing"),
            Self::TooMany(rows) => return write!(f, "{rows} rows too many"),
            Self::Others => "rows were put in the place of others",
            Self::Damaged => "what is known of it was changed",
            Self::NotOfLog => "they are not those that the log commits to",
            Self::Changed => "it was changed, and no entry tells of it",
            Self::Appeared => "it is there, and no entry tells of it",
            Self::Gone => "it is gone, and no entry tells of it",
            Self::InForce => "it was revoked, and is in force",
            Self::Back => "it was removed, and is there",
            Self::Undone => "it is not as its newest entry says",
        };
        f.write_str(words)
    }
}

/// Where something is not as it was, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// A table, a sort of setting, or `row_mark`.
    pub table: String,
    /// The day, of a table that is cut by day.
    pub day: Option<Date>,
    /// Which, of settings.
    pub id: Option<Uuid>,
    /// How.
    pub what: Astray,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table)?;
        if let Some(day) = self.day {
            write!(f, " of {day}")?;
        }
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a look at the rows found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsFound {
    /// When the log last said what is there; `None`: never yet.
    pub said_at: Option<OffsetDateTime>,
    /// Rows that were counted.
    pub rows: u64,
    /// Tables and days that they are of.
    pub places: u64,
    /// What is not as it was.
    pub faults: Vec<RowFault>,
}
