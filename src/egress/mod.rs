//! The consumer side: how a delivery is signed, which addresses it may go to, and the client that carries it there.

pub mod address;
pub mod attempt;
pub mod client;
pub mod guard;
pub mod resolver;
pub mod sign;
