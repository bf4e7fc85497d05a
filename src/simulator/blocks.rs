//! People whom the number blocks. When some of them cannot be blocked, the answer is an error and a result at once, as Meta's is.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::errors::{GraphError, GraphResult};
use super::paging::Listing;
use super::platform::Platform;
use super::templates::word;
use super::validation;

/// The most people of one list.
const MOST: usize = 64_000;

/// `GET /P/block_users`.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    listing: Listing,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let shown = |user: &Value| json!({"messaging_product": "whatsapp", "wa_id": user.get("wa_id"), "user_id": user.get("user_id")});
    let rows: Vec<Value> = platform.desk.state().blocked.iter().map(shown).collect();
    Ok(Json(platform.page(&rows, &listing)))
}

/// Those of the body: people, and who is none.
fn users(body: &Bytes) -> Result<(Vec<Value>, Vec<Value>), GraphError> {
    let form = validation::object(body)?;
    validation::product(&form)?;
    let listed = form.get("block_users").and_then(Value::as_array).filter(|users| !users.is_empty());
    let listed = listed.ok_or_else(|| GraphError::parameter("The parameter block_users is required."))?;
    let (mut people, mut others) = (Vec::new(), Vec::new());
    for entry in listed {
        let (number, user) = (word(entry, "user"), word(entry, "user_id"));
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        if !user.is_empty() {
            people.push(json!({"input": user, "user_id": user}));
        } else if (5..=20).contains(&digits.len()) {
            people.push(json!({"input": number, "wa_id": digits}));
        } else {
            let error = json!({"message": "User is not a WhatsApp user", "code": 139_101, "error_data": {"details": "Invalid user"}});
            others.push(json!({"input": number, "errors": [error]}));
        }
    }
    Ok((people, others))
}

/// `POST /P/block_users`.
pub(super) async fn block(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, GraphError> {
    platform.require_number("post", &id)?;
    let (people, others) = users(&body)?;
    let mut desk = platform.desk.state();
    if desk.blocked.len() + people.len() > MOST {
        return Err(GraphError::new(139_103, "Blocklist limit reached"));
    }
    desk.blocked.retain(|known| people.iter().all(|new| word(new, "input") != word(known, "input")));
    desk.blocked.extend(people.clone());
    let done = json!({"added_users": people, "failed_users": others});
    if others.is_empty() {
        return Ok(
            Json(json!({"messaging_product": "whatsapp", "block_users": {"added_users": people}})).into_response()
        );
    }
    let error = GraphError::new(139_100, "Failed to block some users");
    let answer = json!({"messaging_product": "whatsapp", "block_users": done, "error": error.inner()});
    Ok((StatusCode::BAD_REQUEST, Json(answer)).into_response())
}

/// `DELETE /P/block_users`.
pub(super) async fn unblock(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("delete", &id)?;
    let (people, _) = users(&body)?;
    platform.desk.state().blocked.retain(|known| people.iter().all(|gone| word(gone, "input") != word(known, "input")));
    Ok(Json(json!({"messaging_product": "whatsapp", "block_users": {"removed_users": people}})))
}
