//! The app's subscription to the WABA, overrides of the callback URL, and the GET handshake that verifies a URL.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::validation;
use crate::crypto::random;

impl Platform {
    /// Asks `url` to repeat a challenge, as Meta does when a URL is saved. `Ok` when it did; else the status it gave.
    pub(super) async fn handshake(&self, url: &str, verify_token: &str) -> Result<(), Option<u16>> {
        let challenge = u32::from_be_bytes(random::bytes()).to_string();
        let mut target = reqwest::Url::parse(url).map_err(|_| None)?;
        target
            .query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.challenge", &challenge)
            .append_pair("hub.verify_token", verify_token);
        let response = self.client.get(target).send().await.map_err(|_| None)?;
        let status = response.status().as_u16();
        let repeated = response.bytes().await.is_ok_and(|body| body == challenge.as_bytes());
        if status == 200 && repeated { Ok(()) } else { Err(Some(status)) }
    }

    /// The override in `object`, verified. `Some("")` stands for "remove it", `None` for "not mentioned".
    async fn read_override(&self, object: &Map<String, Value>) -> Result<Option<String>, GraphError> {
        let Some(url) = object.get("override_callback_uri").and_then(Value::as_str) else {
            return Ok(None);
        };
        if url.chars().count() > 200 {
            return Err(GraphError::parameter("Param override_callback_uri must be at most 200 characters long."));
        }
        let token = object.get("verify_token").and_then(Value::as_str).unwrap_or_default();
        if !url.is_empty() && self.handshake(url, token).await.is_err() {
            return Err(GraphError::new(2200, "Callback verification failed: the URL did not repeat the challenge"));
        }
        Ok(Some(url.to_owned()))
    }

    /// Applies `webhook_configuration` of `POST /P`.
    pub(super) async fn override_number(&self, configuration: &Map<String, Value>) -> Result<(), GraphError> {
        if let Some(url) = self.read_override(configuration).await? {
            self.account.state().number_override = Some(url).filter(|url| !url.is_empty());
        }
        Ok(())
    }
}

/// `POST /W/subscribed_apps`. An empty body subscribes and removes the override.
pub(super) async fn subscribe(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    let object = if body.is_empty() { Map::new() } else { validation::object(&body)? };
    let url = platform.read_override(&object).await?.filter(|url| !url.is_empty());
    let mut state = platform.account.state();
    state.subscribed = true;
    state.waba_override = url;
    Ok(Json(json!({"success": true})))
}

/// `GET /W/subscribed_apps`.
pub(super) async fn list(State(platform): State<Arc<Platform>>, Path((_, id)): Path<(String, String)>) -> GraphResult {
    platform.require_waba("get", &id)?;
    let state = platform.account.state();
    if !state.subscribed {
        return Ok(Json(json!({"data": []})));
    }
    let mut app = json!({"whatsapp_business_api_data": {
        "id": "670843887433847",
        "link": "https://www.facebook.com/games/?app_id=670843887433847",
        "name": "Simulated App",
    }});
    if let (Some(fields), Some(url)) = (app.as_object_mut(), &state.waba_override) {
        fields.insert("override_callback_uri".into(), url.as_str().into());
    }
    Ok(Json(json!({"data": [app]})))
}

/// `DELETE /W/subscribed_apps`. No webhook is posted until the app subscribes again.
pub(super) async fn unsubscribe(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.require_waba("delete", &id)?;
    let mut state = platform.account.state();
    state.subscribed = false;
    state.waba_override = None;
    Ok(Json(json!({"success": true})))
}
