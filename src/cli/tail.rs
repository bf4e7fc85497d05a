//! `waxseal tail`: prints events as they come, in the order of their commits; none is passed over and none printed twice.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;
use uuid::Uuid;

use super::endpoint::event_type_of;
use super::moment::shown;
use crate::access::door::EventQuery;
use crate::access::views::{Content, EventCursor, one_more};
use crate::access::{Caller, Errand, Permission};
use crate::app::Base;
use crate::config::Config;
use crate::domain::endpoint::Filter;
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, EventId, TenantId};
use crate::store::event_scan::EventFilter;

const TENANT: TenantId = TenantId::DEFAULT;
/// Looks for more this often.
const POLL: Duration = Duration::from_millis(500);
/// Events read at a time.
const PAGE: usize = 100;

/// `waxseal tail …`
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Print what the events say as well: it is opened for you, and stands in your terminal then.
    #[arg(long)]
    content: bool,
    /// Of this type, or prefix such as `message.*`. May be repeated.
    #[arg(long = "type", value_parser = event_type_of)]
    event_types: Vec<String>,
    /// Of this channel.
    #[arg(long)]
    channel: Option<ChannelId>,
    /// Begin with the first event that is kept, and not with the next one to come.
    #[arg(long)]
    from_start: bool,
    /// End after so many events.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

/// Events, where they end, and whether there are more now.
type Lines = (Vec<Line>, EventCursor, bool);

/// One event on its line.
struct Line {
    id: Uuid,
    event_type: String,
    channel: Option<Uuid>,
    contact: Option<Uuid>,
    received_at: OffsetDateTime,
    content: Option<Content>,
}

pub(super) async fn run(config: &Config, args: TailArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = super::settings::base(config).await?;
    let mut after = if args.from_start {
        EventCursor::default()
    } else {
        EventCursor { xid: base.store.head_of_events(TENANT).await?.shown, event: Uuid::max() }
    };
    let types = types(&args.event_types);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let (lines, next, more) = if args.content {
            opened(&base, &args, types.as_deref(), after, limit).await?
        } else {
            closed(&base, &args, types.as_deref(), after, limit).await?
        };
        for line in lines {
            print(&line, out)?;
            left -= 1;
        }
        out.flush()?;
        after = next;
        if !more {
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

fn types(wanted: &[String]) -> Option<Vec<String>> {
    if wanted.is_empty() {
        return None;
    }
    let filter = Filter { event_types: wanted.to_vec(), ..Filter::default() };
    let types = EventType::ALL.iter().filter(|one| filter.matches(**one, None));
    Some(types.map(|one| one.as_str().to_owned()).collect())
}

/// Events without their content, which stays sealed.
async fn closed(
    base: &Base,
    args: &TailArgs,
    types: Option<&[String]>,
    after: EventCursor,
    limit: usize,
) -> anyhow::Result<Lines> {
    let channels = args.channel.map(|channel| [channel.uuid()]);
    let channels = channels.as_ref().map(<[Uuid; 1]>::as_slice);
    let filter = EventFilter { types, channels, contacts: None, hidden: None };
    let after = (after.xid, after.event);
    let page = base.store.page_of_events(TENANT, after, filter, one_more(limit)).await?.into_page(after, limit);
    let (xid, event) = page.end;
    let line = |row: crate::store::events::EventRow| Line {
        id: row.event_id,
        event_type: row.event_type,
        channel: row.channel_id,
        contact: row.contact_id,
        received_at: row.received_at,
        content: None,
    };
    Ok((page.rows.into_iter().map(line).collect(), EventCursor { xid, event }, page.has_more))
}

/// Events with their content, through the one door.
async fn opened(
    base: &Base,
    args: &TailArgs,
    types: Option<&[String]>,
    after: EventCursor,
    limit: usize,
) -> anyhow::Result<Lines> {
    let operator = Caller::operator(TENANT, [Permission::EventsRead, Permission::AuditRead].into_iter().collect());
    let door = base.door();
    let types = types.map(<[String]>::to_vec);
    let query = EventQuery { after, types, channel: args.channel, contact: None, limit };
    let page = door.events(&operator, &Errand::operation(), &query).await?;
    door.refusals().alarms().flush().await;
    let line = |view: crate::access::views::EventView| Line {
        id: view.id.uuid(),
        event_type: view.event_type,
        channel: view.channel.map(ChannelId::uuid),
        contact: view.contact.map(ContactId::uuid),
        received_at: view.received_at,
        content: Some(view.content),
    };
    Ok((page.items.into_iter().map(line).collect(), page.next.unwrap_or(after), page.has_more))
}

fn print(line: &Line, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let id = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let (at, event) = (shown(line.received_at), EventId::from_uuid(line.id));
    let (channel, contact) = (id(line.channel), id(line.contact));
    writeln!(out, "{at}  {:18}  {event}  channel {channel:36}  contact {contact}", line.event_type)?;
    match &line.content {
        None => Ok(()),
        // As JSON it has no control characters that a terminal would obey; what is no JSON is quoted.
        Some(Content::Opened(bytes)) => match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(json) => writeln!(out, "  {json}"),
            Err(_) => writeln!(out, "  {:?}", String::from_utf8_lossy(bytes)),
        },
        Some(Content::Erased) => writeln!(out, "  (erased)"),
        Some(Content::Damaged) => writeln!(out, "  (does not open)"),
    }
}
