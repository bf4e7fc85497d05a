//! `/v1/templates`: the templates of Meta's accounts, as they were listed last.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{Cursor, Page, one_more};
use super::problem::Problem;
use super::query::Params;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::directory::{Directory, Template};
use crate::store::Store;
use crate::store::polls::Kind;
use crate::store::templates::TemplateFilter;

/// In the list of templates, by Meta's id.
pub(super) struct TemplateCursor(String);

impl Cursor for TemplateCursor {
    const LIST: u8 = b't';

    fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).map(Self)
    }
}

/// A template.
#[derive(Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct TemplateJson {
    /// Meta's id.
    id: String,
    /// Meta's id of the account.
    waba_id: String,
    name: String,
    language: String,
    /// Meta's word: `MARKETING`, `UTILITY` or `AUTHENTICATION`.
    category: String,
    /// Meta's word: `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`, `DISABLED`, …
    status: String,
    /// Meta's word: `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    quality: Option<String>,
    /// `NAMED` or `POSITIONAL`.
    parameter_format: &'static str,
    /// As Meta lists them.
    #[schema(value_type = Vec<Object>)]
    components: Value,
    /// When Meta was asked.
    #[serde(with = "time::serde::rfc3339")]
    synced_at: OffsetDateTime,
}

impl From<Template> for TemplateJson {
    fn from(template: Template) -> Self {
        Self {
            id: template.id,
            waba_id: template.account.as_str().to_owned(),
            name: template.name,
            language: template.language,
            category: template.category,
            status: template.status,
            quality: template.quality,
            parameter_format: if template.named { "NAMED" } else { "POSITIONAL" },
            components: template.components,
            synced_at: template.synced_at,
        }
    }
}

/// The accounts of the channels that the caller may use. `None`: all.
fn accounts(who: &Caller, directory: &Directory) -> Option<Vec<String>> {
    let snapshot = directory.snapshot();
    let channels = snapshot.channels_of(who.tenant).into_iter().filter(|channel| who.may_use(channel.id));
    who.require_unconfined().is_err().then(|| channels.map(|one| one.waba_id.as_str().to_owned()).collect())
}

/// The templates of Meta's accounts, in the order of their ids.
///
/// They are read every few hours, and at once when Meta says that one changed. What a message gives to its template is compared with
/// them before Meta is asked.
#[utoipa::path(
    get, path = "/v1/templates", tag = "Templates", operation_id = "list_templates",
    params(
        ("waba_id" = Option<String>, Query, description = "Of this account."),
        ("name" = Option<String>, Query, description = "Of this name, in all languages."),
        ("language" = Option<String>, Query, description = "In this language, such as `en_US`."),
        ("status" = Option<String>, Query, description = "In this state, in Meta's word."),
        ("category" = Option<String>, Query, description = "Of this category, in Meta's word."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of templates.", body = Page<TemplateJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    mut params: Params,
) -> Result<Json<Page<TemplateJson>>, Problem> {
    let (after, limit) = (params.cursor::<TemplateCursor>(), params.limit());
    let [waba, name, language, status, category] =
        ["waba_id", "name", "language", "status", "category"].map(|word| params.word(word));
    params.finish()?;
    let seen = accounts(&who, &directory);
    let accounts = match (waba, seen) {
        (Some(waba), Some(seen)) => Some(seen.into_iter().filter(|one| *one == waba).collect::<Vec<_>>()),
        (Some(waba), None) => Some(vec![waba]),
        (None, seen) => seen,
    };
    let filter = TemplateFilter {
        accounts: accounts.as_deref(),
        name: name.as_deref(),
        language: language.as_deref(),
        status: status.as_deref(),
        category: category.as_deref(),
    };
    let after = after.map_or_else(String::new, |after| after.0);
    let mut found = directory.page_of_templates(who.tenant, &filter, &after, one_more(limit)).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| TemplateCursor(last.id.clone()).to_text());
    Ok(Json(Page { data: found.into_iter().map(TemplateJson::from).collect(), next_cursor, has_more }))
}

/// Has the templates read anew, within seconds.
#[utoipa::path(
    post, path = "/v1/templates/sync", tag = "Templates", operation_id = "sync_templates",
    responses((status = 202, description = "Meta will be asked.")),
)]
pub(super) async fn sync(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    State(store): State<Store>,
    State(clock): State<SharedClock>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    trail.leave(&who, Action::TemplatesSynced, "template", Uuid::nil()).await?;
    let channels = directory.snapshot();
    let channels = channels.channels_of(who.tenant).into_iter().filter(|channel| who.may_use(channel.id));
    let owners: Vec<String> = channels.map(|channel| channel.waba_id.as_str().to_owned()).collect();
    let now = clock.now();
    store.hasten_polls(who.tenant, Kind::Templates, &owners, (now, now)).await?;
    Ok(StatusCode::ACCEPTED)
}
