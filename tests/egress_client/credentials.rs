//! What an endpoint wants to see from us: header lines, passwords, and tokens from elsewhere.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use time::Duration;
use tokio::net::TcpListener;
use waxseal::clock::ManualClock;
use waxseal::domain::endpoint::{Auth, ClientCredentials, Credentials, EndpointUrl};
use waxseal::egress::attempt::{Attempt, AttemptClass};
use waxseal::egress::client::{EgressClient, Settings};
use waxseal::egress::guard::AddressPolicy;
use waxseal::secret::EndpointSecret;

use crate::consumer::{Consumer, DEADLINE, PATIENCE, answer, clock, dev_policy};

/// A giver of tokens and an endpoint that takes some of them.
#[derive(Default)]
struct World {
    /// What was asked for: the header that proves the client, and the form.
    asked: Mutex<Vec<(String, String)>>,
    /// What is answered to the next ones; after that, a new token that lives for an hour.
    answers: Mutex<VecDeque<(u16, String)>>,
    /// What the endpoint was shown.
    shown: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
}

struct Scene {
    world: Arc<World>,
    address: SocketAddr,
    clock: Arc<ManualClock>,
    client: EgressClient,
}

impl Scene {
    async fn open() -> Self {
        let world = Arc::new(World::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/token", post(give)).route("/hook", post(take)).with_state(Arc::clone(&world));
        tokio::task::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let clock = Arc::new(clock());
        let client = EgressClient::new(dev_policy(), clock.clone(), Settings::new(PATIENCE)).unwrap();
        Self { world, address, clock, client }
    }

    fn client_credentials(token_url: &str) -> Credentials {
        let token_url = EndpointUrl::new(token_url.parse().unwrap());
        let (client_id, client_secret) = ("gate way".to_owned(), EndpointSecret::new("c:nary"));
        let client = ClientCredentials { token_url, client_id, client_secret, scope: Some("a b".into()) };
        Credentials { auth: Some(Auth::OAuth2(client)), ..Credentials::default() }
    }

    async fn post(&self, credentials: &Credentials) -> Attempt {
        let url = format!("http://{}/hook", self.address).parse().unwrap();
        self.client.deliver(&url, credentials, HeaderMap::new(), "{\"body\":1}".into(), PATIENCE).await
    }

    async fn post_with_token(&self) -> Attempt {
        self.post(&Self::client_credentials(&format!("http://{}/token", self.address))).await
    }

    fn answer(&self, status: u16, body: &str) {
        self.world.answers.lock().unwrap().push_back((status, body.to_owned()));
    }

    fn asked(&self) -> usize {
        self.world.asked.lock().unwrap().len()
    }

    fn shown(&self) -> Vec<String> {
        self.world.shown.lock().unwrap().clone()
    }
}

async fn give(State(world): State<Arc<World>>, headers: HeaderMap, form: String) -> (StatusCode, String) {
    let proof = headers["authorization"].to_str().unwrap().to_owned();
    let mut asked = world.asked.lock().unwrap();
    asked.push((proof, form));
    let token = format!(r#"{{"access_token":"token{}","token_type":"Bearer","expires_in":3600}}"#, asked.len());
    let (status, body) = world.answers.lock().unwrap().pop_front().unwrap_or((200, token));
    (StatusCode::from_u16(status).unwrap(), body)
}

async fn take(State(world): State<Arc<World>>, headers: HeaderMap) -> StatusCode {
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    world.shown.lock().unwrap().push(text("authorization") + &text("x-key"));
    let is_refused = world.refused.lock().unwrap().contains(&text("authorization"));
    if is_refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
}

#[tokio::test]
async fn header_lines_and_passwords_arrive() {
    let scene = Scene::open().await;
    let headers = vec![("x-key".to_owned(), EndpointSecret::new("canary"))];
    let bearer = Auth::Bearer(EndpointSecret::new("t"));
    let basic = Auth::Basic { user: "Aladdin".into(), password: EndpointSecret::new("open sesame") };
    for auth in [None, Some(bearer), Some(basic)] {
        let credentials = Credentials { headers: headers.clone(), auth, certificate: None };
        assert_eq!(scene.post(&credentials).await.class, AttemptClass::Success);
        assert!(!format!("{credentials:?}").contains("canary"));
    }
    assert_eq!(scene.shown(), ["canary", "Bearer tcanary", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==canary"]);
}

#[tokio::test]
async fn a_header_line_that_cannot_be_written_is_a_failure_of_the_credentials() {
    let scene = Scene::open().await;
    let credentials = |name: &str, value: &str| Credentials {
        headers: vec![(name.to_owned(), EndpointSecret::new(value))],
        ..Credentials::default()
    };
    for broken in [credentials("host", "other"), credentials("x-key", "a\nb"), credentials("", "a")] {
        assert_eq!(scene.post(&broken).await.class, AttemptClass::Credentials);
    }
    assert!(scene.shown().is_empty());
}

#[tokio::test]
async fn a_token_is_fetched_once_and_kept_until_shortly_before_its_end() {
    let scene = Scene::open().await;
    let many = futures_util::future::join_all((0..8).map(|_| scene.post_with_token())).await;
    assert!(many.iter().all(|attempt| attempt.class == AttemptClass::Success));
    assert_eq!(scene.shown(), vec!["Bearer token1"; 8]);
    // "gate way" and "c:nary", each form-encoded.
    let proof = "Basic Z2F0ZSt3YXk6YyUzQW5hcnk=".to_owned();
    let form = "grant_type=client_credentials&scope=a+b".to_owned();
    assert_eq!(*scene.world.asked.lock().unwrap(), [(proof, form)]);
    scene.clock.advance(Duration::minutes(58));
    scene.post_with_token().await;
    assert_eq!(scene.asked(), 1);
    scene.clock.advance(Duration::seconds(61));
    scene.post_with_token().await;
    assert_eq!(scene.shown().last().unwrap(), "Bearer token2");
    scene.client.sweep();
    assert_eq!((scene.post_with_token().await.class, scene.asked()), (AttemptClass::Success, 2));
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_anew_once_and_not_for_every_event() {
    let scene = Scene::open().await;
    assert_eq!(scene.post_with_token().await.class, AttemptClass::Success);
    scene.clock.advance(Duration::minutes(1));
    scene.world.refused.lock().unwrap().extend(["Bearer token1".to_owned(), "Bearer token3".to_owned()]);
    assert_eq!(scene.post_with_token().await.class, AttemptClass::Success);
    assert_eq!(scene.shown(), ["Bearer token1", "Bearer token1", "Bearer token2"]);
    scene.world.refused.lock().unwrap().push("Bearer token2".to_owned());
    for _ in 0..5 {
        let attempt = scene.post_with_token().await;
        assert_eq!((attempt.class, attempt.http_status), (AttemptClass::ClientError, Some(401)));
    }
    assert_eq!(scene.asked(), 2, "the last one was fetched just now");
    scene.clock.advance(Duration::minutes(1));
    assert_eq!(scene.post_with_token().await.http_status, Some(401));
    assert_eq!((scene.asked(), scene.shown().last().unwrap().as_str()), (3, "Bearer token3"));
}

#[tokio::test]
async fn a_giver_that_fails_is_a_failure_of_the_credentials_and_is_left_alone_for_a_while() {
    let scene = Scene::open().await;
    let endless = "x".repeat(100 * 1024);
    for (status, body) in [(500, "{}"), (401, "{}"), (302, "{}"), (200, "no"), (200, endless.as_str())] {
        scene.answer(status, body);
        let before = scene.asked();
        for _ in 0..3 {
            let attempt = scene.post_with_token().await;
            assert_eq!((attempt.class, attempt.http_status), (AttemptClass::Credentials, None), "{status}");
        }
        assert_eq!(scene.asked(), before + 1);
        scene.clock.advance(Duration::seconds(6));
    }
    assert!(scene.shown().is_empty());
    assert_eq!(scene.post_with_token().await.class, AttemptClass::Success);
}

#[tokio::test]
async fn a_giver_that_says_nothing_holds_nobody_longer_than_the_deadline() {
    let scene = Scene::open().await;
    let silent = Consumer::spawn(|socket, _| crate::consumer::hang_on(socket)).await;
    let credentials = Scene::client_credentials(&format!("http://{}/token", silent.address));
    let url = format!("http://{}/hook", scene.address).parse().unwrap();
    let post = || scene.client.deliver(&url, &credentials, HeaderMap::new(), "{\"body\":1}".into(), DEADLINE);
    let (one, other) = tokio::join!(post(), post());
    for attempt in [one, other] {
        assert_eq!(attempt.class, AttemptClass::Credentials);
        assert!((DEADLINE..PATIENCE).contains(&attempt.elapsed) || attempt.elapsed < DEADLINE * 2);
    }
}

#[tokio::test]
async fn the_address_of_the_giver_is_guarded_like_every_other() {
    let giver = Consumer::saying(answer("200 OK", "")).await;
    let endpoint = Consumer::saying(answer("200 OK", "")).await;
    let policy = AddressPolicy { allowed_networks: vec!["127.0.0.2/32".parse().unwrap()], ..AddressPolicy::default() };
    let client = EgressClient::new(policy, Arc::new(clock()), Settings::new(PATIENCE)).unwrap();
    let credentials = Scene::client_credentials(&format!("http://127.0.0.1:{}/token", giver.address.port()));
    let attempt = client.deliver(&endpoint.url(), &credentials, HeaderMap::new(), "{}".into(), PATIENCE).await;
    assert_eq!(attempt.class, AttemptClass::Credentials);
    assert_eq!((giver.tasks.len(), endpoint.tasks.len()), (1, 1), "nobody connected");
}
