//! `GET /v1/messages/{id}`, and `DELETE` while it waits.

use axum::Json;
use axum::extract::State;

use super::message_json::MessageJson;
use super::problem::{Code, Problem};
use super::query::Params;
use super::sending::{QueuedMessage, refusal};
use super::target::Target;
use super::trail::Trail;
use crate::access::{Caller, Door, Errand};
use crate::audit::Action;
use crate::ids::MessageId;
use crate::send::Sender;

/// One message with its state and everything that Meta said of it.
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "Messages", operation_id = "show_message",
    params(("id" = MessageId, Path, description = "The message.")),
    responses((status = 200, description = "The message.", body = MessageJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    Target(id): Target<MessageId>,
    params: Params,
) -> Result<Json<MessageJson>, Problem> {
    params.finish()?;
    let message = door.message(&who, &errand, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(Json(MessageJson::new(message, who.sight)))
}

/// Takes a message back that waits for its turn. It is never sent; it can still be looked at, and endpoints are told
/// (`message.cancelled`). One that is on its way to Meta, or was, cannot be taken back.
#[utoipa::path(
    delete, path = "/v1/messages/{id}", tag = "Messages", operation_id = "cancel_message",
    params(("id" = MessageId, Path, description = "The message.")),
    responses(
        (status = 200, description = "The message, which is `cancelled`.", body = QueuedMessage),
        (status = 409, description = "`message_not_queued`"),
    ),
)]
pub(super) async fn cancel(
    who: Caller,
    trail: Trail,
    State(sender): State<Sender>,
    Target(id): Target<MessageId>,
    params: Params,
) -> Result<Json<QueuedMessage>, Problem> {
    params.finish()?;
    let found = sender.find(who.tenant, id).await.map_err(refusal)?;
    let message = found.filter(|message| who.may_use(message.channel)).ok_or(Problem::new(Code::NotFound))?;
    trail.leave_about(&who, Action::MessageCancelled, id, &message).await?;
    if sender.cancel(who.tenant, &message).await.map_err(refusal)? {
        return Ok(Json(QueuedMessage { id, state: "cancelled", queue: None }));
    }
    Err(Problem::new(Code::MessageNotQueued))
}
