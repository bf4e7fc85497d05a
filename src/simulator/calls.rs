//! Calls: taken and answered, and never rung.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;

use super::errors::{GraphError, GraphResult};
use super::platform::Platform;
use super::validation::{self, text};
use crate::crypto::random;

/// `POST /P/calls`.
pub(super) async fn act(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let call = validation::object(&body)?;
    validation::product(&call)?;
    match text(&call, "action") {
        Some("connect") => {
            text(&call, "to").or(text(&call, "recipient")).ok_or_else(|| GraphError::missing("to"))?;
            let id = format!("wacid.{}", BASE64.encode(&random::bytes::<20>()));
            Ok(Json(json!({"messaging_product": "whatsapp", "calls": [{"id": id}]})))
        }
        Some("pre_accept" | "accept" | "reject" | "terminate") => {
            text(&call, "call_id").ok_or_else(|| GraphError::missing("call_id"))?;
            Ok(Json(json!({"messaging_product": "whatsapp", "success": true})))
        }
        _ => {
            Err(GraphError::parameter("Param action must be one of {connect, pre_accept, accept, reject, terminate}."))
        }
    }
}

/// Whom a permission is asked about.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    user_wa_id: Option<String>,
    recipient: Option<String>,
}

/// `GET /P/call_permissions`.
pub(super) async fn permissions(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(about): Query<About>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    about
        .user_wa_id
        .or(about.recipient)
        .ok_or_else(|| GraphError::parameter("The parameter user_wa_id is required."))?;
    let limit = json!({"time_period": "PT24H", "max_allowed": 1, "current_usage": 0});
    let action = json!({"action_name": "send_call_permission_request", "can_perform_action": true, "limits": [limit]});
    Ok(Json(json!({
        "messaging_product": "whatsapp",
        "permission": {"status": "no_permission"},
        "actions": [action],
    })))
}
