//! What people allow and forbid, and the words by which they say so.

use std::collections::HashMap;

/// Longer texts are no words of the lists, in bytes.
pub const LONGEST_WORD: usize = 64;

/// The purpose that the words of the lists, Meta's preferences and the check before sending are about. Others are the operator's.
pub const MARKETING: &str = "marketing";

/// Whether it is a word for a purpose: lower-case letters, digits and underscores, 40 at most.
#[must_use]
pub fn is_purpose(text: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    (1..=40).contains(&text.len())
        && text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.bytes().all(fits)
}

/// Whether it names a version of a wording: letters, digits, dots, hyphens and underscores, 40 at most.
#[must_use]
pub fn is_version(text: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_');
    (1..=40).contains(&text.len()) && text.bytes().all(fits)
}

/// What was said of a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is welcome.
    Granted,
    /// It is not.
    Withdrawn,
}

impl State {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Granted, Self::Withdrawn].into_iter().find(|state| state.as_str() == text)
    }

    /// From the value of Meta's `user_preferences`.
    #[must_use]
    pub fn from_meta(word: &str) -> Option<Self> {
        match word {
            "stop" => Some(Self::Withdrawn),
            "resume" | "signup" => Some(Self::Granted),
            _ => None,
        }
    }
}

/// How it became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The person wrote one of the words.
    Keyword,
    /// The person said so to Meta (`user_preferences`).
    Meta,
    /// Meta refused a marketing message, because the person stopped them (131050).
    MetaError,
    /// An application said so, and not where it was said.
    Api,
    /// On a form on the web.
    WebForm,
    /// By e-mail.
    Email,
    /// On the telephone.
    Phone,
    /// On paper.
    Paper,
    /// To somebody's face.
    InPerson,
    /// It was known to another system before.
    Import,
}

impl Source {
    /// What an application may say of where it was said.
    pub const TOLD: [Self; 7] =
        [Self::Api, Self::WebForm, Self::Email, Self::Phone, Self::Paper, Self::InPerson, Self::Import];

    /// What an application says of where it was said.
    #[must_use]
    pub fn told(text: &str) -> Option<Self> {
        Self::TOLD.into_iter().find(|source| source.as_str() == text)
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Meta => "meta",
            Self::MetaError => "meta_error",
            Self::Api => "api",
            Self::WebForm => "web_form",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Paper => "paper",
            Self::InPerson => "in_person",
            Self::Import => "import",
        }
    }
}

/// Meta's code for a marketing message to somebody who stopped them.
pub const OPTED_OUT: i32 = 131_050;

/// Words that stop marketing and words that allow it again, in any case.
#[derive(Debug, Clone, Default)]
pub struct Words(HashMap<String, State>);

impl Words {
    /// The words of the configuration. One that is in both lists stops.
    pub fn new(stop: &[String], start: &[String]) -> Self {
        let of = |words: &[String], state| words.iter().map(|word| (folded(word), state)).collect::<Vec<_>>();
        Self([of(start, State::Granted), of(stop, State::Withdrawn)].into_iter().flatten().collect())
    }

    /// What a text says, when it is one of the words and nothing else.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<State> {
        if text.len() > LONGEST_WORD { None } else { self.0.get(&folded(text)).copied() }
    }
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Something in an item that tells of consent.
#[derive(Clone, PartialEq, Eq)]
pub enum Said {
    /// A short text of a person; whether it is one of the words is for others to know.
    Text(String),
    /// Meta tells of it.
    Marketing(State),
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Said(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_versions_are_words_that_stand_anywhere() {
        for word in ["marketing", "order_updates", "a1"] {
            assert!(is_purpose(word), "{word}");
        }
        for word in ["", "Marketing", "_x", "1a", "a-b", "a b", "ä", &"a".repeat(41)] {
            assert!(!is_purpose(word), "{word}");
        }
        assert!(is_version("2026-03_v1.2") && !is_version("") && !is_version("v 1") && !is_version("v,1"));
        assert_eq!((Source::told("paper"), Source::told("keyword")), (Some(Source::Paper), None));
    }

    #[test]
    fn a_word_counts_in_any_case_and_alone() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let words = Words::new(&list(&["STOP", "abbestellen", "PARAR MENSÁGENS"]), &list(&["Start", "stop"]));
        for text in ["stop", " Stop\n", "ABBESTELLEN", "parar menságens"] {
            assert_eq!(words.read(text), Some(State::Withdrawn), "{text}");
        }
        assert_eq!(words.read("START"), Some(State::Granted));
        for text in ["", "stop it", "please stop", "stopp", &"stop".repeat(40)] {
            assert_eq!(words.read(text), None, "{text}");
        }
    }
}
