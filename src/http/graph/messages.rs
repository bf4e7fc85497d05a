//! `POST /{phone}/messages`: a message goes the way of messages, and the caller waits for Meta's answer.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::Value;

use super::asking;
use super::error::GraphError;
use super::passing::Asked;
use crate::domain::channel::Channel;
use crate::meta::answer::Answer;
use crate::meta::client::Edge;
use crate::send::{MirrorError, Passed, Way};

/// Reads the body last: until then, nobody knows whether the caller may send one.
pub(super) async fn send(asked: Asked<'_>, channel: &Channel) -> Result<Answer, GraphError> {
    let (state, caller) = (asked.state, asked.caller);
    let body = as_json(asked.headers, asking::small(asked.headers, asked.body).await?)?;
    let unrecorded = |error: &dyn std::error::Error| {
        tracing::warn!(error = %error, "a message was not sent, because that could not be recorded");
        GraphError::from(MirrorError::Unavailable)
    };
    let passed = Passed::read(body);
    let contact = state.sender.mirror_addressee(caller.tenant, &passed).await.map_err(|error| unrecorded(&error))?;
    let entry = asked.trail.of_messages(caller, &[channel.id], &[contact]).await.map_err(|error| unrecorded(&error))?;
    let is_receipt = passed.is_receipt();
    if is_receipt {
        asked.trail.file(entry.clone()).await.map_err(|error| unrecorded(&error))?;
    }
    let is_marketing = asked.path.parts.get(1).is_some_and(|edge| edge == Edge::MarketingMessages.as_str());
    let edge = if is_marketing { Edge::MarketingMessages } else { Edge::Messages };
    let way = Way { version: asked.path.version, edge };
    let answer = state.sender.mirror(caller.tenant, channel.id, way, passed, (contact, entry.clone())).await;
    if answer.as_ref().is_err_and(|error| !error.is_of_stored()) && !is_receipt {
        asked.trail.file(entry).await.map_err(|error| unrecorded(&error))?;
    }
    Ok(answer?)
}

/// Some SDKs send forms, as Graph allows: each field is a string, objects are JSON in it.
fn as_json(headers: &HeaderMap, body: Bytes) -> Result<Bytes, GraphError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(body);
    }
    let mut object = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(&body) {
        let parsed = serde_json::from_str::<Value>(&value).ok().filter(|value| value.is_object() || value.is_array());
        object.insert(name.into_owned(), parsed.unwrap_or_else(|| Value::from(value.into_owned())));
    }
    serde_json::to_vec(&object).map(Bytes::from).map_err(|_| GraphError::parameter("Invalid parameter"))
}
