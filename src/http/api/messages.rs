//! `GET /v1/messages`, `GET /v1/messages/{id}`, and `DELETE` while it waits.

use axum::Json;
use axum::extract::State;

use super::message_json::MessageJson;
use super::page::{Cursor, MessageCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::sending::{QueuedMessage, refusal};
use super::target::Target;
use super::trail::Trail;
use crate::access::message_views::MessageQuery;
use crate::access::{Caller, Door, Errand};
use crate::audit::Action;
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::send::Sender;

/// States that can be asked for.
const STATES: [&str; 6] = ["queued", "accepted", "in_doubt", "failed", "cancelled", "expired"];

/// Messages, newest first, each as `GET /v1/messages/{id}` shows it but for its place in the queue.
///
/// `state` is how far handing over to Meta has come: `accepted` also stands for what was delivered, read or given up later, which each
/// message says of itself.
#[utoipa::path(
    get, path = "/v1/messages", tag = "Messages", operation_id = "list_messages",
    params(
        ("state" = Option<String>, Query, description = "`queued`, `accepted`, `in_doubt`, `failed`, `cancelled` or `expired`."),
        ("channel_id" = Option<ChannelId>, Query, description = "Through this channel."),
        ("contact_id" = Option<ContactId>, Query, description = "To this contact, or one who turned out to be the same person."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of messages.", body = Page<MessageJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(door): State<Door>,
    mut params: Params,
) -> Result<Json<Page<MessageJson>>, Problem> {
    let query = MessageQuery {
        state: params.choice("state", &STATES),
        channel: params.id("channel_id"),
        contact: params.id("contact_id"),
        before: params.cursor::<MessageCursor>().map(|cursor| MessageId::from_uuid(cursor.0)),
        limit: params.limit(),
    };
    params.finish()?;
    let page = door.messages(&who, &errand, &query).await?;
    let next_cursor = page.next.map(|next| MessageCursor(next.uuid()).to_text());
    let data = page.items.into_iter().map(|message| MessageJson::new(message, who.sight)).collect();
    Ok(Json(Page { data, next_cursor, has_more: page.has_more }))
}

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
