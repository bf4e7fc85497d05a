//! `/v1/privacy/erasures`: people who are forgotten, and the proof of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, Field, request};
use super::fields::{ReferenceText, value};
use super::named::{PhoneText, UserIdText, UsernameText, only_one};
use super::page::{self, ErasureCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Audit, Object, Which};
use crate::ids::{AuditEntryId, ContactId, EndpointId, ErasureId, PrivacyRequestId};
use crate::privacy::{Asked, Basis, Identity, IdentityMethod, Privacy, Progress};
use crate::store::erasures::ErasureRow;

/// Why: `request` (the person asked for it), `consent_withdrawn`, `objection`, `not_needed`, `unlawful` or `legal_duty`.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(request|consent_withdrawn|objection|not_needed|unlawful|legal_duty)$")]
pub(super) struct BasisText(Basis);

impl Field for BasisText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "request, consent_withdrawn, objection, not_needed, unlawful or legal_duty";
        Basis::parse(&text).map(Self).or_else(|| faults.note(at, "choice", expected))
    }
}

/// When copies of the keys lose their worth: `now`, or with the `next_step` of the epoch, which is taken once a day.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(now|next_step)$")]
pub(super) struct WhenText(bool);

impl Field for WhenText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        match text.as_str() {
            "now" => Some(Self(true)),
            "next_step" => Some(Self(false)),
            _ => faults.note(at, "choice", "now or next_step"),
        }
    }
}

/// How the person was known to be who they said: `chat` (they asked in the chat itself), `login` (logged in to an account of yours),
/// `callback` (at a number or address that was known before), `document`, `in_person` or `known` (somebody knows them).
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(chat|login|callback|document|in_person|known)$")]
pub(super) struct MethodText(IdentityMethod);

impl Field for MethodText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "chat, login, callback, document, in_person or known";
        IdentityMethod::parse(&text).map(Self).or_else(|| faults.note(at, "choice", expected))
    }
}

request! {
    /// Whom to forget: by one of `contact_id`, `phone`, `user_id` and `username`.
    NewErasure {
        /// By our own id.
        contact_id: Option<ContactId>,
        /// By a number.
        phone: Option<PhoneText>,
        /// By Meta's id.
        user_id: Option<UserIdText>,
        /// By the handle.
        username: Option<UsernameText>,
        /// Why; `request` when absent.
        basis: Option<BasisText>,
        /// Of the case.
        reference: Option<ReferenceText>,
        /// `now` when absent.
        when: Option<WhenText>,
        /// The request that it is made for (`/v1/privacy/requests`): it ends with the certificate.
        request_id: Option<PrivacyRequestId>,
        /// How you know that they are who they say. Method and day stand in the certificate, and that nobody said where it is absent.
        identity: Option<MethodText>,
        /// What that rests on, with `identity` alone. Sealed, in no certificate, and gone with it.
        identity_note: Option<ReferenceText>,
        /// True: counts, and does nothing.
        dry_run: Option<bool>,
    }
}

/// What would go.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasureDryRun)]
pub(super) struct DryRunJson {
    dry_run: bool,
    /// How many rows of each table.
    removed: BTreeMap<String, i64>,
    /// True: somebody holds the data, and an erasure would wait for that.
    held: bool,
}

/// How the person was known to be who they said.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasureIdentity)]
pub(super) struct IdentityJson {
    method: String,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
    /// What it rests on; gone with the certificate.
    note: Option<String>,
}

/// Whether an endpoint was told.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasureReceipt)]
pub(super) struct ReceiptJson {
    endpoint_id: EndpointId,
    /// `pending`; `acknowledged`: it answered `contact.erased` with 2xx; `dead`: it was given up; `removed`: there is no such endpoint any
    /// more. Not told, though it may know the person from before: `cannot_be_told`: Meta's format has no form for it; `disabled`: it is
    /// turned off; `other_channels`: its filter names no channel in which the person was met.
    state: String,
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
}

/// An erasure, and how far it has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct ErasureJson {
    id: ErasureId,
    /// `received`, `identity_checked`, `held` (somebody holds the data), `fenced` (nothing is stored about the person any more),
    /// `keys_destroyed`, `rows_removed`, `epoch_stepped`, `downstream_done` or `certified`.
    state: String,
    /// By what the person was named.
    named_by: String,
    basis: String,
    /// Of the case.
    reference: Option<String>,
    /// Shown with each erasure alone; null: nobody said.
    identity: Option<IdentityJson>,
    /// Of what the person was named by, under the salt that the answer to the request had.
    commitment: String,
    /// How many rows of each table went.
    removed: BTreeMap<String, i64>,
    /// How many keys were destroyed.
    keys_destroyed: usize,
    /// Who has to be told.
    endpoints: Vec<ReceiptJson>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    fenced_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    keys_destroyed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    rows_removed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    epoch_stepped_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    certified_at: Option<OffsetDateTime>,
}

impl From<Progress> for ErasureJson {
    fn from(Progress { row, counts, receipts }: Progress) -> Self {
        let receipts = receipts.into_iter().map(|one| ReceiptJson {
            endpoint_id: EndpointId::from_uuid(one.endpoint_id),
            state: one.state,
            settled_at: one.settled_at,
        });
        Self { removed: counts.into_iter().collect(), endpoints: receipts.collect(), ..row.into() }
    }
}

impl From<ErasureRow> for ErasureJson {
    fn from(row: ErasureRow) -> Self {
        Self {
            id: ErasureId::from_uuid(row.erasure_id),
            state: row.state,
            named_by: row.asked_by,
            basis: row.basis,
            reference: None,
            identity: None,
            commitment: data_encoding::HEXLOWER.encode(&row.commitment),
            removed: BTreeMap::new(),
            keys_destroyed: row.key_checks.len() / 32,
            endpoints: Vec::new(),
            created_at: row.created_at,
            fenced_at: row.fenced_at,
            keys_destroyed_at: row.keys_destroyed_at,
            rows_removed_at: row.rows_removed_at,
            epoch_stepped_at: row.epoch_stepped_at,
            certified_at: row.certified_at,
        }
    }
}

/// What an erasure was begun with.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasureBegun)]
pub(super) struct BegunJson {
    id: ErasureId,
    /// Shown this once and kept nowhere: with it, and with nothing else, somebody can show whom the certificate is about.
    subject_salt: String,
}

/// Has a person forgotten, with everything that is stored about them. It cannot be undone.
///
/// From the moment that it is `fenced` nothing is stored about the person; whoever writes again is somebody new. Data that are held stay
/// until they are not, and the erasure waits for that.
#[utoipa::path(
    post, path = "/v1/privacy/erasures", tag = "Privacy", operation_id = "erase_person",
    request_body = NewErasure,
    responses(
        (status = 202, description = "It has begun.", body = BegunJson),
        (status = 200, description = "What would go.", body = DryRunJson),
        (status = 404, description = "`not_found`: nobody is known by that name."),
        (status = 409, description = "`erasure_under_way` · `request_not_changed`: the request is over, or there is none."),
    ),
)]
pub(super) async fn create(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(new): body::Json<NewErasure>,
) -> Result<Response, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let named = only_one(new.contact_id, new.phone, new.user_id, new.username)?;
    if new.dry_run == Some(true) {
        let act = errand.act(&who, Action::ErasurePreviewed, Object::several("contact"));
        let (found, receipt) = privacy.dry_run(&named, act).await?;
        errand.keep(receipt);
        let removed = found.counts.into_iter().collect();
        return Ok(Json(DryRunJson { dry_run: true, removed, held: found.held }).into_response());
    }
    if new.identity.is_none() && new.identity_note.is_some() {
        let mut faults = Faults::default();
        faults.note("/identity", "required", "how the identity was checked").unwrap_or(());
        faults.refuse()?;
    }
    let note = new.identity_note.as_ref().map(|note| note.0.as_str());
    let id = privacy.new_erasure();
    let asked = Asked {
        named: &named,
        basis: new.basis.map_or(Basis::Request, |basis| basis.0),
        reference: new.reference.as_ref().map(|reference| reference.0.as_str()),
        step_now: new.when.is_none_or(|when| when.0),
        request: new.request_id,
        identity: new.identity.map(|method| Identity { method: method.0, note }),
    };
    let act = errand.act(&who, Action::ErasureRequested, Object::one("erasure", id.uuid()));
    let (subject_salt, receipt) = privacy.erase(id, &asked, act).await?;
    errand.keep(receipt);
    Ok((StatusCode::ACCEPTED, Json(BegunJson { id, subject_salt })).into_response())
}

/// Erasures, newest first. Counts and endpoints are shown with each alone.
#[utoipa::path(
    get, path = "/v1/privacy/erasures", tag = "Privacy", operation_id = "list_erasures",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of erasures.", body = Page<ErasureJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(privacy): State<Privacy>,
    mut params: Params,
) -> Result<Json<Page<ErasureJson>>, Problem> {
    let (before, limit) = (params.cursor::<ErasureCursor>(), params.limit());
    params.finish()?;
    who.require_unconfined()?;
    let rows = privacy.erasures(who.tenant, before.map(|at| at.0), page::one_more(limit)).await?;
    Ok(Json(page::of_rows(rows, limit, |row: &ErasureRow| ErasureCursor(row.erasure_id))))
}

/// One erasure: how far it is, what went, who was told.
#[utoipa::path(
    get, path = "/v1/privacy/erasures/{id}", tag = "Privacy", operation_id = "show_erasure",
    params(("id" = ErasureId, Path, description = "The erasure.")),
    responses((status = 200, description = "The erasure.", body = ErasureJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<ErasureId>,
    params: Params,
) -> Result<Json<ErasureJson>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let progress = privacy.erasure(who.tenant, id).await?.ok_or(Problem::new(Code::NotFound))?;
    let act = errand.act(&who, Action::ErasureRead, Object::one("erasure", id.uuid()));
    let (reference, receipt) = privacy.reference_of(&progress.row, act).await?;
    let identity = privacy.identity_of(who.tenant, id, receipt.is_some()).await?.map(|one| IdentityJson {
        method: one.row.method,
        checked_at: one.row.checked_at,
        note: one.note,
    });
    if let Some(receipt) = receipt {
        errand.keep(receipt);
    }
    Ok(Json(ErasureJson { reference, identity, ..progress.into() }))
}

/// The certificate of an erasure: what `waxseal verify certificate` checks without a network.
///
/// `certificate` is what is certified; `proof` (C2SP tlog-proof) shows that the audit log holds an entry with its hash. Until the tree has
/// grown over that entry, which takes a moment, the answer is 409 `not_in_tree`.
#[utoipa::path(
    get, path = "/v1/privacy/erasures/{id}/certificate", tag = "Privacy", operation_id = "show_certificate_of_erasure",
    params(("id" = ErasureId, Path, description = "The erasure.")),
    responses(
        (status = 200, description = "The certificate.", body = Object),
        (status = 409, description = "`not_certified`: the erasure is not over. `not_in_tree`: ask again in a second."),
    ),
)]
pub(super) async fn certificate(
    who: Caller,
    State(privacy): State<Privacy>,
    State(audit): State<Audit>,
    Target(id): Target<ErasureId>,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let progress = privacy.erasure(who.tenant, id).await?.ok_or(Problem::new(Code::NotFound))?;
    let (Some(text), Some(entry)) = (progress.row.certificate, progress.row.entry_id) else {
        return Err(Problem::new(Code::NotCertified));
    };
    let proof = audit.proof(who.tenant, Which::Id(AuditEntryId::from_uuid(entry))).await?;
    let certificate: Value = serde_json::from_str(&text).map_err(|_| Problem::new(Code::Internal))?;
    Ok(Json(json!({ "certificate": certificate, "proof": proof.to_string() })))
}
