//! Entries go with age; the tree stays, whatever was proved before is still proved, and theft is not mistaken for age.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use time::Duration;
use waxseal::access::Permissions;
use waxseal::app::Base;
use waxseal::audit::{Act, Action, Actor, Object};
use waxseal::clock::{Clock, ManualClock};
use waxseal::ids::TenantId;
use waxseal::tlog::proof::Proof;

use super::verify::{DIVERGED, Exported, INVALID, PENDING};
use super::{listed, receipt};
use crate::support::app::api_key_with;
use crate::support::{TestApp, database};

const PRUNED: &str = "SELECT pruned FROM audit_log";

/// Reads that leave entries. Returns the receipt of the last.
async fn read(app: &TestApp) -> String {
    let mut last = None;
    for _ in 0..5 {
        last = receipt(&app.api(Method::GET, "/v1/audit?limit=1").send().await.unwrap());
    }
    database::until(&app.database, PENDING, 0).await;
    last.unwrap()
}

/// A log with entries of two days, three years ago.
async fn scene() -> (TestApp, Arc<ManualClock>, [String; 2]) {
    let (mut app, clock) = TestApp::spawn_with_clock().await;
    let first = read(&app).await;
    clock.advance(Duration::DAY);
    let second = read(&app).await;
    clock.advance(Duration::days(1095));
    // No key lives for so long.
    app.key = api_key_with(&app.gateway, Permissions::admin()).await;
    (app, clock, [first, second])
}

async fn prune(app: &TestApp, clock: &ManualClock) -> usize {
    database::until(&app.database, PENDING, 0).await;
    let pruned = app.gateway.base().audit.prune(clock.now().date() - Duration::days(1095)).await.unwrap();
    database::until(&app.database, PENDING, 0).await;
    pruned
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_day_go_with_age_and_every_proof_of_before_and_after_holds() {
    let (app, clock, [first, second]) = scene().await;
    let before = Exported::of(&app, "pruning-before").await;
    let kept = fs::read_to_string(before.at("entries.jsonl")).unwrap();
    let line = kept.lines().find(|line| line.contains(&first)).unwrap();

    // First it is said, and when a checkpoint covers what was said, it is done.
    let day = clock.now().date() - Duration::days(1096);
    let day = format!("to_char(date '{day}', 'YYYYMMDD')");
    let there =
        format!("SELECT count(*) FROM pg_class WHERE relname IN ('audit_entry_' || {day}, 'audit_subject_' || {day})");
    assert_eq!(database::count(&app.database, &there).await, 2);
    let gone = prune(&app, &clock).await + prune(&app, &clock).await;
    assert!(gone > 0);
    assert_eq!(database::count(&app.database, &there).await, 0);
    assert_eq!((prune(&app, &clock).await, listed(&app, "&action=audit.pruned").await.len()), (0, 1));

    let pruned = database::count(&app.database, PRUNED).await;
    assert!(pruned >= 5);
    let answer = app.api(Method::GET, "/v1/audit?limit=200").send().await.unwrap();
    assert_eq!(answer.headers()["x-audit-pruned"], pruned.to_string().as_str());
    let ids: Vec<String> = listed(&app, "").await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert!(!ids.contains(&first) && ids.contains(&second));

    let ask = async |which: &str| app.api(Method::GET, &format!("/v1/audit/proof/{which}")).send().await.unwrap();
    let whole = Proof::parse(&ask(&second).await.text().await.unwrap()).unwrap();
    assert!(whole.extra.is_some());
    let answer = ask(&first).await;
    assert_eq!((answer.status(), answer.headers().contains_key("x-audit-pruned")), (StatusCode::OK, true));
    let bare = answer.text().await.unwrap();
    assert_eq!(Proof::parse(&bare).unwrap().extra, None);

    let after = Exported::of(&app, "pruning-after").await;
    let (proof, entry, other) = (after.at("proof"), after.at("entry"), after.at("other"));
    fs::write(&proof, &bare).unwrap();
    fs::write(&entry, line).unwrap();
    fs::write(&other, kept.lines().find(|one| *one != line).unwrap()).unwrap();
    let [proof, entry, other] = [&proof, &entry, &other].map(|path| path.to_str().unwrap());
    for (words, code) in [
        (vec!["inclusion", proof, "--entry", entry], 0),
        (vec!["inclusion", proof, "--entry", other], INVALID),
        (vec!["inclusion", proof], INVALID),
    ] {
        let (found, said) = after.verify(&words).await;
        assert_eq!(found, ExitCode::from(code), "{words:?}: {said}");
    }
    let [old, new, bundle] = [before.at("checkpoint"), after.at("checkpoint"), after.at("")];
    let [old, new, bundle] = [&old, &new, &bundle].map(|path| path.to_str().unwrap());
    let (code, said) = after.verify(&["consistency", old, new, "--bundle", bundle]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    let (code, said) = after.bundle().await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    assert!(said.contains(" of the oldest were dropped with age"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_and_was_not_said_to_be_pruned_is_missed() {
    let (app, clock, _) = scene().await;
    let path = |exported: &Exported| exported.at("entries.jsonl");
    let exported = Exported::of(&app, "pruning-theft").await;
    let all = fs::read_to_string(path(&exported)).unwrap();
    // The oldest are gone, and no entry says why.
    fs::write(path(&exported), all.split_inclusive('\n').skip(3).collect::<String>()).unwrap();
    assert_eq!(exported.bundle().await.0, ExitCode::from(DIVERGED));

    assert!(prune(&app, &clock).await + prune(&app, &clock).await > 0);
    let exported = Exported::of(&app, "pruning-hole").await;
    assert_eq!(exported.bundle().await.0, ExitCode::SUCCESS);
    let all = fs::read_to_string(path(&exported)).unwrap();
    let pruned = database::count(&app.database, PRUNED).await;
    let index = |line: &str| serde_json::from_str::<Value>(line).unwrap()["index"].as_i64().unwrap();
    // Of those below, some may be kept for longer: the clocks of processes differ, and so do the days of neighbours in the tree.
    let kept = all.lines().enumerate().filter(|(_, line)| index(line) >= pruned).map(|(at, _)| at);
    for missing in kept {
        let rest = all.split_inclusive('\n').enumerate().filter(|(at, _)| *at != missing).map(|(_, line)| line);
        fs::write(path(&exported), rest.collect::<String>()).unwrap();
        let (code, said) = exported.bundle().await;
        assert_eq!(code, ExitCode::from(DIVERGED), "without line {missing}: {said}");
    }
    database::sabotage(&app.database, "DELETE FROM audit_entry WHERE action = 'audit.pruned'").await;
    let (code, said) = Exported::of(&app, "pruning-silent").await.bundle().await;
    assert_eq!(code, ExitCode::from(DIVERGED), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_say_once_what_they_prune() {
    let (app, clock, _) = scene().await;
    let end = clock.now().date() - Duration::days(1095);
    let audit = &app.gateway.base().audit;
    let mut dropped = 0;
    for _ in 0..2 {
        let done = futures_util::future::join_all((0..8).map(|_| audit.prune(end))).await;
        dropped += done.into_iter().map(Result::unwrap).sum::<usize>();
        database::until(&app.database, PENDING, 0).await;
    }
    assert!(dropped > 0);
    assert_eq!(listed(&app, "&action=audit.pruned").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_not_in_the_tree_is_not_dropped_however_old() {
    let (app, clock, _) = scene().await;
    let (config, end) = (app.config.clone(), clock.now().date() - Duration::days(1095));
    prune(&app, &clock).await;
    app.gateway.shutdown().await;
    // Nobody sequences now, and somebody's clock is three years behind.
    let behind = Arc::new(ManualClock::new(clock.now() - Duration::days(1096)));
    let base = Box::pin(Base::open(&config, behind)).await.unwrap();
    let act = Act::new(TenantId::DEFAULT, Actor::OPERATOR, Action::AuditRead, Object::several("audit_entry"));
    let id = base.audit.record(act).await.unwrap();
    base.audit.prune(end).await.unwrap();
    let still = format!("SELECT count(*) FROM audit_entry WHERE entry_id = '{id}'");
    assert_eq!(database::count(&app.database, &still).await, 1);
}
