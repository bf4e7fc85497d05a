//! `[database]`: the Postgres that holds everything but, if so wished, the keys.

use std::time::Duration;

use url::Url;

use super::placeholder::looks_like_an_example;
use super::reader::Reader;
use super::roles::{RolePrefix, RoleUse};
use crate::secret::Dsn;

/// The data's server and the limits of its pool.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// A `postgres://` URL.
    pub url: Dsn,
    /// As whom migrations run and partitions are made, if not as the one above.
    pub migrator_url: Option<Dsn>,
    /// Whether the database roles are used.
    pub roles: RoleUse,
    /// What their names begin with.
    pub role_prefix: RolePrefix,
    /// Connections in the pool at most.
    pub max_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// What Postgres is told as `statement_timeout`.
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url = reader.required_secret("database.url", "a Postgres connection string, also accepted as DATABASE_URL");
        let url = url.and_then(|text| dsn(reader, "database.url", text));
        let migrator_url = migrator(reader);
        let roles = reader.parsed("database.roles", "\"auto\", \"required\" or \"off\"");
        let role_prefix =
            reader.parsed("database.role_prefix", "lower-case letters, digits and underscores, at most 40");
        if roles == Some(RoleUse::Off) && migrator_url.as_ref().is_ok_and(Option::is_some) {
            reader
                .fault("database.roles", "cannot be \"off\" with database.migrator_url: the other login owns no table");
        }
        let max_connections = reader.number("database.max_connections", 1..=500);
        let acquire_timeout = reader.millis("database.acquire_timeout_ms", 10..=60_000);
        let statement_timeout = reader.millis("database.statement_timeout_ms", 100..=600_000);
        Some(Self {
            url: url?,
            migrator_url: migrator_url.ok()?,
            roles: roles?,
            role_prefix: role_prefix?,
            max_connections: max_connections?,
            acquire_timeout: acquire_timeout?,
            statement_timeout: statement_timeout?,
        })
    }
}

/// An error is a fault that was reported.
fn migrator(reader: &mut Reader) -> Result<Option<Dsn>, ()> {
    let before = reader.faults.len();
    let url = reader.secret("database.migrator_url").and_then(|text| dsn(reader, "database.migrator_url", text));
    if reader.faults.len() == before { Ok(url) } else { Err(()) }
}

/// Checks the form of a connection string, and that its password was not copied from a manual.
pub(super) fn dsn(reader: &mut Reader, key: &str, text: String) -> Option<Dsn> {
    let parsed = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(parsed) = parsed else {
        reader.fault(key, "must be a URL such as postgres://user:password@host:5432/waxseal");
        return None;
    };
    // Short words are common passwords of throw-away servers, and the server has the last word on them.
    if parsed.password().is_some_and(|password| password.len() > 6 && is_placeholder(password)) {
        reader.fault(key, "holds an example for a password; give the database user one of its own");
        return None;
    }
    Some(Dsn::new(text))
}

fn is_placeholder(password: &str) -> bool {
    looks_like_an_example(password) && !password.eq_ignore_ascii_case("password")
}
