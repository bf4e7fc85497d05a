//! Files and archives as answers: always a download under a name made of the id, whole or one range of it, whatever somebody called it.

use std::ops::Range;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::access::media::{MediaState, MediaView};
use crate::access::views::Content;
use crate::crypto::keys::Dek;
use crate::http::state::AppState;
use crate::ids::{ContactId, ExportId, MediaId, TenantId};
use crate::media::{Details, NotPassed, Place, Reading, ShelfError, Through};
use crate::privacy::object_of_export;

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

/// The file of a view, as it was asked for.
pub(super) async fn serve(state: &AppState, view: &MediaView, headers: &HeaderMap) -> Result<Response, Problem> {
    match &view.state {
        MediaState::Waiting => return Err(Problem::new(Code::MediaWaiting)),
        MediaState::Lost(reason) => return Err(Problem::new(Code::MediaGone).with_detail(reason.clone())),
        MediaState::Erased => return Err(Problem::new(Code::MediaGone).with_detail("erased")),
        MediaState::NotKept => return Err(Problem::new(Code::MediaNotKept)),
        MediaState::AtMeta => return pass(state, view, headers).await,
        MediaState::Stored => {}
    }
    let key = view.key.as_ref().ok_or(Problem::new(Code::MediaGone))?;
    let shelf = state.files.shelf.as_ref();
    let shelf = shelf.ok_or_else(|| Problem::new(Code::Unavailable).with_detail("no object store is configured"))?;
    let place = Place { tenant: view.tenant, media: view.id, contact: view.contact };
    let reading = shelf.read(place, &key.dek).await.map_err(|error| failed(&error))?;
    respond(&Shown::of(view.id, known(view).mime_type.as_deref()), reading, (headers, None)).await
}

/// What is done before the last piece of a file goes.
type AtEnd = Option<BoxFuture<'static, ()>>;

/// An archive, as it was asked for: which, and whose.
pub(super) async fn serve_archive(
    state: &AppState,
    (tenant, id, contact): (TenantId, ExportId, ContactId),
    key: &Dek,
    (headers, at_end): (&HeaderMap, AtEnd),
) -> Result<Response, Problem> {
    let shelf = state.files.shelf.as_ref().ok_or(Problem::new(Code::NoPlaceForFiles))?;
    let place = Place { tenant, media: object_of_export(id), contact: Some(contact) };
    let reading = shelf.read(place, key).await.map_err(|error| match error {
        // Archives are in no backup: after a restore their rows alone are there.
        error if error.is_missing() => Problem::new(Code::ExportGone),
        error => failed(&error),
    })?;
    let shown = Shown { id: id.uuid(), mime_type: "application/octet-stream", ending: "zip.age" };
    respond(&shown, reading, (headers, at_end)).await
}

/// What is known of a file beside its bytes.
pub(super) fn known(view: &MediaView) -> Details {
    match (&view.details, &view.named) {
        (Some(Content::Opened(json)), _) => serde_json::from_slice(json).unwrap_or_default(),
        (_, Some(named)) => {
            Details { mime_type: named.mime_type.clone(), filename: named.filename.clone(), stripped: false }
        }
        _ => Details::default(),
    }
}

/// A file that is kept nowhere, straight from Meta.
async fn pass(state: &AppState, view: &MediaView, headers: &HeaderMap) -> Result<Response, Problem> {
    let gone = || Problem::new(Code::MediaGone);
    let snapshot = state.directory.snapshot();
    let channel = view.channel.and_then(|channel| snapshot.channel(view.tenant, channel)).ok_or_else(gone)?;
    let named = view.named.as_ref().ok_or_else(gone)?;
    let through = state.files.pass(channel, view.id, named).await.map_err(|error| match error {
        NotPassed::Gone(why) => gone().with_detail(why),
        NotPassed::Later(why) => {
            tracing::warn!(media = %view.id, why, "a file could not be passed on");
            Problem::new(Code::Unavailable).with_detail(why)
        }
    })?;
    let shown = Shown::of(view.id, named.mime_type.as_deref());
    match through {
        Through::Whole(picture) => Ok(ranged(&shown, picture.len() as u64, headers, |range| {
            let at = |byte| usize::try_from(byte).unwrap_or(usize::MAX).min(picture.len());
            let part: Bytes = picture.slice(at(range.start)..at(range.end));
            Body::from(part)
        })),
        // Nobody knows whether a part is right before the whole was seen: there are no ranges of it.
        Through::Flowing { bytes, content } => {
            let length = bytes.map(|bytes| [(CONTENT_LENGTH, bytes.to_string())]);
            let body = Body::from_stream(content.map(|piece| piece.map_err(std::io::Error::other)));
            Ok((head(&shown), length, body).into_response())
        }
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

/// As what a file is sent.
struct Shown {
    id: Uuid,
    mime_type: &'static str,
    ending: &'static str,
}

impl Shown {
    fn of(id: MediaId, mime_type: Option<&str>) -> Self {
        let (mime_type, ending) = mime_type.map_or(("application/octet-stream", "bin"), shown_as);
        Self { id: id.uuid(), mime_type, ending }
    }
}

async fn respond(shown: &Shown, reading: Reading, (headers, at_end): (&HeaderMap, AtEnd)) -> Result<Response, Problem> {
    let length = reading.length();
    let range = match asked(shown.id, length, headers) {
        Wanted::None => return Ok(unsatisfiable(length)),
        Wanted::All => 0..length,
        Wanted::Part(range) => range,
    };
    let at_end = at_end.filter(|_| range.end == length);
    let pieces = reading.stream(range).await.map_err(|error| failed(&error))?;
    let mut body = Some(match at_end {
        Some(at_end) => Body::from_stream(before_the_last(pieces.boxed(), at_end)),
        None => Body::from_stream(pieces),
    });
    Ok(ranged(shown, length, headers, |_| body.take().unwrap_or_default()))
}

/// Does something before the last piece of a stream goes. After it would be too late: nobody asks a body of known length for more than that.
fn before_the_last<E: Send + 'static>(
    pieces: BoxStream<'static, Result<Bytes, E>>,
    act: BoxFuture<'static, ()>,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    stream::unfold((pieces.peekable(), Some(act)), |(mut pieces, act)| async move {
        let piece = pieces.next().await?;
        if piece.is_err() {
            return Some((piece, (pieces, None)));
        }
        let is_last = Pin::new(&mut pieces).peek().await.is_none();
        let act = match act {
            Some(act) if is_last => {
                act.await;
                None
            }
            act => act,
        };
        Some((piece, (pieces, act)))
    })
}

/// What every answer with a file says.
fn head(shown: &Shown) -> [(HeaderName, String); 4] {
    [
        (CONTENT_TYPE, shown.mime_type.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{}\"", shown.id, shown.ending)),
        (CACHE_CONTROL, "private, no-store".to_owned()),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ]
}

fn tag(id: Uuid) -> String {
    format!("\"{id}\"")
}

/// What is there never changes: the tag of another file is nobody's.
fn asked(id: Uuid, length: u64, headers: &HeaderMap) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let asked = text(RANGE).filter(|_| text(IF_RANGE).is_none_or(|known| known == tag(id)));
    asked.map_or(Wanted::All, |range| Wanted::read(range, length))
}

fn unsatisfiable(length: u64) -> Response {
    let mut refusal = Problem::new(Code::RangeNotSatisfiable).respond(None);
    // The frame would write it again without the header.
    refusal.extensions_mut().remove::<Problem>();
    ([(CONTENT_RANGE, format!("bytes */{length}"))], refusal).into_response()
}

/// A file of which ranges may be asked.
fn ranged(shown: &Shown, length: u64, headers: &HeaderMap, body: impl FnOnce(Range<u64>) -> Body) -> Response {
    let wanted = asked(shown.id, length, headers);
    let range = match &wanted {
        Wanted::None => return unsatisfiable(length),
        Wanted::All => 0..length,
        Wanted::Part(range) => range.clone(),
    };
    let more = [
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, tag(shown.id)),
    ];
    let place = [(CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1)))];
    let body = body(range);
    match wanted {
        Wanted::Part(_) => (StatusCode::PARTIAL_CONTENT, head(shown), more, place, body).into_response(),
        Wanted::All | Wanted::None => (head(shown), more, body).into_response(),
    }
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
