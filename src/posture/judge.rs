//! The controls: what the measured facts say of each. Pure, so that a test turns each of them off.

mod access;
mod keeping;
mod outside;
mod sealing;

use super::facts::{Facts, Key};
use super::{Control, State};

macro_rules! controls {
    ($($name:literal: $claim:literal, $judge:path);+ $(;)?) => {
        /// The names of all controls.
        pub const NAMES: &[&str] = &[$($name),+];

        /// Every control, in the order of the article.
        pub(super) fn all(facts: &Facts) -> Vec<Control> {
            vec![$({
                let (state, evidence) = $judge(facts);
                Control { name: $name, claim: $claim, state, evidence }
            }),+]
        }
    };
}

controls! {
    "content-sealed": "Messages are encrypted", sealing::content_sealed;
    "no-plaintext": "Messages are encrypted", sealing::no_plaintext;
    "end-to-end": "Messages are encrypted", sealing::end_to_end;
    "two-step": "Two-factor authentication", outside::two_step;
    "verified-profile": "Verified profiles", outside::verified_profile;
    "updates": "Security updates", outside::updates;
    "endpoints": "Third-party integrations", outside::endpoints;
    "tokens": "Third-party integrations", outside::tokens;
    "processors": "Third-party integrations", outside::processors;
    "masking": "Human error", access::masking;
    "erasures": "Compliance", keeping::erasures;
    "requests": "Compliance", keeping::requests;
    "holds": "Compliance", keeping::holds;
    "consent": "Compliance", keeping::consent;
    "phishing": "Phishing", outside::phishing;
    "public-listener": "Secure interfaces", outside::public_listener;
    "internal-listener": "Secure interfaces", outside::internal_listener;
    "admin-listener": "Secure interfaces", outside::admin_listener;
    "webhook-signature": "Secure interfaces", outside::webhook_signature;
    "database-transport": "Secure interfaces", outside::database_transport;
    "tenant-rows": "Access control", access::tenant_rows;
    "key-expiry": "Access control", access::key_expiry;
    "idle-keys": "Access control", access::idle_keys;
    "admin-keys": "Access control", access::admin_keys;
    "second-factor": "Access control", access::second_factor;
    "read-budgets": "Access control", access::read_budgets;
    "backups": "Encrypted backups", sealing::backups;
    "kms": "Encrypted backups", sealing::kms;
    "epoch-cell": "Encrypted backups", sealing::epoch_cell;
    "epoch-step": "Encrypted backups", sealing::epoch_step;
    "training": "Training", keeping::training;
    "audit-log": "Monitoring and audit", keeping::audit_log;
    "audit-tree": "Monitoring and audit", keeping::audit_tree;
    "audits": "Monitoring and audit", keeping::audits;
    "content-age": "90 days of retention", keeping::content_age;
    "retention": "90 days of retention", keeping::retention;
    "attestation": "90 days of retention", keeping::attestation;
    "alarms": "Threat detection", keeping::alarms;
    "models": "Threat detection", keeping::models;
    "separate-stores": "Decentralised storage", sealing::separate_stores;
    "region": "Decentralised storage", sealing::region;
    "minimisation": "Privacy-first integrations", keeping::minimisation;
    "rows": "Records nobody rewrites", keeping::rows;
    "witnesses": "Records nobody rewrites", keeping::witnesses;
}

type Verdict = (State, String);

const fn verdict(is_good: bool, evidence: String) -> Verdict {
    (if is_good { State::Green } else { State::Red }, evidence)
}

fn yours(words: &str) -> Verdict {
    (State::Yours, words.to_owned())
}

/// The first of many.
fn some<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(AsRef::as_ref).collect();
    let more =
        if names.len() > shown.len() { format!(" and {} more", names.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn names(keys: &[Key], which: impl Fn(&&Key) -> bool) -> Vec<&str> {
    keys.iter().filter(which).map(|key| key.name.as_str()).collect()
}
