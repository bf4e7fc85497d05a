//! Contact cards.

use super::place::Place;

/// Most cards of a message.
const CARDS: usize = 257;
/// Longest line of a card, in characters. Meta names no limit.
const LINE: usize = 1000;
/// What a card may list, and the member of each that is text.
const LISTS: [(&str, &[&str]); 4] = [
    ("phones", &["phone", "wa_id", "type"]),
    ("emails", &["email", "type"]),
    ("urls", &["url", "type"]),
    ("addresses", &["street", "city", "state", "zip", "country", "country_code", "type"]),
];

pub(super) fn check(cards: &Place<'_>) {
    for card in cards.items(1..=CARDS).iter().filter(|card| card.is_object()) {
        if let Some(name) = card.needed_object("name") {
            name.needed_text("formatted_name", 1..=LINE);
            for part in ["first_name", "last_name", "middle_name", "prefix", "suffix"] {
                name.optional_text(part, 0..=LINE);
            }
        }
        card.optional_text("birthday", 0..=LINE);
        for (name, members) in LISTS {
            let list = card.optional(name).map(|list| list.items(0..=CARDS)).unwrap_or_default();
            for one in list.iter().filter(|one| one.is_object()) {
                for member in members {
                    one.optional_text(member, 0..=LINE);
                }
            }
        }
    }
}
