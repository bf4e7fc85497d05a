//! Message templates: the shelf and its four calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::paging::{self, Listing};
use super::platform::Platform;
use super::validation::{self, text};
use super::{payloads, samples};
use crate::crypto::random;

/// All templates of the WABA, oldest first.
pub(super) struct TemplateShelf(Mutex<Vec<Value>>);

impl TemplateShelf {
    /// A shelf with a few approved templates, see [`samples::templates`].
    pub(super) fn seeded() -> Self {
        Self(Mutex::new(samples::templates()))
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The template with this id.
    pub(super) fn find(&self, id: &str) -> Option<Value> {
        self.rows().iter().find(|row| word(row, "id") == id).cloned()
    }

    /// Replaces what `changes` names. False when there is no such template.
    pub(super) fn edit(&self, id: &str, changes: &Map<String, Value>) -> bool {
        let mut rows = self.rows();
        let row = rows.iter_mut().find(|row| word(row, "id") == id).and_then(Value::as_object_mut);
        row.map(|row| row.extend(changes.clone())).is_some()
    }
}

/// The text under `key` of a template or a part of one; empty when there is none.
pub(super) fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Filters of the list.
#[derive(Debug, Deserialize)]
pub(super) struct Filters {
    name: Option<String>,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
    hsm_id: Option<String>,
    fields: Option<String>,
    summary: Option<String>,
}

/// `GET /W/message_templates`.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(filters): Query<Filters>,
    listing: Listing,
) -> GraphResult {
    platform.require_waba("get", &id)?;
    let is = |row: &Value, key: &str, wanted: &Option<String>| wanted.as_deref().is_none_or(|it| word(row, key) == it);
    let rows: Vec<Value> = platform
        .templates
        .rows()
        .iter()
        .filter(|row| filters.name.as_deref().is_none_or(|part| word(row, "name").contains(part)))
        .filter(|row| is(row, "language", &filters.language) && is(row, "status", &filters.status))
        .filter(|row| is(row, "category", &filters.category))
        .map(|row| paging::select(row, filters.fields.as_deref()))
        .collect();
    let mut shown = platform.page(&rows, &listing);
    if let (Some(_), Some(shown)) = (filters.summary, shown.as_object_mut()) {
        let all = platform.templates.rows().len();
        let counts = json!({"total_count": rows.len(), "message_template_count": all, "message_template_limit": 250, "are_translations_complete": false});
        shown.insert("summary".into(), counts);
    }
    Ok(Json(shown))
}

/// `POST /W/message_templates`: pending at first, approved one ladder gap later.
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> GraphResult {
    platform.require_waba("post", &id)?;
    let mut template = validation::object(&body)?;
    let name = text(&template, "name").unwrap_or_default().to_owned();
    let spelled = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if name.is_empty() || name.len() > 512 || !spelled {
        return Err(GraphError::parameter("Param name must be 1 to 512 characters of [a-z0-9_]."));
    }
    let category = text(&template, "category").unwrap_or_default().to_owned();
    if !["AUTHENTICATION", "MARKETING", "UTILITY"].contains(&category.as_str()) {
        return Err(GraphError::parameter("Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}."));
    }
    let language =
        text(&template, "language").ok_or_else(|| GraphError::parameter("The parameter language is required."))?;
    let mut rows = platform.templates.rows();
    if rows.iter().any(|row| word(row, "name") == name && word(row, "language") == language) {
        return Err(GraphError::parameter("Content in this language already exists").with_subcode(2_388_024));
    }
    let template_id = format!("66{:013}", u64::from_be_bytes(random::bytes()) % 10_000_000_000_000);
    template.insert("id".into(), template_id.as_str().into());
    template.insert("status".into(), "PENDING".into());
    template.entry("parameter_format").or_insert("POSITIONAL".into());
    rows.push(Value::Object(template));
    drop(rows);
    approve_later(&platform, template_id.clone());
    Ok(Json(json!({"id": template_id, "status": "PENDING", "category": category})))
}

fn approve_later(platform: &Arc<Platform>, id: String) {
    let settings = platform.settings();
    if !settings.approve_templates {
        return;
    }
    let platform = Arc::clone(platform);
    platform.clone().tasks.spawn(async move {
        let approved = Map::from_iter([("status".to_owned(), Value::from("APPROVED"))]);
        let waited = platform.pause(Duration::from_millis(settings.ladder.gap_ms)).await;
        if !waited || !platform.templates.edit(&id, &approved) {
            return;
        }
        let Some(row) = platform.templates.find(&id) else { return };
        let value = json!({
            "event": "APPROVED",
            "message_template_id": id.parse::<u64>().unwrap_or_default(),
            "message_template_name": row.get("name"),
            "message_template_language": row.get("language"),
            "message_template_category": row.get("category"),
            "reason": "NONE",
        });
        let change = ("message_template_status_update".to_owned(), value);
        platform.post(&payloads::envelope(&platform.business.waba_id, platform.seconds(), vec![change])).await;
    });
}

/// `DELETE /W/message_templates?name=[&hsm_id=]`: all languages of a name, or one.
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(filters): Query<Filters>,
) -> GraphResult {
    platform.require_waba("delete", &id)?;
    let name = filters.name.ok_or_else(|| GraphError::parameter("The parameter name is required."))?;
    let mut rows = platform.templates.rows();
    let before = rows.len();
    rows.retain(|row| {
        word(row, "name") != name || filters.hsm_id.as_deref().is_some_and(|hsm_id| word(row, "id") != hsm_id)
    });
    if rows.len() == before {
        return Err(GraphError::parameter("Message Template Not Found").with_subcode(2_593_002));
    }
    Ok(Json(json!({"success": true})))
}
