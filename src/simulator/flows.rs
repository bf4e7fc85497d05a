//! Flows: drafts with a JSON, published, deprecated.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Path, State};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::paging::Listing;
use super::platform::Platform;
use super::templates::word;
use super::validation::{self, text};
use crate::crypto::random;

impl Platform {
    /// The flow with this id.
    pub(super) fn flow(&self, id: &str) -> Option<Value> {
        self.desk.state().flows.iter().find(|flow| word(flow, "id") == id).cloned()
    }

    /// Replaces what `changes` names. False when there is no such flow.
    pub(super) fn edit_flow(&self, id: &str, changes: &Map<String, Value>) -> bool {
        let mut desk = self.desk.state();
        let flow = desk.flows.iter_mut().find(|flow| word(flow, "id") == id).and_then(Value::as_object_mut);
        flow.map(|flow| flow.extend(changes.clone())).is_some()
    }

    /// Removes a draft. False when there is none.
    pub(super) fn delete_flow(&self, id: &str) -> bool {
        let mut desk = self.desk.state();
        let before = desk.flows.len();
        desk.flows.retain(|flow| word(flow, "id") != id || word(flow, "status") != "DRAFT");
        desk.flows.len() < before
    }
}

/// `GET /W/flows`.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    listing: Listing,
) -> GraphResult {
    platform.require_waba("get", &id)?;
    let rows = platform.desk.state().flows.clone();
    Ok(Json(platform.page(&rows, &listing)))
}

/// `POST /W/flows`, a form or JSON.
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    let form = validation::form(&body)?;
    let name = text(&form, "name").ok_or_else(|| GraphError::parameter("The parameter name is required."))?;
    let categories = form.get("categories").cloned().unwrap_or_else(|| json!(["OTHER"]));
    let flow_id = format!("77{:013}", u64::from_be_bytes(random::bytes()) % 10_000_000_000_000);
    let flow =
        json!({"id": flow_id, "name": name, "status": "DRAFT", "categories": categories, "validation_errors": []});
    platform.desk.state().flows.push(flow);
    Ok(Json(json!({"id": flow_id, "success": true})))
}

/// `GET /{flow}/assets`.
pub(super) async fn assets(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.flow(&id).ok_or_else(|| GraphError::no_object("get", &id))?;
    let asset =
        json!({"name": "flow.json", "asset_type": "FLOW_JSON", "download_url": "https://scontent.example/flow.json"});
    Ok(Json(json!({"data": [asset], "paging": {"cursors": {"before": "QVFIUm", "after": "QVFIUm"}}})))
}

/// `POST /{flow}/assets`, a multipart form.
pub(super) async fn upload(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    form: Result<Multipart, MultipartRejection>,
) -> GraphResult {
    platform.flow(&id).ok_or_else(|| GraphError::no_object("post", &id))?;
    let mut form = form.map_err(|_| GraphError::parameter("The parameter file is required."))?;
    let mut is_json = false;
    while let Ok(Some(part)) = form.next_field().await {
        let named = part.name() == Some("file");
        let bytes = part.bytes().await.unwrap_or_default();
        is_json |= named && serde_json::from_slice::<Value>(&bytes).is_ok();
    }
    let errors = if is_json { json!([]) } else { json!([{"error": "INVALID_JSON", "error_type": "FLOW_JSON_ERROR"}]) };
    Ok(Json(json!({"success": is_json, "validation_errors": errors})))
}

fn step(platform: &Platform, id: &str, from: &str, to: &str) -> GraphResult {
    let flow = platform.flow(id).ok_or_else(|| GraphError::no_object("post", id))?;
    if word(&flow, "status") != from {
        return Err(GraphError::new(139_000, format!("The flow is not {from}")));
    }
    platform.edit_flow(id, &Map::from_iter([("status".to_owned(), to.into())]));
    Ok(Json(json!({"success": true})))
}

/// `POST /{flow}/publish`.
pub(super) async fn publish(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    step(&platform, &id, "DRAFT", "PUBLISHED")
}

/// `POST /{flow}/deprecate`.
pub(super) async fn deprecate(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    step(&platform, &id, "PUBLISHED", "DEPRECATED")
}
