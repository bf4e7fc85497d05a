//! `GET /P/message_history`: what became of a message and of the webhooks about it. Metadata only.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::GraphResult;
use super::ledger::{Item, Posted};
use super::paging::Listing;
use super::platform::Platform;

/// Whether the history is of one message.
#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    message_id: Option<String>,
}

/// Lists messages with their delivery events. An event is there from its first POST to the callback on.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(filter): Query<Filter>,
    listing: Listing,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let wanted = filter.message_id.as_deref();
    let mut messages: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for posted in platform.ledger.webhooks_about(wanted) {
        for item in posted.items.iter().filter(|item| wanted.is_none_or(|wamid| item.wamid == wamid)) {
            if let Some(status) = &item.status {
                messages.entry(item.wamid.clone()).or_default().push(event(&posted, item, status));
            }
        }
    }
    let rows: Vec<Value> = messages
        .into_iter()
        .enumerate()
        .map(|(row, (wamid, events))| {
            json!({"id": format!("99{row:013}"), "message_id": wamid, "events": {"data": events}})
        })
        .collect();
    Ok(Json(platform.page(&rows, &listing)))
}

fn event(posted: &Posted, item: &Item, status: &str) -> Value {
    let mut event = json!({
        "id": format!("98{:013}", posted.seq),
        "delivery_status": status.to_uppercase(),
        "timestamp": item.timestamp,
        "webhook_update_state": posted.state,
        "application": {"id": "670843887433847"},
        "webhook_uri": posted.url,
    });
    let failure = posted.attempts.last().copied().filter(|status| *status != Some(200));
    if let (Some(fields), Some(failure)) = (event.as_object_mut(), failure) {
        let text = failure.map_or_else(|| "No response".to_owned(), |status| format!("HTTP status {status}"));
        fields.insert("error_description".into(), text.into());
    }
    event
}
