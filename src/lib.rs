//! Waxseal: a self-hosted gateway between Meta's WhatsApp Business Cloud API and a company's own applications.
//!
//! `ARCHITECTURE.md` is the map. Rooms are listed from the top of the house down; arrows point down only, and
//! `tests/architecture.rs` holds the rule.

pub mod cli;

pub mod app;

pub mod backup;
pub mod http;
pub mod worker;

pub mod posture;

pub mod access;
pub mod deliver;
pub mod ingest;
pub mod privacy;
pub mod send;

pub mod audit;
pub mod directory;

pub mod keyring;

pub mod egress;
pub mod kms;
pub mod media;
pub mod meta;
pub mod store;

pub mod crypto;
pub mod domain;
pub mod tlog;

pub mod clock;
pub mod config;
pub mod ids;
pub mod secret;
pub mod telemetry;

pub mod simulator;
