//! `waxseal breach`: how far a breach went.

use std::io::Write;

use clap::Args;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::moment::{Moment, shown};
use super::table::Table;
use crate::audit::{Act, Action, Actor, Object};
use crate::config::Config;
use crate::ids::{AuditEntryId, TenantId};
use crate::store::audit_scope::{Scope, ScopeRow};

const TENANT: TenantId = TenantId::DEFAULT;
/// Contacts that are read at a time.
const PAGE: i64 = 10_000;
/// From when somebody became aware, to tell the authority (GDPR Art. 33(1)).
const TO_NOTIFY: Duration = Duration::hours(72);

/// `waxseal breach`
#[derive(Debug, Args)]
pub(super) struct BreachArgs {
    /// At this time or later; also `36h` for 36 hours ago.
    #[arg(long, value_name = "TIME")]
    from: Moment,
    /// Before this time; now when absent.
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// Of this API key alone; the nil UUID: of operators and the gateway itself.
    #[arg(long, value_name = "ID")]
    actor: Option<Uuid>,
    /// Print the contacts instead, one id to a line.
    #[arg(long)]
    contacts: bool,
}

pub(super) async fn run(config: &Config, args: BreachArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let now = base.clock.now();
    let lowest = |moment: Moment| AuditEntryId::lowest_of(moment.when(now)).uuid();
    let scope = Scope { actor: args.actor, from: lowest(args.from), until: args.to.map_or(Uuid::max(), lowest) };
    let act = Act::new(TENANT, Actor::OPERATOR, Action::AuditRead, Object::several("audit_entry"));
    base.audit.record(act.with(&["scope"])).await?;
    if args.contacts {
        let mut after = Uuid::nil();
        loop {
            let page = base.audit.scope_contacts(TENANT, scope, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.uuid();
            page.iter().try_for_each(|contact| writeln!(out, "{contact}"))?;
        }
    }
    let rows = base.audit.scope(TENANT, scope).await?;
    tell(&rows, base.audit.pruned(TENANT).await?, now, out)
}

fn tell(rows: &[ScopeRow], pruned: u64, now: OffsetDateTime, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut table = Table::new(["action", "entries", "contacts", "first", "last"]);
    for row in rows.iter().filter(|row| row.action.is_some()).chain(rows.iter().filter(|row| row.action.is_none())) {
        table.row([
            row.action.clone().unwrap_or_else(|| "all".to_owned()),
            row.entries.to_string(),
            row.contacts.to_string(),
            shown(row.first.made_at()),
            shown(row.last.made_at()),
        ]);
    }
    table.write(out)?;
    if pruned > 0 {
        writeln!(out, "\nentries below index {pruned} may have been dropped with age and are not counted")?;
    }
    writeln!(
        out,
        "\nPeople who were erased since are not counted, and whoever read the database itself left no entry."
    )?;
    writeln!(out, "72 hours from now end at {}.", shown(now + TO_NOTIFY))?;
    Ok(())
}
