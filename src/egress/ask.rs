//! One question to somebody who is no endpoint, with its whole answer: to a witness of the audit log. The same guard, proxy and
//! connections as for endpoints.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Body, Method, Request};
use tokio::time::Instant;
use url::Url;

use super::client::EgressClient;

/// An answer: the status, and as much of the body as is read ([`super::client::BODY_CAP`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// What came with it.
    pub body: Vec<u8>,
}

impl EgressClient {
    /// Posts a question. `None`: no answer within `deadline`, or the address is not one that may be asked.
    pub async fn ask(&self, url: &Url, question: Bytes, deadline: Duration) -> Option<Answer> {
        let started = Instant::now();
        let mut request = Request::new(Method::POST, url.clone());
        *request.body_mut() = Some(Body::from(question));
        let (attempt, body) = self.attempt(&self.plain().ok()?, request, started, started + deadline).await;
        Some(Answer { status: attempt.http_status?, body })
    }
}
