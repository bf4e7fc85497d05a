//! The control side except for inbound messages and batches: callback, settings, any webhook, faults, ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::FaultPlan;
use super::payloads;
use super::platform::Platform;
use super::settings::Settings;

/// A request that the control side cannot follow, in words.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

/// What a handler of the control side returns.
pub(super) type Answer = Result<Json<Value>, Refusal>;

/// Reads a JSON body; an empty one stands for `{}`.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|fault| Refusal(fault.to_string()))
}

/// What the callback answered, in one shape for every call that posts: the worst status, and each.
pub(super) fn outcome(statuses: &[Option<u16>], wamids: &[String]) -> Value {
    // No answer is worse than any status, and 200 is the only good one.
    let worst = statuses.iter().find(|status| **status != Some(200)).or(statuses.first()).copied().flatten();
    let webhooks: Vec<Value> = statuses.iter().map(|status| json!({ "status": status })).collect();
    json!({"status": worst, "wamids": wamids, "webhooks": webhooks})
}

#[derive(Deserialize)]
pub(super) struct Callback {
    url: Option<String>,
}

/// `PUT /control/callback`.
pub(super) async fn set_callback(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let callback: Callback = read(&body)?;
    platform.account.set_callback(callback.url.clone());
    Ok(Json(json!({"url": callback.url})))
}

/// `POST /control/verify`.
pub(super) async fn verify(State(platform): State<Arc<Platform>>) -> Answer {
    let url = platform.account.app_callback().ok_or_else(|| Refusal("no callback is set".to_owned()))?;
    let status = match platform.handshake(&url, platform.config.verify_token.expose()).await {
        Ok(()) => Some(200),
        Err(status) => return Ok(Json(json!({"verified": false, "status": status}))),
    };
    Ok(Json(json!({"verified": true, "status": status})))
}

/// `GET /control/settings`.
pub(super) async fn show_settings(State(platform): State<Arc<Platform>>) -> Json<Settings> {
    Json(platform.settings().as_ref().clone())
}

/// `PUT /control/settings`: what is not named stays as it is.
pub(super) async fn merge_settings(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let changes: Value = read(&body)?;
    let mut merged = serde_json::to_value(platform.settings().as_ref()).map_err(|fault| Refusal(fault.to_string()))?;
    lay_over(&mut merged, changes);
    let settings: Settings = serde_json::from_value(merged.clone()).map_err(|fault| Refusal(fault.to_string()))?;
    platform.configure(settings);
    Ok(Json(merged))
}

fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

#[derive(Deserialize)]
pub(super) struct Webhook {
    field: String,
    value: Option<Value>,
}

/// `POST /control/webhook`.
pub(super) async fn post_webhook(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let Webhook { field, value } = read(&body)?;
    let (business, time) = (&platform.business, platform.seconds());
    let value = value
        .or_else(|| payloads::sample(&field, business, time))
        .ok_or_else(|| Refusal(format!("there is no sample of the field {field}; give a value")))?;
    let envelope = payloads::envelope(&business.waba_id, time, vec![(field, value)]);
    Ok(Json(outcome(&[platform.post(&envelope).await], &[])))
}

#[derive(Deserialize)]
pub(super) struct Signature {
    signature: Option<String>,
}

/// `POST /control/raw`.
pub(super) async fn post_raw(
    State(platform): State<Arc<Platform>>,
    Query(query): Query<Signature>,
    body: Bytes,
) -> Answer {
    let reading = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Json(outcome(&[platform.post_bytes(body, query.signature, &reading).await], &[])))
}

/// `GET /control/faults`.
pub(super) async fn show_faults(State(platform): State<Arc<Platform>>) -> Json<FaultPlan> {
    Json(platform.faults.plan())
}

/// `PUT /control/faults`: replaces all of them.
pub(super) async fn set_faults(State(platform): State<Arc<Platform>>, body: Bytes) -> Result<Json<FaultPlan>, Refusal> {
    platform.faults.set(read(&body)?);
    Ok(Json(platform.faults.plan()))
}

/// `DELETE /control/faults`.
pub(super) async fn clear_faults(State(platform): State<Arc<Platform>>) -> StatusCode {
    platform.faults.set(FaultPlan::default());
    StatusCode::NO_CONTENT
}

/// How long to wait before the ledger is shown, and how much of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    messages: u64,
    webhooks: u64,
    wait_ms: Option<u64>,
    summary: bool,
}

/// `GET /control/ledger`: at once, or as soon as so many messages are accepted and so many webhooks delivered.
pub(super) async fn show_ledger(State(platform): State<Arc<Platform>>, Query(look): Query<Look>) -> Json<Value> {
    if look.messages > 0 || look.webhooks > 0 {
        let limit = Duration::from_millis(look.wait_ms.unwrap_or(10_000));
        tokio::select! {
            () = platform.stop.cancelled() => {}
            () = platform.ledger.wait(look.messages, look.webhooks, limit) => {}
        }
    }
    let mut page = platform.ledger.show(look.summary);
    let [throughput, pair] = platform.limits.refused();
    if let Some(page) = page.as_object_mut() {
        page.insert("too_fast".into(), json!({ "throughput": throughput, "pair": pair }));
    }
    Json(page)
}

/// `DELETE /control/ledger`.
pub(super) async fn clear_ledger(State(platform): State<Arc<Platform>>) -> StatusCode {
    platform.ledger.clear();
    StatusCode::NO_CONTENT
}
