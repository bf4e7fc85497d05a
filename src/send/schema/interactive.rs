//! Interactive messages: buttons, lists, links, flows, products, carousels.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::media::{LINK, source};
use super::place::Place;

/// Longest body, in characters; that of a list is longer.
const BODY: usize = 1024;
const LIST_BODY: usize = 4096;
/// Longest header, and longest footer, in characters.
const EDGE: usize = 60;
/// Longest words on a button, in characters.
const BUTTON: usize = 20;
/// Longest words on the button of a flow, in characters.
const FLOW_BUTTON: usize = 30;
/// Most rows of a list, in all of its sections together.
const ROWS: usize = 10;
/// Most products of a list, in all of its sections together.
const PRODUCTS: usize = 30;
/// Sections of a list.
const SECTIONS: RangeInclusive<usize> = 1..=10;
/// Longest title of a section and of a row, in characters.
const TITLE: usize = 24;
/// Cards of a carousel, and the words on one of them, in characters.
const CARDS: RangeInclusive<usize> = 2..=10;
const CARD_BODY: usize = 160;
/// Longest id of anything, in characters. Those of list rows are shorter.
const ID: usize = 256;
const ROW_ID: usize = 200;

pub(super) fn check(interactive: &Place<'_>) {
    if !interactive.is_object() {
        return;
    }
    let Some(kind) = interactive.needed_text("type", 1..=100) else { return };
    around(interactive, kind);
    match kind {
        "button" => action(interactive, |action| reply_buttons(action, 1..=3)),
        "list" => action(interactive, list),
        "cta_url" => parameters(interactive, link),
        "flow" => parameters(interactive, flow),
        "product" => action(interactive, product),
        "product_list" => action(interactive, product_list),
        "carousel" => action(interactive, carousel),
        "voice_call" => action(interactive, |_| ()),
        // What these need is not in Meta's public reference in full, or is nothing.
        _ => {}
    }
}

/// Header, body and footer.
fn around(interactive: &Place<'_>, kind: &str) {
    let longest = if kind == "list" { LIST_BODY } else { BODY };
    // A product brings its own words.
    let body = if kind == "product" { interactive.optional("body") } else { interactive.needed("body") };
    if let Some(body) = body.filter(Place::is_object) {
        body.needed_text("text", 1..=longest);
    }
    if let Some(footer) = interactive.optional("footer").filter(Place::is_object) {
        footer.needed_text("text", 1..=EDGE);
    }
    if let Some(header) = interactive.optional("header").filter(Place::is_object) {
        heading(&header);
    }
}

fn heading(header: &Place<'_>) {
    match header.needed_text("type", 1..=100) {
        Some("text") => {
            header.needed_text("text", 1..=EDGE);
        }
        Some(kind @ ("image" | "video" | "document")) => {
            if let Some(media) = header.needed(kind) {
                source(&media);
            }
        }
        _ => {}
    }
}

fn action(interactive: &Place<'_>, check: impl FnOnce(&Place<'_>)) {
    if let Some(action) = interactive.needed_object("action") {
        check(&action);
    }
}

fn parameters(interactive: &Place<'_>, check: impl FnOnce(&Place<'_>)) {
    action(interactive, |action| {
        if let Some(parameters) = action.needed_object("parameters") {
            check(&parameters);
        }
    });
}

/// Buttons that answer, whose ids tell them apart.
fn reply_buttons(action: &Place<'_>, count: RangeInclusive<usize>) {
    let mut seen = HashSet::new();
    for button in action.needed_items("buttons", count) {
        let Some(reply) = button.needed_object("reply") else { continue };
        reply.needed_text("title", 1..=BUTTON);
        unlike_others(&reply, ID, &mut seen);
    }
}

fn unlike_others<'w>(place: &Place<'w>, longest: usize, seen: &mut HashSet<&'w str>) {
    if let Some(id) = place.needed("id")
        && id.text(1..=longest).is_some_and(|text| !seen.insert(text))
    {
        id.fault("is there twice");
    }
}

fn list(action: &Place<'_>) {
    action.needed_text("button", 1..=BUTTON);
    let sections = action.needed_items("sections", SECTIONS);
    let (mut seen, mut rows) = (HashSet::new(), 0);
    for section in &sections {
        titled(section, sections.len());
        for row in section.needed_items("rows", 1..=ROWS) {
            rows += 1;
            unlike_others(&row, ROW_ID, &mut seen);
            row.needed_text("title", 1..=TITLE);
            row.optional_text("description", 0..=72);
        }
    }
    all_together(action, "rows", rows, ROWS);
}

/// Among several, a section has a title.
fn titled(section: &Place<'_>, sections: usize) {
    let title = if sections > 1 { section.needed("title") } else { section.optional("title") };
    if let Some(title) = title {
        title.text(usize::from(sections > 1)..=TITLE);
    }
}

fn all_together(action: &Place<'_>, what: &str, count: usize, most: usize) {
    if let Some(sections) = action.optional("sections")
        && count > most
    {
        sections.fault(format!("must have at most {most} {what} in all sections together"));
    }
}

fn link(parameters: &Place<'_>) {
    parameters.needed_text("display_text", 1..=BUTTON);
    if let Some(link) = parameters.needed("url") {
        link.url(LINK);
    }
}

fn flow(parameters: &Place<'_>) {
    parameters.needed_text("flow_cta", 1..=FLOW_BUTTON);
    match (parameters.optional("flow_id"), parameters.optional("flow_name")) {
        (None, None) => parameters.fault("must have a \"flow_id\" or a \"flow_name\""),
        (Some(_), Some(name)) => name.fault("must not be there beside a \"flow_id\""),
        _ => {}
    }
    if let Some(mode) = parameters.optional("mode") {
        mode.word(&["draft", "published"]);
    }
    if let Some(action) = parameters.optional("flow_action") {
        action.word(&["navigate", "data_exchange"]);
    }
}

fn product(action: &Place<'_>) {
    action.needed_text("catalog_id", 1..=ID);
    action.needed_text("product_retailer_id", 1..=ID);
}

fn product_list(action: &Place<'_>) {
    action.needed_text("catalog_id", 1..=ID);
    let (sections, mut products) = (action.needed_items("sections", SECTIONS), 0);
    for section in &sections {
        titled(section, sections.len());
        for item in section.needed_items("product_items", 1..=PRODUCTS) {
            products += 1;
            item.needed_text("product_retailer_id", 1..=ID);
        }
    }
    all_together(action, "products", products, PRODUCTS);
}

fn carousel(action: &Place<'_>) {
    for card in action.needed_items("cards", CARDS) {
        if let Some(index) = card.needed("card_index") {
            index.number(0.0..=9.0);
        }
        if let Some(header) = card.optional("header").filter(Place::is_object) {
            heading(&header);
        }
        if let Some(body) = card.optional("body").filter(Place::is_object) {
            body.needed_text("text", 1..=CARD_BODY);
        }
    }
}
