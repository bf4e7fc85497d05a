//! `GET /v1/media/{id}`: files that people sent, opened as they are read.

use std::ops::Range;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::media::{MediaState, MediaView};
use crate::access::views::Content;
use crate::access::{Caller, Door, Errand};
use crate::domain::endpoint::Fields;
use crate::http::state::AppState;
use crate::ids::{ChannelId, ContactId, EventId};
use crate::media::{Details, Place, Reading, ShelfError};

/// Types that are named as they are, with the ending of their file name: Meta's list. Anything else is just bytes.
const TYPES: [(&str, &str); 20] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("audio/aac", "aac"),
    ("audio/amr", "amr"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/ogg", "ogg"),
    ("video/mp4", "mp4"),
    ("video/3gpp", "3gp"),
    ("text/plain", "txt"),
    ("text/csv", "csv"),
    ("application/pdf", "pdf"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/zip", "zip"),
];

/// What is known of a file.
#[derive(Serialize, ToSchema)]
#[schema(as = Media)]
pub(super) struct MediaJson {
    /// The id of the event that brought it.
    id: EventId,
    channel_id: ChannelId,
    contact_id: Option<ContactId>,
    /// `waiting`: it is still to be fetched from Meta; `stored`; `lost`: there is none to be had; `erased`: its key is gone.
    state: &'static str,
    /// Why it is lost: `gone`, `too_old`, `too_large`, `damaged`, `erased` or `unreadable`.
    reason: Option<String>,
    /// Its length, when it is stored.
    bytes: Option<i64>,
    /// The type that Meta named.
    mime_type: Option<String>,
    /// The name that the sender gave it; not for keys that see names masked.
    filename: Option<String>,
    /// Whether it is a picture out of which place, time, device and texts were taken.
    stripped: bool,
}

/// What is known of a file that somebody sent, and whether it is there.
///
/// `id` is the id of the event `message.received` that brought it.
#[utoipa::path(
    get, path = "/v1/media/{id}/details", tag = "Messages", operation_id = "show_media_details",
    params(("id" = EventId, Path, description = "The event.")),
    responses((status = 200, description = "What is known of it.", body = MediaJson)),
)]
pub(super) async fn details(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<EventId>,
    params: Params,
) -> Result<Json<MediaJson>, Problem> {
    params.finish()?;
    let view = opened(&who, &errand, &door, id).await?;
    let details = known(&view);
    let (state, reason) = match view.state {
        MediaState::Waiting => ("waiting", None),
        MediaState::Stored => ("stored", None),
        MediaState::Erased => ("erased", None),
        MediaState::Lost(reason) => ("lost", Some(reason)),
    };
    Ok(Json(MediaJson {
        id,
        channel_id: view.channel,
        contact_id: view.contact,
        state,
        reason,
        bytes: view.bytes,
        mime_type: details.mime_type,
        // People call files after people.
        filename: details.filename.filter(|_| who.sight.fields() == Fields::Full),
        stripped: details.stripped,
    }))
}

/// A file that somebody sent, whole or one range of its bytes.
///
/// `id` is the id of the event `message.received` that brought it. The file is fetched from Meta within seconds of the event; until then
/// the answer is 409 `media_waiting`. Where there is none to be had, it is 410 `media_gone`.
#[utoipa::path(
    get, path = "/v1/media/{id}", tag = "Messages", operation_id = "read_media",
    params(
        ("id" = EventId, Path, description = "The event."),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "`media_waiting`"),
        (status = 410, description = "`media_gone`"),
        (status = 416, description = "`range_not_satisfiable`"),
    ),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Target(id): Target<EventId>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let view = opened(&who, &errand, &state.door, id).await?;
    match &view.state {
        MediaState::Waiting => return Err(Problem::new(Code::MediaWaiting)),
        MediaState::Lost(reason) => return Err(Problem::new(Code::MediaGone).with_detail(reason.clone())),
        MediaState::Erased => return Err(Problem::new(Code::MediaGone).with_detail("erased")),
        MediaState::Stored => {}
    }
    let key = view.key.as_ref().ok_or(Problem::new(Code::MediaGone))?;
    let shelf =
        state.shelf.ok_or_else(|| Problem::new(Code::Unavailable).with_detail("no object store is configured"))?;
    let place = Place { tenant: view.tenant, media: id, contact: view.contact };
    let reading = shelf.read(place, &key.dek).await.map_err(|error| failed(&error))?;
    respond(id, &known(&view), reading, &headers).await
}

async fn opened(who: &Caller, errand: &Errand, door: &Door, id: EventId) -> Result<MediaView, Problem> {
    door.media(who, errand, id).await?.ok_or(Problem::new(Code::NotFound))
}

fn known(view: &MediaView) -> Details {
    match &view.details {
        Some(Content::Opened(json)) => serde_json::from_slice(json).unwrap_or_default(),
        _ => Details::default(),
    }
}

fn failed(error: &ShelfError) -> Problem {
    match error {
        ShelfError::Damaged(_) => {
            tracing::error!(%error, "a stored file does not open");
            Problem::new(Code::Internal)
        }
        error => {
            tracing::warn!(%error, "a stored file cannot be read");
            Problem::new(Code::Unavailable)
        }
    }
}

async fn respond(id: EventId, details: &Details, reading: Reading, headers: &HeaderMap) -> Result<Response, Problem> {
    let (length, tag) = (reading.length(), format!("\"{id}\""));
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    // What is there never changes: the tag of another file is nobody's.
    let asked = text(RANGE).filter(|_| text(IF_RANGE).is_none_or(|known| known == tag));
    let wanted = match asked.map_or(Wanted::All, |range| Wanted::read(range, length)) {
        Wanted::None => {
            let mut refusal = Problem::new(Code::RangeNotSatisfiable).respond(None);
            // The frame would write it again without the header.
            refusal.extensions_mut().remove::<Problem>();
            return Ok(([(CONTENT_RANGE, format!("bytes */{length}"))], refusal).into_response());
        }
        Wanted::All => None,
        Wanted::Part(range) => Some(range),
    };
    let range = wanted.clone().unwrap_or(0..length);
    let (mime_type, ending) = details.mime_type.as_deref().map_or(("application/octet-stream", "bin"), shown_as);
    let head = [
        (CONTENT_TYPE, mime_type.to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{ending}\"")),
        (CACHE_CONTROL, "private, no-store".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, tag),
    ];
    let body = Body::from_stream(reading.stream(range.clone()).await.map_err(|error| failed(&error))?);
    Ok(match wanted {
        None => (head, body).into_response(),
        Some(_) => {
            let place = [(CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start, range.end - 1))];
            (StatusCode::PARTIAL_CONTENT, head, place, body).into_response()
        }
    })
}

fn shown_as(mime_type: &str) -> (&'static str, &'static str) {
    let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, _)| *known == essence);
    known.copied().unwrap_or(("application/octet-stream", "bin"))
}

/// Which bytes are asked for (RFC 9110 §14.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    None,
}

impl Wanted {
    /// One range. Of several, or of another unit, or where nothing is understood, the whole file is the answer.
    fn read(header: &str, length: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
            return Self::All;
        };
        let number = |text: &str| text.trim().parse::<u64>().ok().filter(|_| !text.trim().starts_with('+'));
        let range = match (first.trim(), last.trim()) {
            ("", last) => match number(last) {
                Some(count) => length.saturating_sub(count)..length,
                None => return Self::All,
            },
            (first, "") => match number(first) {
                Some(first) => first..length,
                None => return Self::All,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
                _ => return Self::All,
            },
        };
        if range.start < range.end { Self::Part(range) } else { Self::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_in_its_three_forms_and_anything_else_is_the_whole_file() {
        for (header, wanted) in [
            ("bytes=0-99", Wanted::Part(0..100)),
            ("bytes=990-", Wanted::Part(990..1000)),
            ("bytes=-10", Wanted::Part(990..1000)),
            ("bytes=-5000", Wanted::Part(0..1000)),
            ("bytes=500-5000", Wanted::Part(500..1000)),
            ("bytes=1000-", Wanted::None),
            ("bytes=2000-3000", Wanted::None),
            ("bytes=-0", Wanted::None),
            ("bytes=9-1", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("pages=1-2", Wanted::All),
            ("bytes=", Wanted::All),
            ("bytes=-", Wanted::All),
        ] {
            assert_eq!(Wanted::read(header, 1000), wanted, "{header}");
        }
    }

    #[test]
    fn a_type_that_a_browser_would_run_is_just_bytes() {
        assert_eq!(shown_as("text/html"), ("application/octet-stream", "bin"));
        assert_eq!(shown_as("image/svg+xml"), ("application/octet-stream", "bin"));
        assert_eq!(shown_as("audio/ogg; codecs=opus"), ("audio/ogg", "ogg"));
    }
}
