//! What can go wrong with a statement, by what the caller can do about it.

use sqlx::error::ErrorKind;

/// A statement that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique key is taken.
    #[error("the value is taken")]
    Conflict,
    /// Postgres refuses these values. The same statement with the same values fails again.
    #[error("the database refuses a value (SQLSTATE {sqlstate})")]
    Refused {
        /// Five characters of SQLSTATE; Postgres's own message may quote the values and is dropped.
        sqlstate: String,
    },
    /// A deadlock was resolved at its cost, or its connection broke. The same transaction may succeed at once.
    #[error("the database broke it off")]
    BrokenOff,
    /// Postgres is away, full, shutting down or too busy. Worth another try.
    #[error("the database is not available")]
    Unavailable,
}

impl From<sqlx::Error> for StoreError {
    /// Postgres's messages quote values, so none of them is kept.
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => {
                    Self::Refused { sqlstate: "decode".into() }
                }
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Self::BrokenOff,
                _ => Self::Unavailable,
            };
        };
        if database.kind() == ErrorKind::UniqueViolation {
            return Self::Conflict;
        }
        let sqlstate = database.code().unwrap_or_default();
        // Class 22: data exception, 23: integrity constraint, 42: syntax or access rule; 08: connection, 40: rollback; 57P01,
        // 57P02: the server cut the connection. Everything else (53 resources, 55 state, 57 operator, 58 system, XX internal)
        // may pass with time.
        match (sqlstate.get(..2), &*sqlstate) {
            (Some("22" | "23" | "42"), _) => Self::Refused { sqlstate: sqlstate.into_owned() },
            (Some("08" | "40"), _) | (_, "57P01" | "57P02") => Self::BrokenOff,
            _ => Self::Unavailable,
        }
    }
}

impl StoreError {
    /// Whether the same statement may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable | Self::BrokenOff)
    }

    /// Whether the same transaction may succeed at once. What it wrote may have been committed all the same when the
    /// connection broke: only for writes that a repetition does not double.
    #[must_use]
    pub const fn is_broken_off(&self) -> bool {
        matches!(self, Self::BrokenOff)
    }
}
