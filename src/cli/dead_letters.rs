//! `waxseal dead-letters`: deliveries that were given up.

use std::io::Write;

use anyhow::ensure;
use clap::{Args, Subcommand};
use time::OffsetDateTime;

use super::endpoint::find;
use super::moment::{Moment, shown};
use super::settings::given;
use super::table::Table;
use crate::audit::Action;
use crate::config::Config;
use crate::deliver::Deliveries;
use crate::ids::{EndpointId, EventId};
use crate::store::dead_letters::{DeadLetterFilter, REASONS};

type Out<'a> = &'a mut (dyn Write + Send);

/// `waxseal dead-letters …`
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetterVerb {
    /// List dead letters of an endpoint, newest first.
    List {
        /// Id of the endpoint.
        endpoint: EndpointId,
        #[command(flatten)]
        which: Which,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Have dead letters delivered after all.
    Redrive {
        /// Id of the endpoint.
        endpoint: EndpointId,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Forget dead letters for good.
    Purge {
        /// Id of the endpoint.
        endpoint: EndpointId,
        #[command(flatten)]
        chosen: Chosen,
    },
}

/// A filter of dead letters.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this event. May be repeated.
    #[arg(long = "event")]
    events: Vec<EventId>,
    /// Given up for this reason.
    #[arg(long, value_parser = REASONS)]
    reason: Option<String>,
    /// Given up at this time or later; also `36h` for 36 hours ago.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Given up before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// All, or those that a filter chooses: one of the two must be said.
#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// Every one of the endpoint.
    #[arg(long, conflicts_with_all = ["events", "reason", "since", "until"])]
    all: bool,
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn filter(self, now: OffsetDateTime) -> DeadLetterFilter {
        let events: Vec<_> = self.events.into_iter().map(EventId::uuid).collect();
        DeadLetterFilter {
            events: Some(events).filter(|events| !events.is_empty()),
            reason: self.reason,
            since: self.since.map(|since| since.when(now)),
            until: self.until.map(|until| until.when(now)),
        }
    }
}

impl Chosen {
    fn members(&self) -> Vec<&'static str> {
        given([
            ("all", self.all),
            ("event_ids", !self.which.events.is_empty()),
            ("reason", self.which.reason.is_some()),
            ("since", self.which.since.is_some()),
            ("until", self.which.until.is_some()),
        ])
    }

    fn filter(self, now: OffsetDateTime) -> anyhow::Result<DeadLetterFilter> {
        let (all, filter) = (self.all, self.which.filter(now));
        ensure!(all || !filter.is_empty(), "say which: --all, or --event, --reason, --since or --until");
        Ok(filter)
    }
}

pub(super) async fn run(config: &Config, verb: DeadLetterVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let (deliveries, now) = (Deliveries::new(base.deliverer(config)?), base.clock.now());
    match verb {
        DeadLetterVerb::List { endpoint, which, limit } => {
            let endpoint = find(&base, endpoint)?;
            let mut table = Table::new(["event", "reason", "attempts", "given up"]);
            for row in deliveries.dead_letters(&endpoint, &which.filter(now), None, limit.into()).await? {
                table.row([row.event_id.to_string(), row.reason, row.attempts.to_string(), shown(row.died_at)]);
            }
            table.write(out)?;
        }
        DeadLetterVerb::Redrive { endpoint, chosen } => {
            // Fixed at the beginning, so that what dies again meanwhile is not chosen again.
            let members = chosen.members();
            let (endpoint, filter) = (find(&base, endpoint)?, chosen.filter(now)?);
            let filter = DeadLetterFilter { until: Some(filter.until.unwrap_or(now)), ..filter };
            base.note(Action::DeadLettersRedriven, "endpoint", endpoint.id.uuid(), &members).await?;
            let mut redriven = 0;
            loop {
                let count = deliveries.redrive(&endpoint, filter.clone()).await?;
                redriven += count.counted;
                if count.complete {
                    break;
                }
            }
            writeln!(out, "{redriven} redriven")?;
        }
        DeadLetterVerb::Purge { endpoint, chosen } => {
            let members = chosen.members();
            let (endpoint, filter) = (find(&base, endpoint)?, chosen.filter(now)?);
            base.note(Action::DeadLettersPurged, "endpoint", endpoint.id.uuid(), &members).await?;
            let mut purged = 0;
            loop {
                let count = deliveries.purge(&endpoint, &filter).await?;
                purged += count.counted;
                if count.complete {
                    break;
                }
            }
            writeln!(out, "{purged} purged")?;
        }
    }
    Ok(())
}
