//! Looks at a number: what Meta says of it, and whether its token will go on working.

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{NUMBERS_EVERY, Sender, TurnError};
use crate::directory::ChannelEvent;
use crate::domain::channel::{Channel, USUAL_PACE};
use crate::domain::event::EventType;
use crate::ids::{ChannelId, TenantId};
use crate::meta::client::ReadError;
use crate::store::events::NewEvent;
use crate::store::polls::Turn;

const FIELDS: &str = "verified_name,quality_rating,status,name_status,code_verification_status,is_official_business_account,\
    account_mode,throughput,whatsapp_business_manager_messaging_limit,health_status";
/// Messages a second of a `throughput.level` beyond the usual, and of a number that the WhatsApp Business app uses too (Cloud API,
/// "Throughput").
const HIGH: i32 = 1000;
const COEXISTENCE: i32 = 20;
/// What the token must be allowed.
const SCOPES: [&str; 2] = ["whatsapp_business_management", "whatsapp_business_messaging"];
/// A token that ends sooner is told of.
const SOON: Duration = Duration::days(7);

impl Sender {
    pub(super) async fn ask_number(&self, turn: &Turn) -> Result<(), TurnError> {
        let tenant = TenantId::from_uuid(turn.tenant_id);
        let id: ChannelId = turn.owner.parse().map_err(|_| TurnError::NoChannel)?;
        let channel = self.directory.snapshot().channel(tenant, id).cloned().ok_or(TurnError::NoChannel)?;
        let facts = self.facts(&channel).await?;
        self.keep_throughput(&channel, &facts).await?;
        let now = self.clock.now();
        let before = self.directory.channel_state(tenant, id).await?.map(|state| state.facts);
        let changes = before.as_ref().map(|before| changes(before, &facts)).unwrap_or_default();
        let is_new = before.is_none() || !changes.is_empty();
        let mut told = Vec::new();
        if !changes.is_empty() {
            let details = json!({ "channel_id": id, "changes": changes });
            told.push(self.tell_of_number(&channel, EventType::ChannelChanged, details, now).await?);
        }
        let trouble = trouble(&facts, now);
        if let Some(reason) = trouble {
            tracing::warn!(channel = %id, reason, "the access token of a channel needs attention");
            let ends = facts.get("token_expires_at").cloned().unwrap_or_default();
            let missing = facts.get("token_missing_scopes").cloned().unwrap_or_default();
            let details = json!({ "channel_id": id, "reason": reason, "expires_at": ends, "missing_scopes": missing });
            // The same on one day is one event.
            told.push(self.tell_of_number(&channel, EventType::TokenExpiring, details, now).await?);
        }
        // In one order everywhere.
        told.sort_unstable_by_key(|event| (event.part_day, event.subject, event.variant));
        let sealed = if is_new { Some(self.directory.seal_channel_state(tenant, id, &facts).await?) } else { None };
        let kept = (sealed.as_deref(), trouble);
        self.store.keep_channel_state(turn, id.uuid(), kept, &told, (now + NUMBERS_EVERY, now)).await?;
        for (owner, _) in told.iter().flat_map(|event| &event.owed_to) {
            self.bells.ring(owner.uuid());
        }
        Ok(())
    }

    /// Where the operator has not set it, the pace of the channel is what Meta allows. What Meta does not say stays as it was.
    async fn keep_throughput(&self, channel: &Channel, facts: &Value) -> Result<(), TurnError> {
        if self.pacing.per_second.is_some() {
            return Ok(());
        }
        let per_second = match facts.get("throughput").and_then(Value::as_str) {
            Some("HIGH") => HIGH,
            Some("STANDARD") if self.is_on_biz_app(channel).await => COEXISTENCE,
            Some("STANDARD") => USUAL_PACE,
            _ => return Ok(()),
        };
        Ok(self.store.set_throughput(channel.tenant, channel.id, per_second).await?)
    }

    /// Asked for alone: a field that Meta does not know would cost the others.
    async fn is_on_biz_app(&self, channel: &Channel) -> bool {
        let (field, number) = ("is_on_biz_app", channel.phone_number_id.as_str());
        let Some(token) = &channel.token else { return false };
        let asked = self.graph.read(&[number], &[("fields", field)], token).await;
        asked.is_ok_and(|number| number.get(field) == Some(&Value::Bool(true)))
    }

    async fn tell_of_number(
        &self,
        channel: &Channel,
        event_type: EventType,
        details: Value,
        at: OffsetDateTime,
    ) -> Result<NewEvent, TurnError> {
        let event = ChannelEvent { tenant: channel.tenant, channel: channel.id, event_type, details, at };
        Ok(event.file(&self.keyring, &self.directory.snapshot()).await?)
    }

    /// What Meta says of the number and of its token. Where the token is not valid, of the token alone.
    async fn facts(&self, channel: &Channel) -> Result<Value, TurnError> {
        let token = channel.token.as_ref().ok_or(TurnError::NoChannel)?;
        let inspected = self.graph.read(&["debug_token"], &[("input_token", token.expose())], token).await;
        let mut facts = match &inspected {
            Ok(answer) => of_token(answer.get("data").unwrap_or(&Value::Null)),
            Err(ReadError::Refused { code: Some(0 | 190) }) => {
                Map::from_iter([("token_valid".to_owned(), Value::Bool(false))])
            }
            // Meta may not let this token be inspected: then nothing is known of it.
            Err(ReadError::Refused { .. }) => Map::new(),
            Err(ReadError::Unreached(_)) => return Err(inspected.map(drop).err().ok_or(TurnError::NoChannel)?.into()),
        };
        if facts.get("token_valid") != Some(&Value::Bool(false)) {
            let number = self.graph.read(&[channel.phone_number_id.as_str()], &[("fields", FIELDS)], token).await?;
            facts.extend(of_number(&number));
        }
        Ok(Value::Object(facts))
    }
}

fn of_number(number: &Value) -> Map<String, Value> {
    let plain = [
        "verified_name",
        "quality_rating",
        "status",
        "name_status",
        "code_verification_status",
        "is_official_business_account",
        "account_mode",
    ];
    let deeper = [
        ("throughput", "/throughput/level"),
        ("messaging_limit", "/whatsapp_business_manager_messaging_limit"),
        ("health", "/health_status/can_send_message"),
    ];
    let plain = plain.into_iter().filter_map(|name| Some((name.to_owned(), number.get(name)?.clone())));
    let deeper = deeper.into_iter().filter_map(|(name, at)| Some((name.to_owned(), number.pointer(at)?.clone())));
    plain.chain(deeper).filter(|(_, value)| value.is_string() || value.is_boolean()).collect()
}

fn of_token(data: &Value) -> Map<String, Value> {
    let mut facts = Map::new();
    if let Some(valid) = data.get("is_valid").and_then(Value::as_bool) {
        facts.insert("token_valid".to_owned(), Value::Bool(valid));
    }
    let ends = data.get("expires_at").and_then(Value::as_i64).filter(|at| *at > 0);
    let ends = ends.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    if let Some(ends) = ends.and_then(|at| at.format(&Rfc3339).ok()) {
        facts.insert("token_expires_at".to_owned(), Value::from(ends));
    }
    if let Some(scopes) = data.get("scopes").and_then(Value::as_array) {
        let missing: Vec<&str> = SCOPES.into_iter().filter(|scope| !scopes.iter().any(|one| one == scope)).collect();
        if !missing.is_empty() {
            facts.insert("token_missing_scopes".to_owned(), json!(missing));
        }
    }
    facts
}

/// What is different, each with what it was and what it is.
fn changes(before: &Value, now: &Value) -> Map<String, Value> {
    let names =
        |facts: &Value| facts.as_object().map(|facts| facts.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<String> = names(before).into_iter().chain(names(now)).collect();
    names.sort_unstable();
    names.dedup();
    let of = |facts: &Value, name: &str| facts.get(name).cloned().unwrap_or_default();
    let changed = names.into_iter().filter(|name| of(before, name) != of(now, name));
    changed.map(|name| (name.clone(), json!({ "old": of(before, &name), "new": of(now, &name) }))).collect()
}

/// Why the token will not go on working.
fn trouble(facts: &Value, now: OffsetDateTime) -> Option<&'static str> {
    if facts.get("token_valid") == Some(&Value::Bool(false)) {
        return Some("invalid");
    }
    if facts.get("token_missing_scopes").is_some() {
        return Some("missing_scopes");
    }
    let ends = OffsetDateTime::parse(facts.get("token_expires_at")?.as_str()?, &Rfc3339).ok()?;
    (ends - now < SOON).then_some("expires_soon")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    #[test]
    fn a_token_is_trouble_before_it_fails() {
        let of = |data: Value| trouble(&Value::Object(of_token(&data)), NOW);
        let ends = |days: i64| (NOW + Duration::days(days)).unix_timestamp();
        assert_eq!(of(json!({ "is_valid": true, "expires_at": 0, "scopes": SCOPES })), None);
        assert_eq!(of(json!({ "is_valid": true, "expires_at": ends(30), "scopes": SCOPES })), None);
        assert_eq!(of(json!({ "is_valid": true, "expires_at": ends(3), "scopes": SCOPES })), Some("expires_soon"));
        assert_eq!(of(json!({ "is_valid": true, "scopes": ["public_profile"] })), Some("missing_scopes"));
        assert_eq!(of(json!({ "is_valid": false, "scopes": [] })), Some("invalid"));
    }

    #[test]
    fn drift_names_what_was_and_what_is() {
        let was = json!({ "quality_rating": "GREEN", "verified_name": "A", "health": "AVAILABLE" });
        let now = json!({ "quality_rating": "RED", "verified_name": "A", "throughput": "HIGH" });
        let changes = Value::Object(changes(&was, &now));
        let expected = json!({ "quality_rating": { "old": "GREEN", "new": "RED" }, "health": { "old": "AVAILABLE", "new": null },
            "throughput": { "old": null, "new": "HIGH" } });
        assert_eq!(changes, expected);
    }
}
