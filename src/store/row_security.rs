//! Puts the rights of the database roles in force: makes the roles, gives them to the login of the gateway, grants, and has Postgres
//! keep the rows of tenants apart. What the login may not do is handed back as SQL for an administrator.

use std::borrow::Cow;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::pool::Pool;
use super::rights::{DATA_PART, KEYS_PART, Part};
use super::roles::Role;
use super::{Store, StoreError};
use crate::config::RolePrefix;
use crate::ids::TenantId;

/// Whether the roles can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowSecurity {
    /// They are there, ours to take on, and have the rights that this release knows.
    InForce,
    /// They are not. What an administrator of the server has to run first; holds no secret.
    Missing(String),
}

/// How often roles that others make at the same moment are looked for anew.
const TRIES: u32 = 5;

/// How far it is.
struct Standing {
    /// Roles that are not there.
    absent: Vec<Role>,
    /// Roles that are there, and not for our login to take on.
    foreign: Vec<Role>,
    /// Whether the rights are those of this release.
    is_in_force: bool,
    /// Our login, quoted.
    login: String,
}

/// What a change of roles came to.
enum Change {
    Done,
    NotOurs,
}

impl Store {
    /// Sees to it that the roles of both databases are there and have their rights. Asked of a store that uses no roles, whose schemas are up
    /// to date. Several processes may do so at once.
    pub async fn secure_rows(&self, prefix: &RolePrefix) -> Result<RowSecurity, StoreError> {
        let mut missing = String::new();
        for (owner, login, part) in [(&self.owner, &self.data, DATA_PART), (&self.key_owner, &self.keys, KEYS_PART)] {
            missing.push_str(&secure(owner, login, part, prefix).await?);
        }
        Ok(if missing.is_empty() { RowSecurity::InForce } else { RowSecurity::Missing(missing) })
    }
}

impl Store {
    /// Whether connections have the role and the tenant that they were asked to have. Something between us and Postgres may drop what is asked
    /// for with a connection, and would leave the owner, whom no policy binds.
    pub async fn speaks_under_roles(&self, prefix: &RolePrefix) -> Result<bool, StoreError> {
        let worker = sqlx::query_scalar!(r#"SELECT current_user = $1 AS "is!""#, Role::Worker.name(prefix));
        let reader = sqlx::query_scalar!(
            r#"SELECT current_user = $1 AND current_setting('waxseal.tenant', true) = $2 AS "is!""#,
            Role::Reader.name(prefix),
            TenantId::DEFAULT.uuid().to_string(),
        );
        let is_reader = reader.fetch_one(self.reading(TenantId::DEFAULT)).await?;
        Ok(is_reader && worker.fetch_one(&self.data).await?)
    }
}

/// Returns what an administrator has to run, or nothing.
async fn secure(owner: &Pool, login: &Pool, part: Part, prefix: &RolePrefix) -> Result<String, StoreError> {
    let mut standing = look(login, part, prefix).await?;
    if standing.is_ready() {
        return Ok(String::new());
    }
    // Closed when this returns, and with it goes the lock.
    let mut connection = owner.unbounded().await?;
    sqlx::query!("SELECT pg_advisory_lock(hashtext('waxseal rights'))").execute(&mut connection).await?;
    for _ in 0..TRIES {
        standing = look(login, part, prefix).await?;
        let wanted = standing.changes_of_roles(prefix);
        let mut refused = false;
        for statement in &wanted {
            refused |= matches!(change_role(&mut connection, statement).await?, Change::NotOurs);
        }
        if refused {
            return Ok(wanted.concat());
        }
        if wanted.is_empty() {
            break;
        }
    }
    if standing.is_in_force {
        return Ok(String::new());
    }
    grant(&mut connection, part, prefix).await
}

/// Grants everything anew. Returns it when the tables are not ours to grant.
async fn grant(connection: &mut PgConnection, part: Part, prefix: &RolePrefix) -> Result<String, StoreError> {
    let schema =
        sqlx::query_scalar!(r#"SELECT quote_ident(current_schema()) AS "schema!""#).fetch_one(&mut *connection).await?;
    let statements = part.statements(prefix, &schema);
    for statement in &statements {
        let transaction = format!(
            "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL client_min_messages = warning; {statement} COMMIT;"
        );
        match sqlx::raw_sql(AssertSqlSafe(transaction)).execute(&mut *connection).await {
            Ok(_) => {}
            Err(error) if is_forbidden(&error) => return Ok(statements.concat()),
            Err(error) => return Err(error.into()),
        }
    }
    tracing::info!(tables = part.stamped, "the rights of the database roles are in force");
    Ok(String::new())
}

/// Looks as the login that will take the roles on.
async fn look(login: &Pool, part: Part, prefix: &RolePrefix) -> Result<Standing, StoreError> {
    let names: Vec<String> = part.roles.iter().map(|role| role.name(prefix)).collect();
    let found = sqlx::query!(
        r#"SELECT quote_ident(session_user) AS "login!",
                  -- Not by to_regclass, which refuses whoever may not use the schema.
                  EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                          WHERE $2 IN (c.relname::text, n.nspname || '.' || c.relname) AND obj_description(c.oid, 'pg_class') = $3) AS "is_stamped!",
                  (SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                   WHERE c.relrowsecurity AND p.polroles && ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY($1))) AS "policies!",
                  ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY($1)) AS "there!",
                  -- From release 16 on, to be a member does not mean that one may take the role on.
                  ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY($1) AND pg_has_role(session_user, oid,
                      CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)) AS "ours!""#,
        &names,
        part.stamped,
        part.stamp(prefix),
    )
    .fetch_one(login)
    .await?;
    let (absent, there): (Vec<Role>, Vec<Role>) =
        part.roles.iter().partition(|role| !found.there.contains(&role.name(prefix)));
    let foreign = there.into_iter().filter(|role| !found.ours.contains(&role.name(prefix))).collect();
    let is_in_force = found.is_stamped && found.policies == part.policies();
    Ok(Standing { absent, foreign, is_in_force, login: found.login })
}

impl Standing {
    const fn is_ready(&self) -> bool {
        self.absent.is_empty() && self.foreign.is_empty() && self.is_in_force
    }

    /// Makes what is absent. Who makes a role may still have to be given it.
    fn changes_of_roles(&self, prefix: &RolePrefix) -> Vec<String> {
        let make = self.absent.iter().map(|role| format!("CREATE ROLE {} NOLOGIN;\n", role.name(prefix)));
        let ours = self.absent.iter().chain(&self.foreign);
        let give = ours.map(|role| format!("GRANT {} TO {};\n", role.name(prefix), self.login));
        make.chain(give).collect()
    }
}

/// Roles belong to the whole server, where another process may do the same at the same moment: what it was faster with is done.
async fn change_role(connection: &mut PgConnection, statement: &str) -> Result<Change, StoreError> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let Err(error) = done else { return Ok(Change::Done) };
    let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
    match code.as_deref() {
        // It is there; its row was being written.
        Some("42710" | "23505" | "XX000") => Ok(Change::Done),
        // What was not made cannot be given.
        Some("42501" | "42704") => Ok(Change::NotOurs),
        _ => Err(error.into()),
    }
}

fn is_forbidden(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}
