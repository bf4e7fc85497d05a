//! The client for endpoints against real sockets: what a well-meaning, a broken and a hostile consumer may do to it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what surrounds a test may panic like the test")]
#![expect(clippy::disallowed_methods, reason = "a consumer ends with the runtime of its test")]

mod consumer;
mod credentials;
mod names;
mod proxy;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use consumer::{
    Consumer, DEADLINE, PATIENCE, answer, client, dev_client, hang_on, post, post_to, post_until_the_deadline,
};
use reqwest::header::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use url::Url;
use waxseal::egress::attempt::AttemptClass;
use waxseal::egress::guard::{AddressPolicy, Refused};
use waxseal::secret::VerifyToken;

#[tokio::test]
async fn the_request_arrives_as_it_was_handed_over_and_2xx_is_success() {
    let consumer = Consumer::spawn(|mut socket, request| async move {
        let as_sent = request.starts_with("POST /hook HTTP/1.1\r\nwebhook-id: id-1\r\n")
            && request.contains("user-agent: Waxseal/");
        let _ = socket.write_all(answer(if as_sent { "200 OK" } else { "400 Bad" }, "").as_bytes()).await;
        hang_on(socket).await;
    })
    .await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Success, Some(200)));
    let consumer = Consumer::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Success, Some(204)));
}

#[tokio::test]
async fn one_client_serves_many_attempts() {
    let (client, consumer) = (dev_client(), Consumer::saying(answer("200 OK", "connection: close\r\n")).await);
    for _ in 0..20 {
        assert_eq!(post(&client, &consumer.url(), PATIENCE).await.class, AttemptClass::Success);
    }
}

#[tokio::test]
async fn every_error_status_has_its_class() {
    for (status, class) in [
        (400, AttemptClass::ClientError),
        (404, AttemptClass::ClientError),
        (410, AttemptClass::Gone),
        (500, AttemptClass::ServerError),
        (503, AttemptClass::ServerError),
    ] {
        let consumer = Consumer::saying(answer(&format!("{status} Status"), "")).await;
        assert_eq!(post_to(&consumer).await, (class, Some(status)));
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Consumer::saying(answer("200 OK", "")).await;
    let visited = elsewhere.tasks.clone();
    for location in ["http://169.254.169.254/latest/meta-data/".to_owned(), elsewhere.url().to_string()] {
        for status in [301, 302, 303, 307, 308] {
            let consumer =
                Consumer::saying(answer(&format!("{status} Moved"), &format!("location: {location}\r\n"))).await;
            assert_eq!(post_to(&consumer).await, (AttemptClass::Redirect, Some(status)));
        }
    }
    assert_eq!(visited.len(), 1, "nothing but the task that listens");
}

#[tokio::test]
async fn a_throttled_attempt_carries_the_wait_in_both_forms() {
    for text in ["120", "Sun, 22 Nov 2026 12:02:00 GMT"] {
        let consumer = Consumer::saying(answer("429 Slow down", &format!("retry-after: {text}\r\n"))).await;
        let attempt = post(&dev_client(), &consumer.url(), PATIENCE).await;
        assert_eq!((attempt.class, attempt.retry_after), (AttemptClass::Throttled, Some(Duration::from_mins(2))));
        assert!(attempt.is_slow());
    }
}

#[tokio::test]
async fn no_answer_and_half_of_the_headers_end_with_the_deadline() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let consumer = Consumer::saying(head).await;
        assert_eq!(post_until_the_deadline(&consumer).await, (AttemptClass::Timeout, None));
    }
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_none() {
    let consumer = Consumer::spawn(|mut socket, _| async move {
        // Only when the client is gone, so that no clock decides it.
        let mut buffer = [0; 16];
        while tokio::io::AsyncReadExt::read(&mut socket, &mut buffer).await.is_ok_and(|count| count > 0) {}
        let _ = socket.write_all(answer("200 OK", "").as_bytes()).await;
    })
    .await;
    assert_eq!(post_until_the_deadline(&consumer).await, (AttemptClass::Timeout, None));
    let attempt = post(&dev_client(), &consumer.url(), DEADLINE).await;
    assert!(attempt.is_slow());
}

#[tokio::test]
async fn a_body_that_drags_on_does_not_change_the_status_nor_outlast_the_deadline() {
    for body in ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let consumer = Consumer::saying(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        assert_eq!(post_until_the_deadline(&consumer).await, (AttemptClass::Success, Some(200)));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    let consumer = Consumer::spawn(|mut socket, _| async move {
        let _ = socket.write_all(b"HTTP/1.1 500 Oh\r\n\r\n").await;
        while socket.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    })
    .await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::ServerError, Some(500)));
}

#[tokio::test]
async fn of_a_hundred_megabytes_no_more_than_the_cap_is_read() {
    const CLAIMED: usize = 100 * 1024 * 1024;
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let consumer = Consumer::spawn(move |mut socket, _| {
        let tell = tell.lock().unwrap().take();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {CLAIMED}\r\n\r\n");
            let _ = socket.write_all(head.as_bytes()).await;
            let mut sent = 0;
            while sent < CLAIMED && socket.write_all(&[b'x'; 16 * 1024]).await.is_ok() {
                sent += 16 * 1024;
            }
            let _ = tell.unwrap().send(sent);
        }
    })
    .await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Success, Some(200)));
    // What the buffers of the sockets swallow comes on top.
    assert!(told.await.unwrap() < CLAIMED / 4);
}

#[tokio::test]
async fn endless_headers_are_no_answer() {
    let consumer = Consumer::saying(answer("200 OK", &"x-more: and more\r\n".repeat(1_000))).await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Protocol, None));
}

#[tokio::test]
async fn a_connection_that_is_reset_closed_or_not_http_is_no_answer() {
    let reset = Consumer::spawn(|socket, _| async move { drop(socket.set_zero_linger()) }).await;
    let half_closed = Consumer::spawn(|mut socket, _| async move {
        let _ = socket.shutdown().await;
        hang_on(socket).await;
    })
    .await;
    let other = Consumer::saying("SSH-2.0-OpenSSH_9.6\r\n").await;
    for consumer in [reset, half_closed, other] {
        assert_eq!(post_to(&consumer).await, (AttemptClass::Protocol, None));
    }
}

#[tokio::test]
async fn nobody_listening_and_a_name_without_address_are_failures_to_connect() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}/").parse().unwrap();
    assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Connect);
    let client = client(AddressPolicy { allowed_hosts: vec!["nobody.invalid".into()], ..AddressPolicy::default() });
    let url: Url = "http://nobody.invalid/".parse().unwrap();
    assert_eq!(client.vet(&url).await, Err(Refused::Unresolved));
    assert_eq!(client.post(&url, HeaderMap::new(), Bytes::new(), PATIENCE).await.class, AttemptClass::Connect);
}

#[tokio::test]
async fn plain_text_and_silence_in_place_of_tls_are_tls_failures() {
    let plain = Consumer::saying("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let silent = Consumer::spawn(|socket, _| async move { drop(socket) }).await;
    for consumer in [plain, silent] {
        let url = format!("https://{}/", consumer.address).parse().unwrap();
        assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Tls);
    }
}

#[tokio::test]
async fn this_machine_is_refused_as_address_and_as_name_before_anything_is_sent() {
    let consumer = Consumer::saying(answer("200 OK", "")).await;
    let port = consumer.address.port();
    let strict = client(AddressPolicy { allowed_hosts: vec!["localhost".into()], ..AddressPolicy::default() });
    for host in [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::1]",
    ] {
        let url = format!("http://{host}:{port}/hook").parse().unwrap();
        assert_eq!(post(&strict, &url, PATIENCE).await.class, AttemptClass::Refused, "{host}");
        assert!(matches!(strict.vet(&url).await, Err(Refused::Address(_))), "{host}");
    }
    assert_eq!(consumer.tasks.len(), 1, "nobody connected");
    let url = format!("http://localhost:{port}/hook").parse().unwrap();
    assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Success);
}

#[tokio::test]
async fn the_handshake_passes_when_the_challenge_comes_back_and_nothing_else() {
    let echo = |status: &'static str, around: &'static str| {
        Consumer::spawn(move |mut socket, request| async move {
            let expected = "GET /hook?key=1&hub.mode=subscribe&hub.challenge=";
            let (challenge, rest) = request.strip_prefix(expected).and_then(|rest| rest.split_once('&')).unwrap();
            assert!(rest.starts_with("hub.verify_token=to+ken HTTP/1.1\r\n"));
            let body = format!("{around}{challenge}");
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = socket.write_all(answer.as_bytes()).await;
            hang_on(socket).await;
        })
    };
    for (status, around, passes) in [("200 OK", "", true), ("201 Created", "", false), ("200 OK", " ", false)] {
        let consumer = echo(status, around).await;
        let url = format!("{}?key=1", consumer.url()).parse().unwrap();
        let challenge = dev_client().get_challenge(&url, &VerifyToken::new("to ken"), PATIENCE).await;
        assert_eq!(challenge.passed, passes, "{status}");
    }
}
