//! The only home of SQL. It accepts sealed bytes, keyed hashes and ids; it is never handed a key.
//!
//! Functions are grouped by table and take the connection or pool first, then the tenant: no query without its owner.

pub mod api_keys;
pub mod contacts;
pub mod deliveries;
pub mod endpoints;
mod error;
pub mod events;
pub mod keys;
pub mod lanes;
pub mod messages;
pub mod migrate;
pub mod partitions;
mod pools;
pub mod settings;

pub use error::StoreError;
pub use pools::{Pools, Store};

/// A connection inside or outside a transaction.
pub type Connection = sqlx::PgConnection;
/// A connection that goes back to the pool when it is dropped.
pub type PooledConnection = sqlx::pool::PoolConnection<sqlx::Postgres>;
/// A transaction of the data store.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
