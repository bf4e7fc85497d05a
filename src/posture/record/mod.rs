//! The record of processing activities (Art. 30 GDPR) and the map of the data, written from the configuration in force, the settings as they
//! are now and what was measured. What only people know stands in `[privacy]`.

mod shown;
mod whose;

use std::fmt::Write as _;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Control, Declared, Measured, Posture, TENANT};
use crate::config::PrivacyConfig;
use crate::directory::Snapshot;
use crate::domain::keeping::Keep;
use crate::privacy::{Attested, ChannelRule};

/// The record.
#[derive(Debug, Serialize)]
pub struct Record {
    /// When it was written: so are configuration and settings.
    pub made_at: String,
    /// When the measures and the age of the oldest data were looked at.
    pub measured_at: String,
    /// Version of the gateway.
    pub release: &'static str,
    /// In the order of the law.
    pub sections: Vec<Section>,
}

/// A part of the record.
#[derive(Debug, Serialize)]
pub struct Section {
    /// For people.
    pub title: &'static str,
    /// Where the law asks for it.
    pub article: &'static str,
    /// What there is to say.
    pub entries: Vec<Said>,
}

/// A line of the record.
#[derive(Debug, Serialize)]
pub struct Said {
    /// Of what.
    pub name: String,
    /// What is said of it.
    pub says: String,
}

fn entry(name: impl Into<String>, says: impl Into<String>) -> Said {
    Said { name: name.into(), says: says.into() }
}

/// A time of ours can be written.
fn written(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

impl Posture {
    /// The record as it is now, with the measures as they were found.
    #[must_use]
    pub fn record(&self, measured: &Measured) -> Record {
        let (now, snapshot, declared) = (self.clock.now(), self.directory.snapshot(), &self.declared);
        let rules = self.privacy.rules(TENANT, now.date());
        Record {
            made_at: written(now),
            measured_at: written(measured.at),
            release: env!("CARGO_PKG_VERSION"),
            sections: vec![
                controller(&declared.privacy),
                purposes(&declared.privacy, &snapshot),
                whose::categories(&snapshot, declared),
                shown::recipients(&snapshot, declared, now),
                shown::transfers(&snapshot, declared, measured.region.as_deref()),
                storage(declared, &measured.oldest, &rules),
                measures(&measured.controls),
            ],
        }
    }
}

impl Record {
    /// For people: Markdown, a table for each section.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Record of processing activities\n\nMade by waxseal {} on {} from the configuration in force and what is stored, measured \
             on {}. An engineering feature, not legal advice.\n",
            self.release, self.made_at, self.measured_at
        );
        for section in &self.sections {
            // Writing into a text cannot fail.
            let _written = write!(text, "\n## {} ({})\n\n| | |\n|---|---|\n", section.title, section.article);
            for entry in &section.entries {
                let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
                let _written = writeln!(text, "| {} | {} |", cell(&entry.name), cell(&entry.says));
            }
        }
        text
    }
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
    let told = match &privacy.notice {
        Some((version, _)) => format!("in the chat, once for each version; now {version}"),
        None => "not by this gateway (privacy.notice_text)".to_owned(),
    };
    let asked = match &privacy.in_chat {
        Some(asked) if asked.links_at.is_some() => format!("in the chat, by {}; archives are made unasked", asked.law),
        Some(asked) => format!("in the chat, by {}; a copy is made by people", asked.law),
        None => "not in the chat (privacy.in_chat)".to_owned(),
    };
    Section {
        title: "What for",
        article: "Art. 30(1)(b)",
        entries: vec![
            entry("purposes", said(&privacy.purposes.join("; "), "privacy.purposes")),
            entry(
                "processing",
                format!(
                    "messages to and from customers over {} WhatsApp business numbers, of which {senders} send: taken from Meta, sealed, \
                     handed on, sent, recorded, removed with age",
                    channels.len()
                ),
            ),
            entry("how people are told of it", told),
            entry("how people ask about their data", asked),
        ],
    }
}

fn storage(declared: &Declared, oldest: &[Attested], rules: &[ChannelRule]) -> Section {
    let days = |days: Option<u16>| days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
    let kept = declared.retention;
    let mut entries = vec![
        entry("what was said, files", days(kept.content_days)),
        entry("that it happened", days(kept.metadata_days)),
        entry("failed attempts", days(kept.attempts_days)),
        entry("audit log", days(Some(declared.audit_days))),
        entry("who people are, consent", "until they are erased; proofs of consent for three years more"),
        entry("archives that people asked for", days(Some(declared.privacy.export_days))),
        entry("backups", format!("{} (as you said)", days(Some(kept.backup_days)))),
    ];
    for rule in rules {
        let kept = match rule.keep {
            Keep::Days(own) => days(Some(own)),
            Keep::Delivered => "until every application has acknowledged it".to_owned(),
        };
        entries.push(entry(format!("{} of channel {}", rule.class.as_str(), rule.channel), kept));
    }
    for one in oldest {
        entries.push(entry(format!("oldest in {}", one.class), one.oldest.to_string()));
    }
    Section { title: "For how long", article: "Art. 30(1)(f)", entries }
}

/// As they were measured; the posture shows them alone.
fn measures(controls: &[Control]) -> Section {
    let one = |control: &Control| entry(control.name, format!("{}: {}", control.state.word(), control.evidence));
    Section { title: "Technical measures", article: "Art. 30(1)(g), 32", entries: controls.iter().map(one).collect() }
}
