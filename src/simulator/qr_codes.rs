//! QR codes of the number, which begin a conversation with a text.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use data_encoding::BASE32_NOPAD;
use serde_json::{Map, Value, json};

use super::account::Fields;
use super::errors::{GraphError, GraphResult};
use super::paging::{self, Listing};
use super::platform::Platform;
use super::templates::word;
use super::validation::{self, text};
use crate::crypto::random;

/// `GET /P/message_qrdls`.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
    listing: Listing,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let rows: Vec<Value> =
        platform.desk.state().codes.iter().map(|code| shown(code, query.fields.as_deref())).collect();
    Ok(Json(platform.page(&rows, &listing)))
}

/// Codes have no id: `code` is always there.
fn shown(code: &Value, fields: Option<&str>) -> Value {
    paging::select(code, fields.map(|fields| format!("code,{fields}")).as_deref())
}

/// `GET /P/message_qrdls/{code}`.
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Path((_, id, code)): Path<(String, String, String)>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let found: Vec<Value> =
        platform.desk.state().codes.iter().filter(|row| word(row, "code") == code).cloned().collect();
    Ok(Json(json!({"data": found})))
}

fn save(platform: &Platform, form: &Map<String, Value>, code: Option<&str>) -> GraphResult {
    let message = text(form, "prefilled_message").filter(|message| (1..=140).contains(&message.chars().count()));
    let message =
        message.ok_or_else(|| GraphError::parameter("Param prefilled_message must be 1 to 140 characters."))?;
    let mut desk = platform.desk.state();
    if let Some(code) = code {
        let row = desk.codes.iter_mut().find(|row| word(row, "code") == code).and_then(Value::as_object_mut);
        let row = row.ok_or_else(|| GraphError::parameter("Param code is not a QR code of this number."))?;
        row.insert("prefilled_message".into(), message.into());
        return Ok(Json(Value::Object(row.clone())));
    }
    if desk.codes.len() >= 2000 {
        return Err(GraphError::parameter("There are 2000 QR codes already."));
    }
    let code = BASE32_NOPAD.encode(&random::bytes::<10>()).chars().take(14).collect::<String>();
    let mut row =
        json!({"code": code, "prefilled_message": message, "deep_link_url": format!("https://wa.me/message/{code}")});
    if let (Some(format), Some(row)) = (text(form, "generate_qr_image"), row.as_object_mut()) {
        let url = format!("https://scontent.example/{code}.{}", format.to_ascii_lowercase());
        row.insert("qr_image_url".into(), url.into());
    }
    desk.codes.push(row.clone());
    Ok(Json(row))
}

/// `POST /P/message_qrdls`: a new code, or another text for the one that is named.
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = validation::object(&body)?;
    save(&platform, &form, text(&form, "code"))
}

/// `DELETE /P/message_qrdls/{code}`.
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Path((_, id, code)): Path<(String, String, String)>,
) -> GraphResult {
    platform.require_number("delete", &id)?;
    let mut desk = platform.desk.state();
    let before = desk.codes.len();
    desk.codes.retain(|row| word(row, "code") != code);
    if desk.codes.len() == before {
        Err(GraphError::parameter("There is no such code."))
    } else {
        Ok(Json(json!({"success": true})))
    }
}
