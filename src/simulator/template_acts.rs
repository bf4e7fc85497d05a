//! What is done with templates beside making, listing and deleting them, and the figures of an account.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::templates::word;
use super::validation;

/// Figures that are asked for as fields of the account.
const FIGURES: [&str; 4] = ["analytics", "conversation_analytics", "pricing_analytics", "call_analytics"];

/// `GET /{t}/compare?template_ids=[…]`.
pub(super) async fn compare(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.templates.find(&id).ok_or_else(|| GraphError::no_object("get", &id))?;
    Ok(Json(json!({"data": [{"metric": "BLOCK_RATE", "type": "RELATIVE", "order_by_relative_metric": [id]}]})))
}

/// `POST /{t}/unpause`.
pub(super) async fn unpause(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    let row = platform.templates.find(&id).ok_or_else(|| GraphError::no_object("post", &id))?;
    if word(&row, "status") != "PAUSED" {
        return Ok(Json(json!({"success": false, "reason": "The template is not paused"})));
    }
    platform.templates.edit(&id, &Map::from_iter([("status".to_owned(), "APPROVED".into())]));
    Ok(Json(json!({"success": true})))
}

/// `POST /W/upsert_message_templates`: one of a name in many languages.
pub(super) async fn upsert(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    let template = validation::object(&body)?;
    let languages = template.get("languages").and_then(Value::as_array).cloned().unwrap_or_default();
    if languages.is_empty() {
        return Err(GraphError::parameter("The parameter languages is required."));
    }
    let made = languages.iter().enumerate().map(|(at, language)| {
        let id = format!("6699{at:011}");
        json!({"id": id, "status": "APPROVED", "language": language})
    });
    Ok(Json(json!({"data": made.collect::<Vec<_>>()})))
}

/// `POST /W/migrate_message_templates` and `/W/migrate_flows`: nothing is there to come from elsewhere.
pub(super) async fn migrate(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    Ok(Json(json!({"migrated_templates": [], "failed_templates": {}})))
}

/// `POST /W/message_templates/archive` and `/unarchive`.
pub(super) async fn archive(
    State(platform): State<Arc<Platform>>,
    Path((_, id, _)): Path<(String, String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    let ids = validation::object(&body)?.get("hsm_ids").cloned().unwrap_or_else(|| json!([]));
    Ok(Json(json!({"archived_templates": ids, "failed_templates": {}})))
}

/// `GET /message_template_library`.
pub(super) async fn library() -> GraphResult {
    Ok(Json(
        json!({"data": [{"name": "delivery_update_1", "language": "en_US", "category": "UTILITY", "id": "7138055039625658"}]}),
    ))
}

/// `GET /W/template_analytics` and the like.
pub(super) async fn figures(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> GraphResult {
    platform.require_waba("get", &id)?;
    if !["start", "end", "granularity"].iter().all(|name| query.contains_key(*name)) {
        return Err(GraphError::parameter("The parameters start, end and granularity are required."));
    }
    Ok(Json(json!({"data": [{"granularity": "DAILY", "data_points": []}]})))
}

/// The figures that `fields` asks for, each `X.start().end().granularity()`.
pub(super) fn in_fields(fields: &str) -> Map<String, Value> {
    let asked = |name: &&&str| fields.split(',').any(|field| field.trim().split('.').next() == Some(**name));
    let figure = |name: &&str| ((*name).to_owned(), json!({"granularity": "DAY", "data_points": []}));
    FIGURES.iter().filter(asked).map(figure).collect()
}
