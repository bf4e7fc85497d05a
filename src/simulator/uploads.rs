//! Resumable uploads: a session, the file in parts, a handle at the end.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::desk::Upload;
use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use crate::crypto::random;

/// How ids of sessions begin.
pub(super) const PREFIX: &str = "upload:";

/// What a file will be.
#[derive(Debug, Deserialize)]
pub(super) struct Announced {
    file_length: Option<u64>,
    file_type: Option<String>,
}

/// `POST /{app}/uploads`.
pub(super) async fn begin(State(platform): State<Arc<Platform>>, Query(file): Query<Announced>) -> GraphResult {
    const TYPES: [&str; 5] = ["application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4"];
    let length = file.file_length.ok_or_else(|| GraphError::parameter("The parameter file_length is required."))?;
    if !file.file_type.is_some_and(|kind| TYPES.contains(&kind.as_str())) {
        return Err(GraphError::parameter("Param file_type is not supported."));
    }
    let id = format!("{PREFIX}{}==", BASE64URL_NOPAD.encode(&random::bytes::<16>()));
    platform.desk.state().uploads.insert(id.clone(), Upload { length, received: Vec::new() });
    Ok(Json(json!({"id": format!("{id}?sig=ARbsim")})))
}

/// `GET /upload:…`: how much is there.
pub(super) fn offset(platform: &Platform, id: &str) -> Result<Value, GraphError> {
    let desk = platform.desk.state();
    let upload = desk.uploads.get(id).ok_or_else(|| GraphError::no_object("get", id))?;
    Ok(json!({"id": id, "file_offset": upload.received.len()}))
}

/// `POST /upload:…`: the file from `file_offset` on.
pub(super) fn receive(platform: &Platform, id: &str, headers: &HeaderMap, body: &Bytes) -> GraphResult {
    let offset = headers.get("file_offset").and_then(|offset| offset.to_str().ok()?.parse::<usize>().ok());
    let mut desk = platform.desk.state();
    let upload = desk.uploads.get_mut(id).ok_or_else(|| GraphError::no_object("post", id))?;
    if offset != Some(upload.received.len()) {
        return Err(GraphError::parameter("The file_offset is not where the upload stands."));
    }
    upload.received.extend_from_slice(body);
    if (upload.received.len() as u64) < upload.length {
        return Ok(Json(json!({"id": id, "file_offset": upload.received.len()})));
    }
    Ok(Json(json!({"h": format!("4:{}", BASE64URL_NOPAD.encode(&random::bytes::<24>()))})))
}
