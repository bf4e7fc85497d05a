//! `/v1/contacts/{id}/decoy`: contacts that nobody has a reason to look at.

use axum::extract::State;
use axum::http::StatusCode;

use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use crate::access::decoys::DecoyError;
use crate::access::{Caller, Door, Errand};
use crate::ids::ContactId;

/// Makes a contact a decoy: whoever is shown it from now on, alone or in a list, raises an alarm (`security.decoy_opened`), and does
/// not notice.
///
/// No answer tells a decoy from other contacts, not even this one.
#[utoipa::path(
    put, path = "/v1/contacts/{id}/decoy", tag = "Contacts", operation_id = "mark_decoy",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 204, description = "The contact is a decoy.")),
)]
pub(super) async fn mark(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set(&door, &who, &errand, id, true).await
}

/// Makes a contact an ordinary one again.
#[utoipa::path(
    delete, path = "/v1/contacts/{id}/decoy", tag = "Contacts", operation_id = "unmark_decoy",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 204, description = "The contact is no decoy.")),
)]
pub(super) async fn unmark(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set(&door, &who, &errand, id, false).await
}

async fn set(
    door: &Door,
    who: &Caller,
    errand: &Errand,
    contact: ContactId,
    is_decoy: bool,
) -> Result<StatusCode, Problem> {
    match door.set_decoy(who, errand, contact, is_decoy).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Problem::new(Code::NotFound)),
        Err(DecoyError::Door(error)) => Err(error.into()),
        Err(DecoyError::Save(error)) => settled(Err(error), StatusCode::NO_CONTENT),
    }
}
