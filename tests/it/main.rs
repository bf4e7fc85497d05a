//! The promises of the README, tested as an operator, an application and Meta would see them: over HTTP, against real Postgres,
//! with the simulator as Meta. One file for each promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and it drives the machine as its user would"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod support;

mod access;
mod alarms;
mod amazon;
mod audit;
mod authorisation;
mod backup;
mod callback_data;
mod canary;
mod cancelling;
mod cli_delivery;
mod cli_messages;
mod consent;
mod data_keys;
mod dead_letters;
mod delivery;
mod delivery_engine;
mod delivery_health;
mod delivery_processes;
mod door;
mod endpoint_options;
mod endpoints;
mod event_stream;
mod examples;
mod faults;
mod handing_over;
mod idempotency;
mod identity;
mod index_keys;
mod key_epoch;
mod key_readers;
mod key_rotation;
mod keys;
mod kms;
mod kms_aws;
mod kms_pkcs11;
mod kms_slow;
mod listeners;
mod media;
mod media_bucket;
mod media_links;
mod media_modes;
mod message_batches;
mod message_history;
mod message_lists;
mod meta_roundtrip;
mod mirror;
mod mirror_files;
mod mutations;
mod numbers;
mod pacing;
mod pins;
mod posture;
mod privacy;
mod reading;
mod region;
mod replay;
mod rows;
mod scheduled_messages;
mod sdk;
mod sdk_receiving;
mod sending;
mod sending_reads;
mod settings;
mod stored_rows;
mod suites;
mod templates;
mod tls;
mod waited;
mod webhook_bad_input;
mod webhook_batches;
mod webhook_handshake;
mod webhook_signature;
mod window;
