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
                _ => Self::Unavailable,
            };
        };
        if database.kind() == ErrorKind::UniqueViolation {
            return Self::Conflict;
        }
        let sqlstate = database.code().unwrap_or_default();
        // Class 22: data exception, 23: integrity constraint, 42: syntax or access rule. Everything else (08 connection,
        // 40 rollback, 53 resources, 55 state, 57 operator, 58 system, XX internal) may pass with time.
        match sqlstate.get(..2) {
            Some("22" | "23" | "42") => Self::Refused { sqlstate: sqlstate.into_owned() },
            _ => Self::Unavailable,
        }
    }
}

impl StoreError {
    /// Whether the same statement may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable)
    }
}
