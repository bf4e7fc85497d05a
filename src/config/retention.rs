//! `[retention]`: for how long what is kept.

use std::ops::RangeInclusive;

use super::reader::Reader;

/// The least: what Meta sends again for seven days, and an endpoint is owed for three, must be there for as long.
const LEAST: u64 = 14;
const MOST: u64 = 36_525;

/// For how long content of a class is kept, where that is shorter than for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptFor {
    /// So many days.
    Days(u16),
    /// Until every endpoint has acknowledged it.
    Delivered,
}

/// A class of content, as the domain has it: endpoints are owed what has a least of four days, for that is how long they are tried.
struct Class {
    name: &'static str,
    least: u16,
    /// Whether it can go when it is delivered.
    delivered: bool,
}

const fn class(name: &'static str, least: u16, delivered: bool) -> Class {
    Class { name, least, delivered }
}

const CLASSES: [Class; 8] = [
    class("received", 4, true),
    class("statuses", 4, true),
    class("sent", 1, false),
    class("files", 1, false),
    class("names", 4, false),
    class("locations", 4, false),
    class("contacts", 4, false),
    class("referrals", 4, false),
];

/// How many days each class is kept; `None`: for ever.
#[derive(Debug, Clone, Copy)]
pub struct RetentionConfig {
    /// What people said and were told.
    pub content_days: Option<u16>,
    /// That something happened.
    pub metadata_days: Option<u16>,
    /// Failed attempts.
    pub attempts_days: Option<u16>,
    /// Shorter rules for every number that has none of its own.
    rules: [Option<KeptFor>; 8],
    /// Backups of the database, by what the operator says.
    pub backup_days: u16,
}

impl RetentionConfig {
    /// The classes that have a rule here, by name.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, KeptFor)> {
        CLASSES.iter().zip(self.rules).filter_map(|(class, rule)| Some((class.name, rule?)))
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let content = days(reader, "retention.content_days", LEAST..=MOST);
        let metadata = days(reader, "retention.metadata_days", LEAST..=MOST);
        let attempts = days(reader, "retention.attempts_days", 1..=MOST);
        let backup_days = reader.number("retention.backup_days", 0..=MOST);
        let kept = |days: u16| (days > 0).then_some(days);
        let (content_days, metadata_days) = (kept(content?), kept(metadata?));
        let outlives = match (content_days, metadata_days) {
            (None, Some(_)) => true,
            (Some(content), Some(metadata)) => content > metadata,
            (_, None) => false,
        };
        if outlives {
            reader.fault(
                "retention.metadata_days",
                "must not be less than retention.content_days: content without its event is found by nobody",
            );
        }
        let rules = rules(reader, content_days);
        Some(Self {
            rules: rules?,
            content_days,
            metadata_days,
            attempts_days: kept(attempts?),
            backup_days: backup_days?,
        })
    }
}

/// Every class is read, so that all faults are told at once. An empty text is no rule.
fn rules(reader: &mut Reader, content_days: Option<u16>) -> Option<[Option<KeptFor>; 8]> {
    let before = reader.faults.len();
    let rules = CLASSES.map(|class| rule(reader, &class, content_days));
    (reader.faults.len() == before).then_some(rules)
}

fn rule(reader: &mut Reader, class: &Class, content_days: Option<u16>) -> Option<KeptFor> {
    let key = format!("retention.{}", class.name);
    let text = reader.parsed::<String>(&key, "a number of days").filter(|text| !text.is_empty())?;
    if text == "delivered" && class.delivered {
        return Some(KeptFor::Delivered);
    }
    let Some(days) = text.parse().ok().filter(|days: &u16| *days >= class.least && u64::from(*days) <= MOST) else {
        let or = if class.delivered { ", or \"delivered\"" } else { "" };
        reader.fault(&key, format!("must be empty, or {} to {MOST} days{or} (docs/privacy.md)", class.least));
        return None;
    };
    if let Some(most) = content_days.filter(|most| days > *most) {
        reader.fault(&key, format!("must be at most retention.content_days = {most}"));
        return None;
    }
    Some(KeptFor::Days(days))
}

/// 0 stands for ever.
fn days(reader: &mut Reader, key: &str, range: RangeInclusive<u64>) -> Option<u16> {
    let number: u16 = reader.number(key, 0..=*range.end())?;
    if number > 0 && !range.contains(&number.into()) {
        reader.fault(
            key,
            format!(
                "must be 0, which is for ever, or {} to {}: Meta sends again for seven days, and an endpoint is owed an event for three",
                range.start(),
                range.end()
            ),
        );
        return None;
    }
    Some(number)
}
