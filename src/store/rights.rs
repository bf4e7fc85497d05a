//! What each database role may do with each table: one table of grants, as small as the statements of this room allow, and the policies
//! that say which rows. `row_security.rs` puts it in force; `tests/it/rows` compares it with what Postgres does. Grants are on the parents of partitions alone, so that
//! nobody reaches a partition past its parent's policy.

mod tables;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use self::tables::{DATA, KEYS};
use super::pool::SETTING;
use super::roles::Role::{self, Reader};
use crate::config::RolePrefix;

/// A table, and who may do what with it. Privileges are written as SQL has them: of the whole table, or of columns.
struct Table {
    name: &'static str,
    /// Whether it has a `tenant_id`, and so policies.
    of_tenants: bool,
    grants: &'static [(Role, &'static str)],
}

const fn of_tenants(name: &'static str, grants: &'static [(Role, &'static str)]) -> Table {
    Table { name, of_tenants: true, grants }
}

const fn of_nobody(name: &'static str, grants: &'static [(Role, &'static str)]) -> Table {
    Table { name, of_tenants: false, grants }
}

/// One of the two databases, which may be one.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Who works there.
    pub(super) roles: &'static [Role],
    /// Its comment says which rights are in force.
    pub(super) stamped: &'static str,
    schema: Option<&'static str>,
    tables: &'static [Table],
}

/// The data.
pub(super) const DATA_PART: Part = Part { roles: &Role::OF_DATA, stamped: "tenant", schema: None, tables: DATA };
/// The keys.
pub(super) const KEYS_PART: Part =
    Part { roles: &Role::OF_KEYS, stamped: "waxseal_keys.installation", schema: Some("waxseal_keys"), tables: KEYS };

impl Part {
    /// Its tables, without their schema.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(|table| table.name.rsplit_once('.').map_or(table.name, |(_, name)| name))
    }

    /// What puts the rights in force, whatever was in force before: a transaction for each table, so that none waits for another.
    /// `current_schema` is the one that the data lies in, quoted.
    pub(super) fn statements(&self, prefix: &RolePrefix, current_schema: &str) -> Vec<String> {
        let schema = self.schema.unwrap_or(current_schema);
        let usage = format!("GRANT USAGE ON SCHEMA {schema} TO {};", self.everybody(prefix));
        let tables = self.tables.iter().map(|table| self.secure(table, prefix));
        let stamp = format!("COMMENT ON TABLE {} IS '{}';", self.stamped, self.stamp(prefix));
        std::iter::once(usage).chain(tables).chain([stamp]).collect()
    }

    /// Names the rights: other rights have another name.
    pub(super) fn stamp(&self, prefix: &RolePrefix) -> String {
        let rights: String = self.tables.iter().map(|table| self.secure(table, prefix)).collect();
        let digest = HEXLOWER.encode(&Sha256::digest(rights.as_bytes()));
        format!("rights {}", digest.get(..16).unwrap_or_default())
    }

    /// Policies that are there when the rights are in force.
    pub(super) fn policies(&self) -> i64 {
        let of = |table: &Table| table.policies().into_iter().filter(|roles| !roles.is_empty()).count();
        i64::try_from(self.tables.iter().filter(|table| table.of_tenants).map(of).sum::<usize>()).unwrap_or(i64::MAX)
    }

    fn everybody(&self, prefix: &RolePrefix) -> String {
        names(self.roles, prefix)
    }

    fn secure(&self, table: &Table, prefix: &RolePrefix) -> String {
        let name = table.name;
        let mut sql = vec![format!("REVOKE ALL ON {name} FROM {}", self.everybody(prefix))];
        sql.extend(table.grants.iter().map(|(role, what)| format!("GRANT {what} ON {name} TO {}", role.name(prefix))));
        if table.of_tenants {
            let [confined, free] = table.policies();
            let (confined_name, free_name) = (format!("{prefix}_one_tenant"), format!("{prefix}_all_tenants"));
            sql.push(format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"));
            sql.extend([&confined_name, &free_name].map(|policy| format!("DROP POLICY IF EXISTS {policy} ON {name}")));
            if !confined.is_empty() {
                let roles = names(&confined, prefix);
                // Null where no tenant is named: no row equals it.
                let tenant = format!("NULLIF(current_setting('{SETTING}', true), '')::uuid");
                sql.push(format!(
                    "CREATE POLICY {confined_name} ON {name} FOR SELECT TO {roles} USING (tenant_id = {tenant})"
                ));
            }
            if !free.is_empty() {
                let roles = names(&free, prefix);
                sql.push(format!("CREATE POLICY {free_name} ON {name} TO {roles} USING (true) WITH CHECK (true)"));
            }
        }
        sql.join(";\n") + ";\n"
    }
}

impl Table {
    /// Who sees the rows of one tenant, and who those of all.
    fn policies(&self) -> [Vec<Role>; 2] {
        let (confined, free) = self.grants.iter().map(|grant| grant.0).partition(|role| *role == Reader);
        [confined, free]
    }
}

fn names(roles: &[Role], prefix: &RolePrefix) -> String {
    roles.iter().map(|role| role.name(prefix)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
