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
use super::{media, paging, template_acts, uploads, validation};

/// `GET /{id}`: the number, the WABA, a template, a flow, a file or an upload.
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
    headers: HeaderMap,
) -> GraphResult {
    if id.starts_with(uploads::PREFIX) {
        return Ok(Json(uploads::offset(&platform, &id)?));
    }
    let object = if id == platform.config.phone_number_id {
        number(&platform)
    } else if id == platform.config.waba_id {
        waba(&platform)
    } else {
        let file = media::look_up(&platform, &id, &headers);
        let known = file.or_else(|| platform.templates.find(&id)).or_else(|| platform.flow(&id));
        known.ok_or_else(|| GraphError::no_object("get", &id))?
    };
    let mut shown = paging::select(&object, query.fields.as_deref());
    if let (true, Some(shown)) = (id == platform.config.waba_id, shown.as_object_mut()) {
        shown.extend(template_acts::in_fields(query.fields.as_deref().unwrap_or_default()));
    }
    Ok(Json(shown))
}

fn number(platform: &Platform) -> Value {
    let state = platform.account.state();
    let mut number = state.number.clone();
    let desk = platform.desk.state();
    number.insert("is_pin_enabled".into(), desk.pin.is_some().into());
    number.insert("conversational_automation".into(), Value::Object(desk.automation.clone()));
    if !desk.registered {
        number.insert("status".into(), "DISCONNECTED".into());
    }
    drop(desk);
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
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult {
    if id.starts_with(uploads::PREFIX) {
        return uploads::receive(&platform, &id, &headers, &body);
    }
    let changes = validation::form(&body)?;
    if id == platform.config.phone_number_id {
        if let Some(configuration) = changes.get("webhook_configuration").and_then(Value::as_object) {
            platform.override_number(configuration).await?;
        }
        platform.set_pin(&changes)?;
        if let Some(name) = validation::text(&changes, "new_display_name") {
            let review = [
                ("new_verified_name".to_owned(), name.into()),
                ("new_name_status".to_owned(), "PENDING_REVIEW".into()),
            ];
            platform.account.state().number.extend(review);
        }
    } else if id != platform.config.waba_id
        && !platform.templates.edit(&id, &changes)
        && !platform.edit_flow(&id, &changes)
    {
        return Err(GraphError::no_object("post", &id));
    }
    Ok(Json(json!({"success": true})))
}

/// `DELETE /{media}` or a flow that is a draft.
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    if platform.media.remove(&id) || platform.delete_flow(&id) {
        Ok(Json(json!({"success": true})))
    } else {
        Err(GraphError::no_object("delete", &id))
    }
}
