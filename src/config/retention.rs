//! `[retention]`: for how long what is kept.

use std::ops::RangeInclusive;

use super::reader::Reader;

/// The least: what Meta sends again for seven days, and an endpoint is owed for three, must be there for as long.
const LEAST: u64 = 14;
const MOST: u64 = 36_525;

/// How many days each class is kept; `None`: for ever.
#[derive(Debug, Clone, Copy)]
pub struct RetentionConfig {
    /// What people said and were told.
    pub content_days: Option<u16>,
    /// That something happened.
    pub metadata_days: Option<u16>,
    /// Failed attempts.
    pub attempts_days: Option<u16>,
    /// Backups of the database, by what the operator says.
    pub backup_days: u16,
}

impl RetentionConfig {
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
        Some(Self { content_days, metadata_days, attempts_days: kept(attempts?), backup_days: backup_days? })
    }
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
