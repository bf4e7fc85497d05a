//! What is written back as it was is told by whatever looks at the rows, and not by `audit rows` alone: by the posture, and by a drill.

use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::clock::Clock;

use super::{ANA, BEFORE, BOB, Shop};
use crate::backup::{Safe, environment};
use crate::support::process::waxseal;

/// What the posture says of the rows.
async fn posture(shop: &Shop) -> (String, String) {
    let output = waxseal(&["posture", "--json"], &shop.environment).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let control = told["controls"].as_array().unwrap().iter().find(|one| one["control"] == "rows").unwrap();
    (control["state"].as_str().unwrap().to_owned(), control["evidence"].as_str().unwrap().to_owned())
}

async fn set_pin(shop: &Shop, pin: &str) {
    let path = format!("/v1/channels/{}/pin", shop.app.channel().await);
    shop.call(Method::POST, &path, json!({ "pin": pin })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_holds_restrictions_and_pins_that_are_written_back_turn_the_posture_red_and_are_refused_by_a_drill() {
    let (safe, shop) = (Safe::new("rows-drill"), Shop::open().await);
    shop.says(ANA, "wamid.measured.1").await;
    shop.says(BOB, "wamid.measured.2").await;
    let (ana, bob, channel) = (shop.contact(ANA).await, shop.contact(BOB).await, shop.app.channel().await);
    let granted = json!({ "channel_id": channel, "purpose": "marketing", "state": "granted" });
    shop.call(Method::PUT, &format!("/v1/contacts/{ana}/consent"), granted).await;
    let restriction = format!("/v1/contacts/{bob}/restriction");
    shop.call(Method::PUT, &restriction, json!({ "reason": "x" })).await;
    let expires = (shop.clock.now() + Duration::days(30)).format(&Rfc3339).unwrap();
    let asked = json!({ "phone": ANA, "reason": "x", "expires_at": expires });
    let hold = shop.call(Method::POST, "/v1/privacy/holds", asked).await["id"].as_str().unwrap().to_owned();
    set_pin(&shop, "482915").await;
    shop.pass(BEFORE).await;
    for table in ["consent", "restriction", "hold", "channel"] {
        shop.sabotage(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    shop.call(Method::DELETE, &restriction, json!({})).await;
    shop.call(Method::DELETE, &format!("/v1/privacy/holds/{hold}"), json!({})).await;
    set_pin(&shop, "482916").await;
    // Until then a PIN may be either, because it rightly changed.
    shop.pass(Duration::days(1)).await;
    for table in ["hold", "channel"] {
        shop.sabotage(&format!("CREATE TABLE now_{table} AS TABLE {table}")).await;
    }
    shop.are_right().await;
    assert_eq!(posture(&shop).await.0, "green");

    let again = |table: &str| format!("DELETE FROM hold; INSERT INTO hold SELECT * FROM {table}");
    let pin =
        |table: &str| format!("UPDATE channel SET pin = k.pin FROM {table} k WHERE k.channel_id = channel.channel_id");
    let harm = [
        ("consent: ", "DELETE FROM consent".to_owned(), "INSERT INTO consent SELECT * FROM kept_consent".to_owned()),
        (
            "restriction ",
            "INSERT INTO restriction SELECT * FROM kept_restriction".to_owned(),
            "DELETE FROM restriction".to_owned(),
        ),
        ("hold ", again("kept_hold"), again("now_hold")),
        ("pin ", pin("kept_channel"), pin("now_channel")),
    ];
    for (what, statement, mended) in harm {
        shop.sabotage(&statement).await;
        let (state, evidence) = posture(&shop).await;
        assert!(state == "red" && evidence.contains(what), "{what}: {evidence}");
        let here = environment(&shop.app.database, &[]);
        let (folder, key) = safe.back_up(&here, &[]).await;
        let drill = safe.restore(&here, &folder, &key, &["--drill"]).await;
        drill.refused("there are rows that the log does not tell of");
        shop.sabotage(&mended).await;
        assert_eq!(posture(&shop).await.0, "green", "{what}");
    }
    let here = environment(&shop.app.database, &[]);
    let (folder, key) = safe.back_up(&here, &[]).await;
    safe.restore(&here, &folder, &key, &["--drill"]).await.ok();
}
