//! Checks the certificate of an erasure: that the log committed to it, that it agrees with itself, and whom it is about.

use data_encoding::HEXLOWER;
use serde_json::Value;
use uuid::Uuid;

use super::{Checked, Verdict, refused};
use crate::audit::{Action, Actor, Entry, SALT, commitment};
use crate::privacy::{Named, certificate};
use crate::tlog::merkle::leaf_hash;
use crate::tlog::policy::Policy;
use crate::tlog::proof::{Proof, Unproved};

/// Whom it should be about, and the salt that the requester was given.
pub(super) struct Subject {
    pub(super) named: Named,
    pub(super) salt: [u8; 32],
}

fn invalid(why: &str) -> Verdict {
    Verdict::Invalid(why.to_owned())
}

fn diverged(why: &str) -> Verdict {
    Verdict::Diverged(why.to_owned())
}

/// Says in words what it shows and what it does not.
pub(super) fn check(policy: &Policy, text: &str, subject: Option<&Subject>) -> Checked<String> {
    let file: Value = serde_json::from_str(text).map_err(|_| invalid("this is no JSON"))?;
    let document = file.get("certificate").ok_or_else(|| invalid("there is no certificate in it"))?;
    let proof = file.get("proof").and_then(Value::as_str).ok_or_else(|| invalid("there is no proof in it"))?;
    if document.get("waxseal_erasure_certificate").and_then(Value::as_u64) != Some(certificate::VERSION) {
        return Err(invalid("this version of certificates is not known"));
    }
    let proof = Proof::parse(proof).map_err(|error| Verdict::Invalid(error.to_string()))?;
    let extra = proof.extra.as_deref().ok_or_else(|| invalid("the proof holds no entry"))?;
    let (salt, bytes) = extra.split_first_chunk::<SALT>().ok_or_else(|| invalid("the proof holds no entry"))?;
    let entry = Entry::decode(bytes).ok_or_else(|| invalid("the entry is malformed"))?;
    let checkpoint = match proof.verify(&leaf_hash(&commitment(bytes, salt)), policy) {
        Ok(checkpoint) => checkpoint,
        Err(Unproved::NotIncluded) => return Err(Verdict::Diverged(Unproved::NotIncluded.to_string())),
        Err(Unproved::Checkpoint(why)) => return Err(refused(why)),
        Err(Unproved::Malformed) => return Err(Verdict::Invalid(Unproved::Malformed.to_string())),
    };
    commits_to(&entry, document)?;
    agrees_with_itself(document)?;
    let about = subject.map(|subject| is_about(document, subject)).transpose()?;
    let word =
        |pointer: &str| document.pointer(pointer).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    let about = if about.is_some() { "the person who was named" } else { "a person whom the salt would show" };
    // Certificates of earlier releases say nothing of it.
    let identity = match document.pointer("/identity/method").and_then(Value::as_str) {
        Some(method) => format!("identity checked: {method}, {}.\n", word("/identity/checked_on")),
        None => String::new(),
    };
    Ok(format!(
        "entry {} of {} commits to it.\nabout {about}: {} keys were destroyed at {}, and rows of {} tables removed; epoch {} -> {}.\n{identity}\
         until {} something may be left that is not in reach.\nit proves: {}\nit does not prove: {}",
        proof.index,
        checkpoint.head.size,
        word("/keys/destroyed"),
        word("/keys/destroyed_at"),
        document.pointer("/removed").and_then(Value::as_object).map_or(0, serde_json::Map::len),
        word("/epoch/before"),
        word("/epoch/after"),
        word("/residual_until"),
        word("/proves"),
        word("/does_not_prove"),
    ))
}

/// The entry was left by the gateway when it certified this erasure, and holds the hash of this very document.
fn commits_to(entry: &Entry, document: &Value) -> Checked<()> {
    let act = &entry.act;
    let id = |name: &str| document.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Uuid>().ok());
    let is_right = act.action == Action::ErasureCertified.as_str()
        && act.actor == Actor::GATEWAY
        && Some(act.object.id) == id("erasure_id")
        && Some(act.tenant.uuid()) == id("tenant_id");
    if !is_right {
        return Err(diverged("the entry is not of this erasure"));
    }
    let digest = certificate::digest(&certificate::canonical(document));
    if act.details == digest { Ok(()) } else { Err(diverged("the certificate was changed after it was recorded")) }
}

fn agrees_with_itself(document: &Value) -> Checked<()> {
    let checks = document.pointer("/keys/check_values").and_then(Value::as_array);
    let checks: Option<Vec<[u8; 32]>> = checks.and_then(|all| all.iter().map(hash).collect());
    let checks = checks.ok_or_else(|| invalid("the keys are malformed"))?;
    let root = document.pointer("/keys/root").and_then(hash);
    let count = document.pointer("/keys/destroyed").and_then(Value::as_u64);
    if root == Some(certificate::root(&checks)) && count == Some(checks.len() as u64) {
        return Ok(());
    }
    Err(diverged("the keys are not those of the root"))
}

fn hash(value: &Value) -> Option<[u8; 32]> {
    HEXLOWER.decode(value.as_str()?.as_bytes()).ok()?.try_into().ok()
}

fn is_about(document: &Value, subject: &Subject) -> Checked<()> {
    let committed = document.pointer("/subject/commitment").and_then(hash);
    if committed == Some(subject.named.commitment(&subject.salt)) {
        return Ok(());
    }
    Err(diverged("the certificate is about somebody else, or the salt is another"))
}
