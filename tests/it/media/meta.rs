//! A Meta that keeps one file, and answers as the test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::webhook;

/// How one fetch goes. The last one that was said stays.
#[derive(Clone)]
pub enum Answer {
    /// The file.
    Right,
    /// Other bytes, as many.
    Other,
    /// The beginning of it.
    Cut,
    /// The address is too old.
    Missing,
    /// Nothing but the beginning, for ever.
    Never,
    /// The id is too old.
    Gone,
    /// A length that nobody may send.
    TooLarge,
    /// Another host has it.
    At(String),
}

#[derive(Default)]
struct Seen {
    answers: VecDeque<Answer>,
    look_ups: usize,
    downloads: usize,
    tokens: Vec<String>,
}

#[derive(Clone)]
pub struct FakeMeta {
    file: Bytes,
    url: Arc<str>,
    seen: Arc<Mutex<Seen>>,
}

impl FakeMeta {
    pub async fn start(file: &[u8]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let meta = Self { file: Bytes::copy_from_slice(file), url: url.into(), seen: Arc::default() };
        let router = Router::new().route("/file", get(download)).fallback(get(look_up)).with_state(meta.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        meta
    }

    pub fn url(&self) -> String {
        self.url.to_string()
    }

    pub fn answers(&self, answers: &[Answer]) {
        self.seen.lock().unwrap().answers = answers.to_vec().into();
    }

    pub fn look_ups(&self) -> usize {
        self.seen.lock().unwrap().look_ups
    }

    pub fn downloads(&self) -> usize {
        self.seen.lock().unwrap().downloads
    }

    /// What came as `Authorization`.
    pub fn tokens(&self) -> Vec<String> {
        self.seen.lock().unwrap().tokens.clone()
    }

    /// A message with the file.
    pub fn webhook(wamid: &str) -> Vec<u8> {
        let mut item = webhook::text_item("4915199900011", &format!("wamid.{wamid}"), "");
        item["type"] = json!("document");
        item["document"] = json!({ "id": "8812345", "mime_type": "application/pdf" });
        webhook::messages(json!({
            "contacts": [{ "profile": { "name": "Ana Beispiel" }, "wa_id": "4915199900011" }], "messages": [item] }))
    }

    fn now(&self) -> Answer {
        self.seen.lock().unwrap().answers.front().cloned().unwrap_or(Answer::Right)
    }

    /// The fetch is over: the next goes as was said behind it.
    fn step(&self) {
        let mut seen = self.seen.lock().unwrap();
        if seen.answers.len() > 1 {
            seen.answers.pop_front();
        }
    }

    fn note(&self, headers: &HeaderMap) {
        let token = headers.get("authorization").map(|token| token.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().tokens.extend(token);
    }
}

async fn look_up(State(meta): State<FakeMeta>, headers: HeaderMap) -> Response {
    meta.note(&headers);
    meta.seen.lock().unwrap().look_ups += 1;
    let (mut bytes, mut url) = (meta.file.len(), meta.url());
    match meta.now() {
        Answer::Gone => return (StatusCode::NOT_FOUND, Json(json!({ "error": { "code": 100 } }))).into_response(),
        Answer::TooLarge => bytes = 200 * 1024 * 1024,
        Answer::At(other) => url = other,
        _ => {}
    }
    let sha256 = HEXLOWER.encode(&Sha256::digest(&meta.file));
    Json(json!({ "id": "8812345", "url": format!("{url}/file"), "sha256": sha256, "file_size": bytes })).into_response()
}

async fn download(State(meta): State<FakeMeta>, headers: HeaderMap) -> Response {
    meta.note(&headers);
    let answer = meta.now();
    meta.step();
    meta.seen.lock().unwrap().downloads += 1;
    let cut = meta.file.slice(..meta.file.len() / 2);
    match answer {
        Answer::Other => vec![0_u8; meta.file.len()].into_response(),
        Answer::Cut => cut.into_response(),
        Answer::Missing => StatusCode::NOT_FOUND.into_response(),
        Answer::Never => {
            let begin = stream::iter([Ok::<_, std::io::Error>(cut)]);
            Body::from_stream(begin.chain(stream::pending())).into_response()
        }
        _ => meta.file.into_response(),
    }
}
