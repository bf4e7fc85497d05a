//! `waxseal record`: the record of processing activities (Art. 30 GDPR) and the map of the data, written from the configuration in
//! force, the settings and what is stored at this moment. What only people know stands in `[privacy]`.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::moment::shown;
use super::posture::{self, Control};
use crate::access::api_key::{Powers, sight};
use crate::config::{Config, KmsSource, MediaPlace, PrivacyConfig};
use crate::directory::Snapshot;
use crate::domain::channel::{Channel, MediaMode};
use crate::domain::endpoint::State;
use crate::domain::field_class::FieldClass;
use crate::domain::keeping::Keep;
use crate::ids::TenantId;
use crate::privacy::{Attested, ChannelRule};

const TENANT: TenantId = TenantId::DEFAULT;

/// `waxseal record`
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// Print JSON instead of Markdown.
    #[arg(long)]
    json: bool,
}

/// A part of the record.
#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    /// Where the law asks for it.
    article: &'static str,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    says: String,
}

#[derive(Debug, Serialize)]
struct Record {
    made_at: String,
    release: &'static str,
    sections: Vec<Section>,
}

fn entry(name: &str, says: impl Into<String>) -> Entry {
    Entry { name: name.to_owned(), says: says.into() }
}

pub(super) async fn run(config: &Config, args: RecordArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let (facts, controls) = posture::measure(&base, config).await?;
    let snapshot = base.directory.snapshot();
    let record = Record {
        made_at: shown(facts.now),
        release: env!("CARGO_PKG_VERSION"),
        sections: vec![
            controller(&config.privacy),
            purposes(&config.privacy, &snapshot),
            categories(&snapshot, config),
            recipients(&snapshot, facts.now),
            transfers(config, &snapshot),
            storage(config, &facts.oldest, &facts.rules),
            measures(&controls),
        ],
    };
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&record)?)?);
    }
    Ok(out.write_all(markdown(&record).as_bytes())?)
}

/// What is not set is said to be missing: a record with a hole that nobody sees is worth nothing.
fn said(text: &str, key: &str) -> String {
    if text.is_empty() { format!("MISSING: set {key}") } else { text.to_owned() }
}

fn controller(privacy: &PrivacyConfig) -> Section {
    Section {
        title: "Who answers for it",
        article: "Art. 30(1)(a)",
        entries: vec![
            entry("controller", said(&privacy.controller, "privacy.controller")),
            entry("contact", said(&privacy.contact, "privacy.contact")),
            entry("data protection officer", said(&privacy.officer, "privacy.officer")),
        ],
    }
}

fn purposes(privacy: &PrivacyConfig, snapshot: &Snapshot) -> Section {
    let channels = snapshot.channels_of(TENANT);
    let senders = channels.iter().filter(|channel| channel.token.is_some()).count();
    let mut entries = vec![entry("purposes", said(&privacy.purposes.join("; "), "privacy.purposes"))];
    entries.push(entry(
        "processing",
        format!(
            "messages to and from customers over {} WhatsApp business numbers, of which {senders} send: taken from Meta, sealed, \
             handed on, sent, recorded, removed with age",
            channels.len()
        ),
    ));
    Section { title: "What for", article: "Art. 30(1)(b)", entries }
}

fn categories(snapshot: &Snapshot, config: &Config) -> Section {
    let files = if config.media.place == MediaPlace::Nowhere {
        "Meta's references alone: no place for files is set (media.url)".to_owned()
    } else {
        let kept = |mode| snapshot.channels_of(TENANT).into_iter().filter(|channel| channel.media == mode).count();
        let [store, proxy, never] = [MediaMode::Store, MediaMode::Proxy, MediaMode::Never].map(kept);
        format!(
            "kept on {store} numbers, passed on from Meta on {proxy}, left at Meta on {never}; what pictures, films and sound say beside \
             their content is removed from those that come in and those that are handed over, and from no other type (PDF, Office, AMR)"
        )
    };
    let left = |channel: &Channel| Some(format!("{}: {}", channel.name, channel.door.told()?));
    let left: Vec<String> = snapshot.channels_of(TENANT).into_iter().filter_map(|channel| left(channel)).collect();
    Section {
        title: "Whose data, and which",
        article: "Art. 30(1)(c)",
        entries: vec![
            entry(
                "people",
                "customers and others who write to the numbers, are written to, or are named in what is written",
            ),
            entry("who they are", "number, Meta's ids, profile name, username (contact.profile; sealed per person)"),
            entry("what they write", "messages and Meta's statuses (event_payload; sealed per person and month)"),
            entry("what they are written", "messages and Meta's answers (message; sealed per person and month)"),
            entry("files", files),
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

fn recipients(snapshot: &Snapshot, now: OffsetDateTime) -> Section {
    let mut entries =
        vec![entry("Meta", "every message passes through it in readable form, by your contract with Meta")];
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
        entries.push(Entry { name: format!("application {}", one.name), says });
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
        entries.push(Entry { name: format!("API key {}", key.name), says });
    }
    Section { title: "Who is shown them", article: "Art. 30(1)(d)", entries }
}

fn transfers(config: &Config, snapshot: &Snapshot) -> Section {
    let host = |url: &url::Url| url.host_str().unwrap_or("-").to_owned();
    let kms = match &config.keys.kms {
        KmsSource::Local(_) => "on this machine".to_owned(),
        KmsSource::OpenBao(bao) => format!("{}; it sees a wrapped key, no data", host(&bao.url)),
        KmsSource::Aws(aws) => format!("AWS KMS, region {}; it sees a wrapped key, no data", aws.region),
        KmsSource::Pkcs11(_) => "a hardware token".to_owned(),
    };
    let files = match (&config.media.place, &config.media.s3_endpoint) {
        (MediaPlace::Nowhere, _) => "not kept".to_owned(),
        (MediaPlace::Directory(_), _) => "on this machine".to_owned(),
        (MediaPlace::Bucket { name, .. }, None) => {
            format!("bucket {name} at Amazon, region {}; sealed", config.media.s3_region)
        }
        (MediaPlace::Bucket { name, .. }, Some(at)) => {
            format!("bucket {name} at {}, region {}; sealed", host(at), config.media.s3_region)
        }
    };
    let mut hosts: Vec<String> = snapshot.endpoints_of(TENANT).into_iter().map(|one| one.url.host()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let hosts = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    Section {
        title: "Where they go",
        article: "Art. 30(1)(e)",
        entries: vec![
            entry("databases", said(&config.privacy.hosting, "privacy.hosting")),
            entry(
                "Meta",
                format!(
                    "{} (Meta Platforms; outside of the EU as your contract with Meta says)",
                    host(&config.meta.graph_url)
                ),
            ),
            entry("files", files),
            entry("KMS", kms),
            entry("applications", hosts),
            entry("witnesses", format!("{}; they see hashes alone", config.audit.witnesses.len())),
        ],
    }
}

fn storage(config: &Config, oldest: &[Attested], rules: &[ChannelRule]) -> Section {
    let days = |days: Option<u16>| days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
    let kept = config.retention;
    let mut entries = vec![
        entry("what was said, files", days(kept.content_days)),
        entry("that it happened", days(kept.metadata_days)),
        entry("failed attempts", days(kept.attempts_days)),
        entry("audit log", days(Some(config.audit.retention_days))),
        entry("who people are, consent", "until they are erased; proofs of consent for three years more"),
        entry("backups", format!("{} (as you said)", days(Some(kept.backup_days)))),
    ];
    for rule in rules {
        let kept = match rule.keep {
            Keep::Days(own) => days(Some(own)),
            Keep::Delivered => "until every application has acknowledged it".to_owned(),
        };
        entries.push(Entry { name: format!("{} of channel {}", rule.class.as_str(), rule.channel), says: kept });
    }
    for one in oldest {
        entries.push(Entry { name: format!("oldest in {}", one.class), says: one.oldest.to_string() });
    }
    Section { title: "For how long", article: "Art. 30(1)(f)", entries }
}

/// As they were measured now; `waxseal posture` shows them alone.
fn measures(controls: &[Control]) -> Section {
    let one = |control: &Control| entry(control.name, format!("{}: {}", control.state.word(), control.evidence));
    Section { title: "Technical measures", article: "Art. 30(1)(g), 32", entries: controls.iter().map(one).collect() }
}

fn markdown(record: &Record) -> String {
    let mut text = format!(
        "# Record of processing activities\n\nMade by waxseal {} on {} from the configuration in force and what is stored. An engineering \
         feature, not legal advice.\n",
        record.release, record.made_at
    );
    for section in &record.sections {
        // Writing into a text cannot fail.
        let _written = write!(text, "\n## {} ({})\n\n| | |\n|---|---|\n", section.title, section.article);
        for entry in &section.entries {
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
            let _written = writeln!(text, "| {} | {} |", cell(&entry.name), cell(&entry.says));
        }
    }
    text
}
