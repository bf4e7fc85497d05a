//! `GET /webhook` and `POST /webhook`: the only two things that the outside may ask for. Refusals have no body, so that a
//! stranger learns nothing.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::AppState;
use crate::directory::{Directory, Snapshot};
use crate::ingest::{Ingest, Refusal};
use crate::telemetry;

/// Meta's bodies are at most 3 MB (facts of the webhook documentation); taken as MiB to be on the safe side.
const LONGEST_BODY: usize = 3 * 1024 * 1024;
/// How long Meta may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of bodies that are being read at the same time. Nobody knows yet who sends them.
const UNPROVED_BYTES: usize = 64 * 1024 * 1024;
/// Room made before the first byte of a body.
const FIRST_ROOM: usize = 16 * 1024;
/// Meta's challenges are short numbers.
const LONGEST_CHALLENGE: usize = 200;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The only path there is.
pub(super) const ROUTE: &str = "/webhook";

/// What the webhook needs of the gateway, and the room for bodies that are still being read.
pub(super) struct Reception {
    ingest: Ingest,
    directory: Directory,
    room: Semaphore,
}

impl Reception {
    /// With all of its room free.
    pub(super) fn new(state: &AppState) -> Self {
        let room = Semaphore::new(UNPROVED_BYTES);
        Self { ingest: state.ingest.clone(), directory: state.directory.clone(), room }
    }
}

/// Answers whatever a stranger asks for: the handshake, an event, or nothing.
pub(super) async fn answer(reception: &Reception, request: Request) -> Response {
    match (request.uri().path(), request.method()) {
        (ROUTE, &Method::POST) => receive(reception, request).await,
        (ROUTE, &Method::GET | &Method::HEAD) => verify(&reception.directory, request.uri().query()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Meta verifies the URL: whoever knows a verify token of ours gets the challenge back.
fn verify(directory: &Directory, query: Option<&str>) -> Response {
    let query = query.unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    match challenge(&directory.snapshot(), &query) {
        Some(challenge) => ([(CONTENT_TYPE, "text/plain")], challenge.to_owned()).into_response(),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

fn challenge<'q>(snapshot: &Snapshot, query: &'q [(String, String)]) -> Option<&'q str> {
    let only = |name: &str| {
        let mut values = query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    };
    let token = only("hub.verify_token")?;
    // Every token is compared, so that the time does not tell which one was near.
    let known = snapshot.apps.iter().fold(false, |known, app| known | app.verify_token.matches(token));
    let challenge = only("hub.challenge")?;
    let printable =
        (1..=LONGEST_CHALLENGE).contains(&challenge.len()) && challenge.bytes().all(|b| b.is_ascii_graphic());
    (known && printable && only("hub.mode")? == "subscribe").then_some(challenge)
}

/// Meta posts events. 200 means committed.
async fn receive(reception: &Reception, request: Request) -> Response {
    let (outcome, response) = match signature(request.headers()) {
        Some(signature) => admit(reception, request, &signature).await,
        None => unread("unproved", StatusCode::UNAUTHORIZED),
    };
    metrics::counter!(telemetry::INGEST_REQUESTS, "outcome" => outcome).increment(1);
    response
}

async fn admit(reception: &Reception, request: Request, signature: &[u8]) -> (&'static str, Response) {
    let declared = declared(request.headers());
    if declared > LONGEST_BODY {
        return unread("too_large", StatusCode::PAYLOAD_TOO_LARGE);
    }
    let coming = reception.ingest.admit(declared).await;
    let body = timeout(BODY_DEADLINE, gather(request.into_body(), declared, &reception.room)).await;
    drop(coming);
    match body {
        Ok(Ok(body)) => {
            let started = Instant::now();
            let answer = verdict(reception.ingest.receive(body, Some(signature)).await);
            metrics::histogram!(telemetry::INGEST_ACK_SECONDS).record(started.elapsed().as_secs_f64());
            answer
        }
        Ok(Err(Unread::TooLarge)) => unread("too_large", StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(Unread::NoRoom)) => {
            let (outcome, mut response) = verdict(Err(Refusal::Full));
            response.headers_mut().insert(CONNECTION, CLOSE);
            (outcome, response)
        }
        Ok(Err(Unread::Broken)) => unread("incomplete", StatusCode::BAD_REQUEST),
        Err(_elapsed) => unread("incomplete", StatusCode::REQUEST_TIMEOUT),
    }
}

/// A refusal of a request whose body was not read to its end: the next request on the connection could not be found.
fn unread(outcome: &'static str, status: StatusCode) -> (&'static str, Response) {
    (outcome, (status, [(CONNECTION, CLOSE)]).into_response())
}

fn verdict(result: Result<(), Refusal>) -> (&'static str, Response) {
    let later = || (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response();
    match result {
        Ok(()) => ("stored", StatusCode::OK.into_response()),
        Err(Refusal::Unproved) => ("unproved", StatusCode::UNAUTHORIZED.into_response()),
        Err(Refusal::Full) => ("full", later()),
        Err(Refusal::Unavailable) => ("unavailable", later()),
    }
}

/// The signature, where there is exactly one that has the form of Meta's: of two, a proxy might have believed the other.
fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let only = values.next().filter(|_| values.next().is_none())?.as_bytes();
    let digits = only.strip_prefix(b"sha256=")?;
    let has_form = digits.len() == 64 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    has_form.then(|| only.to_vec())
}

enum Unread {
    TooLarge,
    NoRoom,
    Broken,
}

/// What the body is said to have; 0 where nothing is said.
fn declared(headers: &HeaderMap) -> usize {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Reads a body to its end. It has its share of the room until then; the queue behind has a bound of its own.
async fn gather(body: Body, expected: usize, room: &Semaphore) -> Result<Bytes, Unread> {
    let mut stream = body.into_data_stream();
    // A declaration costs nothing; memory is given out as the body comes. If declarations took up room, a few connections
    // that send nothing could keep Meta out.
    let mut gathered = Vec::with_capacity(expected.min(FIRST_ROOM));
    let mut share = None;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if gathered.len() + chunk.len() > LONGEST_BODY {
            return Err(Unread::TooLarge);
        }
        // The usual body comes in one piece and need not be copied.
        if gathered.is_empty() && chunk.len() == expected && expected > 0 {
            return Ok(chunk);
        }
        enlarge(&mut share, room, chunk.len())?;
        make_room(&mut gathered, chunk.len(), expected);
        gathered.extend_from_slice(&chunk);
    }
    // It may have to wait for its turn.
    gathered.shrink_to_fit();
    Ok(gathered.into())
}

/// Memory for the next piece of a body that declared its length: at most four times what has come, so that a declaration alone
/// takes none, and in the end not more than the body.
fn make_room(gathered: &mut Vec<u8>, next: usize, expected: usize) {
    let wanted = gathered.len() + next;
    if wanted > gathered.capacity() && wanted <= expected {
        gathered.reserve_exact(wanted.saturating_mul(4).min(expected) - gathered.len());
    }
}

fn enlarge<'r>(share: &mut Option<SemaphorePermit<'r>>, room: &'r Semaphore, by: usize) -> Result<(), Unread> {
    let more = u32::try_from(by).ok().and_then(|by| room.try_acquire_many(by).ok()).ok_or(Unread::NoRoom)?;
    match share {
        Some(share) => share.merge(more),
        None => *share = Some(more),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nobody_gets_a_challenge_back_without_a_token_of_ours() {
        let asked = query(&[("hub.mode", "subscribe"), ("hub.challenge", "115"), ("hub.verify_token", "")]);
        assert_eq!(challenge(&Snapshot::default(), &asked), None);
    }

    #[test]
    fn a_signature_without_metas_form_and_two_signatures_are_none() {
        let right = format!("sha256={}", "0a".repeat(32));
        let mut headers = HeaderMap::new();
        assert_eq!(signature(&headers), None);
        for wrong in [&right[..70], &right.to_uppercase(), &format!("{right}0"), &right.replace('a', "A"), "sha256="] {
            headers.insert(SIGNATURE, wrong.parse().unwrap());
            assert_eq!(signature(&headers), None, "{wrong}");
        }
        headers.insert(SIGNATURE, right.parse().unwrap());
        assert_eq!(signature(&headers).as_deref(), Some(right.as_bytes()));
        headers.append(SIGNATURE, right.parse().unwrap());
        assert_eq!(signature(&headers), None);
    }

    async fn gathered_in(room: usize, chunks: Vec<usize>, expected: usize) -> Result<usize, Unread> {
        let chunks = chunks.into_iter().map(|length| Ok::<_, std::io::Error>(vec![7; length]));
        let room = Semaphore::new(room);
        let body = gather(Body::from_stream(stream::iter(chunks)), expected, &room).await;
        body.map(|body| body.len())
    }

    async fn gathered(chunks: Vec<usize>, expected: usize) -> Result<usize, Unread> {
        gathered_in(UNPROVED_BYTES, chunks, expected).await
    }

    #[tokio::test]
    async fn a_body_may_have_three_mebibytes_and_no_byte_more_whatever_it_declared() {
        assert!(matches!(gathered(vec![LONGEST_BODY], LONGEST_BODY).await, Ok(LONGEST_BODY)));
        assert!(matches!(gathered(vec![LONGEST_BODY - 1, 1], 0).await, Ok(LONGEST_BODY)));
        assert!(matches!(gathered(vec![LONGEST_BODY, 1], 0).await, Err(Unread::TooLarge)));
        assert!(matches!(gathered(vec![1, LONGEST_BODY], 1 << 20).await, Err(Unread::TooLarge)));
        assert!(matches!(gathered(vec![], 0).await, Ok(0)));
    }

    #[tokio::test]
    async fn bodies_that_are_being_read_have_a_bound_in_common_and_give_their_share_back() {
        assert!(matches!(gathered_in(10, vec![5, 5], 0).await, Ok(10)));
        assert!(matches!(gathered_in(10, vec![5, 6], 11).await, Err(Unread::NoRoom)));
        let room = Semaphore::new(10);
        for body in [10, 11, 10] {
            let stored = gather(Body::from(vec![7; body]), 0, &room).await;
            assert_eq!((stored.is_ok(), room.available_permits()), (body == 10, 10));
        }
    }

    #[test]
    fn refusals_have_the_documented_status() {
        let status = |result| verdict(result).1.status().as_u16();
        let all = [Ok(()), Err(Refusal::Unproved), Err(Refusal::Full), Err(Refusal::Unavailable)];
        assert_eq!(all.map(status), [200, 401, 503, 503]);
    }
}
