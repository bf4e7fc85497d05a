//! The only home of SQL. It accepts sealed bytes, keyed hashes and ids; it is never handed a key.
//!
//! Functions are grouped by table and take the connection or pool first, then the tenant: no query without its owner.

pub mod accepting;
pub mod api_keys;
pub mod attempts;
pub mod audit_check;
pub mod audit_checkpoints;
pub mod audit_entries;
pub mod audit_reads;
pub mod audit_retention;
pub mod audit_scope;
pub mod audit_tree;
pub mod bells;
pub mod budgets;
mod connection;
pub mod consent;
pub mod contacts;
pub mod dead_letters;
mod decoys;
pub mod deliveries;
pub mod endpoints;
mod error;
pub mod event_scan;
pub mod events;
pub mod idempotency;
pub mod keys;
pub mod lanes;
pub mod media;
pub mod messages;
pub mod migrate;
pub mod numbers;
mod orphans;
pub mod outbox;
pub mod pace;
pub mod partitions;
pub mod polls;
mod pools;
pub mod queued;
mod readers;
pub mod replay_steps;
pub mod replays;
mod rights;
mod roles;
pub mod rounds;
mod row_security;
pub mod settings;
pub mod settlements;
pub mod templates;
pub mod windows;

pub use connection::{Connection, Transaction};
pub use error::StoreError;
pub use pools::{Pools, Store};
pub use row_security::RowSecurity;
