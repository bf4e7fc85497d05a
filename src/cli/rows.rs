//! What `waxseal migrate` says about the database roles.

use std::io::{self, Write};

use crate::app::RowsKept;

/// Says whether Postgres keeps the rows of tenants apart, and if not, what an administrator of the server has to run for it.
pub(super) fn tell(kept: &RowsKept, out: &mut (dyn Write + Send)) -> io::Result<()> {
    match kept {
        RowsKept::Yes => writeln!(out, "the database roles are in force: Postgres keeps the rows of tenants apart"),
        RowsKept::Off => writeln!(out, "the database roles are not used (database.roles = \"off\")"),
        RowsKept::Later => writeln!(
            out,
            "the rights of the database roles could not be put in force now, because something holds a table: run this again"
        ),
        RowsKept::Not(sql) => writeln!(
            out,
            "this login may not make the database roles, and Postgres does not keep the rows of tenants apart. Have an administrator \
             of the server run this in this database, then run `waxseal migrate` again:\n\n{sql}"
        ),
    }
}
