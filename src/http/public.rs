//! `GET /webhook` and `POST /webhook`: the only two things that the outside may ask for. Refusals have no body, so that a
//! stranger learns nothing.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use crate::directory::{Directory, Snapshot};
use crate::ingest::{Ingest, Refusal};
use crate::telemetry;

/// Meta's bodies are at most 3 MB (facts of the webhook documentation); taken as MiB to be on the safe side.
const LONGEST_BODY: usize = 3 * 1024 * 1024;
/// How long Meta may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Room made before the first byte of a body.
const FIRST_ROOM: usize = 16 * 1024;
/// Meta's challenges are short numbers.
const LONGEST_CHALLENGE: usize = 200;

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Meta verifies the URL: whoever knows a verify token of ours gets the challenge back.
pub(super) async fn verify(State(directory): State<Directory>, RawQuery(query): RawQuery) -> Response {
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
pub(super) async fn receive(State(ingest): State<Ingest>, request: Request) -> Response {
    let signature = signature(request.headers());
    let (outcome, response) = match timeout(BODY_DEADLINE, read(request)).await {
        Ok(Ok(body)) => {
            let started = Instant::now();
            let (outcome, response) = answer(ingest.receive(body, signature.as_deref()).await);
            metrics::histogram!(telemetry::INGEST_ACK_SECONDS).record(started.elapsed().as_secs_f64());
            (outcome, response)
        }
        Ok(Err(Unread::TooLarge)) => ("too_large", StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        Ok(Err(Unread::Broken)) => ("incomplete", StatusCode::BAD_REQUEST.into_response()),
        Err(_elapsed) => ("incomplete", StatusCode::REQUEST_TIMEOUT.into_response()),
    };
    metrics::counter!(telemetry::INGEST_REQUESTS, "outcome" => outcome).increment(1);
    response
}

fn answer(result: Result<(), Refusal>) -> (&'static str, Response) {
    let later = || (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response();
    match result {
        Ok(()) => ("stored", StatusCode::OK.into_response()),
        Err(Refusal::Unproved) => ("unproved", StatusCode::UNAUTHORIZED.into_response()),
        Err(Refusal::Full) => ("full", later()),
        Err(Refusal::Unavailable) => ("unavailable", later()),
    }
}

/// The signature, where there is exactly one: of two, a proxy might have believed the other.
fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(SIGNATURE).iter();
    values.next().filter(|_| values.next().is_none()).map(|value| value.as_bytes().to_vec())
}

enum Unread {
    TooLarge,
    Broken,
}

async fn read(request: Request) -> Result<Bytes, Unread> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > LONGEST_BODY as u64) {
        return Err(Unread::TooLarge);
    }
    gather(request.into_body(), declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0)).await
}

async fn gather(body: Body, expected: usize) -> Result<Bytes, Unread> {
    let mut stream = body.into_data_stream();
    // A declaration costs nothing; memory is given out as the body comes.
    let mut gathered = Vec::with_capacity(expected.min(FIRST_ROOM));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if gathered.len() + chunk.len() > LONGEST_BODY {
            return Err(Unread::TooLarge);
        }
        // The usual body comes in one piece and need not be copied.
        if gathered.is_empty() && chunk.len() == expected && expected > 0 {
            return Ok(chunk);
        }
        gathered.extend_from_slice(&chunk);
    }
    Ok(gathered.into())
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
    fn two_signatures_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(signature(&headers), None);
        headers.append(SIGNATURE, "sha256=a".parse().unwrap());
        assert_eq!(signature(&headers).as_deref(), Some(&b"sha256=a"[..]));
        headers.append(SIGNATURE, "sha256=a".parse().unwrap());
        assert_eq!(signature(&headers), None);
    }

    async fn gathered(chunks: Vec<usize>, expected: usize) -> Result<usize, Unread> {
        let chunks = chunks.into_iter().map(|length| Ok::<_, std::io::Error>(vec![7; length]));
        gather(Body::from_stream(stream::iter(chunks)), expected).await.map(|body| body.len())
    }

    #[tokio::test]
    async fn a_body_may_have_three_mebibytes_and_no_byte_more_whatever_it_declared() {
        assert!(matches!(gathered(vec![LONGEST_BODY], LONGEST_BODY).await, Ok(LONGEST_BODY)));
        assert!(matches!(gathered(vec![LONGEST_BODY - 1, 1], 0).await, Ok(LONGEST_BODY)));
        assert!(matches!(gathered(vec![LONGEST_BODY, 1], 0).await, Err(Unread::TooLarge)));
        assert!(matches!(gathered(vec![1, LONGEST_BODY], 1 << 20).await, Err(Unread::TooLarge)));
        assert!(matches!(gathered(vec![], 0).await, Ok(0)));
    }

    #[test]
    fn refusals_have_the_documented_status() {
        let status = |result| answer(result).1.status().as_u16();
        let all = [Ok(()), Err(Refusal::Unproved), Err(Refusal::Full), Err(Refusal::Unavailable)];
        assert_eq!(all.map(status), [200, 401, 503, 503]);
    }
}
