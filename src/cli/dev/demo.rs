//! One round trip, step by step: a customer writes, an application answers, the customer reads it.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use data_encoding::HEXLOWER;
use reqwest::Client;
use serde_json::{Value, json};

use super::consumer::Consumer;
use super::estate::Estate;
use crate::access::api_key::{self, Grant, Powers};
use crate::access::{Permissions, Sight};
use crate::app::Base;
use crate::ids::{EventId, TenantId};
use crate::secret::SigningSecret;
use crate::store::event_scan::EventFilter;

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who plays.
pub(super) struct Scene<'a> {
    pub(super) api: &'a str,
    pub(super) key: &'a str,
    pub(super) simulator: &'a str,
    pub(super) consumer: &'a Consumer,
    pub(super) base: &'a Base,
}

/// A member by its pointer (RFC 6901); null when it is not there.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().timeout(PATIENCE).no_proxy().build()?)
}

/// The API key of an earlier run, while it is valid, or a new one.
pub(super) async fn ensure_api_key(base: &Base, estate: &Estate) -> anyhow::Result<String> {
    let now = base.clock.now();
    if let Some(key) = estate.find("api_key") {
        let snapshot = base.directory.snapshot();
        let valid = api_key::Presented::parse(&key)
            .is_some_and(|shown| snapshot.api_key(shown.lookup()).is_some_and(|record| shown.opens(record, now)));
        if valid {
            return Ok(key);
        }
    }
    let powers = Powers::Scopes(Permissions::admin());
    let grant = Grant { sight: Sight::FULL, ..Grant::new(TenantId::DEFAULT, "dev".to_owned(), powers) };
    let made = api_key::generate(grant, now);
    base.directory.save_api_key(made.record).await?;
    let key = made.shown.expose().to_owned();
    estate.put("api_key", &key)?;
    Ok(key)
}

/// The sample consumer's endpoint of an earlier run, or a new one.
pub(super) async fn ensure_endpoint(api: &str, key: &str, estate: &Estate, consumer: &Consumer) -> anyhow::Result<()> {
    let client = client()?;
    let listed: Value =
        client.get(format!("{api}/v1/endpoints?limit=200")).bearer_auth(key).send().await?.json().await?;
    let ours =
        at(&listed, "/data").as_array().into_iter().flatten().any(|one| at(one, "/url") == consumer.url().as_str());
    let secret = match estate.find("consumer_secret").filter(|_| ours) {
        Some(secret) => secret,
        None => {
            let body = json!({ "name": "sample consumer", "url": consumer.url(), "format": "standard" });
            let answer = client.post(format!("{api}/v1/endpoints")).bearer_auth(key).json(&body).send().await?;
            ensure!(answer.status().is_success(), "the endpoint was refused: {}", answer.text().await?);
            let made: Value = answer.json().await?;
            let secret = at(&made, "/secret").as_str().context("the endpoint came without a secret")?.to_owned();
            estate.put("consumer_secret", &secret)?;
            secret
        }
    };
    consumer.expect_signatures_by(SigningSecret::new(secret));
    Ok(())
}

/// Plays the round trip and prints each step.
pub(super) async fn round_trip(scene: &Scene<'_>, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = client()?;
    writeln!(out, "\nA round trip\n")?;
    let inbound =
        json!({ "type": "text", "from": "4915199900011", "name": "Ana Beispiel", "body": "Moin! Ist das Paket da?" });
    let posted: Value =
        client.post(format!("{}/control/inbound", scene.simulator)).json(&inbound).send().await?.json().await?;
    let status = at(&posted, "/status");
    ensure!(*status == 200, "the gateway answered {status} to Meta");
    say(out, 1, "received", "a customer writes \"Moin! Ist das Paket da?\"; Meta posts it to /webhook and gets 200")?;
    say(out, 2, "signature proven", "X-Hub-Signature-256 over the raw bytes, under the app's secret")?;

    let wamid = at(&posted, "/wamids/0").as_str().unwrap_or_default().to_owned();
    let received = within(
        scene
            .consumer
            .delivery(|one| one.event_type == "message.received" && at(&one.event, "/data/item/id") == wamid.as_str()),
    )
    .await?;
    let id: EventId = at(&received.event, "/id").as_str().unwrap_or_default().parse()?;
    let stored = stored_bytes(scene.base, id).await?;
    say(out, 3, "sealed", &format!("what Postgres holds of it, {} bytes, beginning with:", stored.len()))?;
    for line in stored.chunks(32).take(3) {
        writeln!(out, "                          {}", HEXLOWER.encode(line))?;
    }
    let text = at(&received.event, "/data/item/text/body").as_str().unwrap_or_default();
    say(out, 4, "delivered", &format!("the consumer verified webhook-signature and reads \"{text}\""))?;

    let channel = at(&received.event, "/data/channel_id").clone();
    let reply = json!({ "channel_id": channel, "message": {
        "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": "Ja, seit eben." } } });
    let queued: Value = client
        .post(format!("{}/v1/messages", scene.api))
        .bearer_auth(scene.key)
        .json(&reply)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let message = at(&queued, "/id").as_str().context("the reply came without an id")?.to_owned();
    say(out, 5, "reply queued", &format!("\"Ja, seit eben.\" is committed as message {message}"))?;

    let told = async |event_type: &str| {
        within(
            scene
                .consumer
                .delivery(|one| one.event_type == event_type && at(&one.event, "/data/message_id") == message.as_str()),
        )
        .await
    };
    told("message.accepted").await?;
    say(out, 6, "accepted", "by the (simulated) Meta, with our id as callback data")?;
    told("message.delivered").await?;
    say(out, 7, "delivered", "status webhook, joined to the message")?;
    told("message.read").await?;
    let shown: Value =
        client.get(format!("{}/v1/messages/{message}", scene.api)).bearer_auth(scene.key).send().await?.json().await?;
    say(out, 8, "read", &format!("GET /v1/messages/{{id}} says \"{}\"", at(&shown, "/state").as_str().unwrap_or("?")))
}

fn say(out: &mut (dyn Write + Send), number: u8, what: &str, how: &str) -> anyhow::Result<()> {
    writeln!(out, "  {number}  {what:<18} {how}")?;
    Ok(out.flush()?)
}

async fn within<T>(step: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, step).await.context("it took too long")
}

/// The sealed content of an event as the database holds it.
async fn stored_bytes(base: &Base, event: EventId) -> anyhow::Result<Vec<u8>> {
    let filter = EventFilter { types: None, channels: None, contacts: None, hidden: None };
    let mut after = (0, uuid::Uuid::nil());
    loop {
        let rows = base.store.page_of_events(TenantId::DEFAULT, after, filter, 200).await?.rows;
        if let Some(row) = rows.iter().find(|row| row.event_id == event.uuid()) {
            return row.payload.clone().context("the content is gone");
        }
        let last = rows.last().context("the event is not stored")?;
        after = (last.xid, last.event_id);
    }
}
