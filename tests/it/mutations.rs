//! Promise: a stored value that somebody changed, or moved to another place, does not open, is counted, and is given to nobody. Shown for
//! every sealed column of every table, as Postgres's catalogue lists them.

mod rotated;
mod scene;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;
use waxseal::app::Base;
use waxseal::clock::SystemClock;
use waxseal::config::Config;
use waxseal::crypto::context::Context;
use waxseal::crypto::envelope::{self, Sealed};
use waxseal::ids::TenantId;
use waxseal::keyring::{DekName, OwnedDek};
use waxseal::store::sealed_columns::ALL;

use self::scene::{ANA, BOB, Scene, canary};
use crate::support::database;

const SEALED: &str = "SELECT string_agg(c.relname || '.' || a.attname, ' ' ORDER BY c.relname || '.' || a.attname)
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE a.atttypid = 'sealed'::regtype AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT a.attisdropped";

/// A tenant has one: there is no other row to take its value from.
const ALONE: &[&str] = &["audit_log.signing_key"];

type Place = (&'static str, &'static str, &'static str, &'static str);

/// Every place of the table in `docs/envelope.md` that is a column, as expressions for its row and for its contact.
fn places() -> Vec<Place> {
    ALL.iter().map(|one| (one.table, one.column, one.row, one.contact)).collect()
}

/// A value, where it lies.
struct Lying {
    context: Context,
    sealed: Vec<u8>,
}

/// The key tree, opened beside the gateway, and the tables as they are.
struct Reader {
    base: Base,
    connection: PgConnection,
    keys: HashMap<Uuid, Arc<OwnedDek>>,
}

impl Reader {
    async fn of(scene: &Scene) -> Self {
        let config = Config::load(None, scene.estate.environment.iter().cloned()).unwrap();
        let base = Box::pin(Base::open(&config, Arc::new(SystemClock))).await.unwrap();
        let connection = PgConnection::connect(&scene.estate.database).await.unwrap();
        Self { base, connection, keys: HashMap::new() }
    }

    /// What lies in a column. `is_empty`: the places in which nothing lies.
    async fn column(&mut self, (table, column, row, contact): Place, is_empty: bool) -> Vec<Lying> {
        let (nil, not) = (Uuid::nil(), if is_empty { "" } else { "NOT " });
        let statement = format!(
            "SELECT tenant_id, {row} AS row, COALESCE(({contact})::uuid, '{nil}') AS contact, {column}::bytea AS value
             FROM {table} t WHERE {column} IS {not}NULL LIMIT 40"
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut self.connection).await.unwrap();
        let lying = |found: &sqlx::postgres::PgRow| Lying {
            context: Context {
                tenant: found.get(0),
                table,
                column,
                row: found.get("row"),
                contact: found.get("contact"),
            },
            sealed: found.get::<Option<Vec<u8>>, _>("value").unwrap_or_default(),
        };
        rows.iter().map(lying).collect()
    }

    /// Seals something in columns that hold too little yet, as the gateway would.
    async fn fill(&mut self, place: Place) {
        let table = place.0;
        match table {
            "channel_state" => self.second_state(place).await,
            "row_mark" => self.two_of(place, "'event', '2020-01-01'::date + n").await,
            "row_removal" => self.two_of(place, "'event', '2020-01-01'::date, gen_random_uuid()").await,
            _ => {}
        }
        let lacking = 2_usize.saturating_sub(self.column(place, false).await.len());
        for empty in self.column(place, true).await.into_iter().take(lacking) {
            self.seal(place, &empty.context).await;
        }
    }

    async fn seal(&mut self, (table, column, row, _): Place, context: &Context) {
        let tenant = TenantId::from_uuid(context.tenant);
        let keys = self.base.keyring.for_sealing(tenant, [DekName::system(tenant)]).await.unwrap();
        let key = keys.values().next().unwrap();
        let sealed = envelope::seal(&key.dek, context, context.row.as_bytes()).into_bytes();
        let statement = format!("UPDATE {table} t SET {column} = $1 WHERE {row} = $2");
        let update = sqlx::query(AssertSqlSafe(statement)).bind(sealed).bind(context.row);
        update.execute(&mut self.connection).await.unwrap();
    }

    /// A second number that Meta has said something of: a row with the facts of the first, which belong elsewhere.
    async fn second_state(&mut self, place: Place) {
        let lying = self.column(place, false).await;
        for one in &lying[1..] {
            self.seal(place, &one.context).await;
        }
        assert_eq!(lying.len(), 2);
    }

    /// Two rows that the daily look, or a removal, would write.
    async fn two_of(&mut self, place: Place, columns: &str) {
        let table = place.0;
        let statement = format!(
            "INSERT INTO {table} SELECT tenant_id, {columns}, profile FROM (SELECT * FROM contact LIMIT 1) c, generate_series(1, 2) n"
        );
        sqlx::query(AssertSqlSafe(statement)).execute(&mut self.connection).await.unwrap();
        for one in self.column(place, false).await {
            self.seal(place, &one.context).await;
        }
    }

    /// Whether this opens here.
    async fn opens(&mut self, context: &Context, sealed: &[u8]) -> bool {
        let sealed = Sealed::from_stored(sealed.to_vec());
        let Some(id) = sealed.dek_id() else { return false };
        if !self.keys.contains_key(&id) {
            let found = self.base.keyring.for_opening(TenantId::from_uuid(context.tenant), [id]).await.unwrap();
            self.keys.extend(found);
        }
        self.keys.get(&id).is_some_and(|key| envelope::open(&key.dek, context, &sealed).is_ok())
    }

    /// No bit of it can be another and it opens.
    async fn refuses_every_flip(&mut self, one: &Lying) {
        let Context { table, column, .. } = one.context;
        for at in flips(one.sealed.len()) {
            let mut wrong = one.sealed.clone();
            wrong[at] ^= 1 << (at % 8);
            assert!(!self.opens(&one.context, &wrong).await, "{table}.{column}: byte {at}");
        }
    }
}

/// Every byte of the header and some of the rest.
fn flips(length: usize) -> impl Iterator<Item = usize> {
    (0..76).chain([76, usize::midpoint(length, 76), length - 17, length - 16, length - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_any_sealed_column_opens_when_a_bit_of_it_is_flipped_or_in_any_other_place() {
    let scene = Scene::set().await;
    let mut reader = Reader::of(&scene).await;
    let known: Vec<String> = places().iter().map(|(table, column, ..)| format!("{table}.{column}")).collect();
    let columns = database::text(&scene.estate.database, SEALED).await;
    assert_eq!(columns.split(' ').collect::<Vec<_>>(), known, "a sealed column that is not tried here");
    let mut all: HashMap<&str, Vec<Lying>> = HashMap::new();
    for place in places() {
        reader.fill(place).await;
        all.entry(place.0).or_default().extend(reader.column(place, false).await);
    }
    for (table, values) in &all {
        for one in values {
            let Context { column, row, .. } = one.context;
            assert!(reader.opens(&one.context, &one.sealed).await, "{table}.{column} as it lies");
            reader.refuses_every_flip(one).await;
            for other in values.iter().filter(|other| (other.context.column, other.context.row) != (column, row)) {
                assert!(!reader.opens(&one.context, &other.sealed).await, "{table}.{column} from another place");
            }
            let (mut rows, mut columns) = (values.iter(), values.iter());
            let is_alone = ALONE.contains(&format!("{table}.{column}").as_str());
            let another_row = rows.any(|other| other.context.column == column && other.context.row != row);
            assert!(is_alone || another_row, "{table}.{column} has one row alone");
            let many = known.iter().filter(|name| name.starts_with(&format!("{table}."))).count() > 1;
            let another_column = columns.any(|other| other.context.column != column && other.context.row == row);
            assert!(!many || another_column || one.context.row != values[0].context.row, "{table}: one column alone");
        }
    }
}

/// Places that the API shows, and where: of Ana, who has a canary in each.
fn shown(scene: &Scene) -> Vec<(&'static str, &'static str, String, String)> {
    let ana = &scene.people[0];
    let contact = format!("contact_id = '{}'", ana.contact);
    let by_id = |column: &str, id: &str| format!("{column} = '{id}'");
    let newest = "event_id = (SELECT event_id FROM event WHERE type = 'message.received' AND contact_id = ";
    vec![
        ("contact", "profile", contact.clone(), format!("/v1/contacts/{}", ana.contact)),
        ("event_payload", "payload", format!("{newest}'{}' LIMIT 1)", ana.contact), "/v1/events?limit=200".to_owned()),
        ("message", "request", by_id("message_id", &ana.message), format!("/v1/messages/{}", ana.message)),
        ("media", "details", by_id("media_id", &ana.file), format!("/v1/media/{}/details", ana.file)),
        (
            "consent",
            "wording",
            format!("{contact} AND wording IS NOT NULL"),
            format!("/v1/contacts/{}/consent", ana.contact),
        ),
        (
            "privacy_request",
            "reference",
            by_id("request_id", &ana.request),
            format!("/v1/privacy/requests/{}", ana.request),
        ),
        (
            "privacy_request",
            "reason",
            by_id("request_id", &ana.request),
            format!("/v1/privacy/requests/{}", ana.request),
        ),
        ("hold", "reason", by_id("hold_id", &ana.hold), "/v1/privacy/holds".to_owned()),
        ("restriction", "reason", contact, "/v1/privacy/restrictions".to_owned()),
        ("erasure", "reference", by_id("erasure_id", &ana.erasure), format!("/v1/privacy/erasures/{}", ana.erasure)),
        (
            "erasure",
            "identity_note",
            by_id("erasure_id", &ana.erasure),
            format!("/v1/privacy/erasures/{}", ana.erasure),
        ),
    ]
}

/// Ways to spoil the value of a row: a bit of its content, and the value of somebody else's row.
const SPOILS: [&str; 2] = [
    "UPDATE {table} SET {column} = set_bit({column}::bytea, octet_length({column}) * 8 - 3, 1 - get_bit({column}::bytea, octet_length({column}) * 8 - 3)) WHERE {row}",
    "UPDATE {table} SET {column} = (SELECT o.{column} FROM {table} o WHERE o.{column} IS NOT NULL AND o.{column} <> {table}.{column} LIMIT 1) WHERE {row}",
];
/// Tables in which two columns of a row change places.
const CROSSED: [(&str, &str, &str); 2] = [("message", "request", "answer"), ("privacy_request", "reference", "reason")];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_moved_is_shown_to_nobody_and_counted_by_its_place() {
    let scene = Scene::set().await;
    for (table, column, row, path) in shown(&scene) {
        let hers = canary(ANA, column);
        assert!(scene.shows(&path).await.contains(&hers), "{table}.{column} at {path}: {}", scene.shows(&path).await);
        let own = |text: &str| text.replace("{table}", table).replace("{column}", column).replace("{row}", &row);
        let mut spoils: Vec<String> = SPOILS.iter().map(|spoil| own(spoil)).collect();
        for (_, one, other) in CROSSED.iter().filter(|crossed| crossed.0 == table) {
            spoils.push(format!("UPDATE {table} SET {one} = {other}, {other} = {one} WHERE {row}"));
        }
        let others = canary(BOB, column);
        let seldom = scene.shows(&path).await.matches(&others).count();
        let keep = format!("CREATE TABLE kept AS SELECT * FROM {table} t WHERE {row}");
        database::sabotage(&scene.estate.database, &keep).await;
        for spoil in spoils {
            let before = scene.damaged(table, column).await;
            database::sabotage(&scene.estate.database, &spoil).await;
            let shown = scene.shows(&path).await;
            assert!(!shown.contains(&hers), "{spoil}: {shown}");
            assert_eq!(shown.matches(&others).count(), seldom, "nor somebody else's: {spoil}: {shown}");
            assert!(scene.damaged(table, column).await > before, "it is counted: {spoil}");
            for (_, sealed, ..) in places().iter().filter(|place| place.0 == table) {
                let back = format!("UPDATE {table} SET {sealed} = (SELECT {sealed} FROM kept) WHERE {row}");
                database::sabotage(&scene.estate.database, &back).await;
            }
            assert!(scene.shows(&path).await.contains(&hers), "{table}.{column} is whole again");
        }
        database::sabotage(&scene.estate.database, "DROP TABLE kept").await;
    }
    assert!(!scene.estate.gateway.said().contains("qcanary"), "nor told in the log");
}
