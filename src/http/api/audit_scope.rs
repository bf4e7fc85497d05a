//! `GET /v1/audit/scope`: how far a breach went. Docs: `docs/audit.md`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::PRUNED;
use super::page::{self, Page, ScopeCursor};
use super::problem::Problem;
use super::query::Params;
use crate::access::{Caller, Errand};
use crate::audit::{Action, ActionSum, Audit, ClassSum, Object, Sum};
use crate::ids::{ApiKeyId, AuditEntryId, ContactId, EndpointId};
use crate::store::audit_reach::SentRow;
use crate::store::audit_scope::Scope;

/// Word in the entry that asking leaves.
const DETAIL: &str = "scope";

/// What was reached.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditScope)]
pub(super) struct ScopeJson {
    /// All entries together. Null: there is none.
    all: Option<SumJson>,
    /// Those of each action.
    actions: Vec<ActionSumJson>,
    /// Those that showed or handed out data, by class.
    classes: Vec<ClassSumJson>,
    /// What endpoints were sent in that time, by whoever's doing: `actor_id` does not narrow it.
    endpoints: Vec<SentJson>,
}

/// The entries that showed a class of data.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditClassSum)]
struct ClassSumJson {
    /// `content`, `profile`, `media`, `consent`, `export`, `cases` (requests, erasures, holds, restrictions), `audit` or `backup`.
    class: &'static str,
    /// How many.
    entries: i64,
    /// How many people they are about, each counted once.
    contacts: i64,
}

/// What an endpoint was sent.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEndpointSum)]
struct SentJson {
    endpoint_id: EndpointId,
    /// How many events; one that was sent again counts again.
    events: i64,
}

/// Entries together.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditSum)]
struct SumJson {
    /// How many.
    entries: i64,
    /// How many people they are about, each counted once.
    contacts: i64,
    /// When the first was written.
    #[serde(with = "time::serde::rfc3339")]
    first_at: OffsetDateTime,
    /// When the last was written.
    #[serde(with = "time::serde::rfc3339")]
    last_at: OffsetDateTime,
}

/// The entries of an action together.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActionSum)]
struct ActionSumJson {
    /// Such as `messages.read`.
    action: String,
    #[serde(flatten)]
    sum: SumJson,
}

impl From<Sum> for SumJson {
    fn from(Sum { entries, contacts, first, last }: Sum) -> Self {
        Self { entries, contacts, first_at: first.made_at(), last_at: last.made_at() }
    }
}

/// Somebody whom the entries are about.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditScopeContact)]
pub(super) struct ReachedJson {
    /// The contact.
    id: ContactId,
}

impl From<ContactId> for ReachedJson {
    fn from(id: ContactId) -> Self {
        Self { id }
    }
}

fn scope(params: &mut Params) -> Scope {
    let lowest = |time: OffsetDateTime| AuditEntryId::lowest_of(time).uuid();
    Scope {
        actor: params.ids("actor_id", 1).and_then(|mut ids| ids.pop()),
        from: params.time("since").map_or(Uuid::nil(), lowest),
        until: params.time("until").map_or(Uuid::max(), lowest),
    }
}

/// What an API key, or everybody, reached in a time: how often, and how many people. For reports of a breach (GDPR Art. 33).
///
/// It counts what the log says: entries that were dropped with age are missing (`X-Audit-Pruned` as for the list), people who
/// were erased since are not counted any more, and a stolen database leaves no entry at all. Asking leaves an entry too.
#[utoipa::path(
    get, path = "/v1/audit/scope", tag = "Audit", operation_id = "show_audit_scope",
    params(
        ("actor_id" = Option<ApiKeyId>, Query, description = "Of this API key. The nil UUID: of operators and the gateway itself."),
        ("since" = Option<String>, Query, description = "At this time or later."),
        ("until" = Option<String>, Query, description = "Before this time."),
    ),
    responses((status = 200, description = "The sums.", body = ScopeJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(audit): State<Audit>,
    mut params: Params,
) -> Result<([(HeaderName, HeaderValue); 1], Json<ScopeJson>), Problem> {
    let scope = scope(&mut params);
    params.finish()?;
    who.require_unconfined()?;
    let (reached, endpoints) =
        tokio::try_join!(audit.scope(who.tenant, scope), audit.scope_endpoints(who.tenant, scope))?;
    let act = errand.act(&who, Action::AuditRead, Object::several("audit_entry")).with(&[DETAIL]);
    errand.keep(audit.record(act).await?);
    let one = |ActionSum { action, sum }| ActionSumJson { action, sum: sum.into() };
    let pruned = HeaderValue::from(audit.pruned(who.tenant).await?);
    let class =
        |sum: ClassSum| ClassSumJson { class: sum.class.as_str(), entries: sum.entries, contacts: sum.contacts };
    let sent = |row: SentRow| SentJson { endpoint_id: row.endpoint, events: row.events };
    let (all, actions) = (reached.all.map(SumJson::from), reached.actions.into_iter().map(one).collect());
    let classes = reached.classes.into_iter().map(class).collect();
    let endpoints = endpoints.into_iter().map(sent).collect();
    Ok(([(PRUNED, pruned)], Json(ScopeJson { all, actions, classes, endpoints })))
}

/// Whom those entries are about, each once.
#[utoipa::path(
    get, path = "/v1/audit/scope/contacts", tag = "Audit", operation_id = "list_audit_scope_contacts",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
        ("actor_id" = Option<ApiKeyId>, Query, description = "As for the sums."),
        ("since" = Option<String>, Query, description = "At this time or later."),
        ("until" = Option<String>, Query, description = "Before this time."),
    ),
    responses((status = 200, description = "A page of contacts, by their ids.", body = Page<ReachedJson>)),
)]
pub(super) async fn contacts(
    who: Caller,
    errand: Errand,
    State(audit): State<Audit>,
    mut params: Params,
) -> Result<Json<Page<ReachedJson>>, Problem> {
    let (cursor, limit) = (params.cursor::<ScopeCursor>(), params.limit());
    let scope = scope(&mut params);
    params.finish()?;
    who.require_unconfined()?;
    let after = cursor.map_or(Uuid::nil(), |cursor| cursor.0);
    let found = audit.scope_contacts(who.tenant, scope, after, page::one_more(limit)).await?;
    let act = errand.act(&who, Action::AuditRead, Object::several("audit_entry")).with(&[DETAIL]);
    errand.keep(audit.record(act.times(found.len().min(limit))).await?);
    Ok(Json(page::of_rows(found, limit, |last| ScopeCursor(last.uuid()))))
}
