//! What is measured, and in which order. What is compared is measured in turns, so that a machine that grows slower or
//! faster meanwhile does so for both.

use super::bench::{Bench, Outcome, Site, median};
use super::ceiling::{Batches, Statement};
use super::closed::Shape;
use super::database::Database;
use super::gateway::{Batching, Gateway};
use super::history;
use super::load::People;
use super::open::Schedule;
use super::process::Memory;
use super::progress;
use super::server::Server;

/// Connections and items in each POST.
pub(crate) type Posts = (usize, usize);

const CONNECTIONS: [usize; 3] = [16, 64, 256];
const ITEMS: [usize; 3] = [1, 10, 100];
/// What most targets are about.
pub(crate) const SMALL: Posts = (64, 1);
/// The same with large POSTs.
pub(crate) const LARGE: Posts = (64, 100);
/// Many connections.
pub(crate) const CROWD: Posts = (256, 1);
/// The open loop.
pub(crate) const SCHEDULE: Schedule = Schedule { rate: 4000, connections: 64 };
/// UNNEST 100 over two connections.
pub(crate) const RAW: Batches = Batches { statement: Statement::Gateway, rows: 100, connections: 2 };

/// Everything that was found out.
pub(crate) struct Findings {
    /// Of the gateway before its first webhook.
    pub(crate) idle: Option<Memory>,
    /// One row per commit by one connection: what a commit costs here.
    pub(crate) lone_commit: Outcome,
    /// On an empty database.
    pub(crate) empty: Rates,
    /// Every message from somebody new, [`SMALL`], on the empty database.
    pub(crate) strangers: Outcome,
    /// On one with 30 days of events.
    pub(crate) full: Rates,
    /// The empty and the full database by turns.
    pub(crate) turns: Vec<Turns>,
}

/// What was measured on one database.
pub(crate) struct Rates {
    /// The raw load by the gateway's statement, and by two plain ones.
    pub(crate) raw: [Outcome; 2],
    /// One POST per transaction.
    pub(crate) one_per_request: Vec<(Posts, Outcome)>,
    /// Every number of connections and items.
    pub(crate) closed: Vec<(Posts, Outcome)>,
    /// [`SCHEDULE`] with one endpoint.
    pub(crate) open: Outcome,
}

/// The same load on both databases.
pub(crate) struct Turns {
    /// Which.
    pub(crate) posts: Posts,
    /// On the empty one.
    pub(crate) empty: Outcome,
    /// On the full one.
    pub(crate) full: Outcome,
}

/// Measures everything.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let database = Database::make(server, "bench_empty").await?;
    let gateway = Gateway::start(&database, bench.business(), Batching::Grouped).await?;
    let idle = bench.watched(&gateway).memory();
    let empty = Site { database, gateway };
    bench.introduce(&empty.gateway).await?;
    progress::say("empty database: ");
    let lone_commit = bench.raw(&empty, Batches { rows: 1, connections: 1, ..RAW }).await?;
    let on_empty = measure(bench, &empty, bench.sizes.rounds).await?;

    progress::say(&format!("storing {} events of the last 30 days: ", bench.sizes.history));
    let mut database = Database::make(server, "bench_full").await?;
    history::fill(&mut database, bench.business(), bench.sizes.history).await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let full = Site { database, gateway };
    progress::say("both databases by turns: ");
    // What the gateway remembers of people may have grown old meanwhile.
    bench.introduce(&empty.gateway).await?;
    let turns = vec![take_turns(bench, &empty, &full, SMALL).await?, take_turns(bench, &empty, &full, LARGE).await?];
    progress::say("full database: ");
    let on_full = measure(bench, &full, 1).await?;
    progress::say("strangers: ");
    let (connections, items) = SMALL;
    let strangers = Shape { connections, items, people: People::New };
    let strangers = bench.closed(&empty.database, &empty.gateway, strangers).await?;
    Ok(Findings { idle, lone_commit, empty: on_empty, strangers, full: on_full, turns })
}

/// Everything that is measured on each database. Medians of `rounds` where a target hangs on it.
async fn measure(bench: &Bench, site: &Site, rounds: usize) -> anyhow::Result<Rates> {
    let single = bench.start(&site.database, Batching::OnePerRequest).await?;
    let mut all: [Vec<Outcome>; 5] = Default::default();
    for _ in 0..rounds {
        let round = [
            bench.raw(site, RAW).await?,
            bench.raw(site, Batches { statement: Statement::Plain, ..RAW }).await?,
            post(bench, site, SMALL).await?,
            bench.closed(&site.database, &single, shape(SMALL)).await?,
            post(bench, site, LARGE).await?,
        ];
        all.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    let [by_gateway, plain, small, alone, large] = all;
    let crowd = bench.closed(&site.database, &single, shape(CROWD)).await?;
    drop(single);
    let mut closed = vec![(SMALL, median(small)?), (LARGE, median(large)?)];
    for posts in CONNECTIONS.into_iter().flat_map(|connections| ITEMS.map(|items| (connections, items))) {
        if posts != SMALL && posts != LARGE {
            closed.push((posts, post(bench, site, posts).await?));
        }
    }
    closed.sort_by_key(|((connections, items), _)| (*items, *connections));
    let mut open = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        open.push(bench.open(site, SCHEDULE).await?);
    }
    let one_per_request = vec![(SMALL, median(alone)?), (CROWD, crowd)];
    Ok(Rates { raw: [median(by_gateway)?, median(plain)?], one_per_request, closed, open: median(open)? })
}

async fn take_turns(bench: &Bench, empty: &Site, full: &Site, posts: Posts) -> anyhow::Result<Turns> {
    let (mut on_empty, mut on_full) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds {
        on_empty.push(post(bench, empty, posts).await?);
        on_full.push(post(bench, full, posts).await?);
    }
    Ok(Turns { posts, empty: median(on_empty)?, full: median(on_full)? })
}

async fn post(bench: &Bench, site: &Site, posts: Posts) -> anyhow::Result<Outcome> {
    bench.closed(&site.database, &site.gateway, shape(posts)).await
}

const fn shape((connections, items): Posts) -> Shape {
    Shape { connections, items, people: People::Known }
}
