//! `waxseal breach`: how far a breach went.

use std::collections::HashMap;
use std::io::Write;

use clap::Args;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::moment::{Moment, shown};
use super::table::Table;
use crate::audit::{Act, Action, Actor, ClassSum, Object, Reached, Sum};
use crate::config::Config;
use crate::ids::{AuditEntryId, EndpointId, TenantId};
use crate::store::audit_reach::SentRow;
use crate::store::audit_scope::Scope;

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
    let reached = base.audit.scope(TENANT, scope).await?;
    let sent = base.audit.scope_endpoints(TENANT, scope).await?;
    let endpoints =
        base.directory.snapshot().endpoints_of(TENANT).into_iter().map(|one| (one.id, one.name.clone())).collect();
    tell_actions(&reached, out)?;
    tell_data(&reached.classes, &sent, &endpoints, out)?;
    tell_limits(base.audit.pruned(TENANT).await?, now, out)
}

/// What somebody has to write into the report: classes of data, and who else has some of them.
fn tell_data(
    classes: &[ClassSum],
    sent: &[SentRow],
    names: &HashMap<EndpointId, String>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut table = Table::new(["data", "entries", "contacts"]);
    for one in classes {
        table.row([one.class.as_str().to_owned(), one.entries.to_string(), one.contacts.to_string()]);
    }
    writeln!(out)?;
    table.write(out)?;
    let mut table = Table::new(["endpoint", "name", "events sent"]);
    for one in sent {
        let name = names.get(&one.endpoint).map_or("(removed)", String::as_str);
        table.row([one.endpoint.to_string(), name.to_owned(), one.events.to_string()]);
    }
    writeln!(out)?;
    Ok(table.write(out)?)
}

fn tell_actions(reached: &Reached, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut table = Table::new(["action", "entries", "contacts", "first", "last"]);
    let each = reached.actions.iter().map(|one| (one.action.as_str(), one.sum));
    for (name, Sum { entries, contacts, first, last }) in each.chain(reached.all.map(|sum| ("all", sum))) {
        table.row([
            name.to_owned(),
            entries.to_string(),
            contacts.to_string(),
            shown(first.made_at()),
            shown(last.made_at()),
        ]);
    }
    Ok(table.write(out)?)
}

fn tell_limits(pruned: u64, now: OffsetDateTime, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if pruned > 0 {
        writeln!(out, "\nentries below index {pruned} may have been dropped with age and are not counted")?;
    }
    writeln!(
        out,
        "\nPeople who were erased since are not counted, and whoever read the database itself left no entry. What endpoints \
         were sent is counted of everybody's doing."
    )?;
    writeln!(out, "72 hours from now end at {}.", shown(now + TO_NOTIFY))?;
    Ok(())
}
