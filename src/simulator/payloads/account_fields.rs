//! Samples of the fields about the account: templates, the number, limits, payments, preferences.

use serde_json::{Map, Value, json};

use super::Business;

/// A value for `field`, or none when the field is not one of these.
pub(super) fn sample(field: &str, business: &Business, time: i64) -> Option<Value> {
    template(field).or_else(|| number(field, business, time)).or_else(|| account(field, business, time))
}

/// The keys that name a template, and `more`.
fn of_template(more: Value) -> Value {
    let mut value = Map::from_iter([
        ("message_template_id".to_owned(), json!(660_000_000_000_002_u64)),
        ("message_template_name".to_owned(), json!("order_update")),
        ("message_template_language".to_owned(), json!("en_US")),
    ]);
    if let Value::Object(more) = more {
        value.extend(more);
    }
    Value::Object(value)
}

fn template(field: &str) -> Option<Value> {
    Some(match field {
        "message_template_status_update" => of_template(json!({
            "event": "REJECTED",
            "reason": "INVALID_FORMAT",
            "message_template_category": "UTILITY",
            "rejection_info": {"reason": "Parameters at the end.", "recommendation": "Put text behind them."},
        })),
        "message_template_quality_update" => {
            of_template(json!({"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}))
        }
        "message_template_components_update" => of_template(json!({
            "message_template_element": "Hello {{1}}, your order {{2}} is on its way.",
            "message_template_footer": "Thank you",
            "message_template_buttons": [
                {"message_template_button_type": "URL", "message_template_button_text": "Track",
                 "message_template_button_url": "https://example.com/track"},
            ],
        })),
        "template_category_update" => of_template(json!({"previous_category": "UTILITY", "new_category": "MARKETING"})),
        "template_correct_category_detection" => {
            of_template(json!({"category": "UTILITY", "correct_category": "MARKETING"}))
        }
        _ => return None,
    })
}

fn number(field: &str, business: &Business, time: i64) -> Option<Value> {
    let number = &business.display_phone_number;
    Some(match field {
        "phone_number_quality_update" => json!({
            "display_phone_number": number, "event": "THROUGHPUT_UPGRADE",
            "max_daily_conversations_per_business": "TIER_UNLIMITED",
        }),
        "phone_number_name_update" => json!({
            "display_phone_number": number, "decision": "APPROVED", "requested_verified_name": "Simulated Business",
            "rejection_reason": null,
        }),
        "business_username_update" => {
            json!({"display_phone_number": number, "username": "simulated", "status": "approved"})
        }
        "security" => {
            json!({"display_phone_number": number, "event": "PIN_CHANGED", "requester": "100000000000001"})
        }
        "account_settings_update" => json!({
            "messaging_product": "whatsapp", "timestamp": time.to_string(), "type": "PHONE_NUMBER_SETTINGS",
            "phone_number_settings": {"phone_number_id": business.phone_number_id, "calling": {"status": "ENABLED"}},
        }),
        _ => return None,
    })
}

fn account(field: &str, business: &Business, time: i64) -> Option<Value> {
    Some(match field {
        "account_update" => json!({
            "event": "ACCOUNT_RESTRICTION",
            "restriction_info": [
                {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": time + 86_400},
            ],
        }),
        "account_alerts" => json!({
            "entity_type": "PHONE_NUMBER", "entity_id": business.phone_number_id,
            "alert_info": {
                "alert_severity": "INFORMATIONAL", "alert_status": "ACTIVE", "alert_type": "OBA_APPROVED",
                "alert_description": "The account is official now.",
            },
        }),
        "account_review_update" => json!({"decision": "APPROVED"}),
        "business_capability_update" => json!({
            "max_daily_conversations_per_business": 2000, "max_phone_numbers_per_business": 20,
            "max_phone_numbers_per_waba": 20,
        }),
        "payment_configuration_update" => json!({
            "configuration_name": "main", "provider_name": "razorpay", "provider_mid": "acc_1", "status": "active",
            "created_timestamp": time, "updated_timestamp": time,
        }),
        "partner_solutions" => {
            json!({"event": "SOLUTION_CREATED", "solution_id": "1000000000000001", "solution_status": "INITIATED"})
        }
        "automatic_events" => json!({
            "messaging_product": "whatsapp", "metadata": business.metadata(),
            "automatic_events": [{
                "id": super::super::inbound_wamid("16505551234"), "event_name": "Purchase", "timestamp": time,
                "ctwa_clid": "ARAkLkA8rmlFeiCktEJQ", "custom_data": {"currency": "EUR", "value": 25},
            }],
        }),
        "flows" => json!({
            "event": "FLOW_STATUS_CHANGE", "message": "The flow was published.", "flow_id": "1000000000000002",
            "old_status": "DRAFT", "new_status": "PUBLISHED",
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::simulator::payloads::{Business, sample};

    #[test]
    fn every_field_that_meta_documents_has_a_sample() {
        let business = Business {
            waba_id: "1".to_owned(),
            phone_number_id: "2".to_owned(),
            display_phone_number: "15550100000".to_owned(),
        };
        let fields = "message_template_status_update message_template_quality_update message_template_components_update \
            template_category_update template_correct_category_detection phone_number_quality_update \
            phone_number_name_update account_update account_alerts account_review_update account_settings_update \
            business_capability_update business_username_update security payment_configuration_update \
            partner_solutions automatic_events user_preferences user_id_update flows calls history \
            smb_message_echoes smb_app_state_sync group_lifecycle_update group_participants_update \
            group_settings_update group_status_update standby messaging_handovers message_echoes";
        for field in fields.split_whitespace() {
            assert!(sample(field, &business, 1_790_000_000).is_some(), "{field}");
        }
        assert!(sample("messages", &business, 0).is_none());
    }
}
