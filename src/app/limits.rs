//! Bounds out of the configuration, in the words of the rooms that keep them.

use std::time::Duration;

use crate::config::{Config, KeptFor};
use crate::deliver;
use crate::domain::keeping::{ContentClass, HouseRules, Keep, KeepPolicy};

/// How hard and for how long endpoints are tried.
pub(super) fn deliver(config: &Config) -> deliver::Limits {
    let days = u64::from(config.deliver.disable_after_days);
    deliver::Limits {
        max_in_flight: config.deliver.max_in_flight,
        timeout: config.deliver.timeout,
        disable_after: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        content_days: config.retention.content_days,
    }
}

/// For how long what is kept, where a number says nothing of its own.
pub(super) fn house(config: &Config) -> HouseRules {
    let mut defaults = KeepPolicy::default();
    let rules = config.retention.rules().filter_map(|(name, rule)| Some((ContentClass::parse(name)?, rule)));
    for (class, rule) in rules {
        let keep = match rule {
            KeptFor::Days(days) => Keep::Days(days),
            KeptFor::Delivered => Keep::Delivered,
        };
        defaults.set(class, Some(keep));
    }
    HouseRules { defaults, content_days: config.retention.content_days }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with one rule.
    fn with(class: ContentClass, rule: &str) -> Option<Config> {
        let secret = "1f8b0c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9";
        let name = format!("WAXSEAL_RETENTION__{}", class.as_str().to_uppercase());
        let env = [
            ("DATABASE_URL".to_owned(), "postgres://waxseal@localhost/waxseal".to_owned()),
            ("WAXSEAL_KEYS__KMS".to_owned(), "env".to_owned()),
            ("WAXSEAL_KEYS__SECRET".to_owned(), secret.to_owned()),
            (name, rule.to_owned()),
        ];
        Config::load(None, env.into_iter()).ok()
    }

    #[test]
    fn every_class_has_the_same_rules_in_the_configuration_as_anywhere_else() {
        for class in ContentClass::ALL {
            for rule in ["delivered", "0", "1", "3", "4", "90", "soon"] {
                let read = with(class, rule).map(|config| house(&config).defaults.of(class));
                assert_eq!(read.flatten(), Keep::parse(class, rule), "{class:?} {rule}");
            }
        }
    }
}
