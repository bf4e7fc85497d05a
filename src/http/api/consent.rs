//! `/v1/contacts/{id}/consent`: what a contact allowed and forbade.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, Field, request};
use super::fields::{Wording, value};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::consent::{ConsentView, Told};
use crate::access::views::Content;
use crate::access::{Caller, Door, Errand};
use crate::directory::Directory;
use crate::domain::consent;
use crate::ids::{ChannelId, ConsentId, ContactId};

/// `granted` or `withdrawn`.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(granted|withdrawn)$")]
pub(super) struct ConsentState(consent::State);

impl Field for ConsentState {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        consent::State::parse(&text).map(Self).or_else(|| faults.note(at, "choice", "granted or withdrawn"))
    }
}

/// What for: `marketing`, which is asked before marketing is sent, or a word of yours, which is kept for you.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[a-z][a-z0-9_]{0,39}$", example = "marketing")]
pub(super) struct PurposeText(String);

impl Field for PurposeText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "a word of lower-case letters, digits and underscores, 40 at most";
        if consent::is_purpose(&text) { Some(Self(text)) } else { faults.note(at, "purpose", expected) }
    }
}

/// Where it was said: `web_form`, `email`, `phone`, `paper`, `in_person`, `import` (another system knew it before), or `api`: not said.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(api|web_form|email|phone|paper|in_person|import)$")]
pub(super) struct SourceText(consent::Source);

impl Field for SourceText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "api, web_form, email, phone, paper, in_person or import";
        consent::Source::told(&text).map(Self).or_else(|| faults.note(at, "choice", expected))
    }
}

/// Your name for the version of a wording, 1 to 40 letters, digits, dots, hyphens and underscores. It is stored readable.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,40}$", example = "2026-03")]
pub(super) struct VersionText(String);

impl Field for VersionText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "1 to 40 letters, digits, dots, hyphens and underscores";
        if consent::is_version(&text) { Some(Self(text)) } else { faults.note(at, "characters", expected) }
    }
}

request! {
    /// What a contact said.
    NewConsent {
        /// What for.
        purpose: PurposeText,
        /// What.
        state: ConsentState,
        /// To which channel; all when absent.
        channel_id: Option<ChannelId>,
        /// When; now when absent.
        occurred_at: Option<OffsetDateTime>,
        /// Where it was said; `api` when absent.
        source: Option<SourceText>,
        /// To which words.
        wording: Option<Wording>,
        /// Which version of them.
        wording_version: Option<VersionText>,
    }
}

/// An entry of the ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsentEntry)]
pub(super) struct EntryJson {
    id: ConsentId,
    /// What for: `marketing`, or a word of yours.
    purpose: String,
    /// To which channel; null: to all.
    channel_id: Option<ChannelId>,
    /// `granted` or `withdrawn`.
    state: String,
    /// `keyword`: a word such as STOP; `meta`: the person told Meta; `meta_error`: Meta refused a marketing message for it (131050);
    /// `api`: an application said so; `web_form`, `email`, `phone`, `paper`, `in_person`, `import`: and where it was said.
    source: String,
    /// What was agreed to; null where nothing was said, once erased, and for keys that see no content.
    wording: Option<String>,
    /// Which version of it.
    wording_version: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
}

impl From<&ConsentView> for EntryJson {
    fn from(view: &ConsentView) -> Self {
        let wording = match &view.wording {
            Some(Content::Opened(text)) => String::from_utf8(text.to_vec()).ok(),
            Some(Content::Erased | Content::Damaged) | None => None,
        };
        Self {
            id: view.id,
            purpose: view.purpose.clone(),
            channel_id: view.channel,
            state: view.state.clone(),
            source: view.source.clone(),
            wording,
            wording_version: view.version.clone(),
            occurred_at: view.occurred_at,
            recorded_at: view.recorded_at,
        }
    }
}

/// How a contact stands with one channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsentOfChannel)]
pub(super) struct StandingJson {
    channel_id: ChannelId,
    /// `granted`, `withdrawn` or `unknown`: the newest entry for this channel or for all.
    marketing: String,
    /// The same for every purpose that something was said of: `granted` or `withdrawn`.
    purposes: BTreeMap<String, String>,
}

/// What a contact allowed and forbade.
#[derive(Serialize, ToSchema)]
#[schema(as = ContactConsent)]
pub(super) struct ConsentJson {
    contact_id: ContactId,
    /// How it stands now, for each channel that the key may use.
    channels: Vec<StandingJson>,
    /// The newest 200 entries, newest first. None is ever changed.
    history: Vec<EntryJson>,
}

async fn shown(
    who: &Caller,
    errand: &Errand,
    (door, directory): (&Door, &Directory),
    id: ContactId,
) -> Result<Json<ConsentJson>, Problem> {
    let entries = door.consents(who, errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    let snapshot = directory.snapshot();
    let channels = snapshot.channels_of(who.tenant).into_iter().filter(|channel| who.may_use(channel.id));
    let channels = channels.map(|channel| {
        let mut purposes: BTreeMap<String, String> = BTreeMap::new();
        // The newest first.
        for entry in entries.iter().filter(|entry| entry.channel.is_none_or(|of| of == channel.id)) {
            purposes.entry(entry.purpose.clone()).or_insert_with(|| entry.state.clone());
        }
        let marketing = purposes.get(consent::MARKETING).map_or("unknown", String::as_str).to_owned();
        StandingJson { channel_id: channel.id, marketing, purposes }
    });
    Ok(Json(ConsentJson {
        contact_id: id,
        channels: channels.collect(),
        history: entries.iter().map(EntryJson::from).collect(),
    }))
}

/// What a contact allowed and forbade, with the history of it.
#[utoipa::path(
    get, path = "/v1/contacts/{id}/consent", tag = "Contacts", operation_id = "show_consent_of_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 200, description = "The consent.", body = ConsentJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    State(directory): State<Directory>,
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<Json<ConsentJson>, Problem> {
    params.finish()?;
    shown(&who, &errand, (&door, &directory), id).await
}

/// Records what a contact said to somebody else: on a form, on the phone.
///
/// Nothing is overwritten: the newest entry by `occurred_at` counts. Marketing templates to a contact that withdrew are refused with
/// `opted_out`. A key that is confined to channels names one of them.
#[utoipa::path(
    put, path = "/v1/contacts/{id}/consent", tag = "Contacts", operation_id = "record_consent_of_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    request_body = NewConsent,
    responses((status = 204, description = "It is recorded.")),
)]
pub(super) async fn record(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
    body::Json(new): body::Json<NewConsent>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    if let Some(channel) = new.channel_id {
        let mut faults = Faults::default();
        if !door.knows_channel(&who, channel) {
            faults.note("/channel_id", "channel", "a channel of yours").unwrap_or(());
        }
        faults.refuse()?;
    }
    let told = Told {
        channel: new.channel_id,
        purpose: &new.purpose.0,
        state: new.state.0,
        source: new.source.map_or(consent::Source::Api, |source| source.0),
        at: new.occurred_at,
        wording: new.wording.as_ref().map(|wording| wording.0.as_str()),
        version: new.wording_version.as_ref().map(|version| version.0.as_str()),
    };
    let known = door.tell_consent(&who, &errand, id, &told).await?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(Code::NotFound)) }
}
