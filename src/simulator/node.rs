//! `/{id}`: the bare objects of the graph, told apart by their id.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::account::Fields;
use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::{media, paging, validation};

/// `GET /{id}`: the number, the WABA, a template or a file.
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
    headers: HeaderMap,
) -> GraphResult {
    let object = if id == platform.config.phone_number_id {
        number(&platform)
    } else if id == platform.config.waba_id {
        waba(&platform)
    } else {
        let file = media::look_up(&platform, &id, &headers);
        file.or_else(|| platform.templates.find(&id)).ok_or_else(|| GraphError::no_object("get", &id))?
    };
    Ok(Json(paging::select(&object, query.fields.as_deref())))
}

fn number(platform: &Platform) -> Value {
    let state = platform.account.state();
    let mut number = state.number.clone();
    let mut urls = json!({ "application": state.callback });
    if let Some(fields) = urls.as_object_mut() {
        fields.extend(state.waba_override.iter().map(|url| ("whatsapp_business_account".into(), url.as_str().into())));
        fields.extend(state.number_override.iter().map(|url| ("phone_number".into(), url.as_str().into())));
    }
    number.insert("webhook_configuration".into(), urls);
    Value::Object(number)
}

fn waba(platform: &Platform) -> Value {
    json!({
        "id": platform.config.waba_id,
        "name": "Simulated WABA",
        "currency": "EUR",
        "timezone_id": "1",
        "account_review_status": "APPROVED",
        "message_template_namespace": "00000000_0000_0000_0000_000000000000",
        "health_status": {"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "WABA", "id": platform.config.waba_id, "can_send_message": "AVAILABLE"},
        ]},
    })
}

/// `POST /{id}`: the number's settings (webhook override, PIN, name) or a template's components.
pub(super) async fn update(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    let changes = validation::object(&body)?;
    if id == platform.config.phone_number_id {
        if let Some(configuration) = changes.get("webhook_configuration").and_then(Value::as_object) {
            platform.override_number(configuration).await?;
        }
    } else if !platform.templates.edit(&id, &changes) {
        return Err(GraphError::no_object("post", &id));
    }
    Ok(Json(json!({"success": true})))
}

/// `DELETE /{media}`.
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    if platform.media.remove(&id) {
        Ok(Json(json!({"success": true})))
    } else {
        Err(GraphError::no_object("delete", &id))
    }
}
