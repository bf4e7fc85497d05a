//! The consumer side: what a delivery says, how it is signed, which addresses it may go to, and the client that takes it.

pub mod address;
pub mod attempt;
pub mod brokers;
pub mod client;
pub mod event_json;
pub mod guard;
pub mod resolver;
pub mod sign;
