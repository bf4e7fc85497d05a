//! Promise: the secret at the top of the key tree may lie in AWS KMS, which sees who asks and may refuse; and an installation moves there and
//! back. Shown with moto, as it is published, which checks the signature and the policy of each request.

use std::path::Path;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use rustix::fs::{Mode, chmod};
use rustix::process::Signal;
use serde_json::{Value, json};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::amazon::{AccessKey, Moto};
use crate::support::app::variables;
use crate::support::estate::{Estate, Folder};
use crate::support::process;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const HEARD: &str = "SELECT count(*) FROM event WHERE type = 'message.received'";
const BOTH: [&str; 2] = ["kms:Encrypt", "kms:Decrypt"];

type Variables = Vec<(String, String)>;

fn owned(variables: &[(&str, &str)]) -> Variables {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The settings of a key in this KMS, without saying who asks.
fn settings(moto: &Moto, key: &str) -> Variables {
    owned(&[
        ("WAXSEAL_KEYS__KMS", "aws"),
        ("WAXSEAL_KEYS__SECRET", ""),
        ("WAXSEAL_KEYS__AWS_KEY", key),
        ("WAXSEAL_KEYS__AWS_ENDPOINT", &moto.url),
    ])
}

/// Says who asks in our own settings.
fn configured(who: &AccessKey) -> Variables {
    owned(&[("WAXSEAL_KEYS__AWS_ACCESS_KEY_ID", &who.id), ("WAXSEAL_KEYS__AWS_SECRET_ACCESS_KEY", &who.secret)])
}

/// Says it where AWS's own programs look.
fn in_the_environment(who: &AccessKey) -> Variables {
    owned(&[("AWS_ACCESS_KEY_ID", &who.id), ("AWS_SECRET_ACCESS_KEY", &who.secret)])
}

/// What a verb said, and whether it succeeded.
async fn said(words: &[&str], environment: &[Variables]) -> (bool, String) {
    process::said(words, &environment.concat()).await
}

async fn refused(environment: &[Variables], why: &str) {
    let (is_ok, text) = said(&["keys", "status"], environment).await;
    assert!(!is_ok && text.contains(why), "{why:?} in {text}");
}

async fn read(app: &TestApp) -> StatusCode {
    app.api(Method::GET, "/v1/contacts").send().await.unwrap().status()
}

async fn says(app: &TestApp, number: usize) -> StatusCode {
    app.webhook(webhook::text("4915199900011", &format!("wamid.aws.{number}"), "Moin")).await
}

async fn warnings(app: &TestApp) -> Value {
    let answer = reqwest::get(format!("http://{}/readyz", app.at.admin)).await.unwrap();
    answer.json::<Value>().await.unwrap()["warnings"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_right_to_decrypt_away_shuts_what_is_stored_and_loses_nothing_that_comes_in() {
    let mut moto = Moto::start().await;
    let (key, who) = (moto.key().await, moto.user().await);
    moto.allow(&BOTH).await;
    let kms = [settings(&moto, &key), configured(&who)].concat();
    let more: Vec<(&str, &str)> = kms.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &more).await;
    let elsewhere = [variables(&app.database, app.simulator.base_url()), kms.clone()];
    assert_eq!(says(&app, 1).await, StatusCode::OK);
    assert_eq!((read(&app).await, warnings(&app).await), (StatusCode::OK, json!([])));

    moto.allow(&["kms:Encrypt"]).await;
    assert_eq!(read(&app).await, StatusCode::OK, "it was heard of a moment ago");
    clock.advance(time::Duration::minutes(10));
    assert_eq!(read(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(warnings(&app).await, json!([{ "name": "kms", "count": 1 }]));
    for number in 2..=10 {
        assert_eq!(says(&app, number).await, StatusCode::OK);
    }
    let bodies = "SELECT count(*) FROM event_payload WHERE encode(payload::bytea, 'escape') LIKE '%Moin%'";
    assert_eq!(database::count(&app.database, bodies).await, 0);
    refused(&elsewhere, "the KMS refuses us").await;

    moto.allow(&BOTH).await;
    until("what is stored can be read again", PATIENCE, async || read(&app).await == StatusCode::OK).await;
    assert_eq!(warnings(&app).await, json!([]));
    let events = app.get("/v1/events?limit=200&type=message.received").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 10);
    assert!(said(&["keys", "step"], &elsewhere).await.0, "a step has it wrap another share");
    assert_eq!(read(&app).await, StatusCode::OK);

    moto.kill().await;
    clock.advance(time::Duration::minutes(10));
    assert_eq!(read(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(says(&app, 11).await, StatusCode::OK);
    refused(&elsewhere, "the KMS does not answer").await;
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    chmod(path, Mode::RUSR | Mode::WUSR).unwrap();
}

async fn bodies(estate: &Estate) -> String {
    database::settled(&estate.database).await;
    estate.get("/v1/events?limit=200&type=message.received").await["data"].to_string()
}

async fn restarted(estate: &mut Estate, environment: Variables) {
    estate.environment = environment;
    estate.environment.retain(|(name, _)| !name.ends_with("_LISTEN"));
    // Told to stop, it is waited for by nobody.
    estate.gateway.signal(Signal::TERM);
    estate.gateway.ended().await;
    estate.gateway = estate.in_its_place().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_from_a_secret_on_the_machine_into_aws_kms_and_back() {
    let moto = Moto::start().await;
    let (key, other, who) = (moto.key().await, moto.key().await, moto.user().await);
    moto.allow(&BOTH).await;
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let inbound = format!("{}/control/inbound", estate.simulator.base_url());
    let text = json!({ "from": "4915199900011", "type": "text", "body": "vor dem Umzug" });
    assert!(reqwest::Client::new().post(&inbound).json(&text).send().await.unwrap().status().is_success());

    database::until(&estate.database, HEARD, 1).await;

    let folder = Folder::new("kms-aws");
    let (before, old) = (estate.environment.clone(), folder.0.join("old"));
    private(&old, &before.iter().find(|(name, _)| name == "WAXSEAL_KEYS__SECRET").unwrap().1);
    let at_aws = [settings(&moto, &key), in_the_environment(&who)].concat();
    refused(&[before.clone(), at_aws.clone()], "the KMS refuses").await;
    let both = owned(&[("WAXSEAL_KEYS__PREVIOUS_SECRET_FILE", &old.display().to_string())]);
    let moving = [before.clone(), at_aws.clone(), both];
    restarted(&mut estate, moving.concat()).await;
    let (is_ok, text) = said(&["keys", "rewrap"], &moving).await;
    assert!(is_ok && text.contains("may go"), "{text}");
    refused(std::slice::from_ref(&before), "the KMS refuses the key share").await;

    restarted(&mut estate, [before.clone(), at_aws.clone()].concat()).await;
    let told = bodies(&estate).await;
    assert!(told.contains("vor dem Umzug"), "{told}");
    let stranger = owned(&[("WAXSEAL_KEYS__AWS_KEY", &other)]);
    refused(&[before.clone(), at_aws.clone(), stranger], "the KMS refuses").await;
    let liar = owned(&[("AWS_SECRET_ACCESS_KEY", "of somebody else")]);
    refused(&[before.clone(), at_aws.clone(), liar], "the KMS refuses us").await;

    let back = [before.clone(), at_aws[2..].to_vec(), owned(&[("WAXSEAL_KEYS__PREVIOUS_KMS", "aws")])];
    restarted(&mut estate, back.concat()).await;
    assert!(said(&["keys", "rewrap"], &back).await.1.contains("may go"));
    assert!(said(&["keys", "rewrap"], &back).await.1.contains("already"));
    refused(&[before.clone(), at_aws], "the KMS refuses").await;
    restarted(&mut estate, before).await;
    let told = bodies(&estate).await;
    assert!(told.contains("vor dem Umzug"), "{told}");
}
