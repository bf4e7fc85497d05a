//! For how long a number keeps what is said through it, where that is shorter than for everybody.

/// The longest that a delivery to an endpoint is tried again, in whole days: the ladder of [`super::retry`] with its jitter. What is owed to an
/// endpoint must be there for as long.
pub const RETRY_DAYS: u16 = 4;
/// The longest that may be asked for.
pub const MOST_DAYS: u16 = 36_525;

/// What is kept, by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentClass {
    /// What people wrote, and whatever else Meta says that is no status.
    Received,
    /// What became of messages.
    Statuses,
    /// What people were sent, and what Meta answered.
    Sent,
    /// Files that people sent.
    Files,
}

impl ContentClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Received, Self::Statuses, Self::Sent, Self::Files];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Statuses => "statuses",
            Self::Sent => "sent",
            Self::Files => "files",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    /// Whether endpoints are owed it: such is kept for as long as they are tried.
    #[must_use]
    pub const fn is_owed(self) -> bool {
        matches!(self, Self::Received | Self::Statuses)
    }

    /// The fewest days that it may be kept.
    #[must_use]
    pub const fn least(self) -> u16 {
        if self.is_owed() { RETRY_DAYS } else { 1 }
    }
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// So many days after it came.
    Days(u16),
    /// Until every endpoint that is owed it has acknowledged it.
    Delivered,
}

impl Keep {
    /// From what is stored, and from the command line.
    #[must_use]
    pub fn parse(class: ContentClass, text: &str) -> Option<Self> {
        if text == "delivered" {
            return class.is_owed().then_some(Self::Delivered);
        }
        let days: u16 = text.parse().ok()?;
        (class.least()..=MOST_DAYS).contains(&days).then_some(Self::Days(days))
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}"),
            Self::Delivered => f.write_str("delivered"),
        }
    }
}

/// A class and its rule, as an operator writes them: `received=7`; `received=all`: no rule of its own.
pub fn rule_of(text: &str) -> Result<(ContentClass, Option<Keep>), String> {
    let words = || "a class and days, such as received=7: received, statuses, sent or files".to_owned();
    let (class, rule) = text.split_once('=').ok_or_else(words)?;
    let class = ContentClass::parse(class).ok_or_else(words)?;
    if rule == "all" {
        return Ok((class, None));
    }
    let or = if class.is_owed() { " (endpoints are tried for as long), or delivered" } else { "" };
    let rule = Keep::parse(class, rule).ok_or_else(|| format!("{} to {MOST_DAYS} days{or}", class.least()))?;
    Ok((class, Some(rule)))
}

/// The rules of a number; a class without one is kept as `retention.content_days` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeepPolicy([Option<Keep>; 4]);

impl KeepPolicy {
    /// The rule of a class.
    #[must_use]
    pub const fn of(&self, class: ContentClass) -> Option<Keep> {
        let [received, statuses, sent, files] = self.0;
        match class {
            ContentClass::Received => received,
            ContentClass::Statuses => statuses,
            ContentClass::Sent => sent,
            ContentClass::Files => files,
        }
    }

    /// Sets or takes away the rule of a class.
    pub const fn set(&mut self, class: ContentClass, rule: Option<Keep>) {
        let [received, statuses, sent, files] = &mut self.0;
        *match class {
            ContentClass::Received => received,
            ContentClass::Statuses => statuses,
            ContentClass::Sent => sent,
            ContentClass::Files => files,
        } = rule;
    }

    /// Each class that has a rule.
    pub fn all(&self) -> impl Iterator<Item = (ContentClass, Keep)> + '_ {
        ContentClass::ALL.into_iter().filter_map(|class| Some((class, self.of(class)?)))
    }

    /// As it is stored: `received:7`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.all().map(|(class, rule)| format!("{}:{rule}", class.as_str())).collect()
    }

    /// From what is stored. Where a word of a later release is not understood, everything is kept as shortly as it can be.
    #[must_use]
    pub fn of_words(words: &[String]) -> Self {
        let mut policy = Self::default();
        for word in words {
            let read = word.split_once(':').and_then(|(class, rule)| {
                let class = ContentClass::parse(class)?;
                Some((class, Keep::parse(class, rule)?))
            });
            let Some((class, rule)) = read else {
                return Self(ContentClass::ALL.map(|class| Some(Keep::Days(class.least()))));
            };
            policy.set(class, Some(rule));
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retry::LADDER;

    #[test]
    fn rules_are_stored_and_read_again_and_an_unknown_word_keeps_next_to_nothing() {
        let mut policy = KeepPolicy::default();
        policy.set(ContentClass::Received, Some(Keep::Delivered));
        policy.set(ContentClass::Files, Some(Keep::Days(2)));
        assert_eq!(policy.words(), ["received:delivered", "files:2"]);
        assert_eq!(KeepPolicy::of_words(&policy.words()), policy);
        let unknown = KeepPolicy::of_words(&["dreams:9".to_owned()]);
        assert_eq!(unknown.of(ContentClass::Sent), Some(Keep::Days(1)));
        assert_eq!(unknown.of(ContentClass::Received), Some(Keep::Days(RETRY_DAYS)));
    }

    #[test]
    fn nothing_that_endpoints_are_owed_goes_before_they_are_given_up() {
        let longest = LADDER.iter().sum::<std::time::Duration>() * 12 / 10;
        assert!(longest <= std::time::Duration::from_hours(24 * u64::from(RETRY_DAYS)));
        assert_eq!(Keep::parse(ContentClass::Received, "3"), None);
        assert_eq!(Keep::parse(ContentClass::Sent, "delivered"), None);
        assert_eq!(Keep::parse(ContentClass::Sent, "1"), Some(Keep::Days(1)));
    }
}
