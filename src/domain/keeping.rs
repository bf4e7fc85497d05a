//! For how long a number keeps what is said through it, where that is shorter than for everybody.

use time::{Date, Duration};

use super::door::{DoorPolicy, Treatment};

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
    /// In what was received: what people call themselves. Shorter than the rest, as all that follow.
    Names,
    /// Places that people share.
    Locations,
    /// Cards of other people that somebody shares.
    Contacts,
    /// The advertisement that somebody came from.
    Referrals,
}

impl ContentClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Received,
        Self::Statuses,
        Self::Sent,
        Self::Files,
        Self::Names,
        Self::Locations,
        Self::Contacts,
        Self::Referrals,
    ];
    /// Those that are fields of what was received: of the same names as what a number may leave out at the door.
    pub const FIELDS: [Self; 4] = [Self::Names, Self::Locations, Self::Contacts, Self::Referrals];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Statuses => "statuses",
            Self::Sent => "sent",
            Self::Files => "files",
            Self::Names => "names",
            Self::Locations => "locations",
            Self::Contacts => "contacts",
            Self::Referrals => "referrals",
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
        !matches!(self, Self::Sent | Self::Files)
    }

    /// Whether it can go as soon as it is acknowledged. Fields go with what they are part of then.
    const fn goes_when_delivered(self) -> bool {
        matches!(self, Self::Received | Self::Statuses)
    }

    /// What a rule may be, to complete the sentence "must be …", and why `delivered` is not among it.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Received | Self::Statuses => "4 to 36525 days (endpoints are tried for as long), or \"delivered\"",
            Self::Names | Self::Locations | Self::Contacts | Self::Referrals => {
                "4 to 36525 days (endpoints are tried for as long); with received \"delivered\" they go as soon as that"
            }
            Self::Sent => {
                "1 to 36525 days; not \"delivered\": endpoints are not owed it, and Meta may ask for it to be sent again until its state is final"
            }
            Self::Files => {
                "1 to 36525 days; not \"delivered\": that an endpoint has an event does not say that anybody has fetched its file; a channel whose \
                 \"media\" is \"proxy\" keeps none"
            }
        }
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
            return class.goes_when_delivered().then_some(Self::Delivered);
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
    let words = || {
        "a class and days, such as received=7: received, statuses, sent, files, names, locations, contacts or referrals"
            .to_owned()
    };
    let (class, rule) = text.split_once('=').ok_or_else(words)?;
    let class = ContentClass::parse(class).ok_or_else(words)?;
    if rule == "all" {
        return Ok((class, None));
    }
    let rule = Keep::parse(class, rule).ok_or_else(|| class.expected().to_owned())?;
    Ok((class, Some(rule)))
}

/// The rules of a number; a class without one is kept as `retention.content_days` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeepPolicy([Option<Keep>; 8]);

impl KeepPolicy {
    /// The rule of a class.
    #[must_use]
    pub const fn of(&self, class: ContentClass) -> Option<Keep> {
        let [received, statuses, sent, files, names, locations, contacts, referrals] = self.0;
        match class {
            ContentClass::Received => received,
            ContentClass::Statuses => statuses,
            ContentClass::Sent => sent,
            ContentClass::Files => files,
            ContentClass::Names => names,
            ContentClass::Locations => locations,
            ContentClass::Contacts => contacts,
            ContentClass::Referrals => referrals,
        }
    }

    /// Sets or takes away the rule of a class.
    pub const fn set(&mut self, class: ContentClass, rule: Option<Keep>) {
        let [received, statuses, sent, files, names, locations, contacts, referrals] = &mut self.0;
        *match class {
            ContentClass::Received => received,
            ContentClass::Statuses => statuses,
            ContentClass::Sent => sent,
            ContentClass::Files => files,
            ContentClass::Names => names,
            ContentClass::Locations => locations,
            ContentClass::Contacts => contacts,
            ContentClass::Referrals => referrals,
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

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleSource {
    /// It is the number's own.
    Channel,
    /// `[retention]` has it for every number.
    Configuration,
    /// The rule is longer than content is kept at all, which counts.
    ContentDays,
}

impl RuleSource {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Configuration => "configuration",
            Self::ContentDays => "content_days",
        }
    }
}

/// What the configuration says for every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HouseRules {
    /// Of classes for which a number has no rule of its own.
    pub defaults: KeepPolicy,
    /// The days that content is kept at most; `None`: for ever.
    pub content_days: Option<u16>,
}

impl HouseRules {
    /// The rule of a number that has these rules of its own, and where it comes from. None outlives `content_days`, which may have been lowered
    /// since: the rows would be gone, and a key would be left that opens them in backups.
    #[must_use]
    pub fn in_force(&self, own: &KeepPolicy, class: ContentClass) -> Option<(Keep, RuleSource)> {
        let own = own.of(class).map(|rule| (rule, RuleSource::Channel));
        let (rule, source) = own.or_else(|| Some((self.defaults.of(class)?, RuleSource::Configuration)))?;
        match (rule, self.content_days) {
            (Keep::Days(days), Some(most)) if days > most => Some((Keep::Days(most), RuleSource::ContentDays)),
            _ => Some((rule, source)),
        }
    }

    /// How fields of what is received through a number live, where some live for a shorter time than the rest, which lives as `whole` says: for
    /// each life, shortest first, which fields are over before it; and last those that the rest is without. Empty: all live as long.
    #[must_use]
    pub fn lives(&self, own: &KeepPolicy, whole: Option<Keep>) -> Vec<(Option<u16>, DoorPolicy)> {
        let shorter = |class: ContentClass| match (self.in_force(own, class)?.0, whole) {
            (Keep::Days(days), Some(Keep::Days(most))) if days >= most => None,
            (Keep::Days(days), _) => Some((class, days)),
            (Keep::Delivered, _) => None,
        };
        let fields: Vec<(ContentClass, u16)> = ContentClass::FIELDS.into_iter().filter_map(shorter).collect();
        let without = |over: &dyn Fn(u16) -> bool| {
            let mut policy = DoorPolicy::default();
            for (class, _) in fields.iter().filter(|(_, days)| over(*days)) {
                policy.set(class.as_str(), Treatment::Drop).unwrap_or(());
            }
            policy
        };
        let mut days: Vec<u16> = fields.iter().map(|(_, days)| *days).collect();
        days.sort_unstable();
        days.dedup();
        let rest = (None, without(&|_| true));
        let lives = days.iter().map(|life| (Some(*life), without(&|days| days < *life)));
        if days.is_empty() { Vec::new() } else { lives.chain([rest]).collect() }
    }

    /// The day on which content of a day is dropped, whatever else is said of it; `None`: never.
    #[must_use]
    pub fn dropped_on(&self, day: Date) -> Option<Date> {
        self.content_days.map(|days| day.saturating_add(Duration::days(i64::from(days) + 1)))
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
    fn a_numbers_own_rule_comes_before_that_of_the_house_and_none_outlives_content() {
        let (mut own, mut defaults) = (KeepPolicy::default(), KeepPolicy::default());
        defaults.set(ContentClass::Sent, Some(Keep::Days(7)));
        defaults.set(ContentClass::Received, Some(Keep::Delivered));
        own.set(ContentClass::Sent, Some(Keep::Days(30)));
        own.set(ContentClass::Files, Some(Keep::Days(60)));
        let house = HouseRules { defaults, content_days: Some(30) };
        let in_force = |class| house.in_force(&own, class);
        assert_eq!(in_force(ContentClass::Sent), Some((Keep::Days(30), RuleSource::Channel)));
        assert_eq!(in_force(ContentClass::Received), Some((Keep::Delivered, RuleSource::Configuration)));
        assert_eq!(in_force(ContentClass::Files), Some((Keep::Days(30), RuleSource::ContentDays)));
        assert_eq!(in_force(ContentClass::Statuses), None);
        assert_eq!(
            HouseRules::default().in_force(&own, ContentClass::Files),
            Some((Keep::Days(60), RuleSource::Channel))
        );
        assert_eq!(house.dropped_on(time::macros::date!(2026 - 11 - 01)), Some(time::macros::date!(2026 - 12 - 02)));
        assert_eq!(HouseRules::default().dropped_on(Date::MIN), None);
    }

    #[test]
    fn fields_with_shorter_lives_are_left_out_one_life_after_the_other() {
        let mut own = KeepPolicy::default();
        let house = HouseRules { content_days: Some(90), ..HouseRules::default() };
        assert_eq!(house.lives(&own, None), Vec::new());
        own.set(ContentClass::Names, Some(Keep::Days(30)));
        own.set(ContentClass::Locations, Some(Keep::Days(4)));
        own.set(ContentClass::Referrals, Some(Keep::Days(30)));
        let without = |kinds: &[&str]| {
            let mut policy = DoorPolicy::default();
            for kind in kinds {
                policy.set(kind, Treatment::Drop).unwrap();
            }
            policy
        };
        let all = without(&["names", "locations", "referrals"]);
        let lives = [(Some(4), without(&[])), (Some(30), without(&["locations"])), (None, all)];
        assert_eq!(house.lives(&own, None), lives);
        assert_eq!(house.lives(&own, Some(Keep::Delivered)), lives);
        let shorter = [(Some(4), without(&[])), (None, without(&["locations"]))];
        assert_eq!(house.lives(&own, Some(Keep::Days(30))), shorter, "what goes with the whole needs nothing");
        assert_eq!(Keep::parse(ContentClass::Names, "delivered"), None);
        assert_eq!(Keep::parse(ContentClass::Names, "3"), None);
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
