//! People as Meta names them: phone numbers, business-scoped user ids, usernames. Nothing here prints its value.

use std::fmt;

/// A phone number as Meta writes it: digits, country code first, no plus sign.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Takes the digits of `text`. `None` when there are none, or letters: a BSUID, say.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let written_for_people = |c: char| matches!(c, '+' | '-' | '(' | ')' | ' ' | '.');
        if text.len() > 40 || !text.chars().all(|c| c.is_ascii_digit() || written_for_people(c)) {
            return None;
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (4..=20).contains(&digits.len()).then_some(Self(digits))
    }

    /// The digits as Meta writes them.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The form that all spellings of one mobile share. Meta reports Brazilian mobiles with or without the ninth digit,
    /// Mexican ones with or without `1` after the country code, Argentine ones with or without `9`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let digits = &self.0;
        let without = |at: usize| format!("{}{}", &digits[..at], &digits[at + 1..]);
        let byte = |at: usize| digits.as_bytes().get(at).copied();
        match digits.len() {
            // 55, two digits of area, 9, eight digits: mobiles of Brazil begin with 6 to 9 behind the ninth digit
            13 if digits.starts_with("55") && byte(4) == Some(b'9') && byte(5) >= Some(b'6') => without(4),
            13 if digits.starts_with("521") => without(2),
            13 if digits.starts_with("549") => without(2),
            _ => digits.clone(),
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// One name by which Meta knows a person.
#[derive(Clone, PartialEq, Eq)]
pub enum Identifier {
    /// `wa_id` or `from`.
    Phone(PhoneNumber),
    /// `user_id`: `CC.` and up to 128 alphanumerics, unique in one business portfolio.
    Bsuid(String),
    /// `parent_user_id`: the same across the portfolios of a parent.
    ParentBsuid(String),
    /// The public handle. People change and reuse them: never enough to say who somebody is.
    Username(String),
}

impl Identifier {
    /// A business-scoped user id: two letters of a country, a dot, up to 128 letters and digits; `ENT.` before them when a parent
    /// business shares it (Cloud API, business-scoped user ids).
    #[must_use]
    pub fn bsuid(text: &str) -> Option<Self> {
        let (country, id) = text.split_once('.')?;
        let (parent, id) = id.strip_prefix("ENT.").map_or((false, id), |id| (true, id));
        let country_is = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let id_is = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let make = if parent { Self::ParentBsuid } else { Self::Bsuid };
        (country_is && id_is).then(|| make(text.to_owned()))
    }

    /// The number stored in `contact_identifier.kind`.
    #[must_use]
    pub const fn kind(&self) -> i16 {
        match self {
            Self::Phone(_) => 1,
            Self::Bsuid(_) => 2,
            Self::ParentBsuid(_) => 3,
            Self::Username(_) => 4,
        }
    }

    /// What is hashed for look-up: equal for all spellings of one identifier.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Phone(number) => number.canonical(),
            Self::Bsuid(id) | Self::ParentBsuid(id) => id.clone(),
            Self::Username(name) => name.to_lowercase(),
        }
    }

    /// Whether this alone says who somebody is.
    #[must_use]
    pub const fn identifies(&self) -> bool {
        !matches!(self, Self::Username(_))
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone(_) => "Phone(…)",
            Self::Bsuid(_) => "Bsuid(…)",
            Self::ParentBsuid(_) => "ParentBsuid(…)",
            Self::Username(_) => "Username(…)",
        })
    }
}

/// A person as one item describes them. Holds at least one identifier that [`Identifier::identifies`].
#[derive(Clone)]
pub struct Person {
    /// Who they are now.
    pub identifiers: Vec<Identifier>,
    /// What they were called until this item (number and id changes). Resolves them, then is forgotten: a number may
    /// belong to somebody else tomorrow.
    pub former: Vec<Identifier>,
    /// The name they chose to show.
    pub name: Option<String>,
}

impl Person {
    /// A person, unless nothing identifies them.
    #[must_use]
    pub fn new(identifiers: Vec<Identifier>, former: Vec<Identifier>, name: Option<String>) -> Option<Self> {
        let known = identifiers.iter().chain(&former).any(Identifier::identifies);
        known.then_some(Self { identifiers, former, name })
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("identifiers", &self.identifiers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        PhoneNumber::parse(text).unwrap().canonical()
    }

    #[test]
    fn spellings_of_one_mobile_are_one() {
        assert_eq!(canonical("5511987654321"), canonical("551187654321"));
        assert_eq!(canonical("5215512345678"), canonical("525512345678"));
        assert_eq!(canonical("5491123456789"), canonical("541123456789"));
        assert_eq!(canonical("+49 (151) 2345-6789"), "4915123456789");
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for digits in ["551133334444", "5511933334444", "16505551234", "4915123456789", "521551234567"] {
            assert_eq!(canonical(digits), digits);
        }
    }

    #[test]
    fn a_bsuid_is_not_a_phone_number() {
        assert!(PhoneNumber::parse("US.13491208655302741918").is_none());
        assert!(PhoneNumber::parse("").is_none());
        assert!(PhoneNumber::parse(&"1".repeat(10_000)).is_none());
    }

    #[test]
    fn nobody_is_printed() {
        let person = Person::new(
            vec![Identifier::Phone(PhoneNumber::parse("4915123456789").unwrap())],
            vec![],
            Some("Ana".into()),
        );
        assert!(!format!("{person:?}").contains("4915") && !format!("{person:?}").contains("Ana"));
    }
}
