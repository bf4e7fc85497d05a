//! `index.html`: the same for people. One page that asks for nothing from anywhere; everything that somebody wrote is escaped.

use std::fmt::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::facts::{Consent, Facts, Kept, Known};
use super::files::FileIn;
use super::gather::{Opened, Said};
use super::history::Looked;
use super::json::state;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222}\
    h2{margin-top:2.5rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;\
    border-bottom:1px solid #ddd}.in,.out{margin:.6rem 0;padding:.5rem .8rem;border-radius:.5rem;white-space:pre-wrap;overflow-wrap:anywhere}\
    .in{background:#eef4ee;margin-right:15%}.out{background:#eef0f8;margin-left:15%}small{color:#666;display:block}";

/// What HTML would take for its own is written so that it does not.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in HTML.
            letter if letter.is_control() && letter != '\n' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

fn shown(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC)
        .format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))
        .unwrap_or_default()
}

fn row(cells: &[&str]) -> String {
    let cells: String = cells.iter().fold(String::new(), |mut row, cell| {
        let _written = write!(row, "<td dir=\"auto\">{}</td>", escaped(cell));
        row
    });
    format!("<tr>{cells}</tr>\n")
}

fn table(heads: &[&str], rows: impl Iterator<Item = String>) -> String {
    let heads: Vec<String> = heads.iter().map(|head| escaped(head)).collect();
    let heads = heads.join("</th><th>");
    format!("<table><tr><th>{heads}</th></tr>\n{}</table>\n", rows.collect::<String>())
}

/// The page as far as what was said and who looked.
pub(super) fn head(facts: &Facts) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>What we know of you</title><style>{STYLE}</style></head><body>\n<h1>What we know of you</h1>\n\
         <p>Made on {}. <code>data.json</code> holds the same for programs, and more of it; <code>files/</code> the files.</p>\n",
        shown(facts.made_at)
    );
    page += "<h2>Who answers for these data</h2>\n";
    page += &paragraph(&facts.controller, "Whoever gave you this archive.");
    page += "<h2>What for</h2>\n";
    page += &paragraph(
        &facts.purposes.join("\n"),
        "To answer what you write to us. Ask whoever gave you this archive for more.",
    );
    page += "<h2>Where they come from</h2>\n";
    page += &paragraph(facts.source, "");
    page += "<h2>Who you are to us</h2>\n";
    page += &facts.person.iter().map(person).collect::<String>();
    page += "<h2>Who receives them</h2>\n";
    let recipients = facts.recipients.iter().map(|one| row(&[&one.name, &one.receives]));
    page += &table(&["who", "what"], recipients);
    page += "<h2>How long they are kept</h2>\n";
    page += &table(&["what", "days"], facts.retention.iter().map(kept));
    page += "<h2>What you allowed and forbade</h2>\n";
    page += &table(&["when", "what for", "said", "how", "words"], facts.consent.iter().map(consent));
    page += "<h2>What you were told about this</h2>\n";
    let notices = facts.notices.iter().map(|one| row(&[&shown(one.told_at), &one.version]));
    page += &table(&["when", "which version of the notice"], notices);
    page += "<h2>Your rights</h2>\n<p>You may ask for these data to be corrected, to be used less, or to be erased, and you may object to \
             their use. You may complain to the authority for data protection where you live.</p>\n";
    page
}

fn paragraph(text: &str, instead: &str) -> String {
    let text = if text.is_empty() { instead } else { text };
    format!("<p>{}</p>\n", escaped(text).replace('\n', "<br>"))
}

fn person(known: &Known) -> String {
    let profile = known.profile.clone().unwrap_or_default();
    let of = |name: &str, value: Option<String>| value.map(|value| row(&[name, &value])).unwrap_or_default();
    let rows = [
        of("name", profile.name),
        of("phone number", profile.phone),
        of("Meta's id of you for us", profile.user_id),
        of("Meta's id of you for our group", profile.parent_user_id),
        of("user name", profile.username),
        row(&["our id of you", &known.contact_id.to_string()]),
        row(&["known since", &shown(known.known_since)]),
    ];
    format!("<table>{}</table>\n", rows.concat())
}

fn kept(one: &Kept) -> String {
    let ends = one.until.unwrap_or("until you or we remove it");
    let days = one.days.map_or_else(|| ends.to_owned(), |days| days.to_string());
    row(&[&one.what, &days])
}

fn consent(one: &Consent) -> String {
    let words = one.wording.as_deref().unwrap_or_default();
    row(&[&shown(one.occurred_at), &one.purpose, &one.state, &one.source, words])
}

/// Begins the list of files.
pub(super) const FILES: &str = "<h2>Your files</h2>\n<table><tr><th>when</th><th>file</th><th>called</th></tr>\n";
/// Ends a list.
pub(super) const LIST_ENDS: &str = "</table>\n";
/// Begins the list of who looked.
pub(super) const HISTORY: &str =
    "<h2>Who looked at your data</h2>\n<table><tr><th>when</th><th>who</th><th>what</th><th>why</th></tr>\n";
/// Begins the conversation.
pub(super) const CONVERSATION: &str = "<h2>What was said</h2>\n<p>The newest first.</p>\n";
/// Ends the page.
pub(super) const END: &str = "</body></html>\n";

/// One file.
pub(super) fn file(one: &FileIn) -> String {
    // The path is made of an id and an ending of our own list.
    let link = one.path.as_deref().map_or_else(
        || "it could not be read".to_owned(),
        |path| format!("<a href=\"{}\">{}</a>", escaped(path), escaped(path)),
    );
    let name = escaped(one.filename.as_deref().unwrap_or_default());
    format!("<tr><td>{}</td><td>{link}</td><td dir=\"auto\">{name}</td></tr>\n", shown(one.at))
}

/// One entry of who looked.
pub(super) fn looked(one: &Looked) -> String {
    row(&[&shown(one.at), &one.who, &one.what, &one.reason])
}

/// One entry of what was said.
pub(super) fn said(one: &Said) -> String {
    let (class, head, words) = match one {
        Said::In { row, content } => {
            let head = format!("{} · {}", shown(row.occurred_at), escaped(&row.event_type));
            ("in", head, words(content, &ITEMS))
        }
        Said::Out { row, request, statuses, .. } => {
            let head = format!(
                "{} · to you · {} · {}",
                shown(row.created_at),
                escaped(&row.kind),
                state(&row.state, statuses)
            );
            ("out", head, words(request, &[""]))
        }
    };
    format!("<div class=\"{class}\"><small>{head}</small><bdi>{}</bdi></div>\n", escaped(&words))
}

/// Where in Meta's envelope, or ours, the thing is that was said.
const ITEMS: [&str; 4] = [
    "/entry/0/changes/0/value/messages/0",
    "/entry/0/changes/0/value/message_echoes/0",
    "/entry/0/changes/0/value/user_preferences/0",
    "/details",
];
/// Where in it there are words that somebody wrote or chose.
const WORDS: [&str; 17] = [
    "/text/body",
    "/image/caption",
    "/video/caption",
    "/document/filename",
    "/document/caption",
    "/button/text",
    "/interactive/button_reply/title",
    "/interactive/list_reply/title",
    "/interactive/header/text",
    "/interactive/body/text",
    "/reaction/emoji",
    "/template/name",
    "/location/name",
    "/location/address",
    "/system/body",
    "/detail",
    "/value",
];

/// What a person can read of it. The rest stands in `data.json`.
fn words(content: &Opened, items: &[&str]) -> String {
    let Some(bytes) = content else { return "(removed before, or not to be opened)".to_owned() };
    let Ok(whole) = serde_json::from_slice::<Value>(bytes) else { return "(see data.json)".to_owned() };
    let Some(item) = items.iter().find_map(|place| whole.pointer(place)) else { return "(see data.json)".to_owned() };
    let mut words: Vec<String> =
        WORDS.iter().filter_map(|place| item.pointer(place)?.as_str().map(str::to_owned)).collect();
    if let (Some(north), Some(east)) = (item.pointer("/location/latitude"), item.pointer("/location/longitude")) {
        words.push(format!("{north}, {east}"));
    }
    if words.is_empty() { "(see data.json)".to_owned() } else { words.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_text_and_nothing_else() {
        let evil = "<script>alert('x')</script>&\"\u{7}\n\u{202e}";
        assert_eq!(escaped(evil), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}\n\u{202e}");
        assert!(!row(&[evil, "<b>"]).contains("<script") && !row(&["<b>"]).contains("<b>"));
    }

    #[test]
    fn the_words_of_a_message_are_found_and_other_content_is_pointed_at() {
        let opened = |json: Value| Some(zeroize::Zeroizing::new(json.to_string().into_bytes()));
        let text = serde_json::json!({ "entry": [{ "changes": [{ "value": { "messages": [{ "text": { "body": "Moin" } }] } }] }] });
        assert_eq!(words(&opened(text), &ITEMS), "Moin");
        let sent = serde_json::json!({ "type": "template", "template": { "name": "hello" } });
        assert_eq!(words(&opened(sent), &[""]), "hello");
        assert_eq!(words(&opened(serde_json::json!({ "a": 1 })), &ITEMS), "(see data.json)");
        assert!(words(&None, &ITEMS).contains("removed"));
    }
}
