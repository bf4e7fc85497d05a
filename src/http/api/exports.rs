//! `/v1/privacy/exports`: what is known of a person, in one archive that is encrypted for them.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::body::{self, Faults};
use super::export_form::{NewExport, NewExportLink, Opening};
use super::file_answer::serve_archive;
use super::media_links::{answer_for, end_of_link};
use super::named::Whom;
use super::page::{self, ExportCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::exports::{ArchiveState, ArchiveView};
use crate::access::{Caller, Errand};
use crate::http::state::AppState;
use crate::ids::{ApiKeyId, ContactId, ExportId, TenantId};
use crate::privacy::Privacy;
use crate::store::exports::ExportRow;
use crate::store::privacy_deeds::Deed;

/// How long a link is good for when nothing is said, in seconds.
const USUAL: u32 = 86_400;

/// An export, and how far it has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Export)]
pub(super) struct ExportJson {
    id: ExportId,
    contact_id: ContactId,
    /// `requested`, `building`, `ready`, `removed`, or `failed`: it cannot be made.
    state: String,
    /// `recipient` (a public key that was named), `new_key` (one that was made for it) or `passphrase` (one that was made for it).
    sealed_for: String,
    /// Messages and other events there are.
    messages: i64,
    /// Those that are written.
    messages_done: i64,
    /// Files there are.
    files: i64,
    /// Those that are written.
    files_done: i64,
    /// Of the archive.
    bytes: Option<i64>,
    /// The key that asked for it; null: an operator.
    requested_by: Option<ApiKeyId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ready_at: Option<OffsetDateTime>,
    /// When the archive is removed.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

impl From<ExportRow> for ExportJson {
    fn from(row: ExportRow) -> Self {
        Self {
            id: ExportId::from_uuid(row.export_id),
            contact_id: ContactId::from_uuid(row.contact_id),
            state: row.state,
            sealed_for: row.sealed_for,
            messages: row.messages,
            messages_done: row.messages_done,
            files: row.files,
            files_done: row.files_done,
            bytes: row.bytes,
            requested_by: (!row.actor_id.is_nil()).then(|| ApiKeyId::from_uuid(row.actor_id)),
            created_at: row.created_at,
            ready_at: row.ready_at,
            expires_at: row.expires_at,
        }
    }
}

/// What an export was begun with.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportBegun)]
pub(super) struct BegunJson {
    id: ExportId,
    /// What opens the archive, `AGE-SECRET-KEY-1…`: shown this once and kept nowhere; null where a recipient was named, or a passphrase opens it. Give it
    /// to the person by another way than the archive.
    #[serde(serialize_with = "shown_once")]
    #[schema(value_type = Option<String>)]
    identity: Option<Zeroizing<String>>,
    /// The same, where a passphrase was asked for: seven groups of four letters, with what stands between them.
    #[serde(serialize_with = "shown_once")]
    #[schema(value_type = Option<String>)]
    passphrase: Option<Zeroizing<String>>,
}

#[expect(clippy::ref_option, reason = "serde hands a member over so")]
fn shown_once<S: Serializer>(identity: &Option<Zeroizing<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    identity.as_ref().map(|identity| identity.as_str()).serialize(serializer)
}

/// A link to an archive.
#[derive(Serialize, ToSchema)]
pub(super) struct ExportLink {
    /// Path and query, on the listener that gave it out. Whoever has it gets the archive, which is encrypted.
    path: String,
    /// When it is over.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// Has everything that is known of a person written into one archive that is encrypted for them: what was said, files, what they are
/// called, what they agreed to, who receives it, how long it is kept, and who looked at it; as JSON and as a page to read.
///
/// The archive is a zip file inside of an age file (`age --decrypt -i key.txt`; without `-i` for a passphrase). It is removed after `privacy.export_days`, and with the person. Of
/// somebody whose data are held it is made for keys with `held:read` alone.
#[utoipa::path(
    post, path = "/v1/privacy/exports", tag = "Privacy", operation_id = "export_person",
    request_body = NewExport,
    responses(
        (status = 202, description = "It has begun.", body = BegunJson),
        (status = 404, description = "`not_found`: nobody is known by that name."),
        (status = 409, description = "`identity_changed` · `no_place_for_files` · `request_not_changed`: that request is not open, asks for something else, or is about somebody else."),
    ),
)]
pub(super) async fn create(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    params: Params,
    body::Json(new): body::Json<NewExport>,
) -> Result<(StatusCode, Json<BegunJson>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let mut faults = Faults::default();
    let whom = Whom::of((new.contact_id, new.phone, new.user_id, new.username), new.request_id, &mut faults);
    let by_passphrase = new.protect.is_some_and(|protect| protect.0);
    if by_passphrase && new.recipient.is_some() {
        faults.note("/protect", "exclusive", "recipient, or protect: passphrase").unwrap_or(());
    }
    faults.refuse()?;
    let privacy = &state.privacy;
    let named = whom.ok_or(Problem::new(Code::Internal))?.named(privacy, who.tenant).await?;
    let (contact, everyone) = privacy.person(who.tenant, &named).await?;
    privacy.may_export(who.tenant, &everyone, new.identity_confirmed == Some(true)).await?;
    if let Some(request) = new.request_id {
        privacy.may_be_for(who.tenant, request, Deed::Export, &everyone).await?;
    }
    let id = privacy.new_export();
    state.door.admit_export(&who, &errand, id, &everyone).await?;
    let Opening { sealed_for, identity, passphrase } = Opening::of(new.recipient, by_passphrase).await?;
    let asked = (&sealed_for, new.request_id);
    privacy.export((who.tenant, id, who.key.uuid()), (contact, &everyone), asked).await?;
    Ok((StatusCode::ACCEPTED, Json(BegunJson { id, identity, passphrase })))
}

/// Exports, newest first.
#[utoipa::path(
    get, path = "/v1/privacy/exports", tag = "Privacy", operation_id = "list_exports",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of exports.", body = Page<ExportJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(privacy): State<Privacy>,
    mut params: Params,
) -> Result<Json<Page<ExportJson>>, Problem> {
    let (before, limit) = (params.cursor::<ExportCursor>(), params.limit());
    params.finish()?;
    who.require_unconfined()?;
    let rows = privacy.exports(who.tenant, before.map(|at| at.0), page::one_more(limit)).await?;
    Ok(Json(page::of_rows(rows, limit, |row: &ExportRow| ExportCursor(row.export_id))))
}

/// One export: how far it has come.
#[utoipa::path(
    get, path = "/v1/privacy/exports/{id}", tag = "Privacy", operation_id = "show_export",
    params(("id" = ExportId, Path, description = "The export.")),
    responses((status = 200, description = "The export.", body = ExportJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(privacy): State<Privacy>,
    Target(id): Target<ExportId>,
    params: Params,
) -> Result<Json<ExportJson>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let row = privacy.find_export(who.tenant, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(Json(row.into()))
}

/// The archive, whole or one range of its bytes.
#[utoipa::path(
    get, path = "/v1/privacy/exports/{id}/archive", tag = "Privacy", operation_id = "read_export",
    params(
        ("id" = ExportId, Path, description = "The export."),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
    ),
    responses(
        (status = 200, description = "The archive.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "`export_waiting`"),
        (status = 410, description = "`export_gone`"),
        (status = 416, description = "`range_not_satisfiable`"),
    ),
)]
pub(super) async fn archive(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Target(id): Target<ExportId>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let view = state.door.archive(&who, &errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    answer(&who, &state, &view, (&headers, false)).await
}

async fn answer(
    who: &Caller,
    state: &AppState,
    view: &ArchiveView,
    (headers, by_link): (&HeaderMap, bool),
) -> Result<Response, Problem> {
    match &view.state {
        ArchiveState::Waiting => Err(Problem::new(Code::ExportWaiting)),
        ArchiveState::Gone => Err(Problem::new(Code::ExportGone)),
        ArchiveState::There(key) => {
            let at_end = by_link.then(|| fetched(state.privacy.clone(), who.tenant, view.id));
            serve_archive(state, (who.tenant, view.id, view.contact), &key.dek, (headers, at_end)).await
        }
    }
}

/// What becomes of a request for a copy when the end of the archive is about to go. Where it cannot be noted, a person ends it.
fn fetched(privacy: Privacy, tenant: TenantId, id: ExportId) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if let Err(error) = privacy.fetched(tenant, id).await {
            tracing::warn!(export = %id, %error, "an export was fetched, and its request could not be ended");
        }
    })
}

/// Makes a link to an archive that is good for a while and needs no key: for the person, or a browser.
///
/// It is bound to the archive, to its end and to the key that made it, and over when that key is revoked, locked or may no longer
/// export. Each use is an entry in the audit log. What it leads to is encrypted all the same. A request for a copy that the export was made for
/// is done when the archive was fetched by a link to its end: give links to the person alone.
#[utoipa::path(
    post, path = "/v1/privacy/exports/{id}/link", tag = "Privacy", operation_id = "link_export",
    params(("id" = ExportId, Path, description = "The export.")),
    request_body = NewExportLink,
    responses((status = 201, description = "The link.", body = ExportLink)),
)]
pub(super) async fn link(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Target(id): Target<ExportId>,
    params: Params,
    body::Json(new): body::Json<NewExportLink>,
) -> Result<(StatusCode, Json<ExportLink>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let seconds = new.expires_in_seconds.map_or(USUAL, |seconds| seconds.0);
    let until = end_of_link(state.clock.now(), seconds);
    let token = state.door.link_archive(&who, &errand, id, until).await?.ok_or(Problem::new(Code::NotFound))?;
    let path = format!("/v1/privacy/export-links?token={token}");
    Ok((StatusCode::CREATED, Json(ExportLink { path, expires_at: until })))
}

/// The archive behind a link. Needs no key.
///
/// A link that is over, was never given out or was changed is 404 `link_over`; which of them is not told.
#[utoipa::path(
    get, path = "/v1/privacy/export-links", tag = "Privacy", operation_id = "follow_export_link",
    params(
        ("token" = String, Query, description = "As the link has it."),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
    ),
    responses(
        (status = 200, description = "The archive.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 403, description = "`contact_held`, or `forbidden`: the key that made the link may no longer read this."),
        (status = 404, description = "`link_over`"),
        (status = 409, description = "`export_waiting`"),
        (status = 410, description = "`export_gone`"),
        (status = 416, description = "`range_not_satisfiable`"),
        (status = 429, description = "`read_budget_exceeded`: the key that made the link is locked."),
    ),
)]
pub(super) async fn follow(
    errand: Errand,
    State(state): State<AppState>,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let over = || Problem::new(Code::LinkOver);
    let token = params.take("token").ok_or_else(over)?;
    let from = state.proxies.origin(request.extensions(), request.headers());
    let (who, id) = state.door.follow_archive_link(&token, from).await?.ok_or_else(over)?;
    errand.touch(&["link".to_owned()]);
    let view = state.door.archive(&who, &errand, id).await?.ok_or_else(over)?;
    Ok(answer_for(&who, answer(&who, &state, &view, (request.headers(), true)).await))
}
