//! Masks: what is shown of a name or number to whoever need not know whose it is. The one place that says how.

use std::borrow::Cow;

/// Stands for what is not shown.
pub const DOTS: &str = "•••";
/// From so many digits on, the first two and the last two do not tell whose number it is.
const LONG: usize = 9;

/// `+49 ••• ••• 99` for a number of nine digits or more, dots for everything else.
#[must_use]
pub fn text(text: &str) -> Cow<'static, str> {
    let written_for_people = |byte: u8| matches!(byte, b' ' | b'-' | b'(' | b')' | b'.' | b'/' | b'+');
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || written_for_people(byte));
    match (digits.get(..2), digits.get(digits.len().saturating_sub(2)..)) {
        (Some(first), Some(last)) if is_number && digits.len() >= LONG => format!("+{first} ••• ••• {last}").into(),
        _ => DOTS.into(),
    }
}

/// `A•••`: the initial of a name, if it begins with a letter. What else may stand there (a digit, a sign) is not shown.
#[must_use]
pub fn name(name: &str) -> String {
    let initial = name.trim_start().chars().next().filter(|first| first.is_alphabetic());
    initial.map_or_else(|| DOTS.to_owned(), |initial| format!("{initial}{DOTS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_number_its_country_and_end_are_left_and_of_a_short_one_nothing() {
        assert_eq!(text("4915199900099"), "+49 ••• ••• 99");
        assert_eq!(text("+49 (151) 999-00099"), "+49 ••• ••• 99");
        assert_eq!([text("49151999"), text("DE.13491208655302741918"), text("")], [DOTS; 3]);
    }

    #[test]
    fn of_a_name_the_initial_is_left_unless_it_is_something_else() {
        assert_eq!(name("Ana Beispiel"), "A•••");
        assert_eq!(name("  Øyvind"), "Ø•••");
        assert_eq!([name("4915199900099"), name("💐 Ana"), name("")], [DOTS; 3]);
    }
}
