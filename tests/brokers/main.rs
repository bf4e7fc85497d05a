//! Promise: a broker is an endpoint like any other: every event reaches it, signed, at least once. Against the real servers of
//! NATS and `RabbitMQ`, which the tests start themselves, and a stand-in for a Kafka cluster.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and it drives the machine as its user would"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod amqp;
mod gateway;
mod guard;
mod kafka;
mod nats;
mod servers;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests over HTTP")]
mod support;
