//! `POST /control/inbound`: people write to the business.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use data_encoding::BASE64;
use serde::Deserialize;

use super::control::{Answer, Refusal, outcome, read};
use super::media::INBOUND_LIFE;
use super::payloads::{self, Inbound, KINDS, Media};
use super::platform::Platform;
use super::samples;

/// An inbound message and how often it comes.
#[derive(Deserialize)]
pub(super) struct Order {
    #[serde(flatten)]
    inbound: Inbound,
    /// Messages; each has its own wamid unless an `id` is given.
    #[serde(default = "one")]
    count: usize,
    /// Messages in one POST, at most 1000.
    #[serde(default = "one")]
    per_post: usize,
    /// The file of a media message; a sample when not given.
    media_base64: Option<String>,
    mime_type: Option<String>,
}

const fn one() -> usize {
    1
}

/// Posts the messages one POST after the other.
pub(super) async fn post(State(platform): State<Arc<Platform>>, body: Bytes) -> Answer {
    let order: Order = read(&body)?;
    let kind = if order.inbound.kind.is_empty() { "text" } else { &order.inbound.kind };
    if !KINDS.contains(&kind) {
        return Err(Refusal(format!("type must be one of {}", KINDS.join(", "))));
    }
    let (mut wamids, mut statuses) = (Vec::new(), Vec::new());
    let mut left = order.count;
    while left > 0 {
        let size = left.min(order.per_post.clamp(1, 1000));
        left -= size;
        let messages = (0..size).map(|_| make(&platform, &order)).collect::<Result<Vec<_>, _>>()?;
        wamids.extend(messages.iter().filter_map(|message| message.id.clone()));
        let envelope = payloads::inbound(&platform.business, &messages, platform.seconds());
        statuses.push(platform.post(&envelope).await);
    }
    Ok(Json(outcome(&statuses, &wamids)))
}

/// One message with its own wamid and, for media, its own file on the shelf.
fn make(platform: &Platform, order: &Order) -> Result<Inbound, Refusal> {
    let mut inbound = order.inbound.clone();
    inbound.wamid();
    let has_file = matches!(inbound.kind.as_str(), "image" | "video" | "audio" | "voice" | "document" | "sticker");
    if has_file && inbound.media.is_none() {
        let (sample_type, sample) = samples::file(&inbound.kind);
        let bytes = match &order.media_base64 {
            Some(text) => Bytes::from(
                BASE64.decode(text.as_bytes()).map_err(|_| Refusal("media_base64 is not base64".to_owned()))?,
            ),
            None => sample,
        };
        let mime_type = order.mime_type.as_deref().unwrap_or(sample_type);
        let now = platform.clock.now();
        let id = platform.media.put(mime_type, bytes, now + INBOUND_LIFE);
        inbound.media = platform.media.find(&id, now).map(|file| Media {
            url: platform.media_url(&id, None),
            sha256: file.sha256_base64(),
            mime_type: file.mime_type,
            id,
        });
    }
    Ok(inbound)
}
