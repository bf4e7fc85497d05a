//! Fills a database with the events of the last 30 days: random keys, contents of the size that a gateway seals, one
//! message to three statuses.

use std::io::Write;

use data_encoding::HEXLOWER;
use time::{Date, Duration};
use tokio::task::JoinSet;
use uuid::Uuid;
use waxseal::crypto::envelope;
use waxseal::crypto::keys::Dek;
use waxseal::domain::event::Status;
use waxseal::ids::{EventId, TenantId};
use waxseal::keyring::places;

use super::database::{DAYS, Database, now, today};
use super::load;
use super::progress;
use super::server::execute;
use super::webhook::{Business, Kind, Webhook};

/// Contents of each kind; a row takes one of them. They are random to Postgres, which does not compress them, and so many that none
/// comes again within the 2 MiB in which zstd looks back: a backup is as long as one of real contents.
const SAMPLES: u64 = 4_096;
/// Strangers that a history is about.
const STRANGERS: u64 = 100_000;
/// Days that are filled at the same time.
const SIDE_BY_SIDE: i64 = 2;

/// Whom events are about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum People {
    /// Of whom nothing else is stored.
    Strangers,
    /// So many in the table `bench_person`, in turn.
    Stored(u64),
}

/// Stores messages of these people on all days but this one, so many each day.
pub(crate) async fn messages(
    database: &Database,
    business: Business,
    each_day: u64,
    people: People,
) -> anyhow::Result<()> {
    execute(&mut database.connect().await?, samples(business)?).await?;
    days(database, 1, |back| day(today() - Duration::days(back), each_day, 1, people)).await
}

/// Stores about `rows` events, the same number each day.
pub(crate) async fn fill(database: &mut Database, business: Business, rows: u64) -> anyhow::Result<()> {
    let mut connection = database.connect().await?;
    execute(&mut connection, samples(business)?).await?;
    let each_day = rows / DAYS.unsigned_abs();
    days(database, 0, |back| day(today() - Duration::days(back), each_day, 4, People::Strangers)).await?;
    progress::say("vacuum, analyze, checkpoint: ");
    for table in ["event", "event_payload"] {
        execute(&mut connection, format!("VACUUM (ANALYZE) {table}")).await?;
    }
    database.keep_history().await?;
    execute(&mut connection, "CHECKPOINT".to_owned()).await
}

/// Runs the statement of each day but the last `spared` ones, some side by side.
async fn days(database: &Database, spared: i64, statement: impl Fn(i64) -> String) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for half in 0..SIDE_BY_SIDE {
        let mut connection = database.connect().await?;
        let statements: Vec<String> =
            (spared..DAYS).filter(|back| back % SIDE_BY_SIDE == half).map(&statement).collect();
        tasks.spawn(async move {
            for one in statements {
                execute(&mut connection, one).await?;
                progress::tick();
            }
            anyhow::Ok(())
        });
    }
    while let Some(half) = tasks.join_next().await {
        half??;
    }
    Ok(())
}

fn samples(business: Business) -> anyhow::Result<String> {
    let dek = Dek::generate();
    let mut sql = b"CREATE UNLOGGED TABLE bench_sample (kind int, n int, payload bytea, PRIMARY KEY (kind, n));
                    INSERT INTO bench_sample VALUES "
        .to_vec();
    for (number, kind) in [Kind::Message, Kind::Sent, Kind::Delivered, Kind::Read].into_iter().enumerate() {
        let mut webhook = Webhook::new(business, kind, 1, 0)?;
        for sample in 0..SAMPLES {
            webhook.renewed(|_| load::People::Known.facts(sample, now().unix_timestamp()));
            let place = places::event_payload(TenantId::DEFAULT, EventId::from_uuid(Uuid::nil()), None);
            let payload = HEXLOWER.encode(envelope::seal(&dek, &place, webhook.body()).as_bytes());
            let comma = if number == 0 && sample == 0 { "" } else { "," };
            write!(sql, "{comma}({number}, {sample}, '\\x{payload}')")?;
        }
    }
    Ok(String::from_utf8(sql)?)
}

/// One day's events in the order of their times, of the first `kinds` kinds. Everything random is a hash of the day and a number, so
/// that event and content agree and the three statuses of a message share a subject.
fn day(day: Date, rows: u64, kinds: u8, people: People) -> String {
    let contact = match people {
        People::Strangers => {
            format!("md5('contact ' || ('x' || substr(own, 19, 7))::bit(28)::int % {STRANGERS})::uuid")
        }
        People::Stored(count) => format!(
            "(SELECT contact_id FROM bench_person AS person WHERE person.n = (fact.n + {rows} * (current_date - '{day}'::date)) % {count})"
        ),
    };
    let tenant = TenantId::DEFAULT.uuid();
    let [sent, delivered, read] = [Status::Sent, Status::Delivered, Status::Read].map(Status::rank);
    format!(
        "WITH number AS (
             SELECT n, n % {kinds} AS kind, '{day} 00:00:00+00'::timestamptz + n * (interval '1 day' / {rows}) AS at,
                    md5('{day} ' || n) AS own,
                    decode(md5('{day} about ' || CASE WHEN n % {kinds} = 0 THEN -n ELSE n / 4 END), 'hex') AS subject
             FROM generate_series(0, {rows} - 1) AS n
         ), fact AS MATERIALIZED (
             SELECT n, kind, at, own, subject,
                    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(own, 1, 3)
                     || 'a' || substr(own, 4, 15))::uuid AS event_id
             FROM number
         ), stored AS (
             INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, channel_id, contact_id,
                                status_rank, occurred_at, received_at)
             SELECT '{tenant}', '{day}', subject, decode(substr(md5('variant ' || kind), 1, 16), 'hex'), event_id,
                    (ARRAY['message.received', 'message.sent', 'message.delivered', 'message.read'])[kind + 1],
                    md5('channel')::uuid, {contact},
                    (ARRAY[NULL, {sent}, {delivered}, {read}]::smallint[])[kind + 1], at, at
             FROM fact
         )
         INSERT INTO event_payload (tenant_id, part_day, event_id, payload)
         SELECT '{tenant}', '{day}', event_id, payload
         FROM fact JOIN bench_sample AS sample ON sample.kind = fact.kind AND sample.n = fact.n % {SAMPLES}"
    )
}
