//! What changes rightly, and is written back as it was: what the log said last of it counts.

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::clock::Clock;

use super::{ANA, BEFORE, BOB, Shop};
use crate::support::database;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};

/// A copy of a table, for whoever puts it back later.
async fn keep(shop: &Shop, tables: &[&str]) {
    for table in tables {
        shop.sabotage(&format!("DROP TABLE IF EXISTS kept_{table}; CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_is_taken_away_changed_or_made_up_is_told() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.agrees.1").await;
    shop.pass(BEFORE).await;
    shop.are_right().await;
    let ana = shop.contact(ANA).await;
    let (path, channel) = (format!("/v1/contacts/{ana}/consent"), shop.app.channel().await);
    let said = |state: &str| json!({ "channel_id": channel, "purpose": "marketing", "state": state });
    shop.call(Method::PUT, &path, said("granted")).await;
    shop.pass(Duration::hours(2)).await;
    keep(&shop, &["consent"]).await;
    shop.call(Method::PUT, &path, said("withdrawn")).await;
    shop.are_right().await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;

    let as_before = "CREATE TABLE now_consent AS TABLE consent; DELETE FROM consent;
                     INSERT INTO consent SELECT * FROM kept_consent";
    shop.sabotage(as_before).await;
    shop.are_told("consent: 1 rows are missing").await;
    shop.sabotage("DELETE FROM consent; INSERT INTO consent SELECT * FROM now_consent").await;
    shop.are_right().await;
    shop.sabotage("UPDATE consent SET state = 'granted' WHERE state = 'withdrawn'").await;
    shop.are_told("consent: rows were put in the place of others").await;
    shop.sabotage("DELETE FROM consent; INSERT INTO consent SELECT * FROM now_consent").await;

    // With the person it goes, and comes back with nobody.
    shop.erased(ANA).await;
    shop.are_right().await;
    shop.sabotage("INSERT INTO consent SELECT * FROM now_consent").await;
    shop.are_told("consent: 2 rows too many").await;
    shop.sabotage("DELETE FROM consent").await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_that_is_put_back_or_taken_away_is_told() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.unused.1").await;
    shop.says(BOB, "wamid.unused.2").await;
    let (ana, bob) = (shop.contact(ANA).await, shop.contact(BOB).await);
    let restriction = |contact: &str| format!("/v1/contacts/{contact}/restriction");
    shop.call(Method::PUT, &restriction(&ana), json!({ "reason": "x" })).await;
    shop.call(Method::PUT, &restriction(&bob), json!({ "reason": "y" })).await;
    shop.pass(BEFORE).await;
    shop.are_right().await;
    keep(&shop, &["restriction"]).await;

    // Gone, on every day.
    shop.sabotage(&format!("DELETE FROM restriction WHERE contact_id = '{ana}'")).await;
    shop.are_told(&format!("restriction {ana}: it is gone, and no entry tells of it")).await;
    shop.sabotage("INSERT INTO restriction SELECT * FROM kept_restriction ON CONFLICT DO NOTHING").await;
    shop.are_right().await;

    // Gone on the day on which it rightly changed: that tells of no removal.
    shop.call(Method::PUT, &restriction(&ana), json!({ "reason": "z" })).await;
    shop.are_right().await;
    keep(&shop, &["restriction"]).await;
    shop.sabotage(&format!("DELETE FROM restriction WHERE contact_id = '{ana}'")).await;
    shop.are_told(&format!("restriction {ana}: it is gone, and no entry tells of it")).await;
    shop.sabotage("INSERT INTO restriction SELECT * FROM kept_restriction ON CONFLICT DO NOTHING").await;

    // Entries of one minute may have come in another order.
    shop.clock.advance(Duration::minutes(2));
    // Back after it was lifted: at once, with the note of it or without, and later.
    shop.call(Method::DELETE, &restriction(&ana), json!({})).await;
    shop.are_right().await;
    shop.sabotage("INSERT INTO restriction SELECT * FROM kept_restriction ON CONFLICT DO NOTHING").await;
    shop.are_told(&format!("restriction {ana}: it was removed, and is there")).await;
    shop.sabotage("CREATE TABLE noted AS TABLE row_removal; DELETE FROM row_removal").await;
    shop.are_told(&format!("restriction {ana}: it was removed, and is there")).await;
    shop.sabotage(&format!(
        "INSERT INTO row_removal SELECT * FROM noted; DELETE FROM restriction WHERE contact_id = '{ana}'"
    ))
    .await;
    shop.pass(Duration::days(1)).await;
    assert_eq!(database::count(&shop.app.database, "SELECT count(*) FROM row_removal").await, 0);
    shop.are_right().await;
    shop.sabotage("INSERT INTO restriction SELECT * FROM kept_restriction ON CONFLICT DO NOTHING").await;
    shop.are_told(&format!("restriction {ana}: it is there, and no entry tells of it")).await;
    shop.sabotage(&format!("DELETE FROM restriction WHERE contact_id = '{ana}'")).await;

    // Of somebody who was erased.
    shop.erased(BOB).await;
    shop.are_right().await;
    shop.sabotage(&format!("INSERT INTO restriction SELECT * FROM kept_restriction WHERE contact_id = '{bob}'")).await;
    shop.are_told(&format!("restriction {bob}: it is there, and no entry tells of it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_stands_as_it_did_before_is_told_on_the_same_day_and_later() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.held.1").await;
    shop.pass(BEFORE).await;
    let expires = (shop.clock.now() + Duration::days(30)).format(&Rfc3339).unwrap();
    let asked = json!({ "phone": ANA, "reason": "x", "expires_at": expires });
    let hold = shop.call(Method::POST, "/v1/privacy/holds", asked).await["id"].as_str().unwrap().to_owned();
    let second =
        shop.call(Method::POST, "/v1/keys", json!({ "name": "second", "permissions": ["privacy:hold"] })).await;
    shop.sabotage("CREATE TABLE requested AS TABLE hold").await;
    let approve = format!("/v1/privacy/holds/{hold}/approve");
    let answer = shop.app.api_as(second["key"].as_str().unwrap(), Method::POST, &approve).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    shop.are_right().await;
    shop.sabotage("CREATE TABLE active AS TABLE hold").await;
    let as_in = |table: &str| format!("DELETE FROM hold; INSERT INTO hold SELECT * FROM {table}");
    shop.sabotage(&as_in("requested")).await;
    shop.are_told(&format!("hold {hold}: it is not as its newest entry says")).await;
    shop.sabotage(&as_in("active")).await;
    shop.are_right().await;

    shop.call(Method::DELETE, &format!("/v1/privacy/holds/{hold}"), json!({})).await;
    shop.are_right().await;
    shop.sabotage("CREATE TABLE released AS TABLE hold").await;
    shop.sabotage(&as_in("active")).await;
    shop.are_told(&format!("hold {hold}: it is not as its newest entry says")).await;
    shop.sabotage(&as_in("released")).await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
    shop.sabotage(&as_in("active")).await;
    shop.are_told(&format!("hold {hold}: it was changed, and no entry tells of it")).await;
    shop.sabotage("DELETE FROM hold").await;
    shop.are_told(&format!("hold {hold}: it is gone, and no entry tells of it")).await;

    // With the person it goes.
    shop.sabotage(&as_in("released")).await;
    shop.erased(ANA).await;
    shop.are_right().await;
    shop.sabotage(&as_in("released")).await;
    shop.are_told(&format!("hold {hold}: it is there, and no entry tells of it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_pin_is_told_and_the_change_of_one_is_not() {
    let shop = Shop::open().await;
    let channel = shop.app.channel().await;
    let pin = |pin: &str| (Method::POST, format!("/v1/channels/{channel}/pin"), json!({ "pin": pin }));
    let (method, path, body) = pin("482915");
    shop.call(method, &path, body).await;
    shop.pass(BEFORE).await;
    shop.are_right().await;
    keep(&shop, &["channel"]).await;
    let (method, path, body) = pin("482916");
    shop.call(method, &path, body).await;
    shop.are_right().await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
    // That the channel is changed is no reason for another PIN.
    shop.call(Method::PATCH, &format!("/v1/channels/{channel}"), json!({ "name": "Laden" })).await;
    shop.sabotage("UPDATE channel SET pin = k.pin FROM kept_channel k WHERE k.channel_id = channel.channel_id").await;
    shop.are_told(&format!("pin {channel}: it was changed, and no entry tells of it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_rows_that_is_killed_in_the_middle_changes_nothing_that_the_next_says() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.killed.1").await;
    shop.says(BOB, "wamid.killed.2").await;
    shop.pass(BEFORE).await;
    let day = shop.day().await;
    let one = "(SELECT event_id FROM event WHERE type = 'message.received' LIMIT 1)";
    shop.sabotage(&format!("DELETE FROM event_payload WHERE event_id = {one}")).await;
    let fault = format!("event_payload of {day}: 1 rows are missing");
    shop.are_told(&fault).await;
    let marks = "SELECT md5(string_agg(content::bytea::text, ',' ORDER BY counted, part_day)) FROM row_mark";
    let before = database::text(&shop.app.database, marks).await;
    let mut blocker = PgConnection::connect(&shop.app.database).await.unwrap();
    for words in [&["audit", "rows"][..], &["audit", "rows", "--accept"]] {
        // It comes as far as the last table, and waits there.
        let mut lock = blocker.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE message IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let mut looking = waxseal(words, &shop.environment).kill_on_drop(true).spawn().unwrap();
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'message'::regclass";
        until("it waits", PATIENCE, async || database::count(&shop.app.database, waits).await > 0).await;
        looking.kill().await.unwrap();
        lock.rollback().await.unwrap();
        if words.len() == 2 {
            assert_eq!(database::text(&shop.app.database, marks).await, before);
            shop.are_told(&fault).await;
        }
    }
    // Nothing that the log did not say passes for what it said, and the next one comes to the end.
    let (_, said) = shop.rows(&[]).await;
    assert!(!said.contains("row_mark"), "{said}");
    let (code, said) = shop.rows(&["--accept"]).await;
    assert!(code == Some(0) && said.starts_with("ok: "), "{said}");
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
}
