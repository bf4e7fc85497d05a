//! `POST /v1/media`: an application hands a file over, to be sent; `DELETE` takes it back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::timeout;

use super::media::MediaJson;
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use super::upload_form::{FORM, narrow};
use crate::access::Caller;
use crate::audit::Action;
use crate::domain::endpoint::Fields;
use crate::domain::file::FileKind;
use crate::http::frame::Leave;
use crate::http::state::AppState;
use crate::ids::{ChannelId, ContactId, MediaId};
use crate::media::{DeleteError, NotKept, Offer};

/// How long a file may take: 100 MB at 200 kB a second.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long nothing may come of it.
const SILENCE: Duration = Duration::from_secs(20);
/// The longest name, in characters; as Meta has it for documents.
const LONGEST_NAME: usize = 240;

type Content<'c> = BoxStream<'c, Result<Bytes, io::Error>>;

/// Hands a file over, to be sent.
///
/// As the part `file` of a form (`multipart/form-data`), which may have a name, or as the body itself; its type is that of the part or of
/// the body. Type and length are checked against Meta's limits before anything is kept. The file is sealed, and brought to Meta when the
/// first message needs it, once for each channel; Meta keeps it for thirty days, and it is brought there again when that is over.
/// Messages name it by its id: `"image": {"id": "…"}`.
#[utoipa::path(
    post, path = "/v1/media", tag = "Files", operation_id = "upload_media",
    params(
        ("channel_id" = Option<ChannelId>, Query, description = "The only channel that it may be sent through. A key that is confined to channels has to name one of them."),
        ("contact_id" = Option<ContactId>, Query, description = "Whom it is about: it is sealed under a key of theirs, and forgotten with them."),
    ),
    request_body(content = Vec<u8>, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It is kept.", body = MediaJson),
        (status = 400, description = "`file_incomplete`"),
        (status = 413, description = "`file_too_large`"),
        (status = 415, description = "`file_type_not_taken`"),
        (status = 503, description = "`unavailable`: the object store is away, or none is configured."),
    ),
)]
pub(super) async fn upload(
    who: Caller,
    trail: Trail,
    State(state): State<AppState>,
    mut params: Params,
    request: Request,
) -> Result<(StatusCode, Json<MediaJson>), Problem> {
    let (channel, contact) = whose(&who, &state, &mut params).await?;
    params.finish()?;
    if let Some(leave) = request.extensions().get::<Leave>() {
        leave.grant(PATIENCE);
    }
    let (declared, length) = declared(request.headers());
    let desk = Desk { state: &state, who: &who, trail: &trail, channel, contact };
    if declared.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        let found = Arc::new(AtomicBool::new(false));
        let (parts, body) = request.into_parts();
        let body = Body::from_stream(narrow(prompt(pieces(body)), found.clone()));
        let request = Request::from_parts(parts, body);
        let mut form = Multipart::from_request(request, &()).await.map_err(|_| incomplete())?;
        while let Some(part) = form.next_field().await.map_err(|_| incomplete())? {
            if part.name() != Some("file") {
                continue;
            }
            found.store(true, Ordering::Relaxed);
            let mime_type = part.content_type().unwrap_or_default().to_owned();
            let filename = part.file_name().map(name);
            let content = part.map(|piece| piece.map_err(|_| io::Error::other("the form broke off"))).boxed();
            return desk
                .keep(mime_type, filename, length.map(|length| length.saturating_sub(FORM as u64)), content)
                .await;
        }
        return Err(incomplete());
    }
    desk.keep(declared, None, length, pieces(request.into_body())).await
}

fn pieces(body: Body) -> Content<'static> {
    body.into_data_stream().map(|piece| piece.map_err(|_| io::Error::other("the body broke off"))).boxed()
}

/// The type and the length of a body, as far as they are said.
fn declared(headers: &HeaderMap) -> (String, Option<u64>) {
    let told = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    (told(CONTENT_TYPE).unwrap_or_default().to_owned(), told(CONTENT_LENGTH).and_then(|length| length.parse().ok()))
}

fn incomplete() -> Problem {
    Problem::new(Code::FileIncomplete)
}

/// The last part of a name, without what cannot be shown.
fn name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}

/// Of which channel and about whom a file is.
async fn whose(
    who: &Caller,
    state: &AppState,
    params: &mut Params,
) -> Result<(Option<ChannelId>, Option<ContactId>), Problem> {
    let mut one = |name: &str| params.ids(name, 1).and_then(|ids| ids.first().copied());
    let (channel, contact) = (one("channel_id").map(ChannelId::from_uuid), one("contact_id").map(ContactId::from_uuid));
    match channel {
        None => who.require_unconfined()?,
        Some(channel) => {
            if !who.may_use(channel) || state.directory.snapshot().channel(who.tenant, channel).is_none() {
                params.fault("channel_id", "channel", "a channel of yours");
            }
        }
    }
    if let Some(contact) = contact
        && state.door.find_contact(who, contact).await?.is_none()
    {
        params.fault("contact_id", "contact", "a contact");
    }
    Ok((channel, contact))
}

/// Where one file is taken.
struct Desk<'r> {
    state: &'r AppState,
    who: &'r Caller,
    trail: &'r Trail,
    channel: Option<ChannelId>,
    contact: Option<ContactId>,
}

impl Desk<'_> {
    async fn keep(
        &self,
        mime_type: String,
        filename: Option<String>,
        at_least: Option<u64>,
        content: Content<'_>,
    ) -> Result<(StatusCode, Json<MediaJson>), Problem> {
        let kind = FileKind::of_type(&mime_type).ok_or(Problem::new(Code::FileTypeNotTaken))?;
        if at_least.is_some_and(|bytes| bytes > kind.largest()) {
            return Err(too_large(kind));
        }
        let shown = who_sees_names(self.who).then(|| filename.clone()).flatten();
        let (tenant, channel, contact) = (self.who.tenant, self.channel, self.contact);
        let offer = Offer { tenant, channel, contact, mime_type, kind, filename };
        // Before anything is kept; which it was, is known afterwards.
        self.trail.leave_file(self.who, channel, contact).await?;
        let handed = self.state.files.keep(&offer, prompt(content)).await.map_err(|error| refusal(&error, kind))?;
        let told = MediaJson {
            id: handed.media,
            channel_id: channel,
            contact_id: contact,
            direction: "out",
            kind: Some(kind.as_str().to_owned()),
            state: "stored",
            reason: None,
            bytes: i64::try_from(handed.bytes).ok(),
            mime_type: Some(offer.mime_type),
            filename: shown,
            stripped: handed.stripped,
        };
        Ok((StatusCode::CREATED, Json(told)))
    }
}

fn who_sees_names(who: &Caller) -> bool {
    who.sight.fields() == Fields::Full
}

/// The content, as long as it keeps coming.
fn prompt(content: Content<'_>) -> Content<'_> {
    let pieces = stream::try_unfold(content, |mut content| async move {
        match timeout(SILENCE, content.next()).await {
            Ok(Some(piece)) => Ok(Some((piece?, content))),
            Ok(None) => Ok(None),
            Err(_elapsed) => Err(io::Error::other("nothing came for too long")),
        }
    });
    pieces.boxed()
}

fn too_large(kind: FileKind) -> Problem {
    let detail = format!("{}: at most {} bytes", kind.as_str(), kind.largest());
    Problem::new(Code::FileTooLarge).with_detail(detail)
}

fn refusal(error: &NotKept, kind: FileKind) -> Problem {
    match error {
        NotKept::TooLarge => too_large(kind),
        NotKept::Empty => incomplete().with_detail("the file is empty"),
        NotKept::BrokenOff => incomplete().with_detail("the file broke off"),
        error => {
            tracing::warn!(%error, "a file was not kept");
            let problem = Problem::new(Code::Unavailable);
            if matches!(error, NotKept::NoPlace) { problem.with_detail(error.to_string()) } else { problem }
        }
    }
}

/// Deletes a file, here and at Meta.
///
/// Nobody reads or sends it any more; a message that waits and names it fails. What people sent is deleted here: Meta forgets it after
/// seven days. When Meta cannot be asked now, the answer is 503, and the gateway goes on by itself until nothing is left.
#[utoipa::path(
    delete, path = "/v1/media/{id}", tag = "Files", operation_id = "delete_media",
    params(("id" = MediaId, Path, description = "The file.")),
    responses(
        (status = 204, description = "Nothing is left of it."),
        (status = 409, description = "`media_waiting`: it is still to be fetched."),
        (status = 410, description = "`media_gone`: there was none any more."),
    ),
)]
pub(super) async fn remove(
    who: Caller,
    trail: Trail,
    State(state): State<AppState>,
    Target(id): Target<MediaId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let row = state.store.find_media(who.tenant, id).await?.filter(|row| who.may_use_file(row.channel));
    let row = row.ok_or(Problem::new(Code::NotFound))?;
    if matches!(row.state.as_str(), "waiting" | "arriving") {
        return Err(Problem::new(Code::MediaWaiting));
    }
    if row.state == "stored" && state.files.is_held(who.tenant, row.contact).await? {
        return Err(Problem::new(Code::ContactHeld));
    }
    trail.leave(&who, Action::MediaDeleted, "media", id.uuid()).await?;
    match state.files.delete(who.tenant, id, row.contact).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Problem::new(Code::MediaGone).with_detail(row.reason.unwrap_or_default())),
        Err(DeleteError::Store(error)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(media = %id, %error, "a file is not deleted yet");
            let problem = Problem::new(Code::Unavailable);
            Err(problem.with_detail("it is not read or sent any more, and deleted as soon as that is possible"))
        }
    }
}
