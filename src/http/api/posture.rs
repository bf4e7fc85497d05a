//! `/v1/posture`: whether what should be done for privacy and security is done. Docs: `docs/operations.md`, "Posture".

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Audit, Object};
use crate::clock::SharedClock;
use crate::ids::TenantId;
use crate::posture::{Control, Desk, DeskError, Measured, Reveals, State as Stands};

/// One thing that should be so.
#[derive(Serialize, ToSchema)]
#[schema(as = PostureControl)]
pub(super) struct ControlJson {
    /// The stable name.
    control: &'static str,
    /// What it belongs to, for people.
    claim: &'static str,
    /// `green`: it works. `red`: it is off, or does not work. `yours`: the gateway cannot see it from where it is, people see to it.
    #[schema(pattern = "^(green|red|yours)$")]
    state: &'static str,
    /// What was measured, for people: the words may change.
    evidence: String,
}

/// What somebody learns from what they stole.
#[derive(Serialize, ToSchema)]
#[schema(as = PostureStore)]
pub(super) struct StoreJson {
    /// Which stores.
    stolen: &'static str,
    /// What they reveal, for people.
    reveals: String,
}

/// How everything stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Posture)]
pub(super) struct PostureJson {
    /// When it was measured.
    #[serde(with = "time::serde::rfc3339")]
    measured_at: OffsetDateTime,
    /// How many seconds ago that was.
    #[schema(minimum = 0)]
    age_seconds: i64,
    /// How many controls are green.
    green: usize,
    /// How many are red.
    red: usize,
    /// How many are for people to see to.
    yours: usize,
    /// Every control.
    controls: Vec<ControlJson>,
    /// What each store reveals alone, and what they reveal together.
    stores: Vec<StoreJson>,
}

fn control(one: &Control) -> ControlJson {
    ControlJson { control: one.name, claim: one.claim, state: one.state.word(), evidence: one.evidence.clone() }
}

fn store(one: &Reveals) -> StoreJson {
    StoreJson { stolen: one.stolen, reveals: one.reveals.clone() }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        Self::new(match error {
            DeskError::UnderWay => Code::PostureWaiting,
            DeskError::Failed => Code::Unavailable,
        })
    }
}

/// The latest measurement, once it is recorded that this caller is told `action`. It is about the whole of an installation: nothing for keys that are
/// confined to channels, or of another tenant.
pub(super) async fn measured(
    who: &Caller,
    errand: &Errand,
    (desk, audit): (&Desk, &Audit),
    (action, class): (Action, &'static str),
) -> Result<Arc<Measured>, Problem> {
    who.require_unconfined()?;
    if who.tenant != TenantId::DEFAULT {
        return Err(Problem::new(Code::Forbidden));
    }
    errand.keep(audit.record(errand.act(who, action, Object::several(class))).await?);
    Ok(desk.latest().await?)
}

/// Every control of privacy and security, with what it rests on, and what each store reveals when it is stolen.
///
/// As the process sees it that answers: its configuration, files and KMS, and the databases. It is measured anew when somebody asks and the
/// last measurement is a minute old, or as long ago as ten times what it took; one at a time, for all who ask.
#[utoipa::path(
    get, path = "/v1/posture", tag = "Audit", operation_id = "show_posture",
    responses(
        (status = 200, description = "How everything stands, whatever is red.", body = PostureJson),
        (status = 409, description = "`posture_waiting`: the first measurement is still under way."),
    ),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(desk): State<Desk>,
    State(audit): State<Audit>,
    State(clock): State<SharedClock>,
    params: Params,
) -> Result<Json<PostureJson>, Problem> {
    params.finish()?;
    let measured = measured(&who, &errand, (&desk, &audit), (Action::PostureTold, "posture")).await?;
    Ok(Json(PostureJson {
        measured_at: measured.at,
        age_seconds: (clock.now() - measured.at).whole_seconds().max(0),
        green: measured.count(Stands::Green),
        red: measured.count(Stands::Red),
        yours: measured.count(Stands::Yours),
        controls: measured.controls.iter().map(control).collect(),
        stores: measured.reveals.iter().map(store).collect(),
    }))
}
