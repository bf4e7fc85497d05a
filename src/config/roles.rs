//! How the gateway speaks to Postgres: under which roles, and whether it may do without them.

use std::fmt;
use std::str::FromStr;

/// Whether the database roles are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleUse {
    /// Where they are there or can be made; else a warning.
    Auto,
    /// Always: nothing starts without them.
    Required,
    /// Never: everything is done by the login itself.
    Off,
}

impl FromStr for RoleUse {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "required" => Ok(Self::Required),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

/// What the names of the database roles begin with: 1 to 40 lower-case letters, digits and underscores, the first a letter, so that it
/// needs no quotes in SQL. Roles belong to the whole server: installations that share one must not share these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePrefix(String);

impl Default for RolePrefix {
    fn default() -> Self {
        Self("waxseal".to_owned())
    }
}

impl FromStr for RolePrefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase()) && !text.starts_with("pg_");
        (is_plain && begins_well && text.len() <= 40).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for RolePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_needs_no_quotes() {
        for good in ["waxseal", "a", "wax_2"] {
            assert!(good.parse::<RolePrefix>().is_ok(), "{good}");
        }
        for bad in ["", "2wax", "Wax", "wax-seal", "wax;drop", "pg_wax", "\"wax", &"a".repeat(41)] {
            assert!(bad.parse::<RolePrefix>().is_err(), "{bad}");
        }
    }
}
