//! Times on the command line: `2027-01-31T12:00:00Z`, or how long ago, such as `90m`, `36h` or `7d`.

use std::str::FromStr;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// A time, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// That time.
    At(OffsetDateTime),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// The time it means now.
    pub(super) fn when(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        }
    }

    /// The time it means now, where it lies ahead: `2h` is in two hours.
    pub(super) fn ahead(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now.saturating_add(span),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self::At(at));
        }
        let expected = "a time such as 2027-01-31T12:00:00Z, or how long ago, such as 90m, 36h or 7d";
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(expected)?;
        let number = i64::from(number.parse::<u32>().map_err(|_| expected)?);
        match unit {
            "s" => Ok(Self::Ago(Duration::seconds(number))),
            "m" => Ok(Self::Ago(Duration::minutes(number))),
            "h" => Ok(Self::Ago(Duration::hours(number))),
            "d" => Ok(Self::Ago(Duration::days(number))),
            _ => Err(expected),
        }
    }
}

/// To the second, as tables show it.
pub(super) fn shown(at: OffsetDateTime) -> String {
    // A time of this era has nothing that formatting could refuse.
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_are_told_outright_or_by_how_long_ago() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let when = |text: &str| text.parse::<Moment>().map(|moment| moment.when(now));
        assert_eq!(when("2026-11-20T01:00:00+01:00"), Ok(datetime!(2026-11-20 00:00 UTC)));
        assert_eq!(when("90m"), Ok(datetime!(2026-11-22 10:30 UTC)));
        assert_eq!(when("2d"), Ok(datetime!(2026-11-20 12:00 UTC)));
        for text in ["", "d", "-1d", "1w", "yesterday", "1é"] {
            assert!(when(text).is_err(), "{text}");
        }
    }
}
