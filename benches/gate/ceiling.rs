//! The raw ceiling: the rows that a gateway stores, made beforehand and written by UNNEST over a few connections, with
//! nothing in front. Twice: by the gateway's own statement and by two plain ones; the faster counts.

use sqlx::Executor as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;
use waxseal::crypto::envelope::{self, Sealed};
use waxseal::crypto::keys::Dek;
use waxseal::crypto::random;
use waxseal::domain::event::EventType;
use waxseal::ids::{ChannelId, ContactId, EventId, TenantId};
use waxseal::keyring::places;
use waxseal::store::Connection;
use waxseal::store::events::{NewEvent, insert_batch};

use super::database::{Database, now};
use super::load::{POOL, People, Tally, Timing, Usage, Window, watch};
use super::process::Watched;
use super::webhook::{Business, Kind, Webhook};

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `store::events::insert_batch`, as a transaction of its own.
    Gateway,
    /// `INSERT … SELECT FROM UNNEST` for events, the same for content, between BEGIN and COMMIT.
    Plain,
}

/// The form of a raw load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    /// How.
    pub(crate) statement: Statement,
    /// In each transaction.
    pub(crate) rows: usize,
    /// Side by side.
    pub(crate) connections: u32,
}

/// Writes batches for the length of the window.
pub(crate) async fn run(
    database: &Database,
    watched: Watched,
    business: Business,
    batches: Batches,
    window: Window,
) -> anyhow::Result<(Tally, Option<Usage>)> {
    let (store, mut ready) = (database.store(batches.connections)?, Vec::new());
    for _ in 0..batches.connections {
        ready.push((store.connection().await?, events(business, batches.rows)?));
    }
    let timing = window.begin();
    let mut tasks = JoinSet::new();
    for (connection, events) in ready {
        tasks.spawn(write(connection, events, batches.statement, timing));
    }
    let usage = watch(watched, timing).await;
    let mut tally = Tally::default();
    while let Some(one) = tasks.join_next().await {
        tally.add(&one??);
    }
    Ok((tally, usage))
}

async fn write(
    mut connection: Connection,
    mut events: Vec<NewEvent>,
    statement: Statement,
    timing: Timing,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while Instant::now() < timing.until {
        renew(&mut events);
        let start = Instant::now();
        let stored = match statement {
            Statement::Gateway => insert_batch(&mut connection, TenantId::DEFAULT, &events, now()).await?.len(),
            Statement::Plain => write_plainly(&mut connection, &events).await?,
        };
        anyhow::ensure!(stored == events.len(), "rows of the raw load were taken for duplicates");
        let end = Instant::now();
        tally.count(200, stored as u64, end - start, end >= timing.from && end <= timing.until);
    }
    Ok(tally)
}

/// Text messages of the size that the gateway seals, each from a contact of its own.
fn events(business: Business, rows: usize) -> anyhow::Result<Vec<NewEvent>> {
    let dek = Dek::generate();
    let mut webhook = Webhook::new(business, Kind::Message, 1, 0)?;
    let channel = ChannelId::new(now());
    let make = |row: usize| {
        let (event_id, contact) = (EventId::new(now()), ContactId::new(now()));
        webhook.renewed(|_| People::Known.facts(row as u64 % POOL, now().unix_timestamp()));
        NewEvent {
            part_day: now().date(),
            subject: [0; 16],
            variant: *b"message ",
            in_ledger: false,
            event_id,
            event_type: EventType::MessageReceived.as_str(),
            channel: Some(channel),
            contact: Some(contact),
            message: None,
            status_rank: None,
            error_code: None,
            occurred_at: now(),
            payload: seal(&dek, event_id, contact, webhook.body()),
            opens_until: None,
            owed_to: Vec::new(),
            has_media: false,
            is_passing: false,
        }
    };
    Ok((0..rows).map(make).collect())
}

fn seal(dek: &Dek, event: EventId, contact: ContactId, body: &[u8]) -> Sealed {
    envelope::seal(dek, &places::event_payload(TenantId::DEFAULT, event, Some(contact)), body)
}

/// Other events with the same content: the raw load does not pay for sealing.
fn renew(events: &mut [NewEvent]) {
    let now = now();
    for event in events.iter_mut() {
        event.subject = random::bytes();
        event.event_id = EventId::new(now);
        event.part_day = now.date();
        event.occurred_at = now;
    }
    events.sort_unstable_by_key(|event| event.subject);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control is not a query of the product and has no place in its cache"
)]
async fn write_plainly(connection: &mut Connection, events: &[NewEvent]) -> anyhow::Result<usize> {
    let tenant = TenantId::DEFAULT.uuid();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id.uuid()).collect();
    let days: Vec<time::Date> = events.iter().map(|event| event.part_day).collect();
    connection.execute("BEGIN").await?;
    let stored = sqlx::query(
        "INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, channel_id, contact_id, occurred_at, received_at)
         SELECT $1, t.*, $2 FROM UNNEST($3::date[], $4::bytea[], $5::bytea[], $6::uuid[], $7::text[], $8::uuid[], $9::uuid[], $10::timestamptz[]) t
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(now())
    .bind(&days)
    .bind(events.iter().map(|event| event.subject.as_slice()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.variant.as_slice()).collect::<Vec<_>>())
    .bind(&ids)
    .bind(events.iter().map(|event| event.event_type).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.channel.map(ChannelId::uuid)).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.contact.map(ContactId::uuid)).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.occurred_at).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO event_payload (tenant_id, part_day, event_id, payload)
         SELECT $1, t.* FROM UNNEST($2::date[], $3::uuid[], $4::bytea[]) t",
    )
    .bind(tenant)
    .bind(&days)
    .bind(&ids)
    .bind(events.iter().map(|event| event.payload.as_bytes()).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    connection.execute("COMMIT").await?;
    Ok(usize::try_from(stored.rows_affected())?)
}
