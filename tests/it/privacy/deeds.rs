//! What people ask leads to what is done for it, and some of that answers them.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use waxseal::clock::SystemClock;

use super::{ANA, BOB, contact_of, erased, says};
use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, app, database};

async fn with_files() -> (Folder, TestApp) {
    let folder = Folder::new();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.deed.1", "Moin").await;
    says(&app, BOB, "wamid.deed.2", "Moin").await;
    (folder, app)
}

/// Enters that somebody asks for something. The id of it.
async fn asks(app: &TestApp, person: Option<&str>, kind: &str) -> String {
    let mut body = json!({ "kind": kind, "law": "gdpr" });
    if let Some(person) = person {
        body["phone"] = json!(person);
    }
    let answer = app.api(Method::POST, "/v1/privacy/requests").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn request(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/privacy/requests/{id}")).await
}

async fn does(app: &TestApp, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = app.api(method, path).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

fn in_a_month() -> String {
    (time::OffsetDateTime::now_utc() + time::Duration::days(30)).format(&Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_for_a_request_is_of_whoever_asked_and_answers_it_when_it_was_fetched_by_a_link_to_its_end() {
    let (_folder, app) = with_files().await;
    let asked = asks(&app, Some(ANA), "access").await;
    let (status, made) = does(&app, Method::POST, "/v1/privacy/exports", json!({ "request_id": asked })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || app.get(&path).await["state"] == "ready").await;
    assert_eq!(app.get(&path).await["contact_id"], json!(contact_of(&app, ANA).await), "nobody else was named");
    let shown = request(&app, &asked).await;
    assert_eq!(shown["state"], "open", "an archive that is made is in nobody's hands");
    let deed = &shown["deeds"][0];
    assert_eq!((&deed["what"], &deed["id"], &deed["state"]), (&json!("export"), &made["id"], &json!("ready")));
    assert_eq!(app.get("/v1/privacy/requests").await["data"][0]["deeds"][0]["id"], made["id"]);

    // Whoever works here has fetched it: nobody has got it yet.
    let whole = app.api(Method::GET, &format!("{path}/archive")).send().await.unwrap().bytes().await.unwrap();
    let (_, link) = does(&app, Method::POST, &format!("{path}/link"), json!({})).await;
    let part = |range: &str| app.without_key(Method::GET, link["path"].as_str().unwrap()).header("range", range);
    let begun = part("bytes=0-99").send().await.unwrap();
    assert_eq!((begun.status(), begun.bytes().await.unwrap().len()), (StatusCode::PARTIAL_CONTENT, 100));
    assert_eq!(request(&app, &asked).await["state"], "open", "only the beginning of it");
    let rest = part("bytes=100-").send().await.unwrap().bytes().await.unwrap();
    assert_eq!(rest, whole.slice(100..));
    let shown = request(&app, &asked).await;
    assert_eq!((&shown["state"], shown["closed_at"].is_string()), (&json!("done"), true), "{shown}");

    // Again, by the same link: it is over once.
    assert_eq!(part("bytes=0-").send().await.unwrap().bytes().await.unwrap(), whole);
    let closed = "SELECT count(*) FROM audit_entry WHERE action = 'privacy_request.closed'";
    assert_eq!(database::count(&app.database, closed).await, 1);

    // The proof stays when the person goes, and says nothing of them.
    erased(&app, ANA).await;
    let shown = request(&app, &asked).await;
    assert_eq!((&shown["deeds"][0]["id"], &shown["deeds"][0]["state"]), (&made["id"], &Value::Null), "{shown}");
    assert!(shown["contact_id"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_request_is_refused_and_nothing_of_it_is_done() {
    let (_folder, app) = with_files().await;
    let (access, restriction) = (asks(&app, Some(ANA), "access").await, asks(&app, Some(ANA), "restriction").await);
    let over = asks(&app, Some(ANA), "access").await;
    let close = format!("/v1/privacy/requests/{over}/close");
    assert_eq!(does(&app, Method::POST, &close, json!({ "outcome": "refused" })).await.0, StatusCode::NO_CONTENT);
    let ana = contact_of(&app, ANA).await.unwrap();
    let unknown = "01930000-0000-7000-8000-00000000abcd";
    let (exports, holds) = ("/v1/privacy/exports", "/v1/privacy/holds");
    let (contact, restrict) = (format!("/v1/contacts/{ana}"), format!("/v1/contacts/{ana}/restriction"));
    let hold = |request: &str| json!({ "reason": "Streit", "expires_at": in_a_month(), "request_id": request });
    for (method, path, body) in [
        (Method::POST, exports, json!({ "phone": ANA, "request_id": restriction })),
        (Method::POST, exports, json!({ "phone": BOB, "request_id": access })),
        (Method::POST, exports, json!({ "phone": ANA, "request_id": over })),
        (Method::POST, exports, json!({ "phone": ANA, "request_id": unknown })),
        (Method::POST, exports, json!({ "request_id": unknown })),
        (Method::POST, holds, hold(&access)),
        (Method::POST, holds, hold(unknown)),
        (Method::PUT, restrict.as_str(), json!({ "reason": "Streit", "request_id": access })),
        (Method::PATCH, contact.as_str(), json!({ "name": "Ana Alves", "request_id": restriction })),
    ] {
        let (status, problem) = does(&app, method, path, body.clone()).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("request_not_changed")), "{path} {body}");
    }
    let done = "SELECT (SELECT count(*) FROM export) + (SELECT count(*) FROM hold) + (SELECT count(*) FROM restriction)
                + (SELECT count(*) FROM privacy_request_deed)
                + (SELECT count(*) FROM audit_entry WHERE action IN ('export.requested', 'hold.requested', 'contact.restricted'))";
    assert_eq!(database::count(&app.database, done).await, 0);
    assert_ne!(app.get(&contact).await["name"], "Ana Alves");
    assert_eq!(request(&app, &access).await["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_and_a_correction_end_what_asked_for_them_and_a_hold_waits_for_its_approval() {
    let (_folder, app) = with_files().await;
    let ana = contact_of(&app, ANA).await.unwrap();
    // Entered before anybody looked who it is.
    let wrong = asks(&app, None, "rectification").await;
    let put_right = json!({ "name": "Ana Alves", "request_id": wrong });
    assert_eq!(does(&app, Method::PATCH, &format!("/v1/contacts/{ana}"), put_right).await.0, StatusCode::NO_CONTENT);
    let shown = request(&app, &wrong).await;
    assert_eq!((&shown["state"], &shown["deeds"][0]["what"]), (&json!("done"), &json!("rectification")), "{shown}");

    let forget = asks(&app, Some(ANA), "erasure").await;
    let hold = json!({ "reason": "Streit", "expires_at": in_a_month(), "request_id": forget });
    let (status, held) = does(&app, Method::POST, "/v1/privacy/holds", hold).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let shown = request(&app, &forget).await;
    assert_eq!((&shown["state"], &shown["deeds"][0]["state"]), (&json!("open"), &json!("requested")), "{shown}");
    assert_eq!(app.get("/v1/privacy/holds").await["data"][0]["contact_id"], json!(ana));

    let dispute = asks(&app, Some(ANA), "restriction").await;
    let restrict = json!({ "reason": "Streit", "request_id": dispute });
    let path = format!("/v1/contacts/{ana}/restriction");
    assert_eq!(does(&app, Method::PUT, &path, restrict.clone()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(request(&app, &dispute).await["state"], "done");
    assert_eq!(does(&app, Method::PUT, &path, restrict).await.0, StatusCode::CONFLICT, "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_exports_and_holds_for_a_request_at_a_terminal() {
    let (folder, app) = with_files().await;
    let (access, objection) = (asks(&app, Some(ANA), "access").await, asks(&app, Some(ANA), "objection").await);
    let mut environment = app::variables(&app.database, app.simulator.base_url());
    environment.push(("WAXSEAL_MEDIA__URL".to_owned(), folder.url()));
    let run = async |arguments: &[&str]| {
        let output = waxseal(arguments, &environment).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    };
    let to = folder.path().join("ana.zip.age");
    let (done, said) = run(&["export", "--request", &access, "--out", to.to_str().unwrap()]).await;
    assert!(done && to.exists(), "{said}");
    let (done, said) = run(&["hold", "add", "--request", &objection, "--reason", "Streit", "--until", "30d"]).await;
    assert!(done, "{said}");
    let (done, said) = run(&["export", "--phone", BOB, "--request", &access, "--out", "/dev/null"]).await;
    assert!(!done && said.contains("somebody else"), "{said}");
    let (_, listed) = run(&["request", "list"]).await;
    assert!(listed.contains("(ready)") && listed.contains("(requested)"), "{listed}");
}
