//! `waxseal hold`, `waxseal retention`: data that must stay, and how old the oldest is.

use std::io::Write;

use anyhow::{Context as _, ensure};
use clap::Subcommand;

use super::erase::Person;
use super::moment::{Moment, shown};
use super::settings::base;
use super::table::Table;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::Config;
use crate::ids::{HoldId, PrivacyRequestId, TenantId};
use crate::privacy::{HoldChange, LONGEST_HOLD, NewHold};

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// Holds that are listed.
const LISTED: usize = 200;

/// `waxseal hold …`
#[derive(Debug, Subcommand)]
pub(super) enum HoldVerb {
    /// List holds, with their reasons.
    List,
    /// Ask for a hold. It is in force when somebody with an API key has approved it.
    Add {
        #[command(flatten)]
        person: Person,
        /// Why. Stored sealed.
        #[arg(long)]
        reason: String,
        /// Until when: a time, or `90d` for 90 days from now; a year at most.
        #[arg(long, value_name = "TIME")]
        until: Moment,
        /// The request that it is made for (`waxseal request`); of whoever asked, when nobody else is named.
        #[arg(long, value_name = "ID")]
        request: Option<PrivacyRequestId>,
    },
    /// Put a hold in force that somebody with an API key asked for.
    Approve {
        /// Id of the hold.
        id: HoldId,
    },
    /// Take a hold back.
    Release {
        /// Id of the hold.
        id: HoldId,
    },
}

fn act(action: Action, id: HoldId) -> Act {
    Act::new(TENANT, Actor::OPERATOR, action, Object::one("hold", id.uuid()))
}

pub(super) async fn run(config: &Config, verb: HoldVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    match verb {
        HoldVerb::List => {
            let act = Act::new(TENANT, Actor::OPERATOR, Action::HoldsRead, Object::several("hold"));
            let views = privacy.holds(act, None, LISTED).await?.views;
            let mut table = Table::new(["hold", "contact", "state", "in force", "until", "reason"]);
            for view in views {
                table.row([
                    view.row.hold_id.to_string(),
                    view.row.contact_id.to_string(),
                    view.row.state,
                    if view.in_force { "yes" } else { "no" }.to_owned(),
                    shown(view.row.expires_at),
                    view.reason.unwrap_or_default(),
                ]);
            }
            table.write(out)?;
        }
        HoldVerb::Add { person, reason, until, request } => {
            let (named, now) = (person.or_asker(&privacy, request).await?, base.clock.now());
            let expires_at = until.ahead(now);
            ensure!(expires_at > now && expires_at - now <= LONGEST_HOLD, "--until must be within a year from now");
            let id = privacy.new_hold_id();
            let new = NewHold { named: &named, reason: &reason, expires_at, request };
            privacy.request_hold(id, &new, act(Action::HoldRequested, id)).await?;
            writeln!(out, "{id}")?;
        }
        HoldVerb::Approve { id } => {
            let change = HoldChange::Approve;
            privacy.change_hold(id, change, act(change.action(), id)).await.context("it cannot be approved")?;
            writeln!(out, "the hold is in force")?;
        }
        HoldVerb::Release { id } => {
            let change = HoldChange::Release;
            privacy.change_hold(id, change, act(change.action(), id)).await.context("it cannot be released")?;
            writeln!(out, "the hold is over")?;
        }
    }
    Ok(())
}

pub(super) async fn retention(config: &Config, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    let mut table = Table::new(["class", "oldest", "kept since"]);
    for one in privacy.oldest(TENANT, base.clock.now().date()).await? {
        let since = one.horizon.map_or_else(|| "always".to_owned(), |day| day.to_string());
        table.row([one.class, one.oldest.to_string(), since]);
    }
    table.write(out)?;
    let all = privacy.rules(TENANT, base.clock.now().date());
    if all.is_empty() {
        return Ok(());
    }
    let mut rules = Table::new(["channel", "class", "days", "by", "kept since"]);
    for rule in all {
        let since = rule.kept_since.map_or_else(|| "until acknowledged".to_owned(), |day| day.to_string());
        let (class, source) = (rule.class.as_str().to_owned(), rule.source.as_str().to_owned());
        rules.row([rule.channel.to_string(), class, rule.keep.to_string(), source, since]);
    }
    Ok(rules.write(out)?)
}
