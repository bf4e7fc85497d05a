//! `GET /v1/audit`, its checkpoint, proofs and tiles. Docs: `docs/audit.md`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{self, AuditCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Audit, Entry, Logged, Object, Which};
use crate::ids::{ApiKeyId, AuditEntryId, ChannelId, ContactId};
use crate::store::audit_reads::AuditFilter;

/// Actions of one filter.
const MOST_ACTIONS: usize = 32;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// The key that verifies the checkpoint.
const VERIFIER_KEY: HeaderName = HeaderName::from_static("x-audit-key");
/// Below which index entries may have been dropped with age.
pub(super) const PRUNED: HeaderName = HeaderName::from_static("x-audit-pruned");

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditEntryJson {
    id: AuditEntryId,
    /// Place in the tree; null: not there yet.
    index: Option<u64>,
    /// The entry's canonical bytes in base64, to which the tree commits.
    entry: String,
    /// What hides the entry in its leaf, in base64.
    salt: String,
    /// True: the stored row was changed; what it says is not shown.
    damaged: bool,
    /// What the bytes say.
    said: Option<SaidJson>,
}

/// What an entry says.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditStatement)]
struct SaidJson {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// `key`, `operator` or `gateway`.
    actor: &'static str,
    /// The API key, when it was one.
    actor_id: Option<ApiKeyId>,
    /// Such as `contacts.read`.
    action: String,
    /// `allowed` or `refused`.
    decision: &'static str,
    /// What sort of thing, such as `contact`.
    object: String,
    /// Which one, when it was one.
    object_id: Option<Uuid>,
    /// The channel, when it was but one.
    channel_id: Option<ChannelId>,
    /// `application` or `operation`.
    purpose: String,
    /// A reason code, where one is asked for.
    reason: Option<String>,
    /// The request, as `X-Request-Id` named it.
    request_id: Option<String>,
    /// Members that were changed, or the permission that was missing.
    details: Vec<String>,
    /// How many things.
    count: u32,
    /// How many contacts it is about.
    subjects: u32,
    /// What ties it to them, in base64; says nothing once their keys are gone.
    subjects_commitment: String,
}

fn some(id: Uuid) -> Option<Uuid> {
    Some(id).filter(|id| !id.is_nil())
}

fn told(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

impl From<Entry> for SaidJson {
    fn from(entry: Entry) -> Self {
        let act = entry.act;
        Self {
            at: entry.at,
            actor: act.actor.kind.as_str(),
            actor_id: some(act.actor.id).map(ApiKeyId::from_uuid),
            action: act.action.into_owned(),
            decision: act.decision.as_str(),
            object: act.object.class.into_owned(),
            object_id: some(act.object.id),
            channel_id: some(act.channel).map(ChannelId::from_uuid),
            purpose: act.purpose.into_owned(),
            reason: told(&act.reason),
            request_id: told(&act.request),
            details: act.details.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            count: act.count,
            subjects: entry.subjects.count,
            subjects_commitment: BASE64.encode(&entry.subjects.commitment),
        }
    }
}

impl From<Logged> for AuditEntryJson {
    fn from(logged: Logged) -> Self {
        Self {
            id: logged.id,
            index: logged.index,
            entry: BASE64.encode(&logged.bytes),
            salt: BASE64.encode(&logged.salt),
            damaged: logged.entry.is_none(),
            said: logged.entry.map(SaidJson::from),
        }
    }
}

/// The log's entries, newest first. Reading them leaves an entry too.
///
/// `X-Audit-Pruned` says below which index entries may have been dropped with age, so that none of them is in the list.
#[utoipa::path(
    get, path = "/v1/audit", tag = "Audit", operation_id = "list_audit_entries",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
        ("actor_id" = Option<ApiKeyId>, Query, description = "Of this API key."),
        ("action" = Option<String>, Query, description = "Actions such as `contacts.read`, separated by commas."),
        ("contact_id" = Option<ContactId>, Query, description = "About this person."),
        ("since" = Option<String>, Query, description = "At this time or later."),
        ("until" = Option<String>, Query, description = "Before this time."),
    ),
    responses((status = 200, description = "A page of entries.", body = Page<AuditEntryJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(audit): State<Audit>,
    mut params: Params,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Page<AuditEntryJson>>), Problem> {
    let (cursor, limit) = (params.cursor::<AuditCursor>().map(|cursor| cursor.0), params.limit());
    let contact = params.ids("contact_id", 1).and_then(|mut ids| ids.pop());
    let mut filter = AuditFilter {
        actor: params.ids("actor_id", 1).and_then(|mut ids| ids.pop()),
        actions: actions(&mut params),
        contacts: None,
        from: params.time("since").map(|since| AuditEntryId::lowest_of(since).uuid()),
    };
    let until = params.time("until").map(|until| AuditEntryId::lowest_of(until).uuid());
    params.finish()?;
    who.require_unconfined()?;
    if let Some(contact) = contact {
        filter.contacts = Some(audit.same_person(who.tenant, ContactId::from_uuid(contact)).await?);
    }
    let before = cursor.into_iter().chain(until).min();
    let found = audit.entries(who.tenant, before, &filter, page::one_more(limit)).await?;
    let act = errand.act(&who, Action::AuditRead, Object::several("audit_entry")).times(found.len().min(limit));
    errand.keep(audit.record_about(act, contact.into_iter().collect()).await?);
    let pruned = HeaderValue::from(audit.pruned(who.tenant).await?);
    Ok(([(PRUNED, pruned)], Json(page::of_rows(found, limit, |last| AuditCursor(last.id.uuid())))))
}

fn actions(params: &mut Params) -> Option<Vec<String>> {
    let text = params.take("action")?;
    let actions: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    let are_known = actions.iter().all(|word| Action::ALL.iter().any(|action| action.as_str() == word));
    if !are_known || actions.len() > MOST_ACTIONS {
        params.fault(
            "action",
            "choice",
            Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", "),
        );
    }
    Some(actions)
}

/// The newest checkpoint: length and root of the tree, signed (C2SP tlog-checkpoint).
///
/// `X-Audit-Key` is the key that verifies it, for those who have not kept it from elsewhere.
#[utoipa::path(
    get, path = "/v1/audit/checkpoint", tag = "Audit", operation_id = "show_audit_checkpoint",
    responses(
        (status = 200, description = "A signed note.", body = String, content_type = "text/plain"),
        (status = 404, description = "Nothing was logged yet."),
    ),
)]
pub(super) async fn checkpoint(who: Caller, State(audit): State<Audit>, params: Params) -> Result<Response, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let note = audit.checkpoint(who.tenant).await?.ok_or(Problem::new(Code::NotFound))?;
    let mut response = ([(CONTENT_TYPE, TEXT)], note).into_response();
    let key = audit.verifier_key(who.tenant).await.ok().and_then(|key| HeaderValue::from_str(&key).ok());
    key.and_then(|key| response.headers_mut().insert(VERIFIER_KEY, key));
    Ok(response)
}

/// The proof that an entry is in the log (C2SP tlog-proof), by its index, or by the id that `X-Audit-Index` gave.
///
/// `extra` holds the entry's salt and bytes, so that the proof verifies offline and alone. Of an entry that was dropped with age
/// the proof comes without it and with `X-Audit-Pruned`: it proves the entry to whoever kept it.
#[utoipa::path(
    get, path = "/v1/audit/proof/{id}", tag = "Audit", operation_id = "show_audit_proof",
    params(("id" = String, Path, description = "An index, or an entry's id.")),
    responses(
        (status = 200, description = "A proof.", body = String, content_type = "text/plain"),
        (status = 409, description = "`not_in_tree`"),
    ),
)]
pub(super) async fn proof(
    who: Caller,
    State(audit): State<Audit>,
    Path(which): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let by_id = || which.parse().ok().map(Which::Id);
    let which = which.parse().ok().map(Which::Index).or_else(by_id).ok_or(Problem::new(Code::NotFound))?;
    let proof = audit.proof(who.tenant, which).await?;
    let mut response = ([(CONTENT_TYPE, TEXT)], proof.to_string()).into_response();
    if proof.extra.is_none() {
        response.headers_mut().insert(PRUNED, audit.pruned(who.tenant).await?.into());
    }
    Ok(response)
}

/// A tile of the tree, or `entries/…`, a bundle of what is hashed into its leaves (C2SP tlog-tiles).
///
/// Full ones never change. A bundle holds salted commitments, which say nothing without the entry and its salt.
#[utoipa::path(
    get, path = "/v1/audit/tile/{*path}", tag = "Audit", operation_id = "show_audit_tile",
    params(("path" = String, Path, description = "Such as `0/x001/067` or `entries/000.p/7`.")),
    responses((status = 200, description = "Hashes.", body = Vec<u8>, content_type = "application/octet-stream")),
)]
pub(super) async fn tile(
    who: Caller,
    State(audit): State<Audit>,
    Path(path): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let bytes = audit.tile(who.tenant, &path).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(([(CONTENT_TYPE, BYTES)], bytes).into_response())
}
