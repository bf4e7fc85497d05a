//! `waxseal replay`: events of the past, once more.

use std::io::Write;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use time::OffsetDateTime;

use super::endpoint::{event_type_of, find};
use super::moment::{Moment, shown};
use super::settings::given;
use super::table::Table;
use crate::audit::Action;
use crate::config::Config;
use crate::deliver::{Deliveries, Wanted, WantedEvents};
use crate::ids::{ChannelId, ContactId, EndpointId, EventId, ReplayId, TenantId};
use crate::store::replays::ReplayRow;

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// Replays of each endpoint in the list.
const SHOWN: i64 = 20;
/// Events that are named one by one.
const MOST_EVENTS: usize = 1000;

/// `waxseal replay …`
#[derive(Debug, Subcommand)]
pub(super) enum ReplayVerb {
    /// Have an endpoint get events of the past once more. Running gateways do the work.
    Start(NewReplay),
    /// Show how far replays have come.
    Status {
        /// Id of the replay; without it: the last ones.
        id: Option<ReplayId>,
        /// Only those of this endpoint.
        #[arg(long, conflicts_with = "id")]
        endpoint: Option<EndpointId>,
    },
    /// End a replay. What it has put among what is owed stays there.
    Cancel {
        /// Id of the replay.
        id: ReplayId,
    },
}

/// A new replay: --event, or --since.
#[derive(Debug, Args)]
pub(super) struct NewReplay {
    /// Who is to get them.
    #[arg(long)]
    endpoint: EndpointId,
    /// One event. May be repeated.
    #[arg(long = "event", conflicts_with_all = ["since", "until", "event_types", "channels", "contact"])]
    events: Vec<EventId>,
    /// Received at this time or later; also `36h` for 36 hours ago.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Received before this time; without it: now.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Of this type, or prefix such as `message.*`. May be repeated.
    #[arg(long = "type", value_parser = event_type_of)]
    event_types: Vec<String>,
    /// Of this channel. May be repeated.
    #[arg(long = "channel")]
    channels: Vec<ChannelId>,
    /// About this contact.
    #[arg(long)]
    contact: Option<ContactId>,
    /// Count, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl NewReplay {
    fn members(&self) -> Vec<&'static str> {
        given([
            ("channel_ids", !self.channels.is_empty()),
            ("contact_id", self.contact.is_some()),
            ("event_ids", !self.events.is_empty()),
            ("event_types", !self.event_types.is_empty()),
            ("since", self.since.is_some()),
            ("until", self.until.is_some()),
        ])
    }

    fn wanted(self, now: OffsetDateTime) -> anyhow::Result<Wanted> {
        let events = match self.since {
            None => {
                ensure!(!self.events.is_empty(), "say which: --event, or --since");
                ensure!(self.events.len() <= MOST_EVENTS, "at most {MOST_EVENTS} events; use --since for more");
                WantedEvents::Ids(self.events)
            }
            Some(since) => {
                let (since, until) = (since.when(now), self.until.map_or(now, |until| until.when(now)));
                ensure!(since < until, "--until must come after --since");
                WantedEvents::Span(since, until)
            }
        };
        Ok(Wanted { events, event_types: self.event_types, channels: self.channels, contact: self.contact })
    }
}

pub(super) async fn run(config: &Config, verb: ReplayVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let deliveries = Deliveries::new(base.deliverer(config)?);
    match verb {
        ReplayVerb::Start(new) => {
            let (endpoint, dry_run) = (find(&base, new.endpoint)?, new.dry_run);
            let members = new.members();
            let wanted = new.wanted(base.clock.now())?;
            if dry_run {
                let count = deliveries.count(&endpoint, &wanted).await?;
                let at_least = if count.complete { "" } else { "at least " };
                writeln!(out, "{at_least}{} events", count.counted)?;
                return Ok(());
            }
            base.note(Action::ReplayCreated, "endpoint", endpoint.id.uuid(), &members).await?;
            table(&[deliveries.replay(&endpoint, &wanted).await?], out)?;
        }
        ReplayVerb::Status { id: Some(id), .. } => {
            table(&[deliveries.find_any_replay(TENANT, id).await?.context("no such replay")?], out)?;
        }
        ReplayVerb::Status { id: None, endpoint } => {
            let mut rows = Vec::new();
            for one in base.directory.snapshot().endpoints_of(TENANT) {
                if endpoint.is_none_or(|wanted| wanted == one.id) {
                    rows.extend(deliveries.replays(one, None, SHOWN).await?);
                }
            }
            table(&rows, out)?;
        }
        ReplayVerb::Cancel { id } => {
            deliveries.find_any_replay(TENANT, id).await?.context("no such replay")?;
            base.note(Action::ReplayCancelled, "replay", id.uuid(), &[]).await?;
            deliveries.cancel(TENANT, id).await?;
            table(&[deliveries.find_any_replay(TENANT, id).await?.context("no such replay")?], out)?;
        }
    }
    Ok(())
}

fn table(rows: &[ReplayRow], out: Out<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(["id", "endpoint", "state", "counted", "inserted", "since", "until", "reached"]);
    for row in rows {
        let time = |at: Option<OffsetDateTime>| at.map_or_else(|| "-".to_owned(), shown);
        let reached = row.at_event.filter(|id| !id.is_nil()).map(|id| EventId::from_uuid(id).made_at());
        table.row([
            row.replay_id.to_string(),
            row.endpoint_id.to_string(),
            row.state.clone(),
            row.counted.to_string(),
            row.inserted.to_string(),
            time(row.since),
            time(row.until),
            time(reached),
        ]);
    }
    Ok(table.write(out)?)
}
