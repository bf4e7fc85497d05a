//! A person goes with everything.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::{Permission, Permissions};

use super::{ANA, BOB, contact_of, erase, erased, erasure, has_entries, reaches, says, sends, traces};
use crate::support::app::api_key_with;
use crate::support::receiver::Received;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database, webhook};

fn of_type(received: &[Received], kind: &str) -> Vec<Value> {
    received.iter().map(Received::json).filter(|one| one["type"] == kind).collect()
}

fn in_two_days() -> Value {
    let ahead = time::OffsetDateTime::now_utc() + time::Duration::days(2);
    json!(ahead.format(&time::format_description::well_known::Rfc3339).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_with_everything_and_whoever_writes_again_is_somebody_new() {
    let app = TestApp::spawn().await;
    let [known, masked, deaf] = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let made = app.endpoint(&known, "standard").await;
    let body = json!({ "name": "masked", "url": masked.url(), "format": "standard", "fields": "metadata", "pseudonymous": true,
                       "event_types": ["message.*"] });
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    masked.trust(answer.json::<Value>().await.unwrap()["secret"].as_str().unwrap());
    app.endpoint(&deaf, "meta").await;
    says(&app, ANA, "wamid.erase.1", "Moin").await;
    says(&app, ANA, "wamid.erase.2", "STOP").await;
    says(&app, BOB, "wamid.erase.3", "Hallo").await;
    let channel = app.channel().await;
    let text = |to: &str| json!({ "channel_id": channel, "message": { "to": to, "type": "text", "text": { "body": "Antwort" } } });
    let sent = sends(&app, text(ANA)).await;
    // With everything that Meta says of it, so that nothing of it comes later.
    until("it is read", PATIENCE, async || app.get(&format!("/v1/messages/{sent}")).await["state"] == "read").await;
    let mut later = text(ANA);
    later["send_at"] = in_two_days();
    sends(&app, later).await;
    database::settled(&app.database).await;
    let (ana, bob) = (contact_of(&app, ANA).await.unwrap(), contact_of(&app, BOB).await.unwrap());
    assert!(!traces(&app.database, &ana).await.is_empty());
    masked.wait_for(2).await;

    let dry_run = json!({ "phone": "+49 151 99900011", "dry_run": true });
    let counted = app.api(Method::POST, "/v1/privacy/erasures").json(&dry_run);
    let counted: Value = counted.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&counted["dry_run"], &counted["removed"]["contact"], &counted["removed"]["message"]),
        (&json!(true), &json!(1), &json!(2))
    );
    assert_eq!(contact_of(&app, ANA).await.as_deref(), Some(ana.as_str()), "counting changes nothing");

    let done = erased(&app, ANA).await;
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new(), "{done}");
    assert_eq!(done["removed"]["message"], 2);
    assert!(done["keys_destroyed"].as_u64().unwrap() >= 2, "{done}");
    let keys = format!("SELECT count(*) FROM waxseal_keys.dek WHERE subject_id = '{ana}'");
    assert_eq!(database::count(&app.database, &keys).await, 0);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM outbox").await, 0, "what waited is not sent");
    let orphans =
        "SELECT count(*) FROM event_payload p WHERE NOT EXISTS (SELECT FROM event e WHERE e.event_id = p.event_id)";
    assert_eq!(database::count(&app.database, orphans).await, 0);
    let gone = app.api(Method::GET, &format!("/v1/contacts/{ana}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert!(app.get(&format!("/v1/contacts/{bob}")).await["name"].is_string(), "others stay");
    assert!(app.get("/v1/events?limit=200").await.to_string().contains("Hallo"));

    // Everybody is told who may know the person, by the name that they know, whatever else they ask for.
    let told = of_type(&known.received(), "contact.erased");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["data"]["item"]["contact_id"], json!(ana));
    let by_pseudonym = of_type(&masked.received(), "contact.erased");
    let before = of_type(&masked.received(), "message.received");
    let pseudonym = &by_pseudonym[0]["data"]["item"]["contact_id"];
    assert_ne!(pseudonym, &json!(ana));
    assert!(before.iter().any(|one| one["data"]["contact_id"] == *pseudonym), "{before:?} {pseudonym}");
    let states = |id: &Value| {
        let all = done["endpoints"].as_array().unwrap();
        all.iter().find(|one| one["endpoint_id"] == *id).map(|one| one["state"].clone())
    };
    assert_eq!(states(&made["id"]), Some(json!("acknowledged")), "{done}");
    let cannot = done["endpoints"].as_array().unwrap().iter().filter(|one| one["state"] == "cannot_be_told").count();
    assert_eq!(cannot, 1, "Meta's format has no form for it");

    // What Meta sends again is not stored again; what is new belongs to somebody new.
    let events = "SELECT count(*) FROM event";
    let before = database::count(&app.database, events).await;
    says(&app, ANA, "wamid.erase.1", "Moin").await;
    assert_eq!(database::count(&app.database, events).await, before);
    says(&app, ANA, "wamid.erase.4", "Da bin ich wieder").await;
    database::settled(&app.database).await;
    let new = contact_of(&app, ANA).await.unwrap();
    assert_ne!(new, ana);
    let consent = app.get(&format!("/v1/contacts/{new}/consent")).await;
    assert_eq!(consent["channels"][0]["marketing"], "unknown", "nothing is joined");

    // But that they refused stays proven, for whoever shows the number.
    let proofs = app.api(Method::POST, "/v1/privacy/consent-proofs").json(&json!({ "phone": ANA }));
    let proofs: Value = proofs.send().await.unwrap().json().await.unwrap();
    assert_eq!((&proofs["data"][0]["state"], &proofs["data"][0]["source"]), (&json!("withdrawn"), &json!("keyword")));
    let shared = "SELECT count(*) FROM consent_proof JOIN contact_identifier ON person = hash";
    assert_eq!(database::count(&app.database, shared).await, 0);
    has_entries(
        &app,
        &["erasure.previewed", "erasure.requested", "erasure.moved", "erasure.certified", "consent_proof.read"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_by_each_of_their_names_and_every_contact_that_was_merged_goes_too() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.names.1", "Moin").await;
    let with_id = |wamid: &str, from: Option<&str>| {
        let mut contact =
            json!({ "profile": { "name": "Ana", "username": "ana.example" }, "user_id": "DE.77130948652201377" });
        let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
        let mut item = json!({ "from_user_id": "DE.77130948652201377", "id": wamid, "timestamp": now, "type": "text", "text": { "body": "x" } });
        if let Some(from) = from {
            contact["wa_id"] = json!(from);
            item["from"] = json!(from);
        }
        webhook::messages(json!({ "contacts": [contact], "messages": [item] }))
    };
    // First as somebody else, by id alone; then both names come together.
    assert_eq!(app.webhook(with_id("wamid.names.2", None)).await, StatusCode::OK);
    assert_eq!(app.webhook(with_id("wamid.names.3", Some(ANA))).await, StatusCode::OK);
    database::settled(&app.database).await;
    let all = "SELECT string_agg(contact_id::text, ',') FROM contact";
    let contacts: Vec<String> = database::text(&app.database, all).await.split(',').map(str::to_owned).collect();
    assert_eq!(contacts.len(), 2, "they were merged");
    let dry = async |body: Value| {
        let answer = app.api(Method::POST, "/v1/privacy/erasures").json(&body).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    for name in [
        json!({ "phone": ANA }),
        json!({ "user_id": "DE.77130948652201377" }),
        json!({ "username": "@Ana.Example" }),
        json!({ "contact_id": contacts[0] }),
    ] {
        let mut asked = name.clone();
        asked["dry_run"] = json!(true);
        let (status, found) = dry(asked).await;
        assert_eq!((status, &found["removed"]["contact"]), (StatusCode::OK, &json!(2)), "{name}: {found}");
    }
    let (status, _) = dry(json!({ "phone": "4915199900099" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, problem) = dry(json!({ "phone": ANA, "username": "x", "basis": "because", "when": "soon" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(["/basis", "/when"].iter().all(|place| problem.to_string().contains(place)), "{problem}");
    let (id, _) =
        erase(&app, json!({ "user_id": "DE.77130948652201377", "reference": "Fall 7", "basis": "objection" })).await;
    let (status, problem) = dry(json!({ "contact_id": contacts[1] })).await;
    assert!(status == StatusCode::CONFLICT || status == StatusCode::NOT_FOUND, "{problem}");
    let done = reaches(&app, &id, "certified").await;
    assert_eq!((&done["basis"], &done["named_by"]), (&json!("objection"), &json!("user_id")));
    assert_eq!(done["reference"], json!(null), "it may name the person, and went with the last of them");
    for contact in &contacts {
        assert_eq!(traces(&app.database, contact).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_take_it_is_named_and_the_erasure_goes_on_when_it_is_given_up() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await;
    says(&app, ANA, "wamid.receipt.1", "Moin").await;
    receiver.wait_for(1).await;
    receiver.then_answer(500, &[]);
    let (id, _) = erase(&app, json!({ "phone": ANA, "reference": "Fall 7" })).await;
    let waits = reaches(&app, &id, "epoch_stepped").await;
    assert_eq!(waits["reference"], "Fall 7");
    let looked = "SELECT count(*) FROM audit_entry WHERE action = 'erasure.read'";
    assert!(database::count(&app.database, looked).await > 0, "who reads the case is recorded");
    assert_eq!(waits["endpoints"][0]["state"], "pending", "{waits}");
    let retried = "SELECT count(*) FROM delivery_retry";
    database::until(&app.database, retried, 1).await;
    // As if every attempt had failed.
    let bury = "WITH gone AS (DELETE FROM delivery_retry RETURNING *)
        INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, event_xid, attempts, reason, died_at)
        SELECT tenant_id, endpoint_id, event_id, part_day, event_xid, 12, 'exhausted', now() FROM gone";
    database::sabotage(&app.database, bury).await;
    let done = reaches(&app, &id, "certified").await;
    assert_eq!(
        (&done["endpoints"][0]["endpoint_id"], &done["endpoints"][0]["state"]),
        (&endpoint["id"], &json!("dead"))
    );
    assert_eq!(erasure(&app, &id).await["state"], "certified");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_not_told_are_named_with_why() {
    let app = TestApp::spawn().await;
    let [off, narrowed] = [Receiver::start().await, Receiver::start().await];
    let [first, second] = [app.endpoint(&off, "standard").await, app.endpoint(&narrowed, "standard").await];
    says(&app, ANA, "wamid.told.1", "Moin").await;
    off.wait_for(1).await;
    narrowed.wait_for(1).await;
    let other = json!({ "name": "other", "phone_number_id": "999", "waba_id": "998" });
    let other = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap();
    let other = other.json::<Value>().await.unwrap()["id"].clone();
    let path = format!("/v1/endpoints/{}", second["id"].as_str().unwrap());
    let answer = app.api(Method::PATCH, &path).json(&json!({ "channel_ids": [other] })).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    super::turned_off(&app, &first).await;
    app.directory_is_read().await;
    let done = erased(&app, ANA).await;
    let text = database::text(&app.database, "SELECT certificate FROM erasure").await;
    let certificate: Value = serde_json::from_str(&text).unwrap();
    for named in [&done["endpoints"], &certificate["told"]] {
        let state = |of: &Value| {
            let one = named.as_array().unwrap().iter().find(|one| one["endpoint_id"] == of["id"]);
            one.map(|one| one["state"].as_str().unwrap().to_owned())
        };
        let states = (state(&first), state(&second));
        assert_eq!(states, (Some("disabled".to_owned()), Some("other_channels".to_owned())), "{named}");
    }
    for receiver in [&off, &narrowed] {
        assert!(of_type(&receiver.received(), "contact.erased").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_erase_erase_and_nobody_who_is_confined_to_a_channel() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.rights.1", "Moin").await;
    let reader = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyRead])).await;
    let asked = json!({ "phone": ANA });
    let answer = app.api_as(&reader, Method::POST, "/v1/privacy/erasures").json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = app.api_as(&reader, Method::GET, "/v1/privacy/erasures").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let unknown = "/v1/privacy/erasures/0193b0a0-0000-7000-8000-000000000000";
    for path in [unknown.to_owned(), format!("{unknown}/certificate")] {
        let answer = app.api_as(&reader, Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let answer = app.without_key(Method::POST, "/v1/privacy/erasures").json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
