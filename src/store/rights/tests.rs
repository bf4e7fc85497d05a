//! What must hold of the grants, whatever they are.

use super::*;

#[test]
fn no_table_of_tenants_is_without_a_policy_and_no_reader_writes() {
    for table in DATA.iter().chain(KEYS) {
        assert!(table.grants.len() <= Role::OF_DATA.len() && !table.grants.is_empty(), "{}", table.name);
        let writes = |what: &str| ["INSERT", "UPDATE", "DELETE"].iter().any(|word| what.contains(word));
        assert!(table.grants.iter().all(|(role, what)| *role != Reader || !writes(what)), "{}", table.name);
        let sql = DATA_PART.secure(table, &RolePrefix::default());
        assert_eq!(sql.contains("CREATE POLICY"), table.of_tenants, "{sql}");
    }
}

#[test]
fn the_data_and_the_keys_have_no_role_in_common() {
    assert!(DATA_PART.roles.iter().all(|role| !KEYS_PART.roles.contains(role)));
}

#[test]
fn other_rights_have_another_stamp() {
    let one = DATA_PART.stamp(&RolePrefix::default());
    assert_ne!(one, KEYS_PART.stamp(&RolePrefix::default()));
    assert_ne!(one, DATA_PART.stamp(&"other".parse().unwrap()));
    assert_eq!(one.len(), "rights ".len() + 16);
}
