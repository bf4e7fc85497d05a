//! `/v1/contacts/{id}/window`: until when a contact can be sent anything but templates.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Door, Errand};
use crate::directory::Directory;
use crate::ids::{ChannelId, ContactId};

/// The customer service window of a contact with one channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelWindow)]
pub(super) struct WindowJson {
    channel_id: ChannelId,
    /// Whether Meta takes more than templates now, as far as is known here.
    open: bool,
    /// When it closes or closed; null: the contact never wrote or called here, as far as is known.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// The windows of a contact.
#[derive(Serialize, ToSchema)]
#[schema(as = ContactWindows)]
pub(super) struct WindowsJson {
    contact_id: ContactId,
    /// One for each channel that the key may use, oldest first.
    channels: Vec<WindowJson>,
}

/// Until when a contact can be sent anything but templates, for each channel.
///
/// A window is open for 24 hours from the contact's last message or call, and for 72 from a message that came from an ad, by Meta's
/// time. Messages out of a history, echoes and statuses open none.
#[utoipa::path(
    get, path = "/v1/contacts/{id}/window", tag = "Contacts", operation_id = "show_windows_of_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 200, description = "The windows.", body = WindowsJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    State(directory): State<Directory>,
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<Json<WindowsJson>, Problem> {
    params.finish()?;
    let windows = door.windows(&who, &errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    let (snapshot, now) = (directory.snapshot(), directory.now());
    let channels = snapshot.channels_of(who.tenant).into_iter().filter(|channel| who.may_use(channel.id));
    let channels = channels.map(|channel| {
        let window = windows.iter().find(|window| window.channel_id == channel.id.uuid());
        let expires_at = window.map(|window| window.closes_at);
        WindowJson { channel_id: channel.id, open: expires_at.is_some_and(|end| end > now), expires_at }
    });
    Ok(Json(WindowsJson { contact_id: id, channels: channels.collect() }))
}
