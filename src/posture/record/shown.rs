//! Who is shown the data, and where they go: as configuration, applications and keys are now.

use time::OffsetDateTime;

use super::{Section, entry, said};
use crate::access::api_key::{Powers, sight};
use crate::directory::Snapshot;
use crate::domain::endpoint::State;
use crate::domain::field_class::FieldClass;
use crate::posture::{Declared, TENANT};

/// Art. 30(1)(d).
pub(super) fn recipients(snapshot: &Snapshot, declared: &Declared, now: OffsetDateTime) -> Section {
    let mut entries =
        vec![entry("Meta", "every message passes through it in readable form, by your contract with Meta")];
    for one in &declared.privacy.processors {
        let says = format!("{}; agreement and guarantees looked at on {}, as you said", one.purpose, one.reviewed);
        entries.push(entry(format!("processor {}", one.name), says));
    }
    if declared.privacy.processors.is_empty() {
        entries.push(entry("processors", said("", "privacy.processors")));
    }
    for one in snapshot.endpoints_of(TENANT).into_iter().filter(|one| one.state != State::Disabled) {
        let ids = if one.pseudonymous { "pseudonyms of its own" } else { "our ids" };
        let which = if one.filter.channels.is_empty() {
            "all numbers".to_owned()
        } else {
            format!("{} numbers", one.filter.channels.len())
        };
        let says = format!(
            "at {}, is sent {} of events of {which}, knows people by {ids}, format {}",
            one.url.host(),
            one.fields.as_str(),
            one.format.as_str()
        );
        entries.push(entry(format!("application {}", one.name), says));
    }
    let keys = snapshot.api_keys_of(TENANT);
    let sees = keys.into_iter().filter(|key| key.revoked_at.is_none() && key.expires_at > now);
    for key in sees.filter(|key| sight(key).class >= FieldClass::Personal) {
        let powers = match Powers::of(key) {
            Powers::Role(role) => format!("role {}", role.as_str()),
            Powers::Scopes(scopes) => format!("{} permissions", scopes.iter().count()),
        };
        let sight = sight(key);
        let masked = if sight.unmasked { "in clear" } else { "masked" };
        let until = key.expires_at.date();
        let says = format!("{powers}, sees {} fields, names and numbers {masked}, until {until}", sight.class.as_str());
        entries.push(entry(format!("API key {}", key.name), says));
    }
    Section { title: "Who is shown them", article: "Art. 30(1)(d)", entries }
}

/// Art. 30(1)(e).
pub(super) fn transfers(snapshot: &Snapshot, declared: &Declared, region: Option<&str>) -> Section {
    let mut hosts: Vec<String> = snapshot.endpoints_of(TENANT).into_iter().map(|one| one.url.host()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let listed = |hosts: &[String]| if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    let region = match region {
        Some(name) if declared.clouds.is_empty() => format!("\"{name}\""),
        Some(name) => format!("\"{name}\"; services of clouds in {}", declared.clouds.join(", ")),
        None => "none is named (region.name)".to_owned(),
    };
    Section {
        title: "Where they go",
        article: "Art. 30(1)(e)",
        entries: vec![
            entry("region", region),
            entry("databases", said(&declared.privacy.hosting, "privacy.hosting")),
            entry(
                "Meta",
                format!("{} (Meta Platforms; outside of the EU as your contract with Meta says)", declared.graph_host),
            ),
            entry("files", declared.files.at.clone()),
            entry("KMS", declared.kms.at.clone()),
            entry("applications", listed(&hosts)),
            entry("witnesses", format!("{}; they see hashes alone", listed(&declared.witnesses))),
        ],
    }
}
