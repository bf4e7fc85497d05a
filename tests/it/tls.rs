//! Promise: with TLS in the process, whoever is not let in gets no answer, and everything else is as it is without.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rustix::process::Signal;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waxseal::clock::{Clock, ManualClock, SystemClock};
use waxseal::config::{ListenerTls, TlsClients};
use waxseal::http::listen::{Front, Limits, serve};
use waxseal::http::tls::Tls;

use crate::support::app::{APP_SECRET, variables};
use crate::support::certificates::{Authority, Certificate, Client, Folder, head, rest};
use crate::support::process::{Ports, Process, waxseal};
use crate::support::wait::until;
use crate::support::{TestApp, database, webhook};

const PATIENCE: Duration = Duration::from_secs(8);
const META: &str = "client.webhooks.fbclientcerts.com";
const ASK: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const ASK_AND_STAY: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A listener with a certificate of an authority's, and whoever else's clients.
struct Served {
    at: SocketAddr,
    tls: Tls,
    stop: CancellationToken,
    task: JoinHandle<()>,
    clock: Arc<ManualClock>,
    authority: Authority,
    folder: Folder,
}

impl Served {
    async fn start(
        name: &str,
        router: Router,
        limits: Limits,
        clients: Option<(&Authority, Option<&str>, bool)>,
    ) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new(name));
        let [certificate, key] = folder.certificate("ours", &authority.certify("localhost"));
        let clients = clients.map(|(theirs, name, optional)| TlsClients {
            authorities_file: folder.write("theirs.pem", &theirs.pem).into(),
            name: name.map(str::to_owned),
            optional,
        });
        let files =
            ListenerTls { listener: "public", certificate_file: certificate.into(), key_file: key.into(), clients };
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let tls = Tls::open(files, clock.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let front = Front { listener, tls: Some(tls.clone()) };
        let task = tokio::spawn(serve(front, router, limits, stop.clone()));
        Self { at, tls, stop, task, clock, authority, folder }
    }

    fn client(&self, shows: Option<&Certificate>) -> Client {
        Client::new(&self.authority, shows)
    }
}

fn nothing() -> Router {
    Router::new()
}

/// Whatever comes of plain HTTP.
async fn ask_plainly(at: SocketAddr) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let (mut stream, mut all) = (TcpStream::connect(at).await.unwrap(), Vec::new());
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("closed in time");
    all
}

#[tokio::test]
async fn both_versions_are_spoken_and_plain_http_and_other_protocols_get_no_answer() {
    let served = Served::start("versions", nothing(), Limits::default(), None).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::speaking(&[version], &served.authority, None);
        assert!(client.ask(served.at, ASK).await.starts_with("HTTP/1.1 404"), "{version:?}");
    }
    let stream = served.client(None).offering(&[b"h2", b"http/1.1"]).connect(served.at).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(served.client(None).offering(&[b"h2"]).connect(served.at).await.is_err());
    let answer = ask_plainly(served.at).await;
    // An alert of TLS at most.
    assert!(answer.len() <= 7 && !answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn with_authorities_only_a_certificate_of_theirs_for_the_name_is_let_in() {
    let (meta, other) = (Authority::new(), Authority::new());
    let served = Served::start("meta", nothing(), Limits::default(), Some((&meta, Some(META), false))).await;
    let answer = async |shows: Option<&Certificate>| served.client(shows).ask(served.at, ASK).await;
    for good in [meta.certify(META), meta.certify_subject(META)] {
        assert!(answer(Some(&good)).await.starts_with("HTTP/1.1 404"));
    }
    assert_eq!(answer(None).await, "", "none");
    assert_eq!(answer(Some(&other.certify(META))).await, "", "of another authority");
    assert_eq!(answer(Some(&meta.certify("evil.example"))).await, "", "for another name");
    assert_eq!(answer(Some(&meta.certify_subject("evil.example"))).await, "");
    assert_eq!(answer(Some(&served.authority.certify(META))).await, "", "of the authority that signed ours");
    // The older version refuses within the handshake.
    let old = Client::speaking(&[&rustls::version::TLS12], &served.authority, Some(&meta.certify("evil.example")));
    assert!(old.connect(served.at).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused_although_it_was_let_in_before() {
    let apps = Authority::new();
    let served = Served::start("ended", nothing(), Limits::default(), Some((&apps, None, false))).await;
    let ends: OffsetDateTime = served.clock.now() + time::Duration::hours(1);
    let client = served.client(Some(&apps.certify_until("crm.internal", ends)));
    assert!(client.ask(served.at, ASK).await.starts_with("HTTP/1.1 404"));
    served.clock.advance(time::Duration::hours(2));
    // The same client: it would take its session up again if it could.
    assert_eq!(client.ask(served.at, ASK).await, "");
}

#[tokio::test]
async fn where_certificates_are_optional_none_is_let_in_and_a_foreign_one_is_not() {
    let apps = Authority::new();
    let served = Served::start("optional", nothing(), Limits::default(), Some((&apps, None, true))).await;
    assert!(served.client(None).ask(served.at, ASK).await.starts_with("HTTP/1.1 404"));
    assert!(served.client(Some(&apps.certify("crm.internal"))).ask(served.at, ASK).await.starts_with("HTTP/1.1 404"));
    assert_eq!(served.client(Some(&Authority::new().certify("crm.internal"))).ask(served.at, ASK).await, "");
}

#[tokio::test]
async fn replaced_files_are_taken_when_they_are_sound_and_connections_go_on() {
    let (apps, next) = (Authority::new(), Authority::new());
    let served = Served::start("reload", nothing(), Limits::default(), Some((&apps, None, false))).await;
    let (old, new) = (apps.certify("crm.internal"), next.certify("crm.internal"));
    let mut standing = served.client(Some(&old)).connect(served.at).await.unwrap();
    standing.write_all(ASK_AND_STAY.as_bytes()).await.unwrap();
    assert!(head(&mut standing).await.starts_with("HTTP/1.1 404"));

    assert!(!served.tls.reload().unwrap(), "nothing has changed");
    let second = served.authority.certify("localhost");
    served.folder.write("ours.pem", &second.chain);
    assert!(served.tls.reload().unwrap_err().to_string().contains("tls.public_key_file"), "the key is not its key");
    assert!(served.client(Some(&old)).ask(served.at, ASK).await.starts_with("HTTP/1.1 404"), "as it was");
    served.folder.write("ours.key", &second.key);
    served.folder.write("theirs.pem", &next.pem);
    assert!(served.tls.reload().unwrap());

    let stream = served.client(Some(&new)).connect(served.at).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], second.der());
    assert!(served.client(Some(&new)).ask(served.at, ASK).await.starts_with("HTTP/1.1 404"));
    assert_eq!(served.client(Some(&old)).ask(served.at, ASK).await, "", "of an authority that counts no more");
    standing.write_all(ASK.as_bytes()).await.unwrap();
    assert!(rest(standing).await.starts_with("HTTP/1.1 404"), "what stood goes on");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_and_gives_its_place_back() {
    let limits = Limits { connections: 1, head: Duration::from_millis(200), ..Limits::default() };
    let served = Served::start("slow", nothing(), limits, None).await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut slow = TcpStream::connect(served.at).await.unwrap();
        slow.write_all(begun).await.unwrap();
        // There is one place: whoever comes next is served when it is free.
        assert!(served.client(None).ask(served.at, ASK).await.starts_with("HTTP/1.1 404"));
        drop(slow);
    }
    // A head that never ends, after a handshake that did.
    let mut slow = served.client(None).connect(served.at).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
    assert!(!rest(slow).await.contains("404"));
}

#[tokio::test]
async fn a_stop_ends_handshakes_and_what_is_idle_at_once_and_finishes_what_is_under_way() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let slow = {
        let (begun, go) = (begun.clone(), go.clone());
        get(async move || {
            begun.add_permits(1);
            go.notified().await;
            "finished"
        })
    };
    let served = Served::start("stop", Router::new().route("/slow", slow), Limits::default(), None).await;
    let greeting = TcpStream::connect(served.at).await.unwrap();
    let mut idle = served.client(None).connect(served.at).await.unwrap();
    idle.write_all(ASK_AND_STAY.as_bytes()).await.unwrap();
    head(&mut idle).await;
    let mut working = served.client(None).connect(served.at).await.unwrap();
    working.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    begun.acquire().await.unwrap().forget();
    served.stop.cancel();
    assert_eq!(rest(idle).await, "");
    assert!(!served.task.is_finished());
    go.notify_one();
    let answer = rest(working).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"), "{answer}");
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
    drop(greeting);
}

#[tokio::test]
async fn a_client_that_was_refused_unread_may_finish_writing_and_sees_its_answer() {
    let served = Served::start("linger", nothing(), Limits::default(), None).await;
    let mut stream = served.client(None).connect(served.at).await.unwrap();
    let length = 2 * 1024 * 1024;
    let request =
        format!("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let _cut = stream.write_all(&vec![b' '; length]).await;
    assert!(rest(stream).await.starts_with("HTTP/1.1 404"));
}

/// The variables of a gateway that speaks TLS on all listeners, and wants to see certificates of Meta's and of applications.
fn everywhere(folder: &Folder, ours: &Authority, meta: &Authority, apps: &Authority) -> Vec<(&'static str, String)> {
    let [certificate, key] = folder.certificate("ours", &ours.certify("localhost"));
    vec![
        ("WAXSEAL_TLS__PUBLIC_CERTIFICATE_FILE", certificate.clone()),
        ("WAXSEAL_TLS__PUBLIC_KEY_FILE", key.clone()),
        ("WAXSEAL_TLS__PUBLIC_AUTHORITIES_FILE", folder.write("meta.pem", &meta.pem)),
        ("WAXSEAL_TLS__INTERNAL_CERTIFICATE_FILE", certificate.clone()),
        ("WAXSEAL_TLS__INTERNAL_KEY_FILE", key.clone()),
        ("WAXSEAL_TLS__INTERNAL_AUTHORITIES_FILE", folder.write("apps.pem", &apps.pem)),
        ("WAXSEAL_TLS__ADMIN_CERTIFICATE_FILE", certificate),
        ("WAXSEAL_TLS__ADMIN_KEY_FILE", key),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_webhooks_of_meta_alone_and_calls_of_applications_alone() {
    let (folder, ours, meta, apps) = (Folder::new("gateway"), Authority::new(), Authority::new(), Authority::new());
    let mut more = everywhere(&folder, &ours, &meta, &apps);
    more.push(("WAXSEAL_SERVER__TRUSTED_PROXIES", "127.0.0.1/32".to_owned()));
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &more).await;

    let body = String::from_utf8(webhook::text("4915199900001", "wamid.TLS1", "hello")).unwrap();
    let post = format!(
        "POST /webhook HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n{body}",
        webhook::signature(APP_SECRET, body.as_bytes()),
        body.len()
    );
    let of_meta = meta.certify(META);
    assert!(Client::new(&ours, Some(&of_meta)).ask(app.at.public, &post).await.starts_with("HTTP/1.1 200"));
    for stranger in [None, Some(apps.certify(META)), Some(meta.certify("other.example"))] {
        assert_eq!(Client::new(&ours, stranger.as_ref()).ask(app.at.public, &post).await, "", "signed or not");
    }

    let read = |key: &str, from: &str| {
        format!(
            "GET /v1/channels HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n{from}\r\n"
        )
    };
    let of_app = Client::new(&ours, Some(&apps.certify("crm.internal")));
    assert!(of_app.ask(app.at.internal, &read(&app.key, "")).await.starts_with("HTTP/1.1 200"));
    assert!(
        of_app.ask(app.at.internal, &read("no-key", "")).await.starts_with("HTTP/1.1 401"),
        "a certificate is no key"
    );
    assert_eq!(Client::new(&ours, None).ask(app.at.internal, &read(&app.key, "")).await, "");
    assert_eq!(Client::new(&ours, Some(&of_meta)).ask(app.at.internal, &read(&app.key, "")).await, "");

    let confined = confined_key(&app).await;
    let proxied = of_app.ask(app.at.internal, &read(&confined, "x-forwarded-for: 192.0.2.7\r\n")).await;
    assert!(proxied.starts_with("HTTP/1.1 200"), "{proxied}");
    let elsewhere = of_app.ask(app.at.internal, &read(&confined, "x-forwarded-for: 198.51.100.7\r\n")).await;
    assert!(elsewhere.starts_with("HTTP/1.1 401"), "{elsewhere}");

    let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(Client::new(&ours, None).ask(app.at.admin, health).await.starts_with("HTTP/1.1 200"));
    app.gateway.shutdown().await;
}

/// A key that may be used from 192.0.2.0/24 alone.
async fn confined_key(app: &TestApp) -> String {
    use waxseal::access::Permissions;
    use waxseal::access::api_key::{self, Grant, Powers};
    use waxseal::ids::TenantId;
    let grant = Grant::new(TenantId::DEFAULT, "confined".to_owned(), Powers::Scopes(Permissions::admin()));
    let grant = Grant { cidrs: vec!["192.0.2.0/24".parse().unwrap()], ..grant };
    let base = app.gateway.base();
    let made = api_key::generate(grant, base.clock.now());
    base.directory.save_api_key(made.record).await.unwrap();
    made.shown.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_certificates_read_anew_and_health_is_told_over_tls() {
    let (folder, ours) = (Folder::new("hangup"), Authority::new());
    let [certificate, key] = folder.certificate("ours", &ours.certify("localhost"));
    let mut environment = variables(&database::fresh().await, "http://127.0.0.1:1");
    for listener in ["INTERNAL", "ADMIN"] {
        environment.push((format!("WAXSEAL_TLS__{listener}_CERTIFICATE_FILE"), certificate.clone()));
        environment.push((format!("WAXSEAL_TLS__{listener}_KEY_FILE"), key.clone()));
    }
    let at = Ports::free();
    for (name, port) in [("PUBLIC", at.public), ("INTERNAL", at.internal), ("ADMIN", at.admin)] {
        environment.push((format!("WAXSEAL_SERVER__{name}_LISTEN"), format!("127.0.0.1:{port}")));
    }
    let mut process = Process::launch(waxseal(&["serve"], &environment), at);
    until("the gateway is healthy", Duration::from_secs(30), async || {
        assert!(!process.has_ended(), "{}", process.said());
        waxseal(&["health"], &environment).stderr(Stdio::null()).status().await.unwrap().success()
    })
    .await;

    let second = ours.certify("localhost");
    folder.certificate("ours", &second);
    process.signal(Signal::HUP);
    let internal = SocketAddr::from(([127, 0, 0, 1], at.internal));
    until("the other certificate is shown", PATIENCE, async || {
        let stream = Client::new(&ours, None).connect(internal).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0] == second.der()
    })
    .await;
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
}
