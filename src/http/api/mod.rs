//! The REST API under `/v1`, and the documentation that is made from its code.

mod apps;
mod attempts;
mod audit;
mod auth;
mod body;
mod channels;
mod contacts;
mod credential_fields;
mod dead_letters;
mod decoys;
mod docs;
mod endpoint_json;
mod endpoint_options;
mod endpoints;
mod event_query;
mod events;
mod fields;
mod follower;
mod key_changes;
mod key_json;
mod keys;
mod message_json;
mod messages;
mod openapi;
mod page;
pub(super) mod problem;
mod query;
mod replays;
mod routes;
mod sending;
mod stream;
mod target;
pub(super) mod trail;
mod verification;

pub(super) use routes::router;
