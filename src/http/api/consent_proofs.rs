//! `/v1/privacy/consent-proofs`: what people agreed to or refused before they were forgotten.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, request};
use super::named::{PhoneText, UserIdText, only_one};
use super::problem::Problem;
use super::query::Params;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Object};
use crate::privacy::Privacy;
use crate::store::erasing_counts::ConsentProofRow;

request! {
    /// Who shows their number or id again: by one of `phone` and `user_id`.
    ConsentProofQuery {
        /// By a number.
        phone: Option<PhoneText>,
        /// By Meta's id.
        user_id: Option<UserIdText>,
    }
}

/// That somebody agreed or refused who was forgotten since.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsentProof)]
pub(super) struct ConsentProofJson {
    purpose: String,
    /// `granted` or `withdrawn`.
    state: String,
    source: String,
    /// Which version of the wording.
    wording_version: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
}

/// What is proven of somebody's consent.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsentProofs)]
pub(super) struct ConsentProofsJson {
    /// Newest first.
    data: Vec<ConsentProofJson>,
}

/// What somebody agreed to or refused before they were forgotten: for a dispute in which they show their number or id again. It is kept
/// for three years, and is joined to nobody.
#[utoipa::path(
    post, path = "/v1/privacy/consent-proofs", tag = "Privacy", operation_id = "find_consent_proofs",
    request_body = ConsentProofQuery,
    responses((status = 200, description = "What is proven.", body = ConsentProofsJson)),
)]
pub(super) async fn find(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(query): body::Json<ConsentProofQuery>,
) -> Result<Json<ConsentProofsJson>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let named = only_one(None, query.phone, query.user_id, None)?;
    let act = errand.act(&who, Action::ConsentProofRead, Object::several("consent_proof"));
    let (proofs, receipt) = privacy.consent_proofs(&named, act).await?;
    errand.keep(receipt);
    let proof = |row: ConsentProofRow| ConsentProofJson {
        purpose: row.purpose,
        state: row.state,
        source: row.source,
        wording_version: row.wording_version,
        occurred_at: row.occurred_at,
    };
    Ok(Json(ConsentProofsJson { data: proofs.into_iter().map(proof).collect() }))
}
