//! Samples of the fields about people and threads: calls, history, echoes, groups, standby, hand-overs, preferences.

use serde_json::{Map, Value, json};

use super::{Business, Inbound, Sender, contact, message};
use crate::simulator::outbound_wamid;

/// A value for `field`, or none when the field is not one of these.
pub(super) fn sample(field: &str, business: &Business, time: i64) -> Option<Value> {
    person(field, business, time)
        .or_else(|| thread(field, business, time))
        .or_else(|| group(field, time).map(|group| in_product(business, "groups", json!([group]))))
}

/// `messaging_product`, `metadata` and one more key.
fn in_product(business: &Business, key: &str, content: Value) -> Value {
    let mut value = Map::from_iter([
        ("messaging_product".to_owned(), json!("whatsapp")),
        ("metadata".to_owned(), business.metadata()),
    ]);
    value.insert(key.to_owned(), content);
    Value::Object(value)
}

fn with_contact(mut value: Value, sender: &Sender) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("contacts".into(), json!([contact(sender)]));
    }
    value
}

fn person(field: &str, business: &Business, time: i64) -> Option<Value> {
    let sender = Sender::default();
    let (phone, user) = (sender.phone(), sender.user_id());
    let (key, list) = match field {
        "user_preferences" => (
            "user_preferences",
            json!([{
                "wa_id": phone, "user_id": user, "detail": "User requested to stop marketing messages",
                "category": "marketing_messages", "value": "stop", "timestamp": time,
            }]),
        ),
        "user_id_update" => (
            "user_id_update",
            json!([{
                "wa_id": phone, "detail": "The user id changed",
                "user_id": {"previous": user, "current": "US.13491208655302741918"}, "timestamp": time.to_string(),
            }]),
        ),
        "calls" => (
            "calls",
            json!([{
                "id": "wacid.HBgLMTY1MDU1NTEyMzQVAgASGCAzQTAwMDAwMDAwMDAwMDAwMDAwMAA=",
                "from": phone, "from_user_id": user, "to": business.display_phone_number, "event": "terminate",
                "direction": "USER_INITIATED", "timestamp": time.to_string(), "status": "COMPLETED",
                "start_time": (time - 30).to_string(), "end_time": time.to_string(), "duration": 30,
            }]),
        ),
        _ => return None,
    };
    Some(with_contact(in_product(business, key, list), &sender))
}

fn thread(field: &str, business: &Business, time: i64) -> Option<Value> {
    let sender = Sender::default();
    let phone = sender.phone().unwrap_or_default();
    let echo = json!({
        "from": business.display_phone_number, "to": phone, "to_user_id": sender.user_id(),
        "id": outbound_wamid(phone), "timestamp": time.to_string(), "type": "text", "text": {"body": "From the phone"},
    });
    let inbound = message(&Inbound::new("text", sender.clone()), time);
    Some(match field {
        "smb_message_echoes" | "message_echoes" => in_product(business, "message_echoes", json!([echo])),
        "smb_app_state_sync" => in_product(
            business,
            "state_sync",
            json!([{
                "type": "contact", "action": "add", "metadata": {"timestamp": time.to_string()},
                "contact": {"full_name": "Erika Mustermann", "first_name": "Erika", "phone_number": phone},
            }]),
        ),
        "history" => {
            let mut past = inbound;
            if let Some(fields) = past.as_object_mut() {
                fields.insert("history_context".into(), json!({"status": "READ"}));
            }
            in_product(
                business,
                "history",
                json!([{
                    "metadata": {"phase": 0, "chunk_order": 1, "progress": 55},
                    "threads": [{"id": phone, "messages": [past]}],
                }]),
            )
        }
        "standby" => {
            let copy = json!({"messages": [inbound], "contacts": [contact(&sender)]});
            in_product(business, "standby", copy)
        }
        "messaging_handovers" => json!({
            "messaging_product": "whatsapp",
            "sender": {"phone_number": phone},
            "recipient": {"phone_number_id": business.phone_number_id,
                "display_phone_number": business.display_phone_number},
            "timestamp": time.to_string(),
            "type": "control_passed",
            "control_passed": {"previous_owner_app_id": "670843887433847", "new_owner_role": "primary",
                "metadata": "escalated"},
        }),
        _ => return None,
    })
}

fn group(field: &str, time: i64) -> Option<Value> {
    let sender = Sender::default();
    let (kind, more) = match field {
        "group_lifecycle_update" => {
            ("group_create", json!({"subject": "Neighbours", "invite_link": "https://chat.whatsapp.com/x"}))
        }
        "group_participants_update" => {
            let added = json!([{"wa_id": sender.phone(), "user_id": sender.user_id()}]);
            ("group_participants_add", json!({"reason": "invite_link", "added_participants": added}))
        }
        "group_settings_update" => {
            let subject = json!({"text": "Neighbours", "update_successful": true});
            ("group_settings_update", json!({"group_subject": subject}))
        }
        "group_status_update" => ("group_suspend", json!({})),
        _ => return None,
    };
    let mut group = Map::from_iter([
        ("timestamp".to_owned(), json!(time.to_string())),
        ("group_id".to_owned(), json!("Y2FwaV9ncm91cDo")),
        ("request_id".to_owned(), json!("REQ0001")),
        ("type".to_owned(), json!(kind)),
    ]);
    if let Value::Object(more) = more {
        group.extend(more);
    }
    Some(Value::Object(group))
}
