//! Compares what was sent with what arrived.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::estate::{Endpoint, Estate, Order};
use crate::event::{Event, Fact};
use crate::faults::Fault;

/// So many examples of each kind of violation are shown.
const SHOWN: usize = 5;

/// What is known of the way in.
pub struct Sent {
    pub facts: HashMap<Event, Fact>,
    pub faults: Vec<Fault>,
}

/// What became of it at one endpoint.
#[derive(Debug, Default)]
pub struct Row {
    pub wanted: usize,
    pub arrived: usize,
    pub accepted: usize,
    pub repeats: usize,
    /// Accepted while nothing was wrong: these have no excuse to come again.
    pub calm: usize,
    pub longest_way: Duration,
    pub violations: BTreeMap<&'static str, Vec<String>>,
}

impl Row {
    fn violated(&mut self, what: &'static str, detail: String) {
        self.violations.entry(what).or_default().push(detail);
    }

    /// As lines.
    pub fn complaints(&self, name: &str) -> Vec<String> {
        let line = |(what, all): (&&str, &Vec<String>)| {
            format!("{name}: {} {what}, such as {}", all.len(), all[..all.len().min(SHOWN)].join("; "))
        };
        self.violations.iter().map(line).collect()
    }
}

/// Everything about one endpoint. `ids` holds the `webhook-id` of each event, at whichever endpoint it was seen first.
pub async fn endpoint(estate: &Estate, index: usize, sent: &Sent, ids: &mut HashMap<Event, Uuid>) -> Row {
    let endpoint = &estate.endpoints[index];
    let mut row = Row::default();
    let (arrivals, forged, strange) =
        endpoint.consumer.read(|book| (book.arrivals.clone(), book.forged, book.strange.clone()));
    if forged > 0 {
        row.violated("not signed by the gateway", forged.to_string());
    }
    for name in strange {
        row.violated("sent by nobody", name);
    }
    let mut accepted: HashMap<Event, Vec<Instant>> = HashMap::new();
    let mut order = Vec::new();
    row.arrived = arrivals.len();
    for arrival in arrivals {
        let wamid = arrival.event.wamid();
        match sent.facts.get(&arrival.event) {
            None => row.violated("sent by nobody", wamid),
            Some(_) if !endpoint.wants(arrival.event) => row.violated("meant for others", wamid),
            Some(_) => {}
        }
        if let Some(id) = arrival.id
            && *ids.entry(arrival.event).or_insert(id) != id
        {
            row.violated("under a second id", arrival.event.wamid());
        }
        if arrival.accepted {
            let times = accepted.entry(arrival.event).or_default();
            if times.is_empty() {
                order.push(arrival.event);
            }
            times.push(arrival.at);
        }
    }
    row.accepted = accepted.len();
    completeness(endpoint, sent, &accepted, &mut row);
    repeats(index, sent, &accepted, &mut row);
    let skips = match endpoint.order {
        Order::None => return row,
        Order::Block => None,
        Order::Skip(after) => Some(Skips { after, recorded: attempts(estate, endpoint).await }),
    };
    let is_in_doubt = |event| sent.faults.iter().any(|fault| fault.loses_records(index, accepted[&event][0]));
    sequence(sent, &order, ids, skips.as_ref(), is_in_doubt, &mut row);
    row
}

fn completeness(endpoint: &Endpoint, sent: &Sent, accepted: &HashMap<Event, Vec<Instant>>, row: &mut Row) {
    for fact in sent.facts.values().filter(|fact| endpoint.wants(fact.event)) {
        row.wanted += 1;
        match accepted.get(&fact.event).and_then(|times| times.first()) {
            None => row.violated("lost", fact.event.wamid()),
            Some(at) => row.longest_way = row.longest_way.max(at.saturating_duration_since(fact.answered)),
        }
    }
}

fn repeats(index: usize, sent: &Sent, accepted: &HashMap<Event, Vec<Instant>>, row: &mut Row) {
    for (event, times) in accepted {
        row.repeats += times.len() - 1;
        let excused = |at: Instant| sent.faults.iter().any(|fault| fault.excuses(index, at));
        row.calm += usize::from(!excused(times[0]));
        for pair in times.windows(2).filter(|pair| !excused(pair[0])) {
            let detail = format!("{} after {:?}, {}", event.wamid(), pair[1] - pair[0], nearest(sent, pair[0]));
            row.violated("repeated without an excuse", detail);
        }
    }
}

/// What was wrong around a moment, for whoever looks for the reason.
fn nearest(sent: &Sent, at: Instant) -> String {
    let near = |fault: &&Fault| fault.began < at + Duration::from_secs(2) && at < fault.ended + Duration::from_secs(8);
    let tell = |fault: &Fault| {
        let since = at.saturating_duration_since(fault.began).as_secs_f64()
            - fault.began.saturating_duration_since(at).as_secs_f64();
        format!("{since:+.1} s from the beginning of {:?} {}", fault.kind, fault.target)
    };
    sent.faults.iter().filter(near).map(tell).collect::<Vec<_>>().join(", ")
}

/// What is known of events where so many failures end their turn.
struct Skips {
    after: i64,
    /// The number of the last recorded attempt.
    recorded: HashMap<Uuid, i64>,
}

impl Skips {
    /// Whether an event had lost its turn when a later one was accepted. An owner lets the later ones go when the last failure has
    /// happened, and records it afterwards: a fault in between leaves the failure without a record and the later event accepted,
    /// although the order was kept. No more than this one record can be lost, because an attempt is made of what the record of
    /// the one before it says. `is_in_doubt`: there was such a fault.
    fn excuse(&self, id: Option<&Uuid>, is_in_doubt: bool) -> bool {
        let recorded = id.and_then(|id| self.recorded.get(id)).copied().unwrap_or(0);
        recorded + i64::from(is_in_doubt) >= self.after
    }
}

/// An event that was answered 200 before another was posted, or that stood before it in one body, was stored before it.
fn sequence(
    sent: &Sent,
    order: &[Event],
    ids: &HashMap<Event, Uuid>,
    skips: Option<&Skips>,
    is_in_doubt: impl Fn(Event) -> bool,
    row: &mut Row,
) {
    let mut persons: HashMap<(u8, u16), Vec<Fact>> = HashMap::new();
    for event in order {
        let Some(fact) = sent.facts.get(event) else { continue };
        let before = persons.entry((event.channel, event.contact)).or_default();
        let is_later = |one: &&Fact| one.posted > fact.answered || (one.batch == fact.batch && one.place > fact.place);
        let is_excused = |one: &Fact| skips.is_some_and(|skips| skips.excuse(ids.get(event), is_in_doubt(one.event)));
        // Far back, everything is older than this.
        if let Some(later) = before.iter().rev().take(200).filter(is_later).find(|one| !is_excused(one)) {
            row.violated("out of order", inversion(fact, later, ids));
        }
        before.push(*fact);
    }
}

/// Two events, for whoever looks for the reason.
fn inversion(fact: &Fact, later: &Fact, ids: &HashMap<Event, Uuid>) -> String {
    let tell = |fact: &Fact| {
        let id = ids.get(&fact.event).map_or_else(String::new, Uuid::to_string);
        format!("{} (batch {}, place {}, {id})", fact.event.wamid(), fact.batch, fact.place)
    };
    let between = later.posted.saturating_duration_since(fact.answered);
    format!("{} after {}, which was posted {between:?} after its 200", tell(fact), tell(later))
}

/// The number of the last recorded attempt of each event that failed at an endpoint.
async fn attempts(estate: &Estate, endpoint: &Endpoint) -> HashMap<Uuid, i64> {
    let statement = format!(
        "SELECT event_id, max(number)::int8 FROM attempt WHERE endpoint_id = '{}' GROUP BY event_id",
        endpoint.id
    );
    let mut connection = PgConnection::connect(&estate.database).await.unwrap();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}
