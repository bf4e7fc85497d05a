//! The only home of axum: three listeners, each with a router of its own, so that the public one cannot reach the others.

mod admin;
mod api;
mod client_name;
mod frame;
mod graph;
mod headers;
pub mod listen;
mod peer;
mod public;
mod readers;
mod reports;
pub mod router;
mod state;
pub mod tls;
mod unread;

pub use graph::Mirror;
pub use peer::TrustedProxies;
pub use readers::Readers;
pub use reports::Reports;
pub use state::{AppState, Draining, Parts};
