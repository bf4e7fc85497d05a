//! Knows what people write where a secret should be.

const EXAMPLES: &[&str] = &[
    "changeme",
    "changethis",
    "default",
    "dummy",
    "example",
    "none",
    "null",
    "password",
    "placeholder",
    "replaceme",
    "secret",
    "tbd",
    "todo",
    "token",
    "xxx",
];

/// Whether `secret` was meant to be replaced: a word out of documentation, a bracketed hint, or one character repeated.
#[must_use]
pub fn looks_like_an_example(secret: &str) -> bool {
    let secret = secret.trim();
    let word: String = secret.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let one_character = secret.chars().next().is_some_and(|first| secret.chars().all(|other| other == first));
    let bracketed = secret.starts_with('<') && secret.ends_with('>');
    // "your-app-secret", "YOUR_TOKEN_HERE": nobody's random string begins so and consists of words alone.
    let addressed = word.starts_with("your") && secret.chars().all(|c| c.is_ascii_alphabetic() || "-_ ".contains(c));
    one_character || bracketed || addressed || EXAMPLES.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_recognised_however_they_are_written() {
        for example in
            ["changeme", "Change-Me", "CHANGE_ME", "secret", "example", "aaaa", "0", "<token>", "your-app-secret"]
        {
            assert!(looks_like_an_example(example), "{example}");
        }
    }

    #[test]
    fn secrets_pass() {
        for secret in ["test-verify-token", "s3cr3t-of-ours", "EAAGm0PX4ZCpsBAK", "yourk3x8qP"] {
            assert!(!looks_like_an_example(secret), "{secret}");
        }
    }
}
