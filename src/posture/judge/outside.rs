//! What is open to others: listeners, servers, applications, Meta.

use std::net::IpAddr;

use serde_json::Value;
use time::Duration;

use super::super::State;
use super::super::facts::{Facts, Number};
use super::{Verdict, some, verdict, yours};
use crate::store::posture::Reached;

/// An agreement that nobody looked at for longer was forgotten.
const REVIEW: Duration = Duration::days(366);
/// An old secret that is accepted for longer was forgotten.
const ROTATION: Duration = Duration::days(30);

pub(super) fn two_step(facts: &Facts) -> Verdict {
    match facts.pins {
        (0, _) => verdict(true, "no number sends".to_owned()),
        (senders, pins) => {
            let hint = if pins < senders { ": `waxseal channel pin` sets it at Meta" } else { "" };
            verdict(
                pins >= senders,
                format!("{pins} of {senders} numbers that send have a PIN that is kept here{hint}"),
            )
        }
    }
}

pub(super) fn verified_profile(facts: &Facts) -> Verdict {
    if facts.numbers.is_empty() {
        return yours("no number sends");
    }
    let said = |number: &Number| {
        let fact = |name: &str| Some(number.facts.as_ref()?.get(name)?.clone());
        let official = fact("is_official_business_account").and_then(|yes| yes.as_bool());
        let name = fact("name_status").and_then(|word| word.as_str().map(str::to_owned));
        (official, name)
    };
    let all: Vec<_> = facts.numbers.iter().map(|number| (number, said(number))).collect();
    let asked = all.iter().filter(|(number, _)| number.facts.is_some()).count();
    let official = all.iter().filter(|(_, (official, _))| *official == Some(true)).count();
    let bad: Vec<String> = all
        .iter()
        .filter_map(|(number, (_, name))| Some((number, name.as_deref()?)))
        .filter(|(_, name)| matches!(*name, "DECLINED" | "EXPIRED" | "NONE"))
        .map(|(number, name)| format!("{} ({})", number.name, name.to_lowercase()))
        .collect();
    if bad.is_empty() {
        let words = format!("Meta was asked of {asked} of {} numbers, {official} are official accounts", all.len());
        return if official == all.len() { verdict(true, words) } else { (State::Yours, words) };
    }
    verdict(false, format!("Meta does not accept the name of {}", some(&bad)))
}

pub(super) fn updates(facts: &Facts) -> Verdict {
    let version = env!("CARGO_PKG_VERSION");
    (
        State::Yours,
        format!("this is {version}, the schema is its own, Graph API {}: look for newer releases", facts.graph),
    )
}

pub(super) fn endpoints(facts: &Facts) -> Verdict {
    let clear: Vec<&str> = facts.receivers.iter().filter(|one| !one.encrypted).map(|one| one.name.as_str()).collect();
    if !clear.is_empty() {
        return verdict(false, format!("in clear over the network: {}", some(&clear)));
    }
    let full = facts.receivers.iter().filter(|one| one.full).count();
    let mut policies: Vec<&str> = facts.receivers.iter().map(|one| one.fields).collect();
    policies.sort_unstable();
    policies.dedup();
    let told = if policies.is_empty() { "none".to_owned() } else { policies.join(", ") };
    let all = facts.receivers.len();
    verdict(
        true,
        format!("{all} applications are told, all over TLS or on this machine; {full} see everything ({told})"),
    )
}

pub(super) fn tokens(facts: &Facts) -> Verdict {
    let trouble = |number: &Number| {
        let known = number.facts.as_ref()?;
        if known.get("token_valid").and_then(Value::as_bool) == Some(false) {
            return Some(format!("{} (not valid)", number.name));
        }
        known.get("token_missing_scopes").map(|missing| format!("{} (lacks {missing})", number.name))
    };
    let bad: Vec<String> = facts.numbers.iter().filter_map(trouble).collect();
    if bad.is_empty() {
        let asked = facts.numbers.iter().filter(|number| number.facts.is_some()).count();
        return verdict(
            true,
            format!("{asked} of {} tokens were shown to Meta, none lacks anything", facts.numbers.len()),
        );
    }
    verdict(false, format!("tokens of {}", some(&bad)))
}

/// What the operator says of those who process the data for them: Meta always does.
pub(super) fn processors(facts: &Facts) -> Verdict {
    let (all, today) = (&facts.processors, facts.now.date());
    let is_meta = |name: &str| ["meta", "whatsapp"].iter().any(|word| name.to_lowercase().contains(word));
    let mut wrong = Vec::new();
    if all.is_empty() {
        wrong.push("nobody is named (privacy.processors)".to_owned());
    } else if !all.iter().any(|one| is_meta(&one.name)) {
        wrong.push("Meta is not among them (privacy.processors)".to_owned());
    }
    for one in all {
        if one.reviewed > today {
            wrong.push(format!("the day of {} is still to come", one.name));
        } else if today - one.reviewed > REVIEW {
            wrong.push(format!("the agreement with {} was looked at last on {}", one.name, one.reviewed));
        }
    }
    if !wrong.is_empty() {
        return verdict(false, some(&wrong));
    }
    verdict(
        true,
        format!("{} are named, and the agreement with each was looked at within a year, as you said", all.len()),
    )
}

pub(super) fn phishing(_: &Facts) -> Verdict {
    yours("this release does not look at links and senders; what people write is for trained eyes")
}

pub(super) fn public_listener(facts: &Facts) -> Verdict {
    listener(facts, "public")
}

pub(super) fn internal_listener(facts: &Facts) -> Verdict {
    listener(facts, "internal")
}

pub(super) fn admin_listener(facts: &Facts) -> Verdict {
    listener(facts, "admin")
}

fn listener(facts: &Facts, name: &str) -> Verdict {
    let Some(one) = facts.listeners.iter().find(|one| one.name == name) else { return yours("it is not served") };
    let how = match (one.tls, one.mutual) {
        (true, true) => "TLS, and nobody without a certificate",
        (true, false) => "TLS",
        (false, _) if !one.is_clear() => "plain HTTP, on this machine alone",
        (false, _) => "plain HTTP on a network: set tls, or accept it where a proxy before it speaks TLS",
    };
    verdict(!one.is_clear(), format!("port {}: {how}", one.at.port()))
}

pub(super) fn webhook_signature(facts: &Facts) -> Verdict {
    if facts.apps == 0 {
        return verdict(false, "no Meta app is registered: every webhook is refused".to_owned());
    }
    let old: Vec<String> = facts
        .old_secrets
        .iter()
        .filter(|(_, since)| facts.now - *since > ROTATION)
        .map(|(name, since)| format!("{name} (since {})", since.date()))
        .collect();
    if old.is_empty() {
        return verdict(true, format!("every webhook must be signed with the secret of one of {} apps", facts.apps));
    }
    verdict(false, format!("a secret of before is still accepted: {}", some(&old)))
}

pub(super) fn database_transport(facts: &Facts) -> Verdict {
    let is_safe = |one: &Reached| one.encrypted || one.address.as_deref().is_none_or(is_loopback);
    let told = |what: &str, one: &Reached| match (&one.address, one.encrypted) {
        (None, _) => format!("{what} through a socket of this machine"),
        (Some(_), true) => format!("{what} over TLS"),
        (Some(at), false) if is_loopback(at) => format!("{what} on this machine"),
        (Some(_), false) => format!("{what} over a network in clear"),
    };
    let words = format!("{}, {}", told("data", &facts.data), told("keys", &facts.key_store));
    verdict(is_safe(&facts.data) && is_safe(&facts.key_store), words)
}

fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
