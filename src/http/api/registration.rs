//! `/v1/channels/{id}/pin` and `/register`: two-step verification of a number, and its registration with the Cloud API.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{self, Faults, Field, request};
use super::fields::value;
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::ids::ChannelId;
use crate::secret::Pin;
use crate::send::Sender;
use crate::send::accounts::{PinError, is_pin};

/// Six digits. Never shown again.
#[derive(ToSchema)]
#[schema(value_type = String, format = Password, pattern = "^[0-9]{6}$")]
pub(super) struct PinText(Pin);

impl Field for PinText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text of six digits")?;
        if is_pin(&text) { Some(Self(Pin::new(text))) } else { faults.note(at, "digits", "six digits") }
    }
}

request! {
    /// A PIN: one of your own, or a random one.
    NewPin {
        /// One of your own.
        pin: Option<PinText>,
        /// True: a random one, which nobody is shown.
        rotate: Option<bool>,
    }
}

request! {
    /// How a number is registered.
    Registration {
        /// The PIN that the number has at Meta already, when the gateway does not know it. Absent: the one that is kept, or a random one
        /// where none is.
        pin: Option<PinText>,
    }
}

/// Sets the PIN of a number's two-step verification at Meta. It is kept sealed, used by `register`, and shown to nobody; whoever needs to
/// know it sets another. A PIN that an application sets through the Graph mirror is kept as well.
#[utoipa::path(
    post, path = "/v1/channels/{id}/pin", tag = "Channels", operation_id = "set_pin_of_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    request_body = NewPin,
    responses(
        (status = 204, description = "Meta has taken it."),
        (status = 409, description = "`conflict`: another change is under way."),
        (status = 422, description = "`channel_cannot_send` · `meta_refused`"),
        (status = 502, description = "`meta_unreached`"),
        (status = 504, description = "`meta_in_doubt`"),
    ),
)]
pub(super) async fn set_pin(
    who: Caller,
    trail: Trail,
    State(sender): State<Sender>,
    Target(id): Target<ChannelId>,
    params: Params,
    body::Json(new): body::Json<NewPin>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    may_use(&who, &sender, id)?;
    let pin = match (new.pin, new.rotate.unwrap_or(false)) {
        (Some(pin), false) => Some(pin.0),
        (None, true) => None,
        _ => {
            let mut faults = Faults::default();
            faults.note("/pin", "choice", "either a pin, or rotate: true").unwrap_or(());
            return Err(faults.refuse().err().unwrap_or(Problem::new(Code::InvalidBody)));
        }
    };
    trail.leave_graph(&who, Action::GraphChanged, id, &["post", "pin"]).await?;
    sender.set_pin(who.tenant, id, pin).await.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Registers the number of a channel with the Cloud API. Meta takes ten of these in three days.
#[utoipa::path(
    post, path = "/v1/channels/{id}/register", tag = "Channels", operation_id = "register_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    request_body = Registration,
    responses(
        (status = 204, description = "The number is registered."),
        (status = 409, description = "`conflict`: its PIN is being changed."),
        (status = 422, description = "`channel_cannot_send` · `meta_refused`"),
        (status = 502, description = "`meta_unreached`"),
        (status = 504, description = "`meta_in_doubt`"),
    ),
)]
pub(super) async fn register(
    who: Caller,
    trail: Trail,
    State(sender): State<Sender>,
    Target(id): Target<ChannelId>,
    params: Params,
    body::Json(new): body::Json<Registration>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    may_use(&who, &sender, id)?;
    trail.leave_graph(&who, Action::GraphChanged, id, &["post", "register"]).await?;
    sender.register(who.tenant, id, new.pin.map(|pin| pin.0)).await.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Strangers' channels are as unknown as any.
fn may_use(who: &Caller, sender: &Sender, id: ChannelId) -> Result<(), Problem> {
    let is_known = who.may_use(id) && sender.directory.snapshot().channel(who.tenant, id).is_some();
    if is_known { Ok(()) } else { Err(Problem::new(Code::NotFound)) }
}

fn refusal(error: PinError) -> Problem {
    match error {
        PinError::UnknownChannel => Problem::new(Code::NotFound),
        PinError::NoToken => Problem::new(Code::ChannelCannotSend),
        PinError::UnderWay => Problem::new(Code::Conflict).with_detail("its PIN is being changed at this moment"),
        PinError::Refused(Some(code)) => Problem::new(Code::MetaRefused).with_detail(format!("Meta's error {code}")),
        PinError::Refused(None) => Problem::new(Code::MetaRefused),
        PinError::Unreached => Problem::new(Code::MetaUnreached),
        PinError::InDoubt => Problem::new(Code::MetaInDoubt),
        PinError::Load(error) => error.into(),
        PinError::Save(error) => settled(Err(error), ()).err().unwrap_or(Problem::new(Code::Internal)),
    }
}
