//! The only home of axum: three listeners, each with a router of its own, so that the public one cannot reach the others.

mod admin;
mod api;
mod frame;
mod graph;
mod headers;
pub mod listen;
mod public;
mod readers;
pub mod router;
mod state;
mod unread;

pub use readers::Readers;
pub use state::{AppState, Draining};
