//! Every sealed column, in one list: where its key and its place come from. By it the rotation of data keys walks through what lies under them,
//! and tests try each. The statements differ in names alone, which are constants of this file.

use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::TenantId;

/// Values of one page.
const PAGE: i64 = 500;

/// When a rotation of data keys seals a column anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reseal {
    /// With the rotation.
    Now,
    /// When everybody knows the new key for days: whoever looks at it may have read the keys before.
    Later,
    /// Never: it lies under keys that go with their month or day.
    Never,
}

/// A sealed column.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumn {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
    /// One or two expressions that tell rows of a tenant apart and never change, each a UUID.
    pub key: &'static [&'static str],
    /// The row that it is sealed for, as an expression.
    pub row: &'static str,
    /// The contact that it is sealed for, as an expression.
    pub contact: &'static str,
    /// Whether it is sealed anew.
    pub reseal: Reseal,
}

const NOBODY: &str = "NULL";
/// A mark is of a table and day, and has no id.
const MARK: &str = "encode(substring(sha256((counted || ' ' || part_day)::bytea) FOR 16), 'hex')::uuid";
const TEMPLATE: &str = "lpad(to_hex(template_id::bigint), 32, '0')::uuid";

const fn of(table: &'static str, column: &'static str, id: &'static [&'static str]) -> SealedColumn {
    let [row] = id else {
        return SealedColumn { table, column, key: id, row: NOBODY, contact: NOBODY, reseal: Reseal::Now };
    };
    SealedColumn { table, column, key: id, row, contact: NOBODY, reseal: Reseal::Now }
}

const fn until_it_goes(of: SealedColumn, contact: &'static str) -> SealedColumn {
    SealedColumn { contact, reseal: Reseal::Never, ..of }
}

/// All of them, by table and column.
pub const ALL: &[SealedColumn] = &[
    of("audit_log", "signing_key", &["tenant_id"]),
    of("channel", "access_token", &["channel_id"]),
    of("channel", "pin", &["channel_id"]),
    of("channel", "pin_next", &["channel_id"]),
    of("channel_state", "facts", &["channel_id"]),
    SealedColumn {
        row: "consent_id",
        contact: "contact_id",
        ..of("consent", "wording", &["contact_id", "consent_id"])
    },
    SealedColumn { contact: "contact_id", ..of("contact", "profile", &["contact_id"]) },
    of("endpoint", "options", &["endpoint_id"]),
    of("endpoint", "previous_signing_secret", &["endpoint_id"]),
    of("endpoint", "signing_secret", &["endpoint_id"]),
    of("endpoint", "url", &["endpoint_id"]),
    of("erasure", "identity_note", &["erasure_id"]),
    of("erasure", "reference", &["erasure_id"]),
    until_it_goes(
        of("event_payload", "payload", &["event_id"]),
        "(SELECT contact_id FROM event e WHERE e.event_id = t.event_id)",
    ),
    of("export", "recipient", &["export_id"]),
    of("hold", "reason", &["hold_id"]),
    SealedColumn { row: "message_id", ..of("idempotency", "answer", &["encode(key_hash, 'hex')::uuid"]) },
    until_it_goes(of("media", "details", &["media_id"]), "contact_id"),
    SealedColumn {
        row: "media_id",
        contact: "channel_id",
        ..of("media_at_meta", "meta_id", &["media_id", "channel_id"])
    },
    until_it_goes(of("message", "answer", &["message_id"]), "contact_id"),
    until_it_goes(of("message", "fallback", &["message_id"]), "contact_id"),
    until_it_goes(of("message", "request", &["message_id"]), "contact_id"),
    of("meta_app", "app_secret", &["app_id"]),
    of("meta_app", "previous_app_secret", &["app_id"]),
    of("meta_app", "verify_token", &["app_id"]),
    of("privacy_request", "reason", &["request_id"]),
    of("privacy_request", "reference", &["request_id"]),
    of("restriction", "reason", &["contact_id"]),
    SealedColumn { reseal: Reseal::Later, ..of("row_mark", "content", &[MARK]) },
    SealedColumn { reseal: Reseal::Later, ..of("row_removal", "content", &["removal_id"]) },
    of("template", "content", &[TEMPLATE]),
];

/// A sealed value, where it lies.
#[derive(Debug)]
pub struct Lying {
    /// What tells its row apart; the second is nil where one does.
    pub key: (Uuid, Uuid),
    /// The row that it is sealed for.
    pub row: Uuid,
    /// The contact that it is sealed for; nil: nobody.
    pub contact: Uuid,
    /// The envelope.
    pub sealed: Vec<u8>,
}

/// A value that takes the place of another.
#[derive(Debug)]
pub struct Resealed {
    /// What tells its row apart.
    pub key: (Uuid, Uuid),
    /// What lies there.
    pub was: Vec<u8>,
    /// What is to lie there.
    pub becomes: Vec<u8>,
}

impl SealedColumn {
    fn keys(&self) -> (&'static str, Option<&'static str>) {
        let mut keys = self.key.iter().copied();
        (keys.next().unwrap_or(NOBODY), keys.next())
    }
}

impl Store {
    /// The next values of a column behind a row, in the order of their keys. None is the end.
    #[expect(
        clippy::disallowed_methods,
        reason = "the macros cannot name a table at run time; names are constants of this file"
    )]
    pub async fn lying(
        &self,
        tenant: TenantId,
        column: &SealedColumn,
        behind: (Uuid, Uuid),
    ) -> Result<Vec<Lying>, StoreError> {
        let (first, second) = column.keys();
        let SealedColumn { table, column, row, contact, .. } = column;
        let (order, and, later) = match second {
            Some(second) => (format!("{first}, {second}"), second, format!("({first}, {second}) > ($2, $3)")),
            None => (first.to_owned(), "$3::uuid", format!("{first} > $2")),
        };
        let statement = format!(
            "SELECT {first} AS first, {and} AS second, {row} AS row, ({contact})::uuid AS contact, {column}::bytea AS sealed FROM {table} t
             WHERE tenant_id = $1 AND {column} IS NOT NULL AND {later} ORDER BY {order} LIMIT $4"
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).bind(tenant.uuid()).bind(behind.0).bind(behind.1).bind(PAGE);
        let mut found = Vec::new();
        for row in rows.fetch_all(&self.data).await? {
            found.push(Lying {
                key: (row.try_get("first")?, row.try_get("second")?),
                row: row.try_get("row")?,
                contact: row.try_get::<Option<Uuid>, _>("contact")?.unwrap_or_default(),
                sealed: row.try_get("sealed")?,
            });
        }
        Ok(found)
    }

    /// Puts values in the place of others, where those still lie there. Waits for nobody: a row that somebody is changing is passed over.
    /// Returns how many lie there now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the macros cannot name a table at run time; names are constants of this file"
    )]
    pub async fn put_resealed(
        &self,
        tenant: TenantId,
        column: &SealedColumn,
        values: &[Resealed],
    ) -> Result<u64, StoreError> {
        let (first, second) = column.keys();
        let SealedColumn { table, column, .. } = column;
        let here = |of: &str| {
            let second = second.map_or_else(String::new, |second| format!(" AND {second} = {of}.second"));
            format!("t.tenant_id = $1 AND {first} = {of}.first{second} AND t.{column}::bytea = {of}.was")
        };
        let statement = format!(
            "WITH free AS MATERIALIZED (
                 SELECT new.* FROM UNNEST($2::uuid[], $3::uuid[], $4::bytea[], $5::bytea[]) AS new (first, second, was, becomes)
                 JOIN {table} t ON {} FOR NO KEY UPDATE OF t SKIP LOCKED
             )
             UPDATE {table} t SET {column} = free.becomes FROM free WHERE {}",
            here("new"),
            here("free"),
        );
        let (firsts, seconds): (Vec<Uuid>, Vec<Uuid>) = values.iter().map(|one| one.key).unzip();
        let was: Vec<&[u8]> = values.iter().map(|one| one.was.as_slice()).collect();
        let becomes: Vec<&[u8]> = values.iter().map(|one| one.becomes.as_slice()).collect();
        let update = sqlx::query(AssertSqlSafe(statement)).bind(tenant.uuid()).bind(firsts).bind(seconds);
        Ok(update.bind(was).bind(becomes).execute(&self.data).await?.rows_affected())
    }

    /// Has every process read the settings anew.
    pub async fn step_settings_version(&self) -> Result<(), StoreError> {
        super::settings::step_version(&mut self.connection().await?).await
    }
}
