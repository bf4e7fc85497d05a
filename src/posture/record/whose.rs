//! Whose data, and which: as the settings of the numbers are now.

use std::sync::Arc;

use super::{Section, entry};
use crate::directory::Snapshot;
use crate::domain::channel::{Channel, MediaMode};
use crate::domain::door::{DoorPolicy, Treatment};
use crate::posture::{Declared, TENANT};

/// Art. 30(1)(c).
pub(super) fn categories(snapshot: &Snapshot, declared: &Declared) -> Section {
    let channels = snapshot.channels_of(TENANT);
    let kind = |treatment: fn(&DoorPolicy) -> Treatment| treated(&channels, treatment);
    let left = |channel: &Arc<Channel>| Some(format!("{}: {}", channel.name, channel.door.told()?));
    let left: Vec<String> = channels.iter().copied().filter_map(left).collect();
    Section {
        title: "Whose data, and which",
        article: "Art. 30(1)(c)",
        entries: vec![
            entry("people", people(&channels)),
            entry("who they are", "number, Meta's ids, username (contact.profile; sealed per person)"),
            entry("what they call themselves", kind(|door| door.names)),
            entry("what they write", "messages and Meta's statuses (event_payload; sealed per person and month)"),
            entry("places that they share", kind(|door| door.locations)),
            entry("cards of others that they share", kind(|door| door.contacts)),
            entry("advertisements that they came from", kind(|door| door.referrals)),
            entry("what they are written", written(&channels)),
            entry("files", files(&channels, declared)),
            entry("left out before storing", if left.is_empty() { "nothing".to_owned() } else { left.join("; ") }),
            entry(
                "that it happened",
                "type, time, number, random id of the person (event, message; readable, SECURITY.md has every column)",
            ),
            entry("consent", "what they agreed to or refused, with source, wording and time (consent; wording sealed)"),
            entry("who saw it", "random ids of the person and the key, time and purpose (audit_entry)"),
            entry("special categories", "none is asked for; what people write of themselves is not searched for them"),
        ],
    }
}

fn people(channels: &[&Arc<Channel>]) -> String {
    let mut who = vec!["customers and others who write to the numbers"];
    if channels.iter().any(|channel| channel.token.is_some()) {
        who.push("are written to");
    }
    if channels.is_empty() || channels.iter().any(|channel| channel.door.contacts == Treatment::Keep) {
        who.push("are on a card that somebody shares");
    }
    format!("{}, or are named in what is written", who.join(", "))
}

fn written(channels: &[&Arc<Channel>]) -> &'static str {
    if channels.iter().any(|channel| channel.token.is_some()) {
        "messages and Meta's answers (message; sealed per person and month)"
    } else {
        "nothing: no number has a token to send with"
    }
}

/// What becomes of a kind of data, number by number.
fn treated(channels: &[&Arc<Channel>], treatment: fn(&DoorPolicy) -> Treatment) -> String {
    if channels.is_empty() {
        return "there is no number yet".to_owned();
    }
    let told = |wanted: Treatment| {
        let count = channels.iter().filter(|channel| treatment(&channel.door) == wanted).count();
        let words = match wanted {
            Treatment::Keep => "kept, sealed,",
            Treatment::Hash => "kept as a keyed hash alone",
            Treatment::Drop => "left out before storing",
        };
        (count > 0).then(|| format!("{words} on {count} of {} numbers", channels.len()))
    };
    let told: Vec<String> = [Treatment::Keep, Treatment::Hash, Treatment::Drop].into_iter().filter_map(told).collect();
    told.join("; ")
}

fn files(channels: &[&Arc<Channel>], declared: &Declared) -> String {
    if !declared.files.are_kept {
        return "Meta's references alone: no place for files is set (media.url)".to_owned();
    }
    let kept = |mode| channels.iter().filter(|channel| channel.media == mode).count();
    let [store, proxy, never] = [MediaMode::Store, MediaMode::Proxy, MediaMode::Never].map(kept);
    format!(
        "kept on {store} numbers, passed on from Meta on {proxy}, left at Meta on {never}; what pictures, films and sound say beside \
         their content is removed from those that come in and those that are handed over, and from no other type (PDF, Office, AMR)"
    )
}
