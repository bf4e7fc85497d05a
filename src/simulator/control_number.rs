//! `PUT /control/number`: what Meta says of the number and of the token from now on.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::control::{Answer, read};
use super::platform::Platform;

/// What is laid over, key by key.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Change {
    /// The number, as `GET /P` shows it.
    number: Map<String, Value>,
    /// The token, as `debug_token` shows it.
    token: Map<String, Value>,
}

/// Lays it over what is there.
pub(super) async fn change(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let Change { number, token } = read(&body)?;
    let mut state = platform.account.state();
    state.number.extend(number);
    state.token.extend(token);
    Ok(Json(json!({ "number": state.number, "token": state.token })))
}
