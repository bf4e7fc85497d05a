//! Templates: what fills their places. Whether a template exists and how many places it has is not known here.

use super::media::source;
use super::place::Place;

/// Longest name, in characters of `[a-z0-9_]`.
const NAME: usize = 512;
/// Longest value for a place, in characters: more than any text with its values may have.
const VALUE: usize = 32_768;
/// Most components, and most values of one.
const MOST: usize = 100;
/// Cards of a carousel.
const CARDS: std::ops::RangeInclusive<usize> = 1..=10;
/// Places of buttons.
const BUTTONS: std::ops::RangeInclusive<f64> = 0.0..=9.0;

pub(super) fn check(template: &Place<'_>) {
    if !template.is_object() {
        return;
    }
    let is_name = |name: &str| name.bytes().all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if let Some(name) = template.needed("name")
        && name.text(1..=NAME).is_some_and(|text| !is_name(text))
    {
        name.fault("must be of the letters a to z, digits and _");
    }
    if let Some(language) = template.needed_object("language") {
        language.needed_text("code", 2..=20);
    }
    if let Some(components) = template.optional("components") {
        components.items(0..=MOST).iter().filter(|one| one.is_object()).for_each(component);
    }
}

fn component(component: &Place<'_>) {
    let kind = component.needed_text("type", 1..=100).map(str::to_ascii_lowercase);
    match kind.as_deref() {
        Some("button") => button(component),
        Some("carousel") => carousel(component),
        _ => {}
    }
    if let Some(values) = component.optional("parameters") {
        values.items(0..=MOST).iter().filter(|one| one.is_object()).for_each(value);
    }
}

fn button(button: &Place<'_>) {
    button.needed_text("sub_type", 1..=100);
    if let Some(index) = button.needed("index") {
        index.number(BUTTONS);
    }
}

fn carousel(carousel: &Place<'_>) {
    for card in carousel.needed_items("cards", CARDS) {
        if let Some(index) = card.optional("card_index") {
            index.number(BUTTONS);
        }
        for part in card.needed_items("components", 0..=MOST) {
            component(&part);
        }
    }
}

fn value(value: &Place<'_>) {
    value.optional_text("parameter_name", 1..=NAME);
    match value.needed_text("type", 1..=100).map(str::to_ascii_lowercase).as_deref() {
        Some("text") => {
            value.needed_text("text", 1..=VALUE);
        }
        Some("payload") => {
            value.needed_text("payload", 1..=VALUE);
        }
        Some("coupon_code") => {
            value.needed_text("coupon_code", 1..=20);
        }
        Some("currency") => {
            if let Some(amount) = value.needed_object("currency") {
                amount.needed_text("fallback_value", 1..=VALUE);
                amount.needed_text("code", 3..=3);
                if let Some(amount) = amount.needed("amount_1000") {
                    amount.number(f64::MIN..=f64::MAX);
                }
            }
        }
        Some("date_time") => {
            if let Some(moment) = value.needed_object("date_time") {
                moment.needed_text("fallback_value", 1..=VALUE);
            }
        }
        Some(kind @ ("image" | "video" | "document" | "gif")) => {
            if let Some(media) = value.needed(kind) {
                source(&media);
            }
        }
        _ => {}
    }
}
