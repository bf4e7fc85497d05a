//! Media: uploaded, looked up, downloaded with a URL that expires, deleted. Everything is in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, hmac};
use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use crate::crypto::random;

/// Where media URLs point, as at Meta.
pub(super) const DOWNLOAD_PATH: &str = "/whatsapp_business/attachments/";
/// How long a media URL is good for.
const URL_LIFE: Duration = Duration::minutes(5);
/// How long an uploaded id is good for.
pub(super) const UPLOAD_LIFE: Duration = Duration::days(30);
/// How long an inbound id is good for.
pub(super) const INBOUND_LIFE: Duration = Duration::days(7);

/// One stored file.
#[derive(Clone)]
pub(super) struct Media {
    pub(super) mime_type: String,
    pub(super) bytes: Bytes,
    expires: OffsetDateTime,
}

impl Media {
    /// The SHA-256 as lookups spell it.
    fn sha256_hex(&self) -> String {
        HEXLOWER.encode(digest::digest(&digest::SHA256, &self.bytes).as_ref())
    }

    /// The SHA-256 as webhooks spell it.
    pub(super) fn sha256_base64(&self) -> String {
        BASE64.encode(digest::digest(&digest::SHA256, &self.bytes).as_ref())
    }
}

/// All files by id.
#[derive(Default)]
pub(super) struct MediaShelf(Mutex<HashMap<String, Media>>);

impl MediaShelf {
    /// Stores a file until `expires`. Gives its id.
    pub(super) fn put(&self, mime_type: &str, bytes: Bytes, expires: OffsetDateTime) -> String {
        let id = fresh_id();
        let media = Media { mime_type: mime_type.to_owned(), bytes, expires };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), media);
        id
    }

    /// The file, unless its id has expired.
    pub(super) fn find(&self, id: &str, now: OffsetDateTime) -> Option<Media> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(id).filter(|media| now < media.expires).cloned()
    }

    /// Removes a file. False when there was none.
    pub(super) fn remove(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }
}

/// Whether an id has the shape of those made here.
pub(super) fn is_media_id(id: &str) -> bool {
    id.len() == 16 && id.starts_with("88") && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn fresh_id() -> String {
    format!("88{:014}", u64::from_be_bytes(random::bytes()) % 100_000_000_000_000)
}

/// `POST /P/media`, a multipart form.
pub(super) async fn upload(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = form.map_err(|_| GraphError::parameter("The parameter file is required."))?;
    let form = read_form(form).await.map_err(|_| GraphError::parameter("The form cannot be read."))?;
    if form.product.as_deref() != Some("whatsapp") {
        return Err(GraphError::parameter("The parameter messaging_product is required."));
    }
    let bytes = form.file.ok_or_else(|| GraphError::parameter("The parameter file is required."))?;
    let mime_type = form.kind.ok_or_else(|| GraphError::parameter("The parameter type is required."))?;
    let most = largest(&mime_type).ok_or_else(|| {
        GraphError::parameter(format!("Param file must be a file of a supported type. Received type '{mime_type}'."))
    })?;
    if bytes.len() > most {
        return Err(GraphError::new(131_053, format!("The file is larger than {most} bytes")));
    }
    let id = platform.media.put(&mime_type, bytes, platform.clock.now() + UPLOAD_LIFE);
    Ok(Json(json!({ "id": id })))
}

#[derive(Default)]
struct Form {
    product: Option<String>,
    kind: Option<String>,
    file: Option<Bytes>,
}

async fn read_form(mut parts: Multipart) -> Result<Form, MultipartError> {
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await? {
        match part.name() {
            Some("messaging_product") => form.product = Some(part.text().await?),
            Some("type") => form.kind = Some(part.text().await?),
            Some("file") => {
                let kind = part.content_type().map(str::to_owned);
                form.kind = form.kind.or(kind);
                form.file = Some(part.bytes().await?);
            }
            _ => drop(part.bytes().await?),
        }
    }
    Ok(form)
}

/// Meta's limit in bytes for a MIME type; none for types it does not take.
fn largest(mime_type: &str) -> Option<usize> {
    const MEGABYTE: usize = 1024 * 1024;
    let essence = mime_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" | "video/mp4" | "video/3gpp" => {
            Some(16 * MEGABYTE)
        }
        "image/jpeg" | "image/png" => Some(5 * MEGABYTE),
        "image/webp" => Some(500 * 1024),
        "text/plain"
        | "application/pdf"
        | "application/msword"
        | "application/vnd.ms-excel"
        | "application/vnd.ms-powerpoint" => Some(100 * MEGABYTE),
        essence if essence.starts_with("application/vnd.openxmlformats-officedocument.") => Some(100 * MEGABYTE),
        _ => None,
    }
}

impl Platform {
    /// A URL for a file, good for five minutes from now. `host` is the name the caller reached the simulator by.
    pub(super) fn media_url(&self, id: &str, host: Option<&str>) -> String {
        let expires = (self.clock.now() + URL_LIFE).unix_timestamp();
        let settings = self.settings();
        let base = match host {
            _ if !settings.media_url_base.is_empty() => settings.media_url_base.clone(),
            Some(host) => format!("http://{host}"),
            None => self.base_url.clone(),
        };
        format!("{base}{DOWNLOAD_PATH}?mid={id}&ext={expires}&hash={}", self.seal_of(id, expires))
    }

    /// Ties a media id to an expiry, so that a URL cannot be given a longer life.
    fn seal_of(&self, id: &str, expires: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.config.app_secret.expose().as_bytes());
        HEXLOWER.encode(hmac::sign(&key, format!("media:{id}:{expires}").as_bytes()).as_ref())
    }
}

/// What a lookup of `id` answers, or none when there is no such file.
pub(super) fn look_up(platform: &Platform, id: &str, headers: &HeaderMap) -> Option<Value> {
    let media = platform.media.find(id, platform.clock.now())?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Some(json!({
        "messaging_product": "whatsapp",
        "url": platform.media_url(id, host),
        "mime_type": media.mime_type,
        "sha256": media.sha256_hex(),
        "file_size": media.bytes.len(),
        "id": id,
    }))
}

/// The query of a media URL.
#[derive(Deserialize)]
pub(super) struct Ticket {
    mid: String,
    ext: i64,
    hash: String,
}

/// `GET` of a media URL: the bytes, or 404 when the URL or the file has expired.
pub(super) async fn download(
    State(platform): State<Arc<Platform>>,
    Query(ticket): Query<Ticket>,
    headers: HeaderMap,
) -> Response {
    let elsewhere = platform.settings().download_redirect.clone();
    if !elsewhere.is_empty() {
        return (StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response();
    }
    let now = platform.clock.now();
    let good = ticket.hash == platform.seal_of(&ticket.mid, ticket.ext) && now.unix_timestamp() < ticket.ext;
    match platform.media.find(&ticket.mid, now) {
        Some(media) if good => part(&media, headers.get(header::RANGE).and_then(|range| range.to_str().ok())),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The file, or the one part of it that `bytes=from-to` names.
fn part(media: &Media, range: Option<&str>) -> Response {
    let kind = (header::CONTENT_TYPE, media.mime_type.clone());
    let length = media.bytes.len();
    let named = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = named else { return ([kind], media.bytes.clone()).into_response() };
    let from: usize = from.parse().unwrap_or(0);
    let to = to.parse().unwrap_or(usize::MAX).min(length.saturating_sub(1));
    if from > to {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let place = (header::CONTENT_RANGE, format!("bytes {from}-{to}/{length}"));
    (StatusCode::PARTIAL_CONTENT, [kind, place], media.bytes.slice(from..=to)).into_response()
}
