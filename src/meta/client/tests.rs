//! The client against real sockets that behave and misbehave.

use std::error::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::meta::answer::Outcome;
use crate::meta::errors::Verdict;

const TOKEN: &str = "CANARYTOKEN";

fn client(base: &str) -> GraphClient {
    let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(5) };
    GraphClient::new(base.parse().unwrap(), "v25.0", timeouts).unwrap()
}

async fn send(client: &GraphClient) -> Result<Answer, SendError> {
    let number = PhoneNumberId::new("100000000000001");
    client
        .send_message(
            &number,
            &AccessToken::new(TOKEN),
            Bytes::from_static(br#"{"to":"canary"}"#),
            (None, Edge::Messages),
        )
        .await
}

/// Reads one request up to the end of its body, which is known to end in `}`.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client went away");
    }
    String::from_utf8(request).unwrap()
}

/// Sends once to a server that answers `raw` and closes. Returns what it was asked, too.
async fn exchange(raw: String) -> (Result<Answer, SendError>, String) {
    exchange_as(raw, AccessToken::new(TOKEN), (None, Edge::Messages)).await
}

/// The same with this token, version and door.
async fn exchange_as(
    raw: String,
    token: AccessToken,
    (version, edge): (Option<&str>, Edge),
) -> (Result<Answer, SendError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}/graph/", listener.local_addr().unwrap()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // The client may hang up on an answer that it finds too long.
        let _ = stream.write_all(raw.as_bytes()).await;
        let _ = stream.shutdown().await;
        request
    };
    let number = PhoneNumberId::new("100000000000001");
    tokio::join!(
        client.send_message(&number, &token, Bytes::from_static(br#"{"to":"canary"}"#), (version, edge)),
        serve
    )
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn assert_silent(error: &SendError) {
    let chain = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let text = chain.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join(" ");
    assert!(!text.contains(TOKEN) && !text.contains("canary") && !text.contains("100000000000001"), "{text}");
}

#[tokio::test]
async fn a_message_goes_to_the_number_under_the_token() {
    let (answer, request) = exchange(http("200 OK", "x-app-usage: {}\r\n", r#"{"messages":[{"id":"wamid.A"}]}"#)).await;
    let answer = answer.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Accepted { wamid: Some(_), .. }));
    assert_eq!(answer.headers.get("x-app-usage").unwrap(), "{}");
    assert!(request.starts_with("POST /graph/v25.0/100000000000001/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer CANARYTOKEN\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.contains(concat!("user-agent: waxseal/", env!("CARGO_PKG_VERSION"), "\r\n")), "{request}");
    assert!(request.ends_with(r#"{"to":"canary"}"#), "{request}");
}

#[tokio::test]
async fn a_marketing_message_goes_elsewhere_and_the_secret_of_the_app_is_proved() {
    for (version, path) in [(Some("v24.0"), "v24.0"), (None, "v25.0")] {
        let token = AccessToken::new(TOKEN).proved("abcd".to_owned());
        let (answer, request) =
            exchange_as(http("200 OK", "", r#"{"messages":[{"id":"a"}]}"#), token, (version, Edge::MarketingMessages))
                .await;
        assert!(answer.is_ok());
        let line = format!("POST /graph/{path}/100000000000001/marketing_messages?appsecret_proof=abcd HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{request}");
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let (answer, _) = exchange(http("400 Bad Request", "", r#"{"error":{"code":131047}}"#)).await;
    let outcome = answer.unwrap().outcome();
    assert!(matches!(outcome, Outcome::Refused { code: Some(131_047), verdict: Verdict::Fix, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (answer, _) = exchange(http("302 Found", "location: http://127.0.0.1:1/\r\n", "")).await;
    assert_eq!(answer.unwrap().status, 302);
}

#[tokio::test]
async fn nobody_listening_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = send(&client).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)) && error.is_retryable(), "{error:?}");
    assert_silent(&error);
}

#[tokio::test]
async fn a_failed_handshake_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("https://{}", listener.local_addr().unwrap()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    let (answer, ()) = tokio::join!(send(&client), serve);
    let error = answer.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
    assert_silent(&error);
}

#[tokio::test]
async fn a_lost_or_unreadable_answer_means_in_doubt() {
    for raw in [
        String::new(),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".into(),
        "no http\r\n\r\n".into(),
        http("200 OK", "", "<html>"),
        http("500 Internal Server Error", "", "<html>"),
        http("200 OK", "", &" ".repeat(LONGEST_ANSWER + 1)),
    ] {
        let (answer, _) = exchange(raw.clone()).await;
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::InDoubt(_)) && !error.is_retryable(), "{:?}: {error:?}", raw.get(..40));
        assert_silent(&error);
    }
}

#[tokio::test]
async fn silence_means_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_millis(200) };
    let client = GraphClient::new(base, "v25.0", timeouts).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    let (answer, ()) = tokio::join!(send(&client), serve);
    let error = answer.unwrap_err();
    assert!(matches!(error, SendError::InDoubt(_)), "{error:?}");
    assert_silent(&error);
}

#[tokio::test]
async fn what_is_no_address_or_no_header_is_not_sent() {
    let client = client("http://127.0.0.1:1");
    let body = Bytes::from_static(b"{}");
    for (number, token, version) in [
        ("", TOKEN, None),
        ("..", TOKEN, None),
        ("1/../2", TOKEN, None),
        ("1", TOKEN, Some("..")),
        ("1", TOKEN, Some("25.0")),
        ("1", "CANARY\nTOKEN", None),
    ] {
        let (number, token) = (PhoneNumberId::new(number), AccessToken::new(token));
        let error = client.send_message(&number, &token, body.clone(), (version, Edge::Messages)).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
        assert_silent(&error);
    }
}

#[test]
fn a_client_wants_an_http_address_and_a_version() {
    let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
    let build = |base: &str, version: &str| GraphClient::new(base.parse().unwrap(), version, timeouts);
    assert!(matches!(build("mailto:a@b", "v25.0"), Err(ClientError::BaseUrl)));
    assert!(matches!(build("ftp://a", "v25.0"), Err(ClientError::BaseUrl)));
    assert!(matches!(build("https://a", "25"), Err(ClientError::Version)));
    assert!(build("https://a", "v25.0").is_ok());
}
