//! The tree of the log: it grows with what is committed, its tiles and bundles are those of its checkpoints, and a sequencer that
//! is killed loses no entry and forks nothing.

use reqwest::{Method, StatusCode};
use time::macros::date;
use waxseal::tlog::checkpoint::Checkpoint;
use waxseal::tlog::merkle::{Hash, Head, consistency, fold, is_consistent, leaf_hash, subtrees};
use waxseal::tlog::note::Note;
use waxseal::tlog::tile::{Tile, bundle_path, node_in};

use super::{PATIENCE, policy, scene};
use crate::support::process::{Ports, Process};
use crate::support::wait::until;
use crate::support::{TestApp, database};

const PENDING: &str = "SELECT count(*) FROM audit_entry WHERE entry_id NOT IN (SELECT entry_id FROM audit_leaf)";

async fn bytes(app: &TestApp, path: &str) -> Vec<u8> {
    let answer = app.api(Method::GET, &format!("/v1/audit/tile/{path}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// The leaf hashes of the whole log, out of its bundles, as a monitor would take them.
pub async fn leaves(app: &TestApp, size: u64) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for (index, width) in (0..size.div_ceil(256)).map(|index| (index, (size - index * 256).min(256))) {
        let bundle = bytes(app, &format!("entries/{}", bundle_path(index, width))).await;
        for one in bundle.chunks(34) {
            assert_eq!(one[..2], [0, 32]);
            leaves.push(leaf_hash(&one[2..]));
        }
        let tile = Tile::of(0, index, size).unwrap();
        assert_eq!(bytes(app, &tile.path()).await, leaves[index as usize * 256..].concat());
    }
    leaves
}

pub fn root(leaves: &[Hash]) -> Hash {
    let nodes = subtrees(0..leaves.len() as u64).into_iter().map(|node| {
        let from = (node.index << node.level) as usize;
        perfect(&leaves[from..from + (1 << node.level)])
    });
    fold(&nodes.collect::<Vec<_>>())
}

fn perfect(leaves: &[Hash]) -> Hash {
    match leaves {
        [one] => *one,
        _ => fold(&[perfect(&leaves[..leaves.len() / 2]), perfect(&leaves[leaves.len() / 2..])]),
    }
}

/// Every checkpoint that was ever published.
pub async fn checkpoints(app: &TestApp) -> Vec<Head> {
    let policy = policy(app).await;
    let mut heads = Vec::new();
    for at in 0..database::count(&app.database, "SELECT count(*) FROM audit_checkpoint").await {
        let size = format!("SELECT size FROM audit_checkpoint ORDER BY size OFFSET {at} LIMIT 1");
        let size = database::count(&app.database, &size).await;
        let note =
            database::text(&app.database, &format!("SELECT note FROM audit_checkpoint WHERE size = {size}")).await;
        heads.push(policy.accept(&Note::parse(&note).unwrap()).unwrap().head);
    }
    heads
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tiles_bundles_and_checkpoints_of_a_log_are_of_one_tree() {
    let app = scene().await;
    for _ in 0..6 {
        // More at once might wait longer for a connection than a caller does.
        let reads = (0..100).map(|_| async { app.get("/v1/contacts").await });
        futures_util::future::join_all(reads).await;
    }
    database::until(&app.database, PENDING, 0).await;
    let answer = app.api(Method::GET, "/v1/audit/checkpoint").send().await.unwrap();
    let note = Note::parse(&answer.text().await.unwrap()).unwrap();
    let Checkpoint { head, .. } = policy(&app).await.accept(&note).unwrap();
    assert!(head.size >= 600);
    let leaves = leaves(&app, head.size).await;
    assert_eq!(root(&leaves), head.root);
    let upper = bytes(&app, &Tile::of(1, 0, head.size).unwrap().path()).await;
    assert_eq!(upper[..32], perfect(&leaves[..256]));
    let known = leaves.chunks(256).next().unwrap();
    assert!(subtrees(0..256).into_iter().all(|node| node_in(known, node).is_some()));
    let more = app.api(Method::GET, "/v1/audit/tile/0/x001/000").send().await.unwrap();
    assert_eq!(more.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequencers_that_are_killed_lose_no_entry_and_fork_no_tree() {
    let app = scene().await;
    let environment = crate::support::app::variables(&app.database, app.simulator.base_url());
    let environment: Vec<_> = environment.into_iter().filter(|(name, _)| !name.ends_with("_LISTEN")).collect();
    for _ in 0..3 {
        let mut process = Process::start(&environment, Ports::free()).await;
        // Whichever of the two has the lane: the other takes it from the silent one.
        database::sabotage(&app.database, "UPDATE lane SET worker_id = NULL, epoch = epoch + 1 WHERE kind = 4").await;
        let reads = (0..100).map(|_| async { app.get("/v1/contacts").await });
        futures_util::future::join_all(reads).await;
        process.kill_hard().await;
    }
    until("every entry is in the tree", PATIENCE * 3, async || database::count(&app.database, PENDING).await == 0)
        .await;
    let heads = checkpoints(&app).await;
    let last = *heads.last().unwrap();
    let all = leaves(&app, last.size).await;
    assert_eq!(last.root, root(&all));
    for head in &heads {
        assert_eq!(head.root, root(&all[..head.size as usize]), "a checkpoint is of another tree");
        let ranges = consistency(head.size, last.size).unwrap();
        let path: Vec<Hash> = ranges.into_iter().map(|range| root_of(&all, range)).collect();
        assert!(is_consistent(head, &last, &path));
    }
    let twice = "SELECT count(*) FROM (SELECT entry_id FROM audit_leaf GROUP BY entry_id HAVING count(*) > 1) twice";
    assert_eq!(database::count(&app.database, twice).await, 0);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM audit_leaf").await, last.size.cast_signed());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_checkpoints_of_a_day_long_past_the_last_published_one_stays() {
    let app = scene().await;
    database::until(&app.database, PENDING, 0).await;
    // Later than any clock: the gateway thins what is long past by itself, at any moment.
    let store = database::store(&app.database);
    store.thin_audit_checkpoints(date!(2126 - 03 - 01)).await.unwrap();
    // 1 and 2 are of 1 March; 3, 4 and, never published, 5 of the 2nd; 6 and 7 of the 3rd.
    let made = "INSERT INTO audit_checkpoint SELECT tenant_id, 1000 + n, '', n <> 5, timestamptz '2126-03-01Z' + n * interval '9 hours'
                FROM audit_log, generate_series(0, 7) AS n WHERE n <> 0";
    database::sabotage(&app.database, made).await;
    let thinned = store.thin_audit_checkpoints(date!(2126 - 03 - 03)).await.unwrap();
    let left = "SELECT string_agg((size - 1000)::text, ' ' ORDER BY size) FROM audit_checkpoint WHERE size > 1000";
    assert_eq!((thinned, database::text(&app.database, left).await.as_str()), (2, "2 4 5 6 7"));
}

pub fn root_of(all: &[Hash], range: std::ops::Range<u64>) -> Hash {
    root(&all[range.start as usize..range.end as usize])
}
