//! A client of the event stream.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::TestApp;
use super::wait::PATIENCE;

/// One event of a stream.
#[derive(Debug)]
pub struct Sent {
    pub id: String,
    /// Comments before it.
    pub comments: Vec<String>,
    pub event: String,
    pub data: Value,
}

impl Sent {
    /// What the person wrote.
    pub fn body(&self) -> &str {
        self.data["data"]["item"]["text"]["body"].as_str().unwrap_or_default()
    }
}

/// An open stream.
pub struct Stream {
    response: Response,
    came: String,
    /// The `id` that a client would come back with.
    pub last_id: String,
}

/// A block between two empty lines.
enum Block {
    Event(Sent),
    Other(String),
}

impl Stream {
    /// Opens it with the admin key.
    pub async fn open(app: &TestApp, query: &str) -> Self {
        Self::of(app.api(Method::GET, &format!("/v1/events/stream{query}"))).await
    }

    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { response, came: String::new(), last_id: String::new() };
        assert!(matches!(stream.block().await, Some(Block::Other(first)) if first.starts_with("retry: ")));
        stream
    }

    /// The next event, past comments.
    pub async fn next(&mut self) -> Sent {
        loop {
            if let Block::Event(event) = self.block().await.expect("the stream goes on") {
                return event;
            }
        }
    }

    /// The next words that are no event.
    pub async fn other(&mut self) -> String {
        match self.block().await.expect("the stream goes on") {
            Block::Other(text) => text,
            Block::Event(event) => panic!("an event came: {}", event.event),
        }
    }

    /// Waits until the stream is over, in the proper way.
    pub async fn end(mut self) {
        while self.block().await.is_some() {}
    }

    async fn block(&mut self) -> Option<Block> {
        let text = loop {
            if let Some((block, rest)) = self.came.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.came = rest;
                break block;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something comes in time");
            // A stream that is cut off is an error here.
            self.came += std::str::from_utf8(&chunk.unwrap()?).unwrap();
        };
        let field = |name: &str| -> Vec<&str> {
            let named = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            named.collect()
        };
        if let [id] = *field("id") {
            id.clone_into(&mut self.last_id);
        }
        if field("data").is_empty() {
            return Some(Block::Other(text));
        }
        let data = serde_json::from_str(&field("data").join("\n")).unwrap();
        let comments = text.lines().filter_map(|line| line.strip_prefix(": ")).map(str::to_owned).collect();
        Some(Block::Event(Sent { comments, id: self.last_id.clone(), event: field("event")[0].to_owned(), data }))
    }
}
