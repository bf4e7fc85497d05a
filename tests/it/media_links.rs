//! Promise: a link to a file is good for a while without a key, for that file alone, as long as the key that made it is; each use is
//! recorded, and whoever tries others learns nothing.

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::access::Permissions;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::app::api_key_with;
use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::{TestApp, app, database};

const FILE: &str = "what is behind the link";

struct Scene {
    app: TestApp,
    clock: Arc<ManualClock>,
    media: String,
    folder: Folder,
}

impl Scene {
    async fn begin() -> Self {
        let (folder, clock) = (Folder::new(), Arc::new(ManualClock::new(SystemClock.now())));
        let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
        let request = app.api(Method::POST, "/v1/media").header(CONTENT_TYPE, "text/plain").body(FILE);
        let made: Value = request.send().await.unwrap().json().await.unwrap();
        Self { app, clock, media: made["id"].as_str().unwrap().to_owned(), folder }
    }

    async fn link(&self, key: &str, body: Value) -> String {
        let path = format!("/v1/media/{}/link", self.media);
        let answer = self.app.api_as(key, Method::POST, &path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json::<Value>().await.unwrap()["path"].as_str().unwrap().to_owned()
    }

    async fn follow(&self, path: &str) -> reqwest::Response {
        self.app.without_key(Method::GET, path).send().await.unwrap()
    }

    /// What a link that is no good is answered, without what differs every time.
    async fn refusal(&self, path: &str) -> Value {
        let answer = self.follow(path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let mut told: Value = answer.json().await.unwrap();
        told.as_object_mut().unwrap().remove("request_id");
        assert_eq!(told["code"], "link_over");
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_read_without_a_key_and_each_use_is_in_the_audit_log() {
    let scene = Scene::begin().await;
    let path = scene.link(&scene.app.key, json!({})).await;
    let answer = scene.follow(&path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "no-store"),
        ("content-type", "text/plain"),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(answer.headers().contains_key("x-audit-index"));
    assert_eq!(answer.text().await.unwrap(), FILE);
    let part = scene.app.without_key(Method::GET, &path).header(RANGE, "bytes=0-3").send().await.unwrap();
    assert_eq!((part.status(), part.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, "what"));
    let entries = |action: &str| format!("SELECT count(*) FROM audit_entry WHERE action = '{action}'");
    assert_eq!(database::count(&scene.app.database, &entries("media.linked")).await, 1);
    assert_eq!(database::count(&scene.app.database, &entries("media.read")).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_over_changed_or_of_a_key_that_ended_is_refused_alike() {
    let scene = Scene::begin().await;
    let reader = api_key_with(&scene.app.gateway, Permissions::of_scopes(["media:read"])).await;
    let (short, long) =
        (scene.link(&reader, json!({})).await, scene.link(&reader, json!({ "expires_in_seconds": 3600 })).await);
    let own = scene.link(&scene.app.key, json!({ "expires_in_seconds": 3600 })).await;
    let mut told = Vec::new();
    let token = long.split_once('=').unwrap().1;
    for at in [0, token.len() / 3, token.len() / 2, token.len() - 2] {
        let mut changed: Vec<char> = token.chars().collect();
        changed[at] = if changed[at] == 'A' { 'B' } else { 'A' };
        told.push(scene.refusal(&format!("/v1/media-links?token={}", changed.iter().collect::<String>())).await);
    }
    for odd in ["/v1/media-links", "/v1/media-links?token=", "/v1/media-links?token=%20x"] {
        told.push(scene.refusal(odd).await);
    }
    scene.clock.advance(Duration::seconds(301));
    told.push(scene.refusal(&short).await);
    assert_eq!(scene.follow(&long).await.status(), StatusCode::OK);
    let keys = scene.app.get("/v1/keys").await;
    let is_reader = |one: &&Value| one["permissions"] == json!(["media:read"]);
    let id = keys["data"].as_array().unwrap().iter().find(is_reader).unwrap()["id"].as_str().unwrap().to_owned();
    scene.app.api(Method::DELETE, &format!("/v1/keys/{id}")).send().await.unwrap();
    told.push(scene.refusal(&long).await);
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!(scene.follow(&own).await.status(), StatusCode::OK, "that of another key");
    scene.clock.advance(Duration::HOUR);
    scene.refusal(&own).await;
    let path = format!("/v1/media/{}/link", scene.media);
    for wrong in [json!({ "expires_in_seconds": 0 }), json!({ "expires_in_seconds": 3601 }), json!({ "for": "ever" })] {
        let answer = scene.app.api(Method::POST, &path).json(&wrong).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_puts_a_file_reads_it_links_it_and_deletes_it() {
    let scene = Scene::begin().await;
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let mut environment = app::variables(&scene.app.database, scene.app.simulator.base_url());
    environment.push(("WAXSEAL_MEDIA__URL".to_owned(), scene.folder.url()));
    let says = async |words: &[&str]| {
        let output = waxseal(words, &environment).output().await.unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (there, back) = (folder.path().join("letter.pdf"), folder.path().join("back.pdf"));
    std::fs::write(&there, b"%PDF a letter").unwrap();
    let (there, back) = (there.to_str().unwrap(), back.to_str().unwrap());
    let put = says(&["media", "put", there]).await;
    let id = put.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(put.contains("document") && put.contains("13 B"), "{put}");
    let listed = says(&["media", "list"]).await;
    assert!(listed.contains(&id) && listed.contains("stored") && !listed.contains("letter"), "{listed}");
    let shown = says(&["media", "show", &id]).await;
    assert!(shown.contains("letter.pdf") && shown.contains("application/pdf"), "{shown}");
    says(&["media", "get", &id, "--out", back]).await;
    assert_eq!(std::fs::read(back).unwrap(), b"%PDF a letter");
    let link = says(&["media", "link", &id]).await;
    let (_, path) = link.lines().next().unwrap().split_once("/v1/").unwrap();
    let read = scene.follow(&format!("/v1/{path}")).await;
    assert_eq!(read.text().await.unwrap(), "%PDF a letter");
    says(&["media", "delete", &id]).await;
    let gone = waxseal(&["media", "get", &id, "--out", back], &environment).output().await.unwrap();
    assert!(!gone.status.success() && String::from_utf8(gone.stderr).unwrap().contains("deleted"));
    let wrong = waxseal(&["media", "put", "/etc/hostname"], &environment).output().await.unwrap();
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("--type"));
}
