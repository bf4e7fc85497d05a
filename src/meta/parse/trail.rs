//! The way from Meta's envelope down to one item, and what the stations on it say.

use super::json::Value;
use crate::domain::event::EventType;
use crate::ids::{PhoneNumberId, WabaId};

/// What a field's value is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// Lists of things that happened.
    Lists,
    /// The same lists, of calls.
    Calls,
    /// Old messages, in threads or alone.
    History,
    /// The same lists, of a thread that somebody else owns.
    Standby,
    /// One thing that happened.
    One(EventType),
}

impl Field {
    /// The field of that name. `None` for fields without a published payload as well.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "messages"
            | "message_echoes"
            | "smb_message_echoes"
            | "smb_app_state_sync"
            | "user_preferences"
            | "user_id_update"
            | "automatic_events"
            | "group_lifecycle_update"
            | "group_participants_update"
            | "group_participant_update"
            | "group_settings_update"
            | "group_status_update" => Self::Lists,
            "calls" => Self::Calls,
            "history" => Self::History,
            "standby" => Self::Standby,
            "messaging_handovers" => Self::One(EventType::ThreadHandedOver),
            "message_template_status_update"
            | "message_template_quality_update"
            | "message_template_components_update"
            | "template_category_update"
            | "template_correct_category_detection" => Self::One(EventType::TemplateUpdated),
            "phone_number_quality_update"
            | "phone_number_name_update"
            | "account_settings_update"
            | "business_username_update"
            | "business_username_updates" => Self::One(EventType::ChannelUpdated),
            "account_update"
            | "account_alerts"
            | "account_review_update"
            | "business_capability_update"
            | "payment_configuration_update"
            | "partner_solutions" => Self::One(EventType::AccountUpdated),
            "security" => Self::One(EventType::AccountSecurity),
            "flows" => Self::One(EventType::FlowUpdated),
            _ => return None,
        })
    }
}

/// The objects that an item lies in, from the outside. Those that it is not inside of are absent.
#[derive(Clone, Copy, Default)]
pub(super) struct Trail<'d> {
    pub(super) field: Option<Field>,
    pub(super) entry: Option<Value<'d>>,
    pub(super) change: Option<Value<'d>>,
    pub(super) value: Option<Value<'d>>,
    /// `standby`, or an element of `history`.
    pub(super) inner: Option<Value<'d>>,
    /// A thread of a history.
    pub(super) thread: Option<Value<'d>>,
}

impl<'d> Trail<'d> {
    /// The stations below the outermost object.
    pub(super) fn stations(&self) -> impl Iterator<Item = Value<'d>> {
        [self.entry, self.change, self.value, self.inner, self.thread].into_iter().flatten()
    }

    /// The value that `item` lies in or is.
    fn value(&self, item: Value<'d>) -> Value<'d> {
        self.value.or_else(|| item.get("value")).unwrap_or(item)
    }

    /// The business number's id.
    pub(super) fn phone_number_id(&self, item: Value<'d>) -> Option<PhoneNumberId> {
        let value = self.value(item);
        let homes = ["metadata", "recipient", "phone_number_settings"].into_iter().filter_map(|name| value.get(name));
        let inner = self.inner.and_then(|inner| inner.get("metadata"));
        homes.chain(inner).find_map(|home| id(home.get("phone_number_id")?)).map(PhoneNumberId::new)
    }

    /// The business number itself, as Meta displays it.
    pub(super) fn own_number(&self, item: Value<'d>) -> Option<Value<'d>> {
        self.value(item).get("metadata")?.get("display_phone_number")
    }

    /// The account. `entry.id`, except where that is the business portfolio: in `partner_solutions` and in
    /// account updates about partners and linked ad accounts.
    pub(super) fn waba_id(&self, item: Value<'d>) -> Option<WabaId> {
        let entry = self.entry.unwrap_or(item);
        let value = self.value(item);
        if self.entry_is_portfolio(item) {
            return id(value.get("waba_info")?.get("waba_id")?).map(WabaId::new);
        }
        id(entry.get("id")?).map(WabaId::new)
    }

    fn entry_is_portfolio(&self, item: Value<'d>) -> bool {
        if self.field != Some(Field::One(EventType::AccountUpdated)) {
            return false;
        }
        let field = self.change.and_then(|change| change.get("field")?.text());
        let event = self.value(item).get("event").and_then(Value::text).unwrap_or_default();
        match field.as_deref() {
            Some("partner_solutions") => true,
            Some("account_update") => event.starts_with("PARTNER_") || event == "AD_ACCOUNT_LINKED",
            _ => false,
        }
    }

    /// What, beside its own JSON, tells an item from its like: the field, the account and the number it came from,
    /// and the time of the entry. Account values carry no time of their own: without it, a template that is paused,
    /// approved and paused again would be two events instead of three.
    pub(super) fn origin(&self, item: Value<'d>) -> [&'d str; 4] {
        let raw = |value: Option<Value<'d>>| value.map_or("", Value::raw);
        let (change, entry) = (self.change.unwrap_or(item), self.entry.unwrap_or(item));
        let number = self.value(item).get("metadata").and_then(|metadata| metadata.get("phone_number_id"));
        [raw(change.get("field")), raw(entry.get("id")), raw(entry.get("time")), raw(number)]
    }
}

/// An id of Meta's that is safe to show in rows and logs. Anything else in its place is not taken over.
fn id(value: Value<'_>) -> Option<String> {
    let plain = |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    value.word().filter(|text| plain(text)).map(Into::into)
}
