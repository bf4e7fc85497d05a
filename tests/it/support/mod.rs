//! What every test stands on.

pub mod app;
pub mod child;
pub mod database;
pub mod receiver;
pub mod sweep;
pub mod webhook;

pub use app::TestApp;
pub use receiver::Receiver;
