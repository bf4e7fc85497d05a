//! Links to files: made by a key, followed without one.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::body::{self, Faults, Field, request};
use super::fields::value;
use super::file_answer::serve;
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Errand};
use crate::http::frame::CallerKey;
use crate::http::state::AppState;
use crate::ids::MediaId;

/// How long a link is good for when nothing is said, in seconds.
const USUAL: u32 = 300;
/// The most, in seconds.
const LONGEST: u32 = 3600;

/// 1 to 3600 seconds.
#[derive(ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 3600)]
pub(super) struct Seconds(u32);

impl Field for Seconds {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let seconds: u32 = value(json, at, faults, "a number of seconds")?;
        if (1..=LONGEST).contains(&seconds) { Some(Self(seconds)) } else { faults.note(at, "range", "1 to 3600") }
    }
}

request! {
    /// How long the link is to be good for.
    NewLink {
        /// 300 when absent.
        expires_in_seconds: Option<Seconds>,
    }
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
pub(super) struct MediaLink {
    /// Path and query, on the listener that gave it out. Whoever has it reads the file: it is as secret as the file.
    path: String,
    /// When it is over.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// When a link ends that is made now. It knows whole seconds.
pub(super) fn end_of_link(now: OffsetDateTime, seconds: u32) -> OffsetDateTime {
    let until = now + Duration::seconds(seconds.into());
    until.replace_nanosecond(0).unwrap_or(until)
}

/// The answer to whoever follows a link, which counts as one to the key that made it.
pub(super) fn answer_for(maker: &Caller, answer: Result<Response, Problem>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(CallerKey(maker.key));
    response
}

/// Makes a link to a file that is good for a while and needs no key.
///
/// For a browser or a tool that cannot send a key. It is bound to the file, to its end and to the key that made it: it is over when
/// that key is revoked, locked or may no longer read files, and used from the networks of that key alone. Each use is an entry in the
/// audit log and counts against the key's budget.
#[utoipa::path(
    post, path = "/v1/media/{id}/link", tag = "Files", operation_id = "link_media",
    params(("id" = MediaId, Path, description = "The file.")),
    request_body = NewLink,
    responses((status = 201, description = "The link.", body = MediaLink)),
)]
pub(super) async fn make(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Target(id): Target<MediaId>,
    params: Params,
    body::Json(new): body::Json<NewLink>,
) -> Result<(StatusCode, Json<MediaLink>), Problem> {
    params.finish()?;
    let seconds = new.expires_in_seconds.map_or(USUAL, |seconds| seconds.0);
    let until = end_of_link(state.clock.now(), seconds);
    let token = state.door.link_media(&who, &errand, id, until).await?.ok_or(Problem::new(Code::NotFound))?;
    let path = format!("/v1/media-links?token={token}");
    Ok((StatusCode::CREATED, Json(MediaLink { path, expires_at: until })))
}

/// The file behind a link, as `GET /v1/media/{id}` answers. Needs no key.
///
/// A link that is over, was never given out or was changed is 404 `link_over`; which of them is not told.
#[utoipa::path(
    get, path = "/v1/media-links", tag = "Files", operation_id = "follow_media_link",
    params(
        ("token" = String, Query, description = "As the link has it."),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 403, description = "`contact_held`, or `forbidden`: the key that made the link may no longer read this."),
        (status = 404, description = "`link_over`"),
        (status = 409, description = "`media_waiting`"),
        (status = 410, description = "`media_gone` · `media_not_kept`"),
        (status = 416, description = "`range_not_satisfiable`"),
        (status = 429, description = "`read_budget_exceeded`: the key that made the link is locked."),
    ),
)]
pub(super) async fn follow(
    errand: Errand,
    State(state): State<AppState>,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let over = || Problem::new(Code::LinkOver);
    let token = params.take("token").ok_or_else(over)?;
    let from = state.proxies.origin(request.extensions(), request.headers());
    let (who, media) = state.door.follow_link(&token, from).await?.ok_or_else(over)?;
    errand.touch(&["link".to_owned()]);
    let view = state.door.media(&who, &errand, media).await?.ok_or_else(over)?;
    Ok(answer_for(&who, serve(&state, &view, request.headers()).await))
}
