//! `/v1/channels`: business phone numbers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{self, Change, Faults, Field, request};
use super::fields::{MediaModeText, MetaId, MinimiseObject, Name, RetentionObject, TokenText};
use super::page::{self, Page};
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::directory::Directory;
use crate::domain::channel::{Channel, FASTEST};
use crate::domain::keeping::Keep;
use crate::ids::ChannelId;
use crate::privacy::{Privacy, RetentionTerms};
use crate::secret::AccessToken;

request! {
    /// A new channel.
    NewChannel {
        /// Free text.
        name: Name,
        /// Meta's id of the number; cannot be changed later.
        phone_number_id: MetaId,
        /// Meta's id of the account.
        waba_id: MetaId,
        /// Without one the channel receives, but cannot send.
        access_token: Option<TokenText>,
        /// Messages that leave through it in a second, at most. Absent: as the gateway is configured, or as Meta reports.
        messages_per_second: Option<PerSecond>,
        /// What is done with files that people send; `store` when absent.
        media: Option<MediaModeText>,
        /// What of people's data is left out before it is stored; nothing when absent.
        minimise: Option<MinimiseObject>,
        /// For how long what is said through it is kept; as for all when absent.
        retention: Option<RetentionObject>,
    }
}

request! {
    /// What is absent stays as it is.
    ChannelChange {
        /// Free text.
        name: Option<Name>,
        /// Meta's id of the account.
        waba_id: Option<MetaId>,
        /// A new token; null takes the token away.
        #[schema(value_type = Option<TokenText>)]
        access_token: Change<TokenText>,
        /// Messages that leave through it in a second, at most; null: as the gateway is configured, or as Meta reports.
        #[schema(value_type = Option<PerSecond>)]
        messages_per_second: Change<PerSecond>,
        /// What is done with files that people send from now on.
        media: Option<MediaModeText>,
        /// What of people's data is left out from now on; what it does not name is kept.
        minimise: Option<MinimiseObject>,
        /// For how long what is said from now on is kept; what it does not name is kept as for all.
        retention: Option<RetentionObject>,
    }
}

/// Messages a second.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 100_000)]
pub(super) struct PerSecond(NonZeroU32);

impl Field for PerSecond {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let number: Option<NonZeroU32> = serde_json::from_str(json.get()).ok();
        let in_bounds = number.filter(|number| number.get() <= FASTEST);
        in_bounds.map(Self).or_else(|| faults.note(at, "range", "1 to 100000"))
    }
}

/// A channel. Its token is never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub(super) struct ChannelJson {
    id: ChannelId,
    name: String,
    phone_number_id: String,
    waba_id: String,
    /// Whether it has an access token.
    can_send: bool,
    /// Messages that leave through it in a second, at most; null: as the gateway is configured, or as Meta reports.
    messages_per_second: Option<u32>,
    /// What is done with files that people send: `store`: they are fetched at once and kept; `proxy`: nothing is kept, who asks gets
    /// them from Meta while Meta has them; `never`: they are left at Meta.
    media: &'static str,
    /// What is done with data of people before they are stored: `keep`, `drop` or `hash` for `names`, `locations`, `contacts` (cards of
    /// others) and `referrals`.
    minimise: BTreeMap<&'static str, &'static str>,
    /// For how many days `received`, `statuses`, `sent` and `files` are kept, and fields of what is received (`names`, `locations`, `contacts`, `referrals`); `delivered`: until every endpoint has acknowledged it. What is
    /// absent is kept as for all.
    #[schema(value_type = Object)]
    retention: BTreeMap<&'static str, Value>,
}

impl From<&Channel> for ChannelJson {
    fn from(channel: &Channel) -> Self {
        Self {
            id: channel.id,
            name: channel.name.clone(),
            phone_number_id: channel.phone_number_id.as_str().to_owned(),
            waba_id: channel.waba_id.as_str().to_owned(),
            can_send: channel.token.is_some(),
            messages_per_second: channel.per_second.map(NonZeroU32::get),
            media: channel.media.as_str(),
            minimise: channel.door.all().into_iter().map(|(kind, done)| (kind, done.as_str())).collect(),
            retention: channel.retention.all().map(|(class, rule)| (class.as_str(), shown(rule))).collect(),
        }
    }
}

fn shown(rule: Keep) -> Value {
    match rule {
        Keep::Days(days) => days.into(),
        Keep::Delivered => "delivered".into(),
    }
}

/// Nothing is kept for longer than for all: its day would be gone, and its key would be left.
fn check_retention(given: Option<&RetentionObject>, terms: RetentionTerms) -> Result<(), Problem> {
    let Some(most) = terms.content else { return Ok(()) };
    let mut faults = Faults::default();
    for (class, rule) in given.into_iter().flat_map(|policy| policy.0.all()) {
        if matches!(rule, Keep::Days(days) if days > most) {
            let expected = format!("at most {most} days, as retention.content_days says");
            faults.note(&format!("/retention/{}", class.as_str()), "range", &expected).unwrap_or(());
        }
    }
    faults.refuse()
}

fn find(directory: &Directory, who: &Caller, id: ChannelId) -> Result<Channel, Problem> {
    let snapshot = directory.snapshot();
    let channel = snapshot.channel(who.tenant, id).filter(|channel| who.may_use(channel.id));
    channel.map(|channel| channel.as_ref().clone()).ok_or(Problem::new(Code::NotFound))
}

/// Notes a fault for each of `/channel_ids` that the caller may not use. Strangers' channels are as unknown as any.
pub(super) fn check_all(who: &Caller, directory: &Directory, channels: &[ChannelId], faults: &mut Faults) {
    let snapshot = directory.snapshot();
    for (index, channel) in channels.iter().enumerate() {
        if !who.may_use(*channel) || snapshot.channel(who.tenant, *channel).is_none() {
            faults.note(&format!("/channel_ids/{index}"), "channel", "a channel of yours").unwrap_or(());
        }
    }
}

async fn save(directory: &Directory, channel: &Channel) -> Result<Json<ChannelJson>, Problem> {
    settled(directory.save_channel(channel).await, ())?;
    Ok(Json(channel.into()))
}

/// The channels, oldest first.
#[utoipa::path(
    get, path = "/v1/channels", tag = "Channels", operation_id = "list_channels",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of channels.", body = Page<ChannelJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    mut params: Params,
) -> Result<Json<Page<ChannelJson>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let snapshot = directory.snapshot();
    let channels = snapshot.channels_of(who.tenant).into_iter().filter(|channel| who.may_use(channel.id));
    let channels = channels.map(|channel| ChannelJson::from(channel.as_ref()));
    Ok(Json(page::of_settings(channels, |channel| channel.id.uuid(), after, limit)))
}

/// One channel.
#[utoipa::path(
    get, path = "/v1/channels/{id}", tag = "Channels", operation_id = "show_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    responses((status = 200, description = "The channel.", body = ChannelJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(directory): State<Directory>,
    Target(id): Target<ChannelId>,
    params: Params,
) -> Result<Json<ChannelJson>, Problem> {
    params.finish()?;
    Ok(Json((&find(&directory, &who, id)?).into()))
}

/// Adds a channel.
#[utoipa::path(
    post, path = "/v1/channels", tag = "Channels", operation_id = "create_channel",
    request_body = NewChannel,
    responses(
        (status = 201, description = "The channel.", body = ChannelJson),
        (status = 409, description = "`conflict`: the number has a channel already."),
    ),
)]
pub(super) async fn create(
    who: Caller,
    trail: Trail,
    State(clock): State<SharedClock>,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(new): body::Json<NewChannel>,
) -> Result<(StatusCode, Json<ChannelJson>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    check_retention(new.retention.as_ref(), privacy.retention)?;
    let channel = Channel {
        tenant: who.tenant,
        id: ChannelId::new(clock.now()),
        phone_number_id: new.phone_number_id.into(),
        waba_id: new.waba_id.into(),
        name: new.name.0,
        token: new.access_token.map(|token| AccessToken::new(token.0)),
        per_second: new.messages_per_second.map(|limit| limit.0),
        media: new.media.map(|mode| mode.0).unwrap_or_default(),
        door: new.minimise.map(|policy| policy.0).unwrap_or_default(),
        retention: new.retention.map(|policy| policy.0).unwrap_or_default(),
        changed_at: None,
    };
    trail.leave(&who, Action::ChannelCreated, "channel", channel.id.uuid()).await?;
    Ok((StatusCode::CREATED, save(&privacy.directory, &channel).await?))
}

/// Changes a channel.
#[utoipa::path(
    patch, path = "/v1/channels/{id}", tag = "Channels", operation_id = "change_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    request_body = ChannelChange,
    responses(
        (status = 200, description = "The channel.", body = ChannelJson),
        (status = 409, description = "`conflict`: it was changed meanwhile; read it again."),
    ),
)]
pub(super) async fn change(
    who: Caller,
    trail: Trail,
    Target(id): Target<ChannelId>,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(change): body::Json<ChannelChange>,
) -> Result<Json<ChannelJson>, Problem> {
    params.finish()?;
    check_retention(change.retention.as_ref(), privacy.retention)?;
    // Another process may have changed it a moment ago.
    let directory = &privacy.directory;
    directory.reload().await?;
    let mut channel = find(directory, &who, id)?;
    if let Some(name) = change.name {
        channel.name = name.0;
    }
    if let Some(waba_id) = change.waba_id {
        channel.waba_id = waba_id.into();
    }
    if let Some(mode) = change.media {
        channel.media = mode.0;
    }
    if let Some(policy) = change.minimise {
        channel.door = policy.0;
    }
    if let Some(policy) = change.retention {
        channel.retention = policy.0;
    }
    match change.access_token {
        Change::Keep => {}
        Change::Clear => channel.token = None,
        Change::Set(token) => channel.token = Some(AccessToken::new(token.0)),
    }
    match change.messages_per_second {
        Change::Keep => {}
        Change::Clear => channel.per_second = None,
        Change::Set(limit) => channel.per_second = Some(limit.0),
    }
    trail.leave(&who, Action::ChannelChanged, "channel", id.uuid()).await?;
    save(directory, &channel).await
}

/// Removes a channel. What it received and sent stays.
#[utoipa::path(
    delete, path = "/v1/channels/{id}", tag = "Channels", operation_id = "remove_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    responses(
        (status = 204, description = "The channel is gone."),
        (status = 409, description = "`conflict`: messages are still to be sent through it."),
    ),
)]
pub(super) async fn remove(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<ChannelId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    // Who may do all may also remove what this process has not read, or cannot open.
    if who.require_unconfined().is_err() {
        find(&directory, &who, id)?;
    }
    trail.leave(&who, Action::ChannelRemoved, "channel", id.uuid()).await?;
    let there = settled(directory.remove_channel(who.tenant, id).await, true)?;
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(Code::NotFound)) }
}
