//! Every documented payload, and what becomes of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::domain::person::{Identifier, Person};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/meta")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(format!("{name}.json"))).unwrap_or_else(|_| panic!("no fixture {name}"))
}

pub(super) fn parse_text(text: impl Into<Bytes>) -> Vec<Item> {
    parse(&VerifiedBody::trusted(text))
}

/// `P`hone, `B`suid, p`A`rent, `U`sername.
fn kinds(ids: &[Identifier]) -> String {
    let letter = |id: &Identifier| match id {
        Identifier::Phone(_) => 'P',
        Identifier::Bsuid(_) => 'B',
        Identifier::ParentBsuid(_) => 'A',
        Identifier::Username(_) => 'U',
    };
    ids.iter().map(letter).collect()
}

fn people(person: Option<&Person>) -> String {
    let Some(person) = person else { return "-".into() };
    let former = if person.former.is_empty() { String::new() } else { format!("<{}", kinds(&person.former)) };
    format!("{}{former}{}", kinds(&person.identifiers), if person.name.is_some() { "+" } else { "" })
}

/// Type, identifiers (`<` former ones, `+` a name), subject (`M`essage or `E`xact), variant, status and code of an item.
fn describe(item: &Item) -> String {
    let subject = if matches!(item.subject, Subject::Message(_)) { "M" } else { "E" };
    let mut text = format!("{} {} {subject}", item.event_type, people(item.person.as_ref()));
    text += &item.variant.as_ref().map_or(String::new(), |variant| format!(" ({})", variant.trim()));
    text += &item.status.map_or(String::new(), |status| format!(" {status:?}"));
    text += &item.error_code.map_or(String::new(), |code| format!(" #{code}"));
    text
}

const TABLE: &[(&str, &[&str])] = &[
    ("message_text", &["message.received PB+ M"]),
    ("message_text_reply", &["message.received PB+ M"]),
    ("message_text_forwarded", &["message.received PB+ M"]),
    ("message_text_about_product", &["message.received PB+ M"]),
    ("message_text_from_ad", &["message.received PB+ M"]),
    ("message_text_without_number", &["message.received BU+ M"]),
    ("message_text_with_parent_id", &["message.received PBAU+ M"]),
    ("message_text_bsuid_in_from", &["message.received B+ M"]),
    ("message_text_without_bsuid", &["message.received P+ M"]),
    ("message_text_identity_checked", &["message.received PB+ M"]),
    ("message_text_millisecond_timestamp", &["message.received PB+ M"]),
    ("message_text_number_timestamp", &["message.received PB+ M"]),
    ("message_image", &["message.received PB+ M"]),
    ("message_video", &["message.received PB+ M"]),
    ("message_audio_voice", &["message.received PB+ M"]),
    ("message_voice_legacy", &["message.received PB+ M"]),
    ("message_document", &["message.received PB+ M"]),
    ("message_sticker", &["message.received PB+ M"]),
    ("message_location", &["message.received PB+ M"]),
    ("message_contacts", &["message.received PB+ M"]),
    ("message_contact_request_answer", &["message.received B+ M"]),
    ("message_button_reply", &["message.received PB+ M"]),
    ("message_list_reply", &["message.received PB+ M"]),
    ("message_flow_reply", &["message.received PB+ M"]),
    ("message_flow_reply_no_object", &["message.received PB+ M"]),
    ("message_call_permission_reply", &["message.received PB+ M"]),
    ("message_interactive_without_body", &["message.received PB+ M"]),
    ("message_template_button", &["message.received PB+ M"]),
    ("message_reaction", &["message.received PB+ M"]),
    ("message_reaction_removed", &["message.received PB+ M"]),
    ("message_order", &["message.received PB+ M"]),
    ("message_edit", &["message.edited PB+ M"]),
    ("message_revoke", &["message.revoked PB+ M"]),
    ("message_unsupported", &["message.received PB+ M (unsupported)"]),
    ("message_unknown", &["message.received PB+ M (unknown)"]),
    ("message_request_welcome", &["message.received PB+ M"]),
    ("message_brand_new_type", &["message.received PB+ M"]),
    ("message_group_text", &["message.received PB+ M"]),
    ("message_without_contacts", &["message.received PB M"]),
    ("message_media_failed", &["message.received PB+ M"]),
    ("system_user_changed_number", &["contact.changed P<P M"]),
    ("system_user_changed_number_with_ids", &["contact.changed PB<PB M"]),
    ("system_customer_changed_number", &["contact.changed P<P M"]),
    ("system_user_changed_user_id", &["contact.changed BA<BA M"]),
    ("system_customer_identity_changed", &["contact.changed PB M"]),
    ("system_unknown", &["message.received PB M"]),
    ("marketing_click", &["marketing.clicked PB+ E"]),
    ("message_error", &["message.error - E #130429"]),
    ("status_sent", &["message.sent PB+ M Sent"]),
    ("status_sent_with_conversation", &["message.sent PB+ M Sent"]),
    ("status_delivered", &["message.delivered PB+ M Delivered"]),
    ("status_read", &["message.read PB+ M Read"]),
    ("status_played", &["message.played PB+ M Played"]),
    ("status_deleted", &["message.status PB+ M (deleted) Other"]),
    ("status_failed", &["message.failed P M Failed #131026"]),
    ("status_failed_code_as_text", &["message.failed PB M Failed #131047"]),
    ("status_without_number", &["message.delivered BA+ M Delivered"]),
    ("status_old_parent_name", &["message.delivered PBA+ M Delivered"]),
    ("status_identity_checked", &["message.sent PB+ M Sent"]),
    (
        "status_group",
        &["message.delivered PB+ M (4915199900011) Delivered", "message.delivered PB+ M (4915199900022) Delivered"],
    ),
    ("status_batch", &["message.sent PB M Sent", "message.delivered PB M Delivered", "message.read PB M Read"]),
    ("batch_messages", &["message.received PB+ M", "message.received PB+ M", "message.received PB+ M"]),
    ("batch_stray_contact", &["message.received PB+ M", "message.received PB M", "unrecognised - E"]),
    (
        "batch_changes_and_entries",
        &[
            "message.received PB+ M",
            "message.sent PB M Sent",
            "message.failed P M Failed #131026",
            "account.updated - E",
        ],
    ),
    ("batch_mixed_lists", &["message.received PB+ M", "message.read PB+ M Read", "message.error PB+ E #131000"]),
    ("template_status_approved", &["template.updated - E"]),
    ("template_status_rejected", &["template.updated - E"]),
    ("template_status_paused", &["template.updated - E"]),
    ("template_status_disabled", &["template.updated - E"]),
    ("template_quality", &["template.updated - E"]),
    ("template_components", &["template.updated - E"]),
    ("template_category_pending", &["template.updated - E"]),
    ("template_category_done", &["template.updated - E"]),
    ("template_misused", &["template.updated - E"]),
    ("channel_quality", &["channel.updated - E"]),
    ("channel_name", &["channel.updated - E"]),
    ("channel_settings", &["channel.updated - E"]),
    ("channel_username", &["channel.updated - E"]),
    ("account_banned", &["account.updated - E"]),
    ("account_restricted", &["account.updated - E"]),
    ("account_violation", &["account.updated - E"]),
    ("account_partner_added", &["account.updated - E"]),
    ("account_alert", &["account.updated - E"]),
    ("account_review", &["account.updated - E"]),
    ("account_capability", &["account.updated - E"]),
    ("account_payment", &["account.updated - E"]),
    ("account_solution", &["account.updated - E"]),
    ("account_security", &["account.security - E"]),
    ("flow_status", &["flow.updated - E"]),
    ("flow_error_rate", &["flow.updated - E"]),
    ("preference_stop", &["contact.preference PB+ E"]),
    ("preference_without_number", &["contact.preference BA+ E"]),
    ("user_id_changed", &["contact.changed PBA<BA+ E"]),
    ("conversion", &["ads.conversion - E"]),
    ("echo_text", &["message.echo PB M"]),
    ("echo_edit", &["message.echo PB+ M"]),
    ("echo_revoke", &["message.echo PB M"]),
    ("address_book", &["contact.synced P+ E", "contact.synced P E"]),
    (
        "history_threads",
        &["message.history P M (text)", "message.history P M (text)", "message.history P M (media_placeholder)"],
    ),
    ("history_media", &["message.history PB+ M (image)"]),
    ("history_declined", &["message.error - E #2593109"]),
    ("call_connect", &["call.updated PB+ M (connect 1763800000)"]),
    ("call_terminate", &["call.updated PB M (terminate 1763800000)"]),
    ("call_recording", &["call.updated P M (call_recording_available 1763800000)"]),
    ("call_status", &["call.updated P M (RINGING)"]),
    ("call_failed", &["call.updated - E #138000"]),
    ("group_created", &["group.updated - E"]),
    ("group_joined", &["group.updated - E"]),
    ("group_settings", &["group.updated - E"]),
    ("group_failed", &["group.updated - E #131020"]),
    ("standby_message", &["standby PB+ M"]),
    ("standby_echo", &["standby P M"]),
    ("standby_statuses", &["standby PB+ M Sent", "standby PB+ M Delivered"]),
    ("handover_passed", &["thread.handed_over BP E"]),
    ("handover_taken", &["thread.handed_over P E"]),
    ("unknown_field", &["unrecognised - E"]),
    ("unknown_value", &["unrecognised - E"]),
    ("unknown_object", &["unrecognised - E"]),
    (
        "unknown_entry",
        &[
            "unrecognised - E",
            "unrecognised - E",
            "unrecognised - E",
            "unrecognised - E",
            "message.received PB+ M",
            "unrecognised PB+ E",
            "unrecognised PB+ E",
        ],
    ),
    ("wrong_list_shape", &["unrecognised - E", "message.sent PB M Sent", "message.read PB M Read"]),
];

#[test]
fn every_documented_payload_becomes_what_it_is() {
    for (name, expected) in TABLE {
        let items: Vec<_> = parse_text(fixture(name)).iter().map(describe).collect();
        assert_eq!(items, *expected, "{name}");
    }
}

#[test]
fn no_payload_is_left_out_of_the_table() {
    let listed: BTreeSet<_> = TABLE.iter().map(|(name, _)| format!("{name}.json")).collect();
    let files = std::fs::read_dir(fixtures()).unwrap();
    let stored: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, stored);
}

/// What two readings of one item must agree in.
fn essence(item: &Item) -> (String, Subject, Vec<String>, Option<String>) {
    let person = item.person.as_ref();
    let ids = person.map(|person| person.identifiers.iter().chain(&person.former).map(Identifier::canonical).collect());
    let text = format!("{} {:?} {:?} {:?}", describe(item), item.waba_id, item.phone_number_id, item.occurred_at);
    (text, item.subject.clone(), ids.unwrap_or_default(), person.and_then(|person| person.name.clone()))
}

/// Every envelope holds its item, alone, and nothing that changes how it reads.
pub(super) fn assert_each_stands_alone(items: &[Item]) {
    for item in items {
        let again = parse_text(item.envelope.clone());
        assert_eq!(again.len(), 1, "{}", String::from_utf8_lossy(&item.envelope));
        assert!(essence(&again[0]) == essence(item), "{}", String::from_utf8_lossy(&item.envelope));
        assert_eq!(again[0].envelope, item.envelope);
    }
}

#[test]
fn every_item_of_every_payload_stands_alone() {
    for (name, _) in TABLE {
        let body = fixture(name);
        let items = parse_text(body.clone());
        assert_each_stands_alone(&items);
        if items.len() == 1 {
            assert_eq!(items[0].envelope, body, "{name}: a lone item keeps Meta's bytes");
        }
    }
}

#[test]
fn nobody_carries_another_persons_contact() {
    for (name, own, others) in [
        ("batch_messages", 0, ["Bob", "4915199900022"]),
        ("batch_messages", 1, ["Ana", "4915199900011"]),
        ("batch_stray_contact", 0, ["Cem", "4915199900033"]),
        ("batch_stray_contact", 1, ["Cem", "Ana"]),
        ("batch_stray_contact", 2, ["Ana", "4915199900022"]),
        ("standby_statuses", 0, ["Bob", "4915199900022"]),
        ("history_threads", 2, ["4915199900011", "alt"]),
    ] {
        let items = parse_text(fixture(name));
        let envelope = std::str::from_utf8(&items[own].envelope).unwrap();
        assert!(others.iter().all(|other| !envelope.contains(other)), "{name}: {envelope}");
    }
}

#[test]
fn an_envelope_keeps_order_unknown_keys_and_every_byte_of_a_value() {
    let body = r#"{ "object":"whatsapp_business_account", "x":1.50, "entry":[ {"id":"1","y":[ 1 ],"changes":[{"z":null,
        "value":{"metadata":{"phone_number_id":"2"},"messages":[{"id":"a","n":1e5,"text":"\u00e4\/"},{"id":"b"}],"w":"\ud800"},
        "field":"messages"}]} ]}"#;
    let items = parse_text(body);
    let expected = concat!(
        r#"{"object":"whatsapp_business_account","x":1.50,"entry":[{"id":"1","y":[ 1 ],"changes":[{"z":null,"#,
        r#""value":{"metadata":{"phone_number_id":"2"},"messages":[{"id":"a","n":1e5,"text":"\u00e4\/"}],"w":"\ud800"},"#,
        r#""field":"messages"}]}]}"#
    );
    assert_eq!(items[0].envelope, expected);
}

#[test]
fn accounts_numbers_and_times_are_read() {
    let item = |name| parse_text(fixture(name)).remove(0);
    let text = item("message_text");
    assert_eq!(text.waba_id.unwrap().as_str(), "200000000000001");
    assert_eq!(text.phone_number_id.unwrap().as_str(), "100000000000001");
    for name in ["message_text", "message_text_number_timestamp", "message_text_millisecond_timestamp"] {
        assert_eq!(item(name).occurred_at.unwrap().unix_timestamp(), 1_763_800_000, "{name}");
    }
    for name in ["channel_settings", "handover_passed", "standby_message"] {
        assert_eq!(item(name).phone_number_id.unwrap().as_str(), "100000000000001", "{name}");
    }
    assert_eq!(item("account_partner_added").waba_id.unwrap().as_str(), "200000000000001");
    assert!(item("account_solution").waba_id.is_none(), "the entry's id is a portfolio");
    assert_eq!(item("account_review").occurred_at.unwrap().unix_timestamp(), 1_763_800_000);
    assert_eq!(item("status_sent").opaque.as_deref(), Some("order-17"));
}

#[test]
fn numbers_change_hands_the_right_way_round() {
    for name in ["system_user_changed_number", "system_user_changed_number_with_ids", "system_customer_changed_number"]
    {
        let person = parse_text(fixture(name)).remove(0).person.unwrap();
        assert_eq!(person.identifiers[0].canonical(), "4915199900022", "{name}");
        assert_eq!(person.former[0].canonical(), "4915199900011", "{name}");
    }
    let person = parse_text(fixture("user_id_changed")).remove(0).person.unwrap();
    assert_eq!(person.identifiers[1].canonical(), "DE.9000000000000002");
    assert_eq!(person.former[0].canonical(), "DE.9000000000000001");
}

#[test]
fn a_post_that_was_made_to_grow_is_kept_whole() {
    // Each of 5,000 items would repeat 2 MB that stand beside it.
    let items = vec!["{}"; 5_000].join(",");
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messages":[{items}],"beside":"{}"}}}}]}}]}}"#,
        "x".repeat(2_000_000)
    );
    let items = parse(&VerifiedBody::trusted(body.clone()));
    assert_eq!(items.len(), 1);
    assert_eq!((items[0].event_type, items[0].envelope.len()), (EventType::Unrecognised, body.len()));
}
