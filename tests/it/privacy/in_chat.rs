//! People ask about their data in the chat: by a word, and by a code that only they were told.

use std::sync::Arc;

use serde_json::{Value, json};
use time::Duration;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::{ANA, BOB, contact_of, reaches, says, traces};
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const ON: (&str, &str) = ("WAXSEAL_PRIVACY__IN_CHAT", "true");

async fn asking() -> (TestApp, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    (TestApp::spawn_with(clock.clone(), &[ON]).await, clock)
}

/// What somebody was told, the newest first.
pub(super) async fn told(app: &TestApp, whom: &str) -> Vec<String> {
    let sent = app.get("/v1/messages").await["data"].as_array().unwrap().clone();
    let to = sent.iter().filter(|one| one["request"]["to"] == whom);
    to.filter_map(|one| Some(one["request"]["text"]["body"].as_str()?.to_owned())).collect()
}

/// The code in the newest message to somebody.
pub(super) async fn code(app: &TestApp, whom: &str, messages: usize) -> String {
    until("somebody is asked", PATIENCE, async || told(app, whom).await.len() == messages).await;
    let text = told(app, whom).await[0].clone();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits.len(), 6, "{text}");
    digits
}

pub(super) async fn requests(app: &TestApp) -> Vec<Value> {
    app.get("/v1/privacy/requests").await["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_the_word_and_then_the_code_is_forgotten_and_nobody_else() {
    let (app, clock) = asking().await;
    says(&app, ANA, "wamid.chat.1", "Löschen").await;
    says(&app, BOB, "wamid.chat.2", "bitte löschen").await;
    let word = code(&app, ANA, 1).await;
    assert!(told(&app, ANA).await[0].contains("rückgängig"), "in the language of the word");
    // Neither another person's code nor a wrong one, nor the word once more.
    says(&app, BOB, "wamid.chat.3", &word).await;
    let wrong = if word == "000000" { "000001" } else { "000000" };
    says(&app, ANA, "wamid.chat.4", wrong).await;
    says(&app, ANA, "wamid.chat.5", "LÖSCHEN").await;
    let open = "SELECT count(*) FROM in_chat WHERE state IN ('asked', 'told')";
    database::until(&app.database, "SELECT count(*) FROM in_chat WHERE state = 'told'", 1).await;
    assert_eq!(database::count(&app.database, open).await, 1);
    assert!(requests(&app).await.is_empty());
    let ana = contact_of(&app, ANA).await.unwrap();

    clock.advance(Duration::minutes(59));
    says(&app, ANA, "wamid.chat.6", &format!(" {word}\n")).await;
    until("it is entered", PATIENCE, async || !requests(&app).await.is_empty()).await;
    let request = requests(&app).await[0].clone();
    assert_eq!((&request["kind"], &request["law"]), (&json!("erasure"), &json!("gdpr")), "{request}");
    let id = request["id"].as_str().unwrap().to_owned();
    until("an erasure is under way", PATIENCE, async || {
        app.get("/v1/privacy/erasures").await["data"].as_array().unwrap().len() == 1
    })
    .await;
    // With the step of the day.
    reaches(&app, &id, "rows_removed").await;
    app.gateway.base().keyring.step_epoch().await.unwrap();
    reaches(&app, &id, "certified").await;
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new());
    until("the request ends with it", PATIENCE, async || requests(&app).await[0]["state"] == "done").await;
    assert!(contact_of(&app, BOB).await.is_some());
    assert!(told(&app, BOB).await.is_empty(), "who says more than the word is asked nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_copy_is_entered_and_a_code_is_good_for_an_hour() {
    let (app, clock) = asking().await;
    says(&app, ANA, "wamid.copy.1", "my data").await;
    let late = code(&app, ANA, 1).await;
    clock.advance(Duration::hours(1) + Duration::SECOND);
    says(&app, ANA, "wamid.copy.2", &late).await;
    says(&app, ANA, "wamid.copy.3", "MY DATA").await;
    let again = code(&app, ANA, 2).await;
    assert!(requests(&app).await.is_empty(), "the first was too late");
    says(&app, ANA, "wamid.copy.4", &again).await;
    until("it is entered", PATIENCE, async || requests(&app).await.len() == 1).await;
    let request = requests(&app).await[0].clone();
    assert_eq!((&request["kind"], &request["state"]), (&json!("access"), &json!("open")), "{request}");
    assert_eq!(request["contact_id"], json!(contact_of(&app, ANA).await));
    until("she is told", PATIENCE, async || told(&app, ANA).await.len() == 3).await;
    assert!(told(&app, ANA).await.iter().any(|text| text.contains("We have your request")));
    assert!(contact_of(&app, ANA).await.is_some(), "and stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_in_spanish_or_portuguese_is_answered_in_it() {
    let (app, _clock) = asking().await;
    let (es, pt) = ("responda con", "no prazo de uma hora");
    let mut wanted = Vec::new();
    for (number, (word, asked, kind, promise)) in [
        ("Borrar mis datos", es, "erasure", None),
        ("ELIMINAR MIS DATOS", es, "erasure", None),
        ("exportar mis datos", es, "portability", Some("Hemos recibido su solicitud")),
        ("mis datos", es, "access", Some("Hemos recibido su solicitud")),
        ("Apagar meus dados", pt, "erasure", None),
        ("excluir meus dados", pt, "erasure", None),
        ("EXPORTAR MEUS DADOS", pt, "portability", Some("Recebemos o seu pedido")),
        ("meus dados", pt, "access", Some("Recebemos o seu pedido")),
    ]
    .into_iter()
    .enumerate()
    {
        let person = format!("49151999001{number:02}");
        says(&app, &person, &format!("wamid.words.{number}.a"), word).await;
        let digits = code(&app, &person, 1).await;
        let question = told(&app, &person).await[0].clone();
        assert!(question.contains(asked), "{word}: {question}");
        says(&app, &person, &format!("wamid.words.{number}.b"), &digits).await;
        until("it is entered", PATIENCE, async || requests(&app).await.len() == number + 1).await;
        wanted.push(kind.to_owned());
        wanted.sort();
        let mut entered: Vec<String> =
            requests(&app).await.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect();
        entered.sort();
        assert_eq!(entered, wanted, "{word}");
        if let Some(promise) = promise {
            let is_told = async || told(&app, &person).await.iter().any(|text| text.contains(promise));
            until("they are told", PATIENCE, is_told).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_it_is_not_turned_on() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.off.1", "Löschen").await;
    says(&app, ANA, "wamid.off.2", "123456").await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM in_chat").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_on_the_way_asks_once() {
    let mut estate = Estate::start(database::fresh().await, &[ON]).await;
    let says = async |estate: &Estate, wamid: &str, words: &str| {
        let body = webhook::text(ANA, wamid, words);
        let signature = webhook::signature(crate::support::app::APP_SECRET, &body);
        let post = reqwest::Client::new().post(estate.gateway.webhook());
        post.header("x-hub-signature-256", signature).body(body).send().await.unwrap().status()
    };
    assert_eq!(says(&estate, "wamid.kill.1", "delete my data").await, 200);
    estate.kill_and_restart().await;
    let told = async |estate: &Estate| estate.get("/v1/messages").await["data"].as_array().unwrap().clone();
    until("she is asked", PATIENCE, async || told(&estate).await.len() == 1).await;
    // As if the process had died between the message and the note of it.
    database::sabotage(&estate.database, "UPDATE in_chat SET state = 'asked', message_id = NULL").await;
    database::until(&estate.database, "SELECT count(*) FROM in_chat WHERE state = 'told'", 1).await;
    assert_eq!(told(&estate).await.len(), 1, "asked once");
    let text = told(&estate).await[0]["request"]["text"]["body"].as_str().unwrap().to_owned();
    let code: String = text.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(says(&estate, "wamid.kill.2", &code).await, 200);
    estate.kill_and_restart().await;
    until("it is entered once", PATIENCE, async || {
        estate.get("/v1/privacy/requests").await["data"].as_array().unwrap().len() == 1
    })
    .await;
    until("one erasure is under way", PATIENCE, async || {
        estate.get("/v1/privacy/erasures").await["data"].as_array().unwrap().len() == 1
    })
    .await;
}
