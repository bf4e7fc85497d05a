//! The way out through a proxy, which must not become a way around the guard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use waxseal::egress::attempt::AttemptClass;
use waxseal::egress::client::{EgressClient, Settings};
use waxseal::egress::guard::AddressPolicy;
use waxseal::egress::proxy::Proxy;
use waxseal::secret::ProxyUrl;

use crate::consumer::{Consumer, PATIENCE, answer, client_with, dev_policy, post};
use crate::names::Changing;
use crate::tls::{self, Authority};

/// A proxy that answers CONNECT with `status` and, when that is 200, leads to wherever the port says on this machine.
struct TestProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn spawn(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        tokio::task::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::task::spawn(serve(socket, status, Arc::clone(&notes)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, status: u16, notes: Arc<Mutex<Vec<String>>>) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        seen.push(byte);
    }
    let head = String::from_utf8(seen).unwrap();
    let port = head.split_whitespace().nth(1).and_then(|target| target.rsplit_once(':')).unwrap().1.to_owned();
    notes.lock().unwrap().push(head);
    if status != 200 {
        let _ = socket.write_all(answer(&format!("{status} No"), "").as_bytes()).await;
        return crate::consumer::hang_on(socket).await;
    }
    let mut there = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let _ = socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
    let _ = copy_bidirectional(&mut socket, &mut there).await;
}

/// Something that is no proxy: says this and hangs up.
async fn saying(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(words).await;
        }
    });
    address
}

fn through(proxy: SocketAddr, policy: AddressPolicy, settings: Settings) -> EgressClient {
    let proxy = Proxy::parse(&ProxyUrl::new(format!("http://us%65r:p%40ss@{proxy}"))).unwrap();
    client_with(policy, Settings { proxy: Some(proxy), ..settings })
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_vetted_address_and_the_name_is_told_to_the_endpoint_alone() {
    let (proxy, authority) = (TestProxy::spawn(200).await, Authority::new());
    let port = tls::consumer(&authority.certify("crm.example", 2100), None).await;
    let settings = Settings {
        names: Changing::of(&[&["203.0.114.7"], &["127.0.0.1"]]),
        authorities: authority.pem.clone(),
        ..Settings::new(PATIENCE)
    };
    let client = through(proxy.address, AddressPolicy::default(), settings);
    assert_eq!(post(&client, &tls::url("crm.example", port), PATIENCE).await.class, AttemptClass::Success);
    let asked = proxy.asked();
    assert!(asked[0].starts_with(&format!("CONNECT 203.0.114.7:{port} HTTP/1.1\r\n")), "{asked:?}");
    assert!(asked[0].to_lowercase().contains("proxy-authorization: basic dxnlcjpwqhnz"), "{asked:?}");
    assert!(!asked[0].contains("crm.example"));
    assert_eq!(post(&client, &tls::url("crm.example", port), PATIENCE).await.class, AttemptClass::Refused);
    assert_eq!(proxy.asked().len(), 1, "nothing that the guard refuses is asked for");
    let wrong = tls::url("127.0.0.1", port);
    assert_eq!(post(&client, &wrong, PATIENCE).await.class, AttemptClass::Refused);
}

#[tokio::test]
async fn plain_http_goes_through_a_tunnel_too_and_a_certificate_is_checked_inside() {
    let proxy = TestProxy::spawn(200).await;
    let consumer = Consumer::spawn(|mut socket, request| async move {
        let as_sent = request.starts_with("POST /hook HTTP/1.1\r\n") && request.contains("Waxseal/");
        let _ = socket.write_all(answer(if as_sent { "200 OK" } else { "400 Bad" }, "").as_bytes()).await;
        crate::consumer::hang_on(socket).await;
    })
    .await;
    let client = through(proxy.address, dev_policy(), Settings::new(PATIENCE));
    let attempt = post(&client, &consumer.url(), PATIENCE).await;
    assert_eq!((attempt.class, attempt.http_status), (AttemptClass::Success, Some(200)));
    let port = tls::consumer(&Authority::new().certify("localhost", 2100), None).await;
    assert_eq!(post(&client, &tls::url("localhost", port), PATIENCE).await.class, AttemptClass::Tls);
}

#[tokio::test]
async fn a_proxy_that_is_away_or_refuses_uses_up_no_attempt_and_one_that_cannot_connect_does() {
    let consumer = Consumer::saying(answer("200 OK", "")).await;
    for (status, class) in [
        (407, AttemptClass::Proxy),
        (403, AttemptClass::Proxy),
        (500, AttemptClass::Proxy),
        (502, AttemptClass::Connect),
        (503, AttemptClass::Connect),
        (504, AttemptClass::Connect),
    ] {
        let proxy = TestProxy::spawn(status).await;
        let client = through(proxy.address, dev_policy(), Settings::new(PATIENCE));
        assert_eq!(post(&client, &consumer.url(), PATIENCE).await.class, class, "{status}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [nobody, saying(b"SSH-2.0-OpenSSH_9.6\r\n").await, saying(b"").await] {
        let client = through(address, dev_policy(), Settings::new(PATIENCE));
        let attempt = post(&client, &consumer.url(), PATIENCE).await;
        assert_eq!(attempt.class, AttemptClass::Proxy);
        assert!(!attempt.class.burns_attempt());
    }
    assert_eq!(consumer.tasks.len(), 1, "nobody came to the endpoint");
}

#[test]
fn the_url_of_a_proxy_is_plain_and_never_printed() {
    let parse = |text: &str| Proxy::parse(&ProxyUrl::new(text));
    for good in ["http://proxy:3128", "http://10.0.0.1", "http://u:p@[::1]:8080/"] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in ["https://proxy:3128", "socks5://proxy", "proxy:3128", "http://proxy/path", "http://proxy/?a", ""] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    let printed = format!("{:?}", parse("http://canary:canary@proxy:3128").unwrap());
    assert_eq!(printed, "Proxy(proxy:3128)");
}
