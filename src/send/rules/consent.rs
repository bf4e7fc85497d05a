//! Whether a person forbids marketing.

use super::{ConsentCheck, Standing};
use crate::domain::consent::State;

/// Whether marketing is refused.
pub(super) fn forbids(check: ConsentCheck, standing: &Standing) -> bool {
    let said = standing.marketing.as_deref().and_then(State::parse);
    match check {
        ConsentCheck::Off => false,
        ConsentCheck::OptOut => said == Some(State::Withdrawn),
        ConsentCheck::OptIn => said != Some(State::Granted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_consent_for_those_who_say_so_alone() {
        let standing = |marketing: Option<&str>| Standing {
            contact_id: uuid::Uuid::nil(),
            closes_at: None,
            channel_since: None,
            marketing: marketing.map(str::to_owned),
        };
        let all = |said| {
            [ConsentCheck::OptOut, ConsentCheck::OptIn, ConsentCheck::Off].map(|check| forbids(check, &standing(said)))
        };
        assert_eq!(all(None), [false, true, false]);
        assert_eq!(all(Some("granted")), [false, false, false]);
        assert_eq!(all(Some("withdrawn")), [true, true, false]);
    }
}
