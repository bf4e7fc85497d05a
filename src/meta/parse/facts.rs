//! What one item says: its type, person, time, state and what it is about.

use std::borrow::Cow;

use time::OffsetDateTime;

use super::identity::{self, ADDRESS, PARTICIPANT, RECEIVER, SENDER, Slot, THREAD, Who};
use super::json::Value;
use super::trail::{Field, Trail};
use crate::domain::consent::{LONGEST_WORD, Said, State};
use crate::domain::event::{EventType, Status};
use crate::domain::person::{Identifier, PhoneNumber};
use crate::domain::window::Opening;

/// Timestamps above are milliseconds: as seconds they would lie behind the year 5138.
const LAST_SECOND: i64 = 100_000_000_000;
/// Longer texts are no correlators of ours; Meta takes 512 characters.
const LONGEST_OPAQUE: usize = 2048;

/// Types of messages that have a file, under a member of the same name.
const KINDS_WITH_MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

/// What a list of Meta's consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Echo,
    Status,
    Error,
    Click,
    Call,
    Group,
    Preference,
    IdChange,
    Address,
    Conversion,
    /// A value that is one item.
    One(EventType),
    /// A thing that we do not know, or in another form than documented.
    Unknown,
}

/// What one item says.
pub(super) struct Facts<'d> {
    pub(super) event_type: EventType,
    pub(super) who: Who,
    /// The message or call that the item is about.
    pub(super) id: Option<Value<'d>>,
    pub(super) variant: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) error_code: Option<i32>,
    pub(super) opaque: Option<String>,
    pub(super) has_media: bool,
    pub(super) occurred_at: Option<OffsetDateTime>,
    pub(super) opens: Option<Opening>,
    pub(super) said: Option<Said>,
}

impl<'d> Facts<'d> {
    fn new(event_type: EventType, who: Who) -> Self {
        let (id, variant, status, error_code, opaque) = (None, None, None, None, None);
        let (has_media, occurred_at, opens, said) = (false, None, None, None);
        Self { event_type, who, id, variant, status, error_code, opaque, has_media, occurred_at, opens, said }
    }

    fn about(mut self, item: Value<'d>) -> Self {
        self.id = item.get("id");
        self
    }
}

/// Reads an item.
pub(super) fn read<'d>(kind: Kind, item: Value<'d>, trail: &Trail<'d>) -> Facts<'d> {
    let mut facts = match kind {
        Kind::Message if trail.field == Some(Field::History) => history(item, trail),
        Kind::Message => message(item),
        Kind::Echo => Facts::new(EventType::MessageEcho, Who::of(item, RECEIVER)).about(item),
        Kind::Status => status(item, trail),
        Kind::Error => error(item, trail),
        Kind::Click => Facts::new(EventType::MarketingClicked, Who::of(item, SENDER)),
        Kind::Call => call(item, trail),
        Kind::Group => with_code(EventType::GroupUpdated, item),
        Kind::Preference => preference(item),
        Kind::IdChange => Facts::new(EventType::ContactChanged, id_change(item)),
        Kind::Address => Facts::new(EventType::ContactSynced, address(item)),
        Kind::Conversion => Facts::new(EventType::AdsConversion, Who::default()),
        Kind::One(EventType::ThreadHandedOver) => Facts::new(EventType::ThreadHandedOver, counterpart(item)),
        Kind::One(event_type) => with_code(event_type, item),
        Kind::Unknown => Facts::new(EventType::Unrecognised, Who::default()),
    };
    if trail.field == Some(Field::Standby) && kind != Kind::Unknown {
        facts.event_type = EventType::Standby;
    }
    facts.occurred_at = occurred_at(item, trail);
    facts
}

fn word<'d>(item: Value<'d>, name: &str) -> Cow<'d, str> {
    item.get(name).and_then(Value::text).unwrap_or_default()
}

/// Meta's code out of `errors`, which is a list, but has been seen as an object.
fn error_code(item: Value<'_>) -> Option<i32> {
    let errors = item.get("errors")?;
    code(errors.elements().next().unwrap_or(errors))
}

fn code(error: Value<'_>) -> Option<i32> {
    error.get("code")?.integer()?.try_into().ok()
}

fn with_code(event_type: EventType, item: Value<'_>) -> Facts<'_> {
    let mut facts = Facts::new(event_type, Who::default());
    facts.error_code = error_code(item);
    facts
}

fn message(item: Value<'_>) -> Facts<'_> {
    let who = Who::of(item, SENDER);
    let kind = word(item, "type");
    let mut facts = match &*kind {
        "edit" => Facts::new(EventType::MessageEdited, who),
        "revoke" => Facts::new(EventType::MessageRevoked, who),
        "system" => system(item, who),
        _ => Facts::new(EventType::MessageReceived, who),
    }
    .about(item);
    if facts.event_type == EventType::MessageReceived {
        facts.opens = opening(item, &kind);
        facts.said = facts.opens.and_then(|_| short_text(item, &kind));
    }
    // A placeholder must not keep out the message itself, if that comes after all.
    facts.has_media =
        KINDS_WITH_MEDIA.contains(&&*kind) && item.get(&kind).is_some_and(|file| file.get("id").is_some());
    facts.variant = matches!(&*kind, "unsupported" | "unknown").then(|| kind.into_owned());
    facts
}

/// Whether a message lets the business answer freely. Not what WhatsApp itself says, nor what is said in a group.
fn opening(item: Value<'_>, kind: &str) -> Option<Opening> {
    if matches!(kind, "system" | "request_welcome") || item.get("group_id").is_some() {
        return None;
    }
    Some(if item.get("referral").is_some() { Opening::FreeEntry } else { Opening::Contact })
}

/// What a person wrote, or the button that they pressed, when it may be one of the words that stop marketing.
fn short_text(item: Value<'_>, kind: &str) -> Option<Said> {
    let text = match kind {
        "text" => item.get("text")?.get("body")?.text()?,
        "button" => item.get("button")?.get("text")?.text()?,
        _ => return None,
    };
    (text.len() <= LONGEST_WORD).then(|| Said::Text(text.into_owned()))
}

fn preference(item: Value<'_>) -> Facts<'_> {
    let mut facts = Facts::new(EventType::ContactPreference, Who::of(item, SENDER));
    if matches!(&*word(item, "category"), "" | "marketing_messages") {
        facts.said = State::from_meta(&word(item, "value")).map(Said::Marketing);
    }
    facts
}

/// A message from WhatsApp itself. After a change of number, `from` is the old one and `system` has the new one.
fn system(item: Value<'_>, mut who: Who) -> Facts<'_> {
    let Some(system) = item.get("system") else { return Facts::new(EventType::MessageReceived, who) };
    let kind = word(system, "type");
    match &*kind {
        "user_changed_number" | "customer_changed_number" | "user_changed_user_id" => change_names(system, &mut who),
        "customer_identity_changed" | "user_identity_changed" => who.add(system, SENDER),
        _ => return Facts::new(EventType::MessageReceived, who),
    }
    Facts::new(EventType::ContactChanged, who)
}

/// The new number is `new_wa_id`, or `wa_id` where that is absent; then `wa_id` is an old one too.
fn change_names(system: Value<'_>, who: &mut Who) {
    let mut now = Who::of(system, &[("new_wa_id", Slot::Number)]);
    let mut was = Who::default();
    let number: identity::Slots = &[("wa_id", Slot::Number)];
    if now.ids.is_empty() {
        now.add(system, number);
    } else {
        was.add(system, number);
    }
    now.add(system, &[("user_id", Slot::User), ("parent_user_id", Slot::Parent)]);
    was.add(system, &[("previous_user_id", Slot::User), ("previous_parent_user_id", Slot::Parent)]);
    // A new number brings a new BSUID and the reverse: where Meta names one of the two alone, the other is former too.
    who.become_now(now);
    for id in was.ids {
        who.retire(id);
    }
}

/// `user_id` is an object here: `{previous, current}`.
fn id_change(item: Value<'_>) -> Who {
    let mut who = Who::of(item, &[("wa_id", Slot::Number)]);
    let mut was = Vec::new();
    for (name, slot) in [("user_id", Slot::User), ("parent_user_id", Slot::Parent)] {
        let Some(pair) = item.get(name) else { continue };
        let current = pair.get("current").unwrap_or(pair);
        who.ids.extend(identity::identify(slot, current));
        was.extend(pair.get("previous").and_then(|previous| identity::identify(slot, previous)));
    }
    for id in was {
        who.retire(id);
    }
    who
}

fn address(item: Value<'_>) -> Who {
    let Some(contact) = item.get("contact") else { return Who::default() };
    let mut who = Who::of(contact, ADDRESS);
    who.name = contact.get("full_name").or_else(|| contact.get("first_name")).and_then(identity::name);
    who
}

/// The person whose thread changed its owner. The payload is documented loosely: a text or an object.
fn counterpart(item: Value<'_>) -> Who {
    let Some(sender) = item.get("sender") else { return Who::default() };
    let mut who = Who::of(sender, THREAD);
    who.add(sender, ADDRESS);
    who.ids.extend(identity::identify(Slot::Number, sender));
    who
}

/// An old message. Its media come later, under the same id and with the real type in place of `media_placeholder`.
fn history<'d>(item: Value<'d>, trail: &Trail<'d>) -> Facts<'d> {
    let who = match trail.thread {
        Some(thread) => {
            let mut who = Who::of(thread, THREAD);
            if let Some(context) = thread.get("context") {
                who.add(context, THREAD);
            }
            who
        }
        None if is_own_number(item.get("from"), trail, item) => Who::of(item, RECEIVER),
        None => Who::of(item, SENDER),
    };
    let mut facts = Facts::new(EventType::MessageHistory, who).about(item);
    facts.variant = Some(word(item, "type").into_owned());
    facts
}

fn is_own_number<'d>(number: Option<Value<'d>>, trail: &Trail<'d>, item: Value<'d>) -> bool {
    let digits = |value: Value<'_>| PhoneNumber::parse(&value.word()?);
    let own = trail.own_number(item).and_then(digits);
    own.is_some() && own == number.and_then(digits)
}

/// A message's status. Several people have the same status of one group message, each in an item of their own.
fn status<'d>(item: Value<'d>, trail: &Trail<'d>) -> Facts<'d> {
    let state = word(item, "status");
    let participant = Who::of(item, PARTICIPANT);
    let group = !participant.is_nobody() || word(item, "recipient_type") == "group";
    let mut variant = group.then(|| participant.ids.first().map(Identifier::canonical)).flatten();
    let who = if group { participant } else { Who::of(item, RECEIVER) };
    let of_call = trail.field == Some(Field::Calls) || word(item, "type") == "call";
    let status = Status::from_meta(&state);
    let mut facts = Facts::new(if of_call { EventType::CallUpdated } else { status.event_type() }, who).about(item);
    if of_call || status == Status::Other {
        variant = Some(format!("{state} {}", variant.unwrap_or_default()));
    }
    facts.variant = variant;
    facts.status = (!of_call).then_some(status);
    // A call of the business that the person took.
    facts.opens = (of_call && state == "ACCEPTED").then_some(Opening::Contact);
    facts.error_code = error_code(item);
    facts.opaque = opaque(item);
    facts
}

fn opaque(item: Value<'_>) -> Option<String> {
    item.get("biz_opaque_callback_data")?.text().filter(|text| text.len() <= LONGEST_OPAQUE).map(Into::into)
}

fn error<'d>(item: Value<'d>, trail: &Trail<'d>) -> Facts<'d> {
    let of_call = trail.field == Some(Field::Calls);
    let mut facts = Facts::new(if of_call { EventType::CallUpdated } else { EventType::MessageError }, Who::default());
    facts.error_code = code(item);
    facts
}

/// A call. It begins and ends under one id: the event tells which.
fn call<'d>(item: Value<'d>, trail: &Trail<'d>) -> Facts<'d> {
    let direction = word(item, "direction");
    let ours = direction == "BUSINESS_INITIATED"
        || (direction != "USER_INITIATED" && is_own_number(item.get("from"), trail, item));
    let mut facts = Facts::new(EventType::CallUpdated, Who::of(item, if ours { RECEIVER } else { SENDER })).about(item);
    facts.opens = (!ours && word(item, "event") == "connect").then_some(Opening::Contact);
    // Some events, such as a recording, happen several times in a call.
    facts.variant = Some(format!("{} {}", word(item, "event"), word(item, "timestamp")));
    facts.error_code = error_code(item);
    facts.opaque = opaque(item);
    facts
}

/// The item's own time, or the next best around it.
fn occurred_at<'d>(item: Value<'d>, trail: &Trail<'d>) -> Option<OffsetDateTime> {
    let own =
        ["timestamp", "updated_timestamp", "created_timestamp"].into_iter().find_map(|name| moment(item.get(name)?));
    own.or_else(|| moment(item.get("metadata")?.get("timestamp")?))
        .or_else(|| moment(trail.value?.get("timestamp")?))
        .or_else(|| moment(trail.entry?.get("time")?))
}

/// A time in seconds or milliseconds since 1970, as a number or as text. `None` for nonsense.
fn moment(value: Value<'_>) -> Option<OffsetDateTime> {
    let number = value.integer().filter(|&number| number > 0)?;
    let seconds = if number > LAST_SECOND { number / 1000 } else { number };
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
