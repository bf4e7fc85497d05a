//! The promises of the README, tested as an operator, an application and Meta would see them: over HTTP, against real Postgres,
//! with the simulator as Meta. One file for each promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

mod delivery;
mod sending;
mod webhook_bad_input;
mod webhook_batches;
mod webhook_handshake;
mod webhook_signature;
