//! Whoever has the KMS secret, the epoch cell, the keys and every copy of the data finds nothing of a person who was erased, in no place;
//! and finds everything when the erasure is left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use waxseal::access::{Permission, Permissions};
use waxseal::clock::{Clock, SystemClock};
use waxseal::crypto::age::Identity;
use waxseal::crypto::keys::KeyBytes;

use super::{ANA, BOB, contact_of, erase, reaches, says, sends};
use crate::support::app::{KMS_SECRET, api_key_with};
use crate::support::attacker::{Attacker, below};
use crate::support::estate;
use crate::support::folder::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

/// Stands in everything of hers.
pub(super) const HERS: &[&str] = &["qcanaryAna", ANA];
/// Stands in something of his.
pub(super) const HIS: &[&str] = &["qcanaryBob"];

/// Every sealed place in which something of hers is before, as `docs/envelope.md` names them.
pub(super) const EVERYWHERE: &[&str] = &[
    "consent.wording",
    "contact.profile",
    "erasure.identity_note",
    "erasure.reference",
    "event_payload.payload",
    "hold.reason",
    "media.object",
    "message.fallback",
    "message.request",
    "privacy_request.reason",
    "privacy_request.reference",
    "restriction.reason",
];

/// As if every attempt had failed.
const BURY: &str = "WITH gone AS (DELETE FROM delivery_retry RETURNING *)
    INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, event_xid, contact_id, attempts, reason, died_at)
    SELECT tenant_id, endpoint_id, event_id, part_day, event_xid, contact_id, 12, 'exhausted', now() FROM gone";

pub(super) struct Scene {
    pub(super) app: TestApp,
    server: PathBuf,
    pub(super) files: Folder,
    pub(super) cell: PathBuf,
    _receiver: Receiver,
    _folder: estate::Folder,
}

async fn done(app: &TestApp, method: Method, path: &str, body: Value) -> Value {
    let answer = app.api(method, path).json(&body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// A person with every kind of content.
async fn everything_of_hers(app: &TestApp) -> Receiver {
    let dead = Receiver::start().await;
    app.endpoint(&dead, "standard").await;
    dead.answer(500);
    says(app, ANA, "wamid.attack.1", "qcanaryAna Treffpunkt am Kanal").await;
    says(app, ANA, "wamid.attack.2", "STOP").await;
    says(app, BOB, "wamid.attack.3", "qcanaryBob").await;
    dead.wait_for(1).await;
    database::sabotage(&app.database, BURY).await;
    dead.answer(200);
    let (ana, channel) = (contact_of(app, ANA).await.unwrap(), app.channel().await);
    let file = app.api(Method::POST, &format!("/v1/media?contact_id={ana}"));
    let file = file.header("content-type", "text/plain").body("qcanaryAna Grundriss").send().await.unwrap();
    let (status, file) = (file.status(), file.text().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let template = json!({ "type": "template", "template": { "name": "hello_world", "language": { "code": "en_US" },
        "components": [{ "type": "body", "parameters": [{ "type": "text", "text": "qcanaryAna" }] }] } });
    let order = json!({ "channel_id": channel, "fallback_template": template,
        "message": { "to": ANA, "type": "text", "text": { "body": "qcanaryAna Antwort" } } });
    let answer = app.api(Method::POST, "/v1/messages").header("idempotency-key", "qcanaryAna").json(&order);
    let sent: Value = answer.send().await.unwrap().json().await.unwrap();
    let sent = format!("/v1/messages/{}", sent["id"].as_str().unwrap_or_else(|| panic!("{sent}")));
    until("it is sent", PATIENCE, async || app.get(&sent).await["state"] != "queued").await;
    let batch = json!({ "messages": [{ "channel_id": channel, "message": { "to": ANA, "type": "text", "text": { "body": "qcanaryAna" } } }] });
    let batched = app.api(Method::POST, "/v1/messages/batch").header("idempotency-key", "qcanaryAna2").json(&batch);
    assert!(batched.send().await.unwrap().status().is_success());
    let consent = json!({ "purpose": "news", "state": "granted", "wording": "qcanaryAna stimmt zu" });
    done(app, Method::PUT, &format!("/v1/contacts/{ana}/consent"), consent).await;
    let asked = json!({ "kind": "access", "law": "gdpr", "phone": ANA, "reference": "qcanaryAna Brief" });
    let asked = done(app, Method::POST, "/v1/privacy/requests", asked).await;
    let close = format!("/v1/privacy/requests/{}/close", asked["id"].as_str().unwrap());
    done(app, Method::POST, &close, json!({ "outcome": "refused", "reason": "qcanaryAna war es nicht" })).await;
    let until_then = (SystemClock.now() + time::Duration::days(9)).format(&Rfc3339).unwrap();
    let hold = json!({ "phone": ANA, "reason": "qcanaryAna klagt", "expires_at": until_then });
    let hold = done(app, Method::POST, "/v1/privacy/holds", hold).await;
    let hold = format!("/v1/privacy/holds/{}", hold["id"].as_str().unwrap());
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    let approved = app.api_as(&second, Method::POST, &format!("{hold}/approve")).send().await.unwrap();
    assert!(approved.status().is_success());
    let released = app.api(Method::DELETE, &hold).send().await.unwrap();
    assert!(released.status().is_success());
    let recipient = Identity::generate().recipient().unwrap().to_string();
    let export = done(app, Method::POST, "/v1/privacy/exports", json!({ "phone": ANA, "recipient": recipient })).await;
    let export = format!("/v1/privacy/exports/{}", export["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || app.get(&export).await["state"] == "ready").await;
    let restriction = json!({ "reason": "qcanaryAna bestreitet" });
    done(app, Method::PUT, &format!("/v1/contacts/{ana}/restriction"), restriction).await;
    let later =
        json!({ "channel_id": channel, "message": { "to": BOB, "type": "text", "text": { "body": "qcanaryBob" } } });
    sends(app, later).await;
    dead
}

impl Scene {
    pub(super) async fn set(name: &str) -> (waxseal::cli::postgres::PrivatePostgres, Self) {
        let (server, database) = database::own_server().await;
        let (files, folder) = (Folder::new(), estate::Folder::new(name));
        let (place, cell) = (files.url(), folder.0.join("cell"));
        let settings = [
            ("WAXSEAL_MEDIA__URL", place.as_str()),
            ("WAXSEAL_KEYS__CELL_FILES", cell.to_str().unwrap()),
            ("WAXSEAL_SEND__CHECK_TEMPLATES", "false"),
        ];
        let app = TestApp::spawn_on(database, Arc::new(SystemClock), &settings).await;
        let receiver = everything_of_hers(&app).await;
        let dir = server.dir().to_path_buf();
        (server, Self { app, server: dir, files, cell, _receiver: receiver, _folder: folder })
    }

    pub(super) fn spoils(&self, attacker: &Attacker, files: &Path) -> crate::support::attacker::Spoils {
        let mut secret = KeyBytes::default();
        secret.copy_from_slice(&HEXLOWER.decode(KMS_SECRET.as_bytes()).unwrap());
        attacker.open(&secret, &self.cell, files)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_every_key_and_every_copy_finds_nothing_of_an_erased_person_and_everything_when_she_is_not_erased() {
    let (_server, scene) = Scene::set("attacked").await;
    let app = &scene.app;
    let ana: Uuid = contact_of(app, ANA).await.unwrap().parse().unwrap();
    let mut attacker = Attacker::default();
    attacker.copy(&app.database).await;
    let backup = Folder::new();
    for (number, file) in below(scene.files.path()).into_iter().enumerate() {
        std::fs::create_dir_all(backup.path()).unwrap();
        std::fs::copy(file, backup.path().join(number.to_string())).unwrap();
    }
    let (id, _) = erase(app, json!({ "phone": ANA, "reference": "qcanaryAna Fall", "identity": "callback", "identity_note": "qcanaryAna zurueckgerufen", "when": "next_step" })).await;
    reaches(app, &id, "rows_removed").await;
    attacker.copy(&app.database).await;

    // The sweep finds what there is to find: before the epoch is stepped, the copies open with the keys that were copied.
    let before = scene.spoils(&attacker, backup.path());
    let found = before.with(HERS);
    let missing: Vec<&&str> = EVERYWHERE.iter().filter(|place| !found.contains(**place)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {found:?}");
    let mine = attacker.ids_of_keys(ana);
    assert!(!mine.is_empty() && mine.is_subset(&before.keys));

    app.gateway.base().keyring.step_epoch().await.unwrap();
    reaches(app, &id, "certified").await;
    app.gateway.base().keyring.step_epoch().await.unwrap();
    attacker.copy(&app.database).await;
    let mut keys = BTreeSet::new();
    for folder in [backup.path(), scene.files.path()] {
        let after = scene.spoils(&attacker, folder);
        assert_eq!(after.with(HERS), BTreeSet::new(), "with the keys of now and of then");
        assert!(after.with(HIS).contains("event_payload.payload"), "and yet others are opened");
        assert!(after.keys.is_disjoint(&mine), "none of her keys can be had");
        keys.extend(after.keys);
    }

    // Her envelopes still lie in the files of the server, in its log too: none of them is under a key that can be had.
    let lying: BTreeSet<Uuid> = below(&scene.server)
        .iter()
        .flat_map(|file| Attacker::keys_in(&std::fs::read(file).unwrap_or_default()))
        .collect();
    assert!(!lying.is_disjoint(&mine), "the sweep sees the files");
    assert!(lying.intersection(&keys).all(|key| !mine.contains(key)));
}
