//! `GET /v1/events/stream`: the events as they are committed, as server-sent events. The client pulls: the next page is read
//! when the one before has left, so that a slow client costs one page.

use std::convert::Infallible;
use std::fmt::Write;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::time::{Duration, Instant};

use super::event_query::Wanted;
use super::follower::{Follower, Refusal, Told};
use super::page::{Cursor, DEFAULT_LIMIT};
use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::views::EventCursor;
use crate::access::{Caller, Errand};
use crate::http::readers::Seat;
use crate::http::state::AppState;
use crate::ids::AuditEntryId;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx to pass on what it gets.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// Proxies and clients give up connections that are silent for a minute or less.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A key that ended is noticed after at most this and the interval in which settings are read.
const KEY_CHECK: Duration = Duration::from_secs(1);
/// The first words of a stream: how many milliseconds a client waits before it connects again.
const GREETING: &str = "retry: 2000\n\n";

/// The events as they are committed, as server-sent events.
///
/// Each has the event's type as `event`, its JSON as `data`, and a cursor as `id`. A client that connects again with the last
/// `id` in `Last-Event-ID`, as `EventSource` does by itself, gets what follows it: each event comes once, and none is skipped.
/// Before each batch a comment `: audit …` names the entry of the audit log for it, as `X-Audit-Index` does elsewhere.
/// A comment every 15 seconds says that the stream is alive; an `id` without `data` says how far a filter has looked. The
/// stream ends when the key ends or the gateway stops.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "Events", operation_id = "stream_events",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "`id` of the last event that came; counts instead of `cursor`."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of a page, or an `id` of the stream; absent: from the beginning."),
        ("type" = Option<String>, Query, description = "Event types or prefixes such as `message.*`, separated by commas."),
        ("channel_id" = Option<crate::ids::ChannelId>, Query, description = "One channel."),
        ("contact_id" = Option<crate::ids::ContactId>, Query, description = "One person."),
        ("direction" = Option<String>, Query, description = "`in` or `out`: events about messages that went this way."),
        ("where" = Option<String>, Query, description = "What the event JSON must look like: a predicate as JSON, as endpoints have it."),
        ("fields" = Option<String>, Query, description = "How much is shown: `ids`, `metadata`, `masked` or `full`; as much as the key may see when absent, and never more."),
    ),
    responses(
        (status = 200, description = "Events without end.", body = String, content_type = "text/event-stream"),
        (status = 429, description = "`too_many_readers`"),
    ),
)]
pub(super) async fn stream(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        params.put("cursor", &String::from_utf8_lossy(last.as_bytes()));
    }
    let wanted = Wanted::take(&mut params, DEFAULT_LIMIT);
    params.finish()?;
    let seat = state.readers.streams.take(who.key).ok_or(Problem::new(Code::TooManyReaders))?;
    let feed = Feed::new(Follower::new(&state, (who, errand), wanted), seat);
    let chunks = stream::unfold(feed, async |mut feed| {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), UNBUFFERED];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// What one client is sent, chunk by chunk.
struct Feed {
    follower: Follower,
    greeted: bool,
    /// The place that the client knows.
    told: EventCursor,
    /// When the client was last sent something.
    sent: Instant,
    /// Whether there may be something to be looked for.
    look: bool,
    _seat: Seat,
}

impl Feed {
    fn new(follower: Follower, seat: Seat) -> Self {
        let (told, sent) = (follower.place(), Instant::now());
        Self { follower, greeted: false, told, sent, look: true, _seat: seat }
    }

    /// The next chunk. `None`: this stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        let chunk = if std::mem::replace(&mut self.greeted, true) { self.more().await? } else { GREETING.to_owned() };
        self.sent = Instant::now();
        Some(chunk.into())
    }

    async fn more(&mut self) -> Option<String> {
        loop {
            if self.follower.must_leave() {
                return None;
            }
            let mut failed = false;
            if self.look {
                match self.follower.look_in_turn().await {
                    Ok(look) if !look.events.is_empty() => {
                        self.told = self.follower.place();
                        return Some(receipts(&self.follower.receipts()) + &written(&look.events, self.told));
                    }
                    Ok(look) => self.look = look.has_more,
                    // A client would take the end for a hiccup, and a refusal when it comes back for the end.
                    Err(Refusal::Door(error)) if error.is_retryable() => failed = true,
                    Err(_) => return None,
                }
            }
            let beat = self.sent + HEARTBEAT;
            if beat <= Instant::now() {
                return Some(self.heartbeat());
            }
            if !self.look || failed {
                self.look |= self.follower.wait(beat.min(Instant::now() + KEY_CHECK)).await;
            }
            self.follower.check_key().ok()?;
        }
    }

    /// A comment, and the place when a filter has passed over events since.
    fn heartbeat(&mut self) -> String {
        let place = self.follower.place();
        if std::mem::replace(&mut self.told, place) == place {
            return ":\n\n".to_owned();
        }
        format!(":\nid: {}\n\n", place.to_text())
    }
}

/// The entries of the audit log for what follows, as comments: clients pass over them, and whoever wants to can keep them.
fn receipts(entries: &[AuditEntryId]) -> String {
    entries.iter().fold(String::new(), |mut text, entry| {
        let _infallible = writeln!(text, ": audit {entry}");
        text
    })
}

/// Events as they stand in the stream. `place` is what was looked at in all.
fn written(events: &[Told], place: EventCursor) -> String {
    let mut text = String::new();
    for event in events {
        let _infallible = write!(text, "id: {}\nevent: {}\n", event.place.to_text(), event.event_type);
        // Meta's JSON is passed on as it came, line breaks between its tokens included.
        for line in event.json.get().split(['\r', '\n']) {
            let _infallible = writeln!(text, "data: {line}");
        }
        text.push('\n');
    }
    if events.last().is_some_and(|last| last.place != place) {
        let _infallible = write!(text, "id: {}\n\n", place.to_text());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    fn cursor(xid: i64) -> EventCursor {
        EventCursor { xid, event: Uuid::nil() }
    }

    #[test]
    fn line_breaks_in_metas_json_do_not_end_the_event() {
        let json = RawValue::from_string("{\r\n\"a\":\r1}".to_owned()).unwrap();
        let told = Told { place: cursor(7), event_type: "call.updated".to_owned(), json };
        let text = written(&[told], cursor(7));
        let id = cursor(7).to_text();
        assert_eq!(text, format!("id: {id}\nevent: call.updated\ndata: {{\ndata: \ndata: \"a\":\ndata: 1}}\n\n"));
    }

    #[test]
    fn what_a_filter_passed_over_behind_the_last_event_is_told_without_an_event() {
        let json = RawValue::from_string("1".to_owned()).unwrap();
        let told = Told { place: cursor(7), event_type: "standby".to_owned(), json };
        let text = written(&[told], cursor(9));
        assert!(text.ends_with(&format!("data: 1\n\nid: {}\n\n", cursor(9).to_text())), "{text}");
    }
}
