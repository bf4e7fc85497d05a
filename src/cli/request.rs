//! `waxseal request`: what people ask about their data, and by when the law wants it answered.

use std::io::Write;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::erase::Person;
use super::moment::{Moment, shown};
use super::settings::base;
use super::table::Table;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::Config;
use crate::ids::{PrivacyRequestId, TenantId};
use crate::privacy::{Law, NewRequest, Outcome, RequestKind};
use crate::store::privacy_deeds::DeedRow;

const TENANT: TenantId = TenantId::DEFAULT;
/// Requests that are listed.
const LISTED: usize = 200;

/// `waxseal request …`
#[derive(Debug, Subcommand)]
pub(super) enum RequestVerb {
    /// List requests, newest first.
    List,
    /// Enter what somebody asks; the clock of the law begins.
    Add(AddArgs),
    /// Give a request the time that its law allows at last. The person must be told why.
    Extend {
        /// Id of the request.
        id: PrivacyRequestId,
        /// Why. Stored sealed.
        #[arg(long)]
        reason: String,
    },
    /// End a request.
    Close {
        /// Id of the request.
        id: PrivacyRequestId,
        /// It was refused, and not answered.
        #[arg(long)]
        refused: bool,
        /// Why. Stored sealed.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `waxseal request add`
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// What is asked for: access, portability, erasure, rectification, restriction, objection, `opt_out` or information.
    #[arg(value_parser = kind)]
    kind: RequestKind,
    /// By which law: gdpr, ccpa or lgpd.
    #[arg(long, value_parser = law)]
    law: Law,
    #[command(flatten)]
    person: Person,
    /// When it came: a time, or `3d` for three days ago; now when absent.
    #[arg(long, value_name = "TIME")]
    received: Option<Moment>,
    /// Of the case. Stored sealed.
    #[arg(long)]
    reference: Option<String>,
}

fn kind(text: &str) -> Result<RequestKind, String> {
    RequestKind::parse(text).ok_or_else(|| format!("there are {}", RequestKind::NAMES.join(", ")))
}

fn law(text: &str) -> Result<Law, String> {
    Law::parse(text).ok_or_else(|| format!("there are {}", Law::NAMES.join(", ")))
}

fn act(action: Action, id: PrivacyRequestId) -> Act {
    Act::new(TENANT, Actor::OPERATOR, action, Object::one("privacy_request", id.uuid()))
}

/// What was done for a request.
fn led_to(erasure: Option<Uuid>, deeds: &[DeedRow]) -> String {
    let erasure = erasure.map(|id| format!("erasure {id}"));
    let deeds = deeds.iter().map(|one| match &one.state {
        Some(state) => format!("{} {} ({state})", one.deed, one.deed_id),
        None => format!("{} {}", one.deed, one.deed_id),
    });
    erasure.into_iter().chain(deeds).collect::<Vec<_>>().join(", ")
}

pub(super) async fn run(config: &Config, verb: RequestVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    match verb {
        RequestVerb::List => {
            let mut table = Table::new(["request", "kind", "law", "state", "due", "contact", "reference", "led to"]);
            let act =
                Act::new(TENANT, Actor::OPERATOR, Action::PrivacyRequestsRead, Object::several("privacy_request"));
            for view in privacy.requests(act, None, None, LISTED).await?.views {
                let state = if view.overdue { "OVERDUE".to_owned() } else { view.row.state };
                let contact = view.row.contact_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                let (id, due) = (view.row.request_id.to_string(), shown(view.row.due_at));
                let led_to = led_to(view.row.erasure_id, &view.deeds);
                let reference = view.reference.unwrap_or_default();
                table.row([id, view.row.kind, view.row.law, state, due, contact, reference, led_to]);
            }
            table.write(out)?;
        }
        RequestVerb::Add(AddArgs { kind, law, person, received, reference }) => {
            let now = base.clock.now();
            let received_at = received.map_or(now, |moment| moment.when(now));
            ensure!(received_at <= now, "--received lies ahead");
            let named = person.is_given().then(|| person.named()).transpose()?;
            let id = privacy.new_request_id();
            let new = NewRequest { kind, law, named: named.as_ref(), reference: reference.as_deref(), received_at };
            let act = act(Action::PrivacyRequestEntered, id).with(&[kind.as_str(), law.as_str()]);
            let (due, _) = privacy.enter_request(id, &new, act).await?;
            writeln!(out, "{id}  due {}", shown(due))?;
        }
        RequestVerb::Extend { id, reason } => {
            let done = privacy.extend_request(id, &reason, act(Action::PrivacyRequestExtended, id)).await;
            done.context("it cannot be given longer")?;
            writeln!(out, "it has more time; tell the person why")?;
        }
        RequestVerb::Close { id, refused, reason } => {
            let outcome = if refused { Outcome::Refused } else { Outcome::Done };
            let act = act(Action::PrivacyRequestClosed, id).with(&[outcome.as_str()]);
            privacy.close_request(id, outcome, reason.as_deref(), act).await.context("it is not open")?;
            writeln!(out, "{}", outcome.as_str())?;
        }
    }
    Ok(())
}
