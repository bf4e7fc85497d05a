//! What a seal is bound to. A value that is moved to another row, column, contact or tenant does not open there.

use uuid::Uuid;

/// The place of one sealed value. Never stored: rebuilt from the row it is read from.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Owner of the row.
    pub tenant: Uuid,
    /// Table, as in the schema.
    pub table: &'static str,
    /// Column, as in the schema.
    pub column: &'static str,
    /// Primary id of the row.
    pub row: Uuid,
    /// The contact whose data it is; nil when nobody's.
    pub contact: Uuid,
}

/// Version of the meaning of the sealed bytes. Stepped when a column's plaintext changes its format.
const SCHEMA_VERSION: u8 = 1;

impl Context {
    /// The bytes that enter the key derivation and the associated data: each field behind its length in one byte.
    pub(super) fn encode(&self) -> Vec<u8> {
        let fields: [&[u8]; 6] = [
            self.tenant.as_bytes(),
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row.as_bytes(),
            self.contact.as_bytes(),
            &[SCHEMA_VERSION],
        ];
        let mut encoded = Vec::with_capacity(96);
        for field in fields {
            // Table and column names are literals of at most 63 bytes (Postgres), ids are 16.
            encoded.push(field.len() as u8);
            encoded.extend_from_slice(field);
        }
        encoded
    }
}
