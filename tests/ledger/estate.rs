//! Everything that a run needs: Postgres, gateways behind proxies, two tenants, their numbers and endpoints.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;
use waxseal::access::api_key::{self, Grant, Powers};
use waxseal::access::{Permissions, Sight};
use waxseal::app::Base;
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::clock::Clock;
use waxseal::config::Config;
use waxseal::directory::App;
use waxseal::domain::channel::{Channel, MediaMode};
use waxseal::domain::door::DoorPolicy;
use waxseal::domain::keeping::KeepPolicy;
use waxseal::ids::{AppId, ChannelId, PhoneNumberId, TenantId, WabaId};
use waxseal::secret::{AppSecret, VerifyToken};

use crate::clock::FastClock;
use crate::consumer::{Consumer, Weakness};
use crate::event::{Event, Kind, Number};
use crate::fleet::{BEGAN, Gateway};
use crate::proxy::{Proxy, Target};
use crate::random::Random;
use crate::support::app::variables;
use crate::support::estate::{Folder, durable};
use crate::support::receiver::VERIFY_TOKEN;
use crate::support::wait::until;

const GATEWAYS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(2);

/// Two numbers of one company, and one of another.
pub const NUMBERS: [Number; 3] = [
    Number { phone_number_id: "106540352242922", waba_id: "102290129340398", app_secret: SECRETS[0], tenant: 0 },
    Number { phone_number_id: "106540352242933", waba_id: "102290129340398", app_secret: SECRETS[0], tenant: 0 },
    Number { phone_number_id: "206540352242944", waba_id: "202290129340399", app_secret: SECRETS[1], tenant: 1 },
];
const SECRETS: [&str; 2] = ["5f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8a", "0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"];

/// What is promised about the order of a person's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    None,
    Block,
    /// Unless an event failed this often.
    Skip(i64),
}

/// What an endpoint asks for.
struct Plan {
    name: &'static str,
    tenant: usize,
    order: Order,
    meta_format: bool,
    channel: Option<u8>,
    kind: Option<Kind>,
    weakness: Weakness,
}

const PLAIN: Plan = Plan {
    name: "plain",
    tenant: 0,
    order: Order::None,
    meta_format: false,
    channel: None,
    kind: None,
    weakness: Weakness { fails: 0, closes: 0, hangs: 0 },
};
const WEAK: Weakness = Weakness { fails: 5, closes: 2, hangs: 0 };

const PLANS: [Plan; 9] = [
    PLAIN,
    Plan { name: "in order", order: Order::Block, ..PLAIN },
    Plan { name: "in order, weak", order: Order::Block, weakness: WEAK, ..PLAIN },
    Plan { name: "in order, skipping", order: Order::Skip(2), weakness: WEAK, ..PLAIN },
    Plan { name: "meta format", meta_format: true, ..PLAIN },
    Plan { name: "hangs at times", weakness: Weakness { hangs: 1, ..WEAK }, ..PLAIN },
    Plan { name: "reads alone", kind: Some(Kind::Read), ..PLAIN },
    Plan { name: "second number", channel: Some(1), ..PLAIN },
    Plan { name: "other tenant", tenant: 1, order: Order::Block, ..PLAIN },
];

/// An endpoint and who listens there.
pub struct Endpoint {
    pub name: &'static str,
    pub tenant: usize,
    pub order: Order,
    pub id: String,
    pub consumer: Consumer,
    channel: Option<u8>,
    kind: Option<Kind>,
}

impl Endpoint {
    /// Whether it is to be told.
    pub fn wants(&self, event: Event) -> bool {
        NUMBERS[usize::from(event.channel)].tenant == self.tenant
            && self.channel.is_none_or(|channel| channel == event.channel)
            && self.kind.is_none_or(|kind| kind == event.kind())
    }
}

/// Everything.
pub struct Estate {
    pub gateways: Vec<Gateway>,
    pub endpoints: Vec<Endpoint>,
    /// Reaches Postgres without a proxy.
    pub database: String,
    postgres: Mutex<Option<PrivatePostgres>>,
    keys: Vec<String>,
    client: reqwest::Client,
    folder: Folder,
}

impl Estate {
    pub async fn start(seed: u64, clock: FastClock) -> Arc<Self> {
        let folder = Folder::new("ledger");
        let postgres = durable(&folder).await;
        let (database, socket) = (postgres.dsn().expose().to_owned(), postgres.dir().join(".s.PGSQL.5432"));
        let (keys, channels) = settle(&database, clock).await;
        let mut gateways = Vec::new();
        for _ in 0..GATEWAYS {
            gateways.push(gateway(&database, &socket, clock).await);
        }
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let postgres = Mutex::new(Some(postgres));
        let mut estate = Self { gateways, endpoints: Vec::new(), database, postgres, keys, client, folder };
        for gateway in &estate.gateways {
            gateway.start().await;
        }
        estate.until_ready().await;
        for (index, plan) in PLANS.iter().enumerate() {
            let endpoint = estate.endpoint(plan, &channels, Random::new(seed, 100 + index as u64)).await;
            estate.endpoints.push(endpoint);
        }
        for gateway in &estate.gateways {
            until("the gateway knows every endpoint", PATIENCE, async || estate.known(gateway).await == PLANS.len())
                .await;
        }
        Arc::new(estate)
    }

    pub async fn until_ready(&self) {
        for gateway in &self.gateways {
            until("the gateway is ready", PATIENCE, async || gateway.is_ready().await).await;
        }
    }

    /// How many endpoints a gateway knows.
    async fn known(&self, gateway: &Gateway) -> usize {
        let (mut known, url) = (0, format!("http://127.0.0.1:{}/v1/endpoints", gateway.at.internal));
        for key in &self.keys {
            let Ok(answer) = self.client.get(&url).bearer_auth(key).send().await else { return 0 };
            let answer: Value = answer.json().await.unwrap_or_default();
            known += answer["data"].as_array().map_or(0, Vec::len);
        }
        known
    }

    async fn endpoint(&self, plan: &Plan, channels: &[ChannelId], random: Random) -> Endpoint {
        let consumer = Consumer::start(plan.meta_format, plan.weakness, random).await;
        let mut body = json!({ "name": plan.name, "url": consumer.url(), "format": "standard", "timeout_ms": 1500 });
        if plan.meta_format {
            body["format"] = "meta".into();
            body["verify_token"] = VERIFY_TOKEN.into();
        }
        match plan.order {
            Order::None => {}
            Order::Block => body["order"] = "block".into(),
            Order::Skip(after) => (body["order"], body["skip_after"]) = ("skip".into(), after.into()),
        }
        if let Some(channel) = plan.channel {
            body["channel_ids"] = json!([channels[usize::from(channel)]]);
        }
        if plan.kind == Some(Kind::Read) {
            body["event_types"] = json!(["message.read"]);
        }
        let made = self.api(plan.tenant, Method::POST, "/v1/endpoints", &body).await.expect("the endpoint is made");
        consumer.trust(made["secret"].as_str().unwrap());
        let id = made["id"].as_str().unwrap().to_owned();
        let Plan { name, tenant, order, channel, kind, .. } = *plan;
        Endpoint { name, tenant, order, id, consumer, channel, kind }
    }

    /// Asks the first gateway that answers well; `None` when none does.
    async fn api(&self, tenant: usize, method: Method, path: &str, body: &Value) -> Option<Value> {
        for gateway in &self.gateways {
            let url = format!("http://127.0.0.1:{}{path}", gateway.at.internal);
            let request = self.client.request(method.clone(), url).bearer_auth(&self.keys[tenant]).json(body);
            if let Ok(answer) = request.send().await
                && matches!(answer.status(), StatusCode::OK | StatusCode::CREATED)
            {
                return answer.json().await.ok();
            }
        }
        None
    }

    /// Pauses an endpoint or lets it go on. Returns when a gateway has said so.
    pub async fn set_state(&self, endpoint: &Endpoint, state: &str) {
        let (path, body) = (format!("/v1/endpoints/{}", endpoint.id), json!({ "state": state }));
        until("the state of an endpoint is changed", PATIENCE, async || {
            self.api(endpoint.tenant, Method::PATCH, &path, &body).await.is_some()
        })
        .await;
    }

    /// Stops Postgres as a crash would, and starts it after a while.
    pub async fn crash_postgres(&self, away: Duration) {
        let mut place = self.postgres.lock().await;
        place.take().unwrap().kill_hard().await;
        tokio::time::sleep(away).await;
        *place = Some(durable(&self.folder).await);
    }
}

async fn gateway(database: &str, socket: &Path, clock: FastClock) -> Gateway {
    let proxy = Proxy::start(Target::Socket(socket.to_path_buf())).await;
    let mut url = url::Url::parse(database).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.port)).unwrap();
    let mut environment = environment(url.as_str());
    environment.push((BEGAN.to_owned(), clock.began.unix_timestamp_nanos().to_string()));
    Gateway::new(proxy, environment)
}

/// Of a gateway without a number of its own, which gives up on an endpoint soon.
fn environment(database: &str) -> Vec<(String, String)> {
    let mut environment = variables(database, "http://127.0.0.1:9");
    environment.retain(|(name, _)| !name.starts_with("WHATSAPP_") && !name.ends_with("_LISTEN"));
    environment.push(("WAXSEAL_DELIVER__TIMEOUT_MS".to_owned(), "1500".to_owned()));
    environment
}

/// Makes both tenants with their apps and channels. Returns an API key of each, and the channels.
async fn settle(database: &str, clock: FastClock) -> (Vec<String>, Vec<ChannelId>) {
    let config = Config::load(None, environment(database).into_iter()).unwrap();
    let base = Base::open(&config, Arc::new(clock)).await.unwrap();
    let tenants = [TenantId::DEFAULT, TenantId::from_uuid(Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0002))];
    let mut keys = Vec::new();
    for (tenant, secret) in tenants.into_iter().zip(SECRETS) {
        let now = clock.now();
        base.store.ensure_tenant(tenant, "ledger", now).await.unwrap();
        base.keyring.tenant(tenant).await.unwrap();
        let (id, name, verify) = (AppId::new(now), "ledger".to_owned(), VerifyToken::new(VERIFY_TOKEN));
        base.directory
            .save_app(&App::new(tenant, id, name.clone(), AppSecret::new(secret), verify, now))
            .await
            .unwrap();
        let powers = Powers::Scopes(Permissions::admin());
        let made = api_key::generate(Grant { sight: Sight::FULL, ..Grant::new(tenant, name, powers) }, now);
        base.directory.save_api_key(made.record).await.unwrap();
        keys.push(made.shown.expose().to_owned());
    }
    let mut channels = Vec::new();
    for number in NUMBERS {
        let channel = Channel {
            tenant: tenants[number.tenant],
            id: ChannelId::new(clock.now()),
            phone_number_id: PhoneNumberId::new(number.phone_number_id.to_owned()),
            waba_id: WabaId::new(number.waba_id.to_owned()),
            name: "ledger".to_owned(),
            token: None,
            per_second: None,
            media: MediaMode::default(),
            door: DoorPolicy::default(),
            retention: KeepPolicy::default(),
            changed_at: None,
        };
        base.directory.save_channel(&channel).await.unwrap();
        channels.push(channel.id);
    }
    base.store.close().await;
    (keys, channels)
}
