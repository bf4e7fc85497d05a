//! `/v1/contacts`: people, as far as the caller may see them, and what was said with them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Change, Faults, Field, request};
use super::events::EventDoc;
use super::fields::{text, value};
use super::message_json::MessageJson;
use super::page::{ContactCursor, Cursor, EntryCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::views::{ContactView, Entry};
use crate::access::{Caller, Door, Errand, Reason, Sight};
use crate::directory::profile::Profile;
use crate::ids::{ContactId, PrivacyRequestId};

/// A person, as Meta last named them.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
pub(super) struct ContactJson {
    /// Ours; stays when the number changes.
    id: ContactId,
    /// What the person calls themselves.
    name: Option<String>,
    /// Digits. A person may have none.
    phone: Option<String>,
    /// Business-scoped user id.
    user_id: Option<String>,
    /// The same across portfolios of one parent.
    parent_user_id: Option<String>,
    /// Public handle.
    username: Option<String>,
    /// Set when this contact turned out to be part of another.
    merged_into: Option<ContactId>,
    /// True: names and numbers are masked (`A•••`, `+49 ••• ••• 99`), or, below the field class `personal`, left out.
    masked: bool,
    /// True: what the person is called was erased, or cannot be opened.
    erased: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl ContactJson {
    fn new(contact: ContactView, sight: Sight) -> Self {
        let erased = contact.profile.is_none();
        let profile = sight.profile(contact.profile.unwrap_or_default());
        Self {
            id: contact.id,
            name: profile.name,
            phone: profile.phone,
            user_id: profile.user_id,
            parent_user_id: profile.parent_user_id,
            username: profile.username,
            merged_into: contact.merged_into,
            masked: !sight.shows_names(),
            erased,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

/// Something in a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationEntry)]
#[serde(tag = "direction", rename_all = "snake_case")]
pub(super) enum EntryJson {
    /// From the contact, or about it.
    In {
        /// The event, as `GET /v1/events` shows it.
        #[schema(value_type = EventDoc)]
        event: Box<RawValue>,
    },
    /// To the contact.
    Out {
        /// The message, as `GET /v1/messages/{id}` shows it.
        message: Box<MessageJson>,
    },
}

/// Contacts, newest first. Those that turned out to be part of another are left out.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "Contacts", operation_id = "list_contacts",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of contacts.", body = Page<ContactJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    mut params: Params,
) -> Result<Json<Page<ContactJson>>, Problem> {
    let (before, limit) = (params.cursor::<ContactCursor>(), params.limit());
    params.finish()?;
    let page = door.contacts(&who, &errand, before.map(|cursor| cursor.0), limit).await?;
    let next_cursor = page.next.map(|next| ContactCursor(next).to_text());
    let data = page.items.into_iter().map(|contact| ContactJson::new(contact, who.sight)).collect();
    Ok(Json(Page { data, next_cursor, has_more: page.has_more }))
}

/// One contact.
#[utoipa::path(
    get, path = "/v1/contacts/{id}", tag = "Contacts", operation_id = "show_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 200, description = "The contact.", body = ContactJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<Json<ContactJson>, Problem> {
    params.finish()?;
    let contact = door.contact(&who, &errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(Json(ContactJson::new(contact, who.sight)))
}

/// What a person is called, 1 to 200 characters. It is stored sealed.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 200)]
pub(super) struct PersonName(String);

impl Field for PersonName {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        text(json, at, faults, 1..=200).map(Self)
    }
}

request! {
    /// What is to be put right.
    ContactCorrection {
        /// What the person is called; null: nothing.
        #[schema(value_type = Option<String>)]
        name: Change<PersonName>,
        /// The request that it is done for (`/v1/privacy/requests`), which ends with it.
        request_id: Option<PrivacyRequestId>,
    }
}

/// Puts right what a contact is called (GDPR Art. 16). Endpoints are told that it changed (`contact.changed`).
///
/// Events stay as they came. The name stays until Meta shows another one than it showed before.
#[utoipa::path(
    patch, path = "/v1/contacts/{id}", tag = "Contacts", operation_id = "correct_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    request_body = ContactCorrection,
    responses(
        (status = 204, description = "It is put right."),
        (status = 409, description = "`request_not_changed`: that request is not open, asks for something else, or is about somebody else."),
    ),
)]
pub(super) async fn correct(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
    body::Json(wanted): body::Json<ContactCorrection>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    if wanted.request_id.is_some() {
        who.require_unconfined()?;
    }
    let name = match wanted.name {
        Change::Keep => {
            door.find_contact(&who, id).await?.ok_or(Problem::new(Code::NotFound))?;
            return Ok(StatusCode::NO_CONTENT);
        }
        Change::Clear => None,
        Change::Set(name) => Some(name.0),
    };
    let known = door.correct_name(&who, &errand, id, (name, wanted.request_id)).await?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(Code::NotFound)) }
}

/// What was said with a contact, both ways, newest first. It includes everyone who turned out to be the same person.
#[utoipa::path(
    get, path = "/v1/contacts/{id}/messages", tag = "Contacts", operation_id = "list_messages_of_contact",
    params(
        ("id" = ContactId, Path, description = "The contact."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of the conversation.", body = Page<EntryJson>)),
)]
pub(super) async fn messages(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    mut params: Params,
) -> Result<Json<Page<EntryJson>>, Problem> {
    let (before, limit) = (params.cursor::<EntryCursor>().map(|cursor| cursor.0), params.limit());
    params.finish()?;
    let page = door.messages_of_contact(&who, &errand, id, (before, limit)).await?;
    let page = page.ok_or(Problem::new(Code::NotFound))?;
    let next_cursor = page.next.map(|next| EntryCursor(next).to_text());
    let data = page
        .items
        .into_iter()
        .map(|one| entry(one, who.sight))
        .collect::<Option<_>>()
        .ok_or(Problem::new(Code::Internal))?;
    Ok(Json(Page { data, next_cursor, has_more: page.has_more }))
}

/// Why somebody needs to know: `answer`, `match` (to find the person in another system), `complaint`, `data_request`, `abuse`,
/// `legal` or `incident`. It stands in the audit log.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(answer|match|complaint|data_request|abuse|legal|incident)$")]
pub(super) struct ReasonText(Reason);

impl Field for ReasonText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "answer, match, complaint, data_request, abuse, legal or incident";
        Reason::parse(&text).map(Self).or_else(|| faults.note(at, "choice", expected))
    }
}

request! {
    /// What a contact is to be revealed for.
    Reveal {
        /// Why.
        reason: ReasonText,
    }
}

/// What a contact is called, in clear.
#[derive(Serialize, ToSchema)]
pub(super) struct RevealedContact {
    id: ContactId,
    name: Option<String>,
    /// Digits.
    phone: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    username: Option<String>,
    /// True: it was erased, or cannot be opened.
    erased: bool,
}

/// Shows a contact's name and number in clear, for a reason.
#[utoipa::path(
    post, path = "/v1/contacts/{id}/reveal", tag = "Contacts", operation_id = "reveal_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    request_body = Reveal,
    responses((status = 200, description = "The contact in clear.", body = RevealedContact)),
)]
pub(super) async fn reveal(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
    body::Json(wanted): body::Json<Reveal>,
) -> Result<Json<RevealedContact>, Problem> {
    params.finish()?;
    let contact = door.reveal(&who, &errand.because(wanted.reason.0.as_str()), id).await?;
    let contact = contact.ok_or(Problem::new(Code::NotFound))?;
    let erased = contact.profile.is_none();
    let Profile { name, phone, user_id, parent_user_id, username } = contact.profile.unwrap_or_default();
    Ok(Json(RevealedContact { id: contact.id, name, phone, user_id, parent_user_id, username, erased }))
}

fn entry(entry: Entry, sight: Sight) -> Option<EntryJson> {
    Some(match entry {
        Entry::In(event) => EntryJson::In { event: super::events::json(&event, sight)? },
        Entry::Out(message) => EntryJson::Out { message: Box::new(MessageJson::new(*message, sight)) },
    })
}
