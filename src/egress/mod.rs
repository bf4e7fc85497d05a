//! The consumer side: what a delivery says, how it is signed, which addresses it may go to, and the client that takes it.

pub mod address;
pub mod ask;
pub mod attempt;
pub mod authorization;
pub mod brokers;
pub mod client;
mod connections;
pub mod event_json;
mod fault;
pub mod guard;
pub mod proxy;
pub mod resolver;
pub mod sign;
pub mod tls;
mod token;
pub mod view;
