//! `/v1/media`: files that people sent and applications handed over, opened as they are read.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::file_answer::{known, serve};
use super::page::{Cursor, MediaCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::media::{MediaState, MediaView};
use crate::access::{Caller, Door, Errand};
use crate::domain::endpoint::Fields;
use crate::http::state::AppState;
use crate::ids::{ChannelId, ContactId, MediaId};

/// What is known of a file.
#[derive(Serialize, ToSchema)]
#[schema(as = Media)]
pub(super) struct MediaJson {
    /// Of a file that somebody sent, the id of the event that brought it.
    pub(super) id: MediaId,
    /// Through which channel it came, or may be sent; null: through every one.
    pub(super) channel_id: Option<ChannelId>,
    /// Who sent it, or whom it is about.
    pub(super) contact_id: Option<ContactId>,
    /// `in`: somebody sent it; `out`: an application handed it over.
    pub(super) direction: &'static str,
    /// What it is for Meta: `image`, `sticker`, `audio`, `video` or `document`; null: not known yet, or none of these.
    pub(super) kind: Option<String>,
    /// `waiting`: it is still to be fetched from Meta; `stored`; `at_meta`: it is passed on from there to whoever asks; `not_kept`: its
    /// channel leaves files at Meta; `lost`: there is none to be had; `erased`: its key is gone.
    pub(super) state: &'static str,
    /// Why it is lost: `gone`, `too_old`, `too_large`, `damaged`, `erased`, `unreadable` or `deleted`.
    pub(super) reason: Option<String>,
    /// Its length, when it is stored.
    pub(super) bytes: Option<i64>,
    /// The type that Meta or the application named. Not in lists.
    pub(super) mime_type: Option<String>,
    /// The name that its sender gave it; not in lists, nor for keys that see names masked.
    pub(super) filename: Option<String>,
    /// Whether it is a picture out of which place, time, device and texts were taken.
    pub(super) stripped: bool,
}

impl MediaJson {
    fn of(view: MediaView, shows_names: bool) -> Self {
        let details = known(&view);
        let (state, reason) = match view.state {
            MediaState::Waiting => ("waiting", None),
            MediaState::Stored => ("stored", None),
            MediaState::Erased => ("erased", None),
            MediaState::AtMeta => ("at_meta", None),
            MediaState::NotKept => ("not_kept", None),
            MediaState::Lost(reason) => ("lost", Some(reason)),
        };
        Self {
            id: view.id,
            channel_id: view.channel,
            contact_id: view.contact,
            direction: if view.is_outbound { "out" } else { "in" },
            kind: view.kind,
            state,
            reason,
            bytes: view.bytes,
            mime_type: details.mime_type,
            // People call files after people.
            filename: details.filename.filter(|_| shows_names),
            stripped: details.stripped,
        }
    }
}

/// What is known of a file, and whether it is there.
///
/// Of a file that somebody sent, `id` is the id of the event `message.received` that brought it.
#[utoipa::path(
    get, path = "/v1/media/{id}/details", tag = "Files", operation_id = "show_media_details",
    params(("id" = MediaId, Path, description = "The file.")),
    responses((status = 200, description = "What is known of it.", body = MediaJson)),
)]
pub(super) async fn details(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<MediaId>,
    params: Params,
) -> Result<Json<MediaJson>, Problem> {
    params.finish()?;
    let view = opened(&who, &errand, &door, id).await?;
    Ok(Json(MediaJson::of(view, who.sight.fields() == Fields::Full)))
}

/// A file, whole or one range of its bytes.
///
/// Of a file that somebody sent, `id` is the id of the event `message.received` that brought it. Such a file is fetched from Meta within
/// seconds of the event; until then the answer is 409 `media_waiting`. Where there is none to be had, it is 410 `media_gone`. A channel
/// with `media: "proxy"` has files passed on from Meta while Meta has them, seven days: there, ranges are of pictures alone.
#[utoipa::path(
    get, path = "/v1/media/{id}", tag = "Files", operation_id = "read_media",
    params(
        ("id" = MediaId, Path, description = "The file."),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "`media_waiting`"),
        (status = 410, description = "`media_gone` · `media_not_kept`"),
        (status = 416, description = "`range_not_satisfiable`"),
    ),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Target(id): Target<MediaId>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let view = opened(&who, &errand, &state.door, id).await?;
    serve(&state, &view, &headers).await
}

/// The files that are known, newest first: ids, states and lengths.
///
/// What was sent to channels that keep no files is not among them.
#[utoipa::path(
    get, path = "/v1/media", tag = "Files", operation_id = "list_media",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of files.", body = Page<MediaJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    mut params: Params,
) -> Result<Json<Page<MediaJson>>, Problem> {
    let (before, limit) = (params.cursor::<MediaCursor>(), params.limit());
    params.finish()?;
    let page = door.list_media(&who, &errand, before.map(|cursor| cursor.0), limit).await?;
    Ok(Json(Page {
        data: page.items.into_iter().map(|view| MediaJson::of(view, false)).collect(),
        next_cursor: page.next.map(|id| MediaCursor(id).to_text()),
        has_more: page.has_more,
    }))
}

async fn opened(who: &Caller, errand: &Errand, door: &Door, id: MediaId) -> Result<MediaView, Problem> {
    door.media(who, errand, id).await?.ok_or(Problem::new(Code::NotFound))
}
