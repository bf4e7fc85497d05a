//! What can be set for a number: features, catalogue, commands, the key of flows.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::account::Fields;
use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::{paging, validation};

/// Features of `/settings`; one in a request.
const FEATURES: [&str; 4] = ["calling", "payload_encryption", "storage_configuration", "user_identity_change"];

/// `GET /P/settings`.
pub(super) async fn show(State(platform): State<Arc<Platform>>, Path((_, id)): Path<(String, String)>) -> GraphResult {
    platform.require_number("get", &id)?;
    Ok(Json(Value::Object(platform.desk.state().settings.clone())))
}

/// `POST /P/settings`.
pub(super) async fn change(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let changes = validation::object(&body)?;
    if changes.len() != 1 || !changes.keys().all(|name| FEATURES.contains(&name.as_str())) {
        return Err(GraphError::parameter("Exactly one feature can be set in a request."));
    }
    platform.desk.state().settings.extend(changes);
    Ok(Json(json!({"success": true})))
}

/// `GET /P/whatsapp_commerce_settings`.
pub(super) async fn show_commerce(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    Ok(Json(json!({"data": [platform.desk.state().commerce.clone()]})))
}

/// `POST /P/whatsapp_commerce_settings?is_catalog_visible=&is_cart_enabled=`.
pub(super) async fn change_commerce(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<std::collections::HashMap<String, String>>,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let mut desk = platform.desk.state();
    for name in ["is_catalog_visible", "is_cart_enabled"] {
        if let Some(value) = query.get(name) {
            desk.commerce.insert(name.to_owned(), (value == "true").into());
        }
    }
    Ok(Json(json!({"success": true})))
}

/// `GET /P/conversational_automation`.
pub(super) async fn show_automation(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let automation = Value::Object(platform.desk.state().automation.clone());
    Ok(Json(paging::select(&automation, query.fields.as_deref())))
}

/// `POST /P/conversational_automation`.
pub(super) async fn change_automation(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let changes = validation::object(&body)?;
    let prompts = changes.get("prompts").and_then(Value::as_array).map_or(0, Vec::len);
    let commands = changes.get("commands").and_then(Value::as_array).map_or(0, Vec::len);
    if prompts > 4 || commands > 30 {
        return Err(GraphError::parameter("There can be at most 4 prompts and 30 commands."));
    }
    platform.desk.state().automation.extend(changes);
    Ok(Json(json!({"success": true})))
}

/// `GET /P/whatsapp_business_encryption`.
pub(super) async fn show_key(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let key = platform.desk.state().public_key.clone();
    let shown = key.map(|key| json!({"business_public_key": key, "business_public_key_signature_status": "VALID"}));
    Ok(Json(json!({"data": shown.into_iter().collect::<Vec<_>>()})))
}

/// `POST /P/whatsapp_business_encryption`, a form or JSON.
pub(super) async fn set_key(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = validation::form(&body)?;
    let key = validation::text(&form, "business_public_key").filter(|key| key.contains("BEGIN PUBLIC KEY"));
    let key = key.ok_or_else(|| GraphError::parameter("Param business_public_key must be a PEM key."))?;
    platform.desk.state().public_key = Some(key.to_owned());
    Ok(Json(json!({"success": true})))
}
