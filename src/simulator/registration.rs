//! Registering the number: the code that proves whose it is, the PIN, on and off.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::validation::{self, text};

/// The one code that is right.
const CODE: &str = "123456";

impl Platform {
    /// Takes the PIN of `changes`, if there is one.
    pub(super) fn set_pin(&self, changes: &Map<String, Value>) -> Result<(), GraphError> {
        let Some(pin) = changes.get("pin") else { return Ok(()) };
        self.desk.state().pin = Some(six_digits(pin.as_str())?.to_owned());
        Ok(())
    }
}

fn six_digits(pin: Option<&str>) -> Result<&str, GraphError> {
    let right = pin.filter(|pin| pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit()));
    right.ok_or_else(|| GraphError::parameter("Param pin must be exactly 6 characters long."))
}

/// `POST /P/register`.
pub(super) async fn register(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = validation::object(&body)?;
    validation::product(&form)?;
    let pin = six_digits(text(&form, "pin"))?;
    let mut desk = platform.desk.state();
    if desk.pin.as_deref().is_some_and(|known| known != pin) {
        return Err(GraphError::new(133_005, "Two step verification PIN Mismatch"));
    }
    desk.pin = Some(pin.to_owned());
    desk.registered = true;
    Ok(Json(json!({"success": true})))
}

/// `POST /P/deregister`.
pub(super) async fn deregister(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let was = std::mem::replace(&mut platform.desk.state().registered, false);
    if was { Ok(Json(json!({"success": true}))) } else { Err(GraphError::new(133_010, "Phone number not registered")) }
}

/// `POST /P/request_code`, a form or JSON.
pub(super) async fn request_code(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = validation::form(&body)?;
    if !matches!(text(&form, "code_method"), Some("SMS" | "VOICE")) {
        return Err(GraphError::parameter("Param code_method must be one of {SMS, VOICE}."));
    }
    platform.desk.state().code_sent = true;
    Ok(Json(json!({"success": true})))
}

/// `POST /P/verify_code`.
pub(super) async fn verify_code(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let form = validation::form(&body)?;
    if !platform.desk.state().code_sent || text(&form, "code") != Some(CODE) {
        return Err(GraphError::new(136_025, "Code couldn't be verified"));
    }
    Ok(Json(json!({"success": true, "id": id})))
}
