//! What every test stands on.

pub mod app;
pub mod attacker;
pub mod certificates;
pub mod child;
pub mod database;
pub mod endpoint;
pub mod estate;
pub mod events;
pub mod folder;
pub mod gate;
pub mod load;
pub mod process;
pub mod receiver;
pub mod sweep;
pub mod wait;
pub mod webhook;
pub mod wire;

pub use app::TestApp;
pub use receiver::Receiver;
