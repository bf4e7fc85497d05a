//! A person gets everything that is known of them, in an archive that opens for them alone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Permissions, Sight};
use waxseal::clock::{Clock, ManualClock, SystemClock};
use waxseal::crypto::age::{Identity, Reader};

use super::{ANA, BOB, contact_of, erased, has_entries, says, sends};
use crate::support::app::{api_key_for, api_key_with};
use crate::support::estate::Estate;
use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database, webhook};

/// Lists what is in a zip file, as another program reads it.
const UNZIP: &str = "import base64, io, json, sys, zipfile
archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
print(json.dumps({name: base64.b64encode(archive.read(name)).decode() for name in archive.namelist()}))
";

fn unzipped(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut python =
        Command::new("python3").args(["-c", UNZIP]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(archive).unwrap();
    let told = python.wait_with_output().unwrap();
    assert!(told.status.success());
    let files: BTreeMap<String, String> = serde_json::from_slice(&told.stdout).unwrap();
    files.into_iter().map(|(name, content)| (name, BASE64.decode(content.as_bytes()).unwrap())).collect()
}

fn opened(archive: &[u8], identity: &Identity) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut plain = Vec::new();
    Reader::new(archive, std::slice::from_ref(identity)).ok()?.read_to_end(&mut plain).unwrap();
    Some(unzipped(&plain))
}

fn with_key(archive: &[u8], identity: &str) -> BTreeMap<String, Vec<u8>> {
    opened(archive, &Identity::parse(identity).unwrap()).expect("the key opens it")
}

async fn asked(app: &TestApp, key: &str, body: Value) -> (StatusCode, Value) {
    let answer = app.api_as(key, Method::POST, "/v1/privacy/exports").json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn requested(app: &TestApp, body: Value) -> (String, Value) {
    let (status, answer) = asked(app, &app.key, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    (answer["id"].as_str().unwrap().to_owned(), answer["identity"].clone())
}

async fn ready(app: &TestApp, id: &str) -> Value {
    let path = format!("/v1/privacy/exports/{id}");
    until("the archive is there", PATIENCE, async || app.get(&path).await["state"] == "ready").await;
    app.get(&path).await
}

async fn with_files() -> (Folder, TestApp) {
    let folder = Folder::new();
    let more = [
        ("WAXSEAL_MEDIA__URL", folder.url()),
        ("WAXSEAL_PRIVACY__CONTROLLER", "Beispiel GmbH <dpo@example.org>".to_owned()),
        ("WAXSEAL_PRIVACY__PURPOSES", "Antworten auf Fragen,Lieferungen".to_owned()),
    ];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &more).await;
    (folder, app)
}

/// Many messages in one webhook: more than are opened at once.
async fn says_much(app: &TestApp, person: &str, count: usize) {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
    let one = |number: usize| json!({ "from": person, "id": format!("wamid.much.{number}"), "timestamp": now, "type": "text", "text": { "body": format!("Satz {number}") } });
    let value = json!({ "contacts": [{ "wa_id": person, "profile": { "name": "Ana" } }], "messages": (0..count).map(one).collect::<Vec<_>>() });
    assert_eq!(app.webhook(webhook::messages(value)).await, StatusCode::OK);
}

/// The page says what the data say, asks nobody for anything, and tells of nobody else.
fn reads_well(page: &str, data: &Value) {
    assert!(
        page.contains("qcanaryExport &lt;script&gt;alert(1)&lt;/script&gt; &amp; Tee") && !page.contains("<script")
    );
    assert!(
        page.contains("qcanaryAnswer")
            && page.contains("Satz 0<")
            && page.contains("Beispiel GmbH &lt;dpo@example.org&gt;")
    );
    assert!(page.contains("qversion"), "which notice she was told");
    assert!(page.contains("until every application that receives it has it"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="), "it asks for nothing");
    for content in [page, &data.to_string()] {
        assert!(!content.contains("qcanaryOther") && !content.contains(BOB), "others are not in it");
    }
}

/// An endpoint that knows her and is told no more, a number that keeps less, and a notice that she was told.
async fn grown_older(app: &TestApp, ana: &str, channel: &str) {
    let off = app.endpoint(&Receiver::start().await, "standard").await;
    super::turned_off(app, &off).await;
    let change = json!({ "retention": { "received": 7, "statuses": "delivered" } });
    let changed = app.api(Method::PATCH, &format!("/v1/channels/{channel}")).json(&change).send().await.unwrap();
    assert!(changed.status().is_success(), "{}", changed.text().await.unwrap());
    app.directory_is_read().await;
    let notice = format!(
        "INSERT INTO notice SELECT tenant_id, contact_id, 'qversion', 'sent', contact_id, now(), 0, NULL FROM contact WHERE contact_id = '{ana}'"
    );
    database::sabotage(&app.database, &notice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_everything_that_is_known_of_them_and_nobody_else_opens_it() {
    let (folder, app) = with_files().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    says_much(&app, ANA, 600).await;
    says(&app, ANA, "wamid.export.1", "qcanaryExport <script>alert(1)</script> & Tee").await;
    says(&app, ANA, "wamid.export.2", "STOP").await;
    says(&app, BOB, "wamid.export.3", "qcanaryOther").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let channel = app.channel().await;
    let message = json!({ "to": ANA, "type": "text", "text": { "body": "qcanaryAnswer" } });
    let sent = sends(&app, json!({ "channel_id": channel, "message": message })).await;
    until("it is read", PATIENCE, async || app.get(&format!("/v1/messages/{sent}")).await["state"] == "read").await;
    let pixels: Vec<u8> = (0..150_000_u32).map(|at| (at % 251) as u8).collect();
    let file = app.api(Method::POST, &format!("/v1/media?contact_id={ana}")).header(CONTENT_TYPE, "image/png");
    let file: Value = file.body(pixels.clone()).send().await.unwrap().json().await.unwrap();
    let file = file["id"].as_str().unwrap();

    grown_older(&app, &ana, &channel).await;
    let identity = Identity::generate();
    let (status, problem) = asked(&app, &app.key, json!({ "phone": ANA, "recipient": "age1canary" })).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/recipient")));
    let recipient = identity.recipient().unwrap().to_string();
    let (id, shown) = requested(&app, json!({ "phone": "+49 151 99900011", "recipient": recipient })).await;
    assert_eq!(shown, json!(null));
    let done = ready(&app, &id).await;
    assert_eq!((&done["files"], &done["files_done"], &done["sealed_for"]), (&json!(1), &json!(1), &json!("recipient")));
    assert_eq!(done["messages"], done["messages_done"]);

    let answer = app.api(Method::GET, &format!("/v1/privacy/exports/{id}/archive")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let name = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(name, format!("attachment; filename=\"{id}.zip.age\""));
    let archive = answer.bytes().await.unwrap();
    assert_eq!(json!(archive.len()), done["bytes"]);
    assert!(opened(&archive, &Identity::generate()).is_none(), "of nobody else");
    let files = opened(&archive, &identity).unwrap();
    assert_eq!(files.get(&format!("files/{file}.png")), Some(&pixels));

    let data: Value = serde_json::from_slice(&files["data.json"]).unwrap();
    assert_eq!((&data["waxseal_export"], &data["controller"]), (&json!(1), &json!("Beispiel GmbH <dpo@example.org>")));
    assert_eq!(data["purposes"], json!(["Antworten auf Fragen", "Lieferungen"]));
    assert_eq!(data["person"][0]["profile"]["phone"], ANA);
    let receives = data["recipients"][2]["receives"].as_str().unwrap();
    assert!(receives.ends_with("until it was turned off"), "{data}");
    let kept: Vec<&Value> = data["retention"].as_array().unwrap().iter().collect();
    let of = |what: &str| kept.iter().find(|one| one["what"].as_str().unwrap().starts_with(what)).unwrap();
    assert_eq!(of("of this, what you wrote through")["days"], 7, "{kept:?}");
    assert!(of("of this, what became of what you were sent")["until"].is_string(), "{kept:?}");
    assert!(data["recipients"].as_array().unwrap().len() == 3 && data["retention"].as_array().unwrap().len() > 4);
    assert_eq!((&data["consent"][0]["state"], &data["consent"][0]["source"]), (&json!("withdrawn"), &json!("keyword")));
    assert_eq!(data["files"][0]["path"], format!("files/{file}.png"));
    let said = data["messages"].as_array().unwrap();
    for number in [0, 250, 599] {
        let text = format!("Satz {number}");
        let found = said.iter().filter(|one| {
            one.pointer("/content/json/entry/0/changes/0/value/messages/0/text/body") == Some(&json!(text))
        });
        assert_eq!(found.count(), 1, "{text}");
    }
    let out: Vec<&Value> = said.iter().filter(|one| one["direction"] == "out").collect();
    assert_eq!(
        (out.len(), &out[0]["state"], &out[0]["content"]["json"]["text"]["body"]),
        (1, &json!("read"), &json!("qcanaryAnswer"))
    );
    let ids: Vec<&str> = said.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "the newest first, each once");
    let history = data["access_history"].as_array().unwrap();
    for what in ["message.sent", "messages.read", "contacts.read", "export.requested"] {
        assert!(history.iter().any(|one| one["what"] == what && one["who"].is_string()), "{what}: {history:?}");
    }
    reads_well(std::str::from_utf8(&files["index.html"]).unwrap(), &data);
    let needles =
        ["qcanaryExport", "qcanaryAnswer", ANA, "Beispiel"].map(|text| Needle::in_every_form("content", text));
    let (found, read) = sweep::in_files(&needles, folder.path());
    assert!(found.is_empty() && read > archive.len(), "{found:?} in {read} bytes");
    has_entries(&app, &["export.requested", "export.made", "export.read"]).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM export WHERE recipient IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_dies_and_so_does_the_archive_and_with_the_person_all_of_them() {
    let folder = Folder::new();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.dies.1", "Moin").await;
    let (id, identity) = requested(&app, json!({ "phone": ANA })).await;
    let archive = format!("/v1/privacy/exports/{id}/archive");
    ready(&app, &id).await;
    let link =
        app.api(Method::POST, &format!("/v1/privacy/exports/{id}/link")).json(&json!({ "expires_in_seconds": 60 }));
    let link = link.send().await.unwrap();
    assert_eq!(link.status(), StatusCode::CREATED);
    let path = link.json::<Value>().await.unwrap()["path"].as_str().unwrap().to_owned();
    let got = app.without_key(Method::GET, &path).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::OK);
    let files = with_key(&got.bytes().await.unwrap(), identity.as_str().unwrap());
    assert!(String::from_utf8(files["data.json"].clone()).unwrap().contains("Moin"));
    let as_file = path.replace("privacy/export-links", "media-links");
    assert_eq!(app.without_key(Method::GET, &as_file).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    clock.advance(time::Duration::seconds(61));
    let over = app.without_key(Method::GET, &path).send().await.unwrap();
    assert_eq!(over.status(), StatusCode::NOT_FOUND);
    assert_eq!(app.api(Method::GET, &archive).send().await.unwrap().status(), StatusCode::OK, "the archive is there");

    clock.advance(time::Duration::days(7));
    let gone = app.api(Method::GET, &archive).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::GONE, "at once");
    assert_eq!(gone.json::<Value>().await.unwrap()["code"], "export_gone");
    until("it is removed", PATIENCE, async || {
        app.get(&format!("/v1/privacy/exports/{id}")).await["state"] == "removed" && folder.files().is_empty()
    })
    .await;

    let (id, _) = requested(&app, json!({ "phone": ANA })).await;
    ready(&app, &id).await;
    assert_eq!(folder.files().len(), 1);
    let done = erased(&app, ANA).await;
    assert_eq!(done["removed"]["export"], 2, "{done}");
    assert!(folder.files().is_empty());
    let gone = app.api(Method::GET, &format!("/v1/privacy/exports/{id}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_export_exports_and_of_the_held_only_who_reads_them() {
    let (_folder, app) = with_files().await;
    says(&app, ANA, "wamid.may.1", "Moin").await;
    let body = json!({ "phone": ANA });
    let reader = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyRead])).await;
    assert_eq!(asked(&app, &reader, body.clone()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(asked(&app, &app.key, json!({ "phone": "4915199900099" })).await.0, StatusCode::NOT_FOUND);
    let (status, problem) = asked(&app, &app.key, json!({ "phone": ANA, "username": "x" })).await;
    assert_eq!((status, &problem["errors"][0]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("exclusive")));
    let ordinary: Permissions = Permissions::admin().iter().filter(|one| *one != Permission::HeldRead).collect();
    let ordinary = api_key_for(&app.gateway, Powers::Scopes(ordinary), Sight::FULL).await;
    let (status, made) = asked(&app, &ordinary, body.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = made["id"].as_str().unwrap();
    ready(&app, id).await;

    let ends = (time::OffsetDateTime::now_utc() + time::Duration::days(30))
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let hold = app
        .api(Method::POST, "/v1/privacy/holds")
        .json(&json!({ "phone": ANA, "reason": "Streit", "expires_at": ends }));
    let hold: Value = hold.send().await.unwrap().json().await.unwrap();
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    let approve = format!("/v1/privacy/holds/{}/approve", hold["id"].as_str().unwrap());
    assert_eq!(app.api_as(&second, Method::POST, &approve).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    app.directory_is_read().await;
    assert_eq!(asked(&app, &ordinary, body.clone()).await.1["code"], "contact_held");
    let archive = format!("/v1/privacy/exports/{id}/archive");
    let read = async |key: &str| app.api_as(key, Method::GET, &archive).send().await.unwrap().status();
    assert_eq!((read(&ordinary).await, read(&app.key).await), (StatusCode::FORBIDDEN, StatusCode::OK));
    let link = app.api_as(&ordinary, Method::POST, &format!("/v1/privacy/exports/{id}/link")).json(&json!({}));
    assert_eq!(link.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(asked(&app, &app.key, body).await.0, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_identity_nobody_gets_the_data_until_somebody_made_sure_who_asks() {
    let (_folder, app) = with_files().await;
    says(&app, ANA, "wamid.who.1", "Moin").await;
    let mut change = webhook::text_item(ANA, "wamid.who.2", "");
    change["type"] = json!("system");
    change["system"] = json!({ "type": "user_changed_number", "wa_id": BOB, "body": "changed" });
    assert_eq!(app.webhook(webhook::messages(json!({ "messages": [change] }))).await, StatusCode::OK);
    database::settled(&app.database).await;
    let (status, problem) = asked(&app, &app.key, json!({ "phone": BOB })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("identity_changed")));
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM export").await, 0);
    let (id, identity) = requested(&app, json!({ "phone": BOB, "identity_confirmed": true })).await;
    ready(&app, &id).await;
    let got = app.api(Method::GET, &format!("/v1/privacy/exports/{id}/archive")).send().await.unwrap();
    let files = with_key(&got.bytes().await.unwrap(), identity.as_str().unwrap());
    assert!(String::from_utf8(files["index.html"].clone()).unwrap().contains("Moin"), "it is the same person");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_files_there_is_none_for_archives() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.place.1", "Moin").await;
    let (status, problem) = asked(&app, &app.key, json!({ "phone": ANA })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("no_place_for_files")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_process_is_killed_is_made_by_the_next() {
    let folder = Folder::new();
    let mut estate = Estate::start(database::fresh().await, &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for number in 0..20 {
        let body = webhook::text(ANA, &format!("wamid.killed.{number}"), "Moin");
        let signature = webhook::signature(app::APP_SECRET, &body);
        let post = client.post(estate.gateway.webhook()).header("x-hub-signature-256", signature).body(body);
        assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
    }
    let made = estate.post("/v1/privacy/exports", &json!({ "phone": ANA }), StatusCode::ACCEPTED).await;
    estate.kill_and_restart().await;
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || estate.get(&path).await["state"] == "ready").await;
    let got = estate.request(Method::GET, &format!("{path}/archive")).send().await.unwrap();
    let files = with_key(&got.bytes().await.unwrap(), made["identity"].as_str().unwrap());
    let data: Value = serde_json::from_slice(&files["data.json"]).unwrap();
    assert_eq!(data["messages"].as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_exports_at_a_terminal() {
    let (folder, app) = with_files().await;
    says(&app, ANA, "wamid.cli.1", "Moin").await;
    let mut environment = app::variables(&app.database, app.simulator.base_url());
    environment.push(("WAXSEAL_MEDIA__URL".to_owned(), folder.url()));
    let to = folder.path().join("ana.zip.age");
    let output =
        waxseal(&["export", "--phone", ANA, "--out", to.to_str().unwrap()], &environment).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let identity = said.lines().find_map(|line| line.strip_prefix("key     ")).unwrap();
    let files = with_key(&std::fs::read(&to).unwrap(), identity);
    assert!(String::from_utf8(files["index.html"].clone()).unwrap().contains("Moin"));
    let listed = waxseal(&["exports"], &environment).output().await.unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_for_a_key_that_nobody_can_use_is_refused_and_one_that_cannot_be_made_ends_as_failed() {
    let (folder, app) = with_files().await;
    says(&app, ANA, "wamid.export.small", "Moin").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    // The point 0 of the curve, as age writes it.
    let nobody = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
    let (status, problem) = asked(&app, &app.key, json!({ "phone": ANA, "recipient": nobody })).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/recipient")));
    // As of a release that took it: nothing that is read there is a recipient.
    let id = "01930000-0000-7000-8000-0000000000ee";
    let stored = format!(
        "INSERT INTO export (tenant_id, export_id, contact_id, contact_ids, state, sealed_for, recipient, actor_id, created_at)
         SELECT tenant_id, '{id}', '{ana}', ARRAY['{ana}'::uuid], 'requested', 'recipient', access_token, tenant_id, now() FROM channel;
         INSERT INTO lane (tenant_id, kind, owner_id, shard) SELECT tenant_id, 7, '{id}', 0 FROM channel"
    );
    database::sabotage(&app.database, &stored).await;
    let path = format!("/v1/privacy/exports/{id}");
    until("it has failed", PATIENCE, async || app.get(&path).await["state"] == "failed").await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM lane WHERE kind = 7").await, 0);
    let archive = app.api(Method::GET, &format!("{path}/archive")).send().await.unwrap();
    assert_eq!(archive.status(), StatusCode::GONE);
    assert!(folder.files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_left_of_an_archive_after_the_person_went_is_removed_by_the_next() {
    let (folder, app) = with_files().await;
    // A row that an erasure took with what lay there then; an owner that was killed put the archive there after it.
    let id = "01930000-0000-7000-8000-0000000000ef";
    let tenant = database::text(&app.database, "SELECT tenant_id::text FROM channel").await;
    folder.put(&format!("{tenant}/ef/{id}"), b"sealed");
    let left =
        format!("INSERT INTO lane (tenant_id, kind, owner_id, shard) SELECT tenant_id, 7, '{id}', 0 FROM channel");
    database::sabotage(&app.database, &left).await;
    database::until(&app.database, "SELECT count(*) FROM lane WHERE kind = 7", 0).await;
    assert!(folder.files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_no_longer_lies_there_is_gone() {
    let (folder, app) = with_files().await;
    says(&app, ANA, "wamid.export.lost", "Moin").await;
    database::settled(&app.database).await;
    let (id, _) = requested(&app, json!({ "phone": ANA })).await;
    ready(&app, &id).await;
    // As after a restore: archives are in no backup.
    for file in folder.files() {
        std::fs::remove_file(file).unwrap();
    }
    let archive = app.api(Method::GET, &format!("/v1/privacy/exports/{id}/archive")).send().await.unwrap();
    let (status, problem) = (archive.status(), archive.json::<Value>().await.unwrap());
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("export_gone")));
}
