//! Promise: what was forgotten is gone, also from copies of the key tables that were made before; and a step of the key epoch costs nothing else, whenever
//! it is cut off, with several processes at work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;
use waxseal::app::Base;
use waxseal::clock::{Clock, SystemClock};
use waxseal::config::Config;
use waxseal::ids::{ContactId, TenantId};
use waxseal::keyring::{DekName, Keyring, KeyringError};

use crate::support::app::{simulator, variables};
use crate::support::estate::Folder;
use crate::support::process::{said, waxseal};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const ANA: &str = "4915199900001";
const BOB: &str = "4915199900002";
const TENANT: TenantId = TenantId::DEFAULT;
const SLOT: usize = 4096;

/// Three places of a cell, of which two are needed.
struct Places {
    _folder: Folder,
    files: Vec<PathBuf>,
}

impl Places {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let files = (1..=3).map(|number| folder.0.join(number.to_string()).join("cell")).collect::<Vec<_>>();
        for file in &files {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        Self { _folder: folder, files }
    }

    fn setting(&self) -> String {
        self.files.iter().map(|file| file.to_str().unwrap()).collect::<Vec<_>>().join(",")
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    fn put(&self, bytes: &[Vec<u8>]) {
        for (file, bytes) in self.files.iter().zip(bytes) {
            std::fs::write(file, bytes).unwrap();
        }
    }

    async fn app(&self) -> TestApp {
        self.app_on(database::fresh().await, &[]).await
    }

    async fn app_on(&self, database: String, more: &[(&str, &str)]) -> TestApp {
        let places = self.setting();
        let all = [&[("WAXSEAL_KEYS__CELL_FILES", places.as_str())], more].concat();
        TestApp::spawn_on(database, Arc::new(SystemClock), &all).await
    }
}

fn keyring(app: &TestApp) -> &Keyring {
    &app.gateway.base().keyring
}

async fn contact(app: &TestApp, phone: &str) -> ContactId {
    let contacts = app.get("/v1/contacts").await;
    let found = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == phone).unwrap();
    found["id"].as_str().unwrap().parse().unwrap()
}

async fn dek(database: &str, contact: ContactId) -> Uuid {
    let statement = format!("SELECT dek_id::text FROM waxseal_keys.dek WHERE scope = 2 AND subject_id = '{contact}'");
    database::text(database, &statement).await.parse().unwrap()
}

/// The texts of everything that was stored; none for what is erased.
async fn bodies(app: &TestApp) -> Vec<Option<String>> {
    database::settled(&app.database).await;
    shown(app).await
}

async fn shown(app: &TestApp) -> Vec<Option<String>> {
    let events = app.get("/v1/events?type=message.received&limit=100").await;
    let body = |event: &Value| event["data"]["item"]["text"]["body"].as_str().map(str::to_owned);
    events["data"].as_array().unwrap().iter().map(body).collect()
}

const TABLES: [&str; 10] = [
    "installation",
    "tenant_kek",
    "bucket_key",
    "index_key",
    "dek",
    "forgotten_key",
    "forgotten_subject",
    "touched_bucket",
    "touched_tenant",
    "epoch_step",
];

/// Copies the key tables, as a backup would.
async fn back_up(database: &str, name: &str) {
    let copies = TABLES.map(|table| format!("CREATE TABLE {name}.{table} AS TABLE waxseal_keys.{table};")).join("\n");
    database::sabotage(database, &format!("CREATE SCHEMA {name};\n{copies}")).await;
}

async fn restore(database: &str, name: &str) {
    let moves = TABLES.map(|table| {
        format!("DELETE FROM waxseal_keys.{table}; INSERT INTO waxseal_keys.{table} SELECT * FROM {name}.{table};")
    });
    database::sabotage(database, &moves.join("\n")).await;
}

async fn open(config: &Config) -> Result<Base, String> {
    Box::pin(Base::open(config, Arc::new(SystemClock))).await.map_err(|error| format!("{error:#}"))
}

/// The same configuration with these places.
fn with_places(database: &str, places: &str, more: &[(&str, &str)]) -> Config {
    let mut all = variables(database, "http://127.0.0.1:9");
    all.push(("WAXSEAL_KEYS__CELL_FILES".to_owned(), places.to_owned()));
    for (name, value) in more {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    Config::load(None, all.into_iter()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_contact_reads_as_erased_in_every_process_and_gets_no_key_again() {
    let places = Places::new("forgotten");
    let app = places.app().await;
    let other = places.app_on(app.database.clone(), &[]).await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    app.webhook(webhook::text(BOB, "wamid.2", "zwei")).await;
    let both = [Some("eins".to_owned()), Some("zwei".to_owned())];
    assert_eq!((bodies(&app).await, bodies(&other).await), (both.to_vec(), both.to_vec()));
    let ana = contact(&app, ANA).await;

    let first = keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    assert_eq!(first.keys.len(), 2, "of the profile and of a month");
    assert!(first.keys.iter().all(|key| key.check != [0; 32]));
    assert_eq!(keyring(&app).forget_contact(TENANT, ana).await.unwrap(), first, "again and again");
    let left = [None, Some("zwei".to_owned())];
    assert_eq!(bodies(&app).await, left);
    until("the other process was told", PATIENCE, async || bodies(&other).await == left).await;

    for keyring in [keyring(&app), keyring(&other)] {
        let refused = keyring.one_for_sealing(TENANT, DekName::profile(TENANT, ana)).await;
        assert!(matches!(refused, Err(KeyringError::Forgotten)));
    }
    assert_eq!(keyring(&other).forgotten_among(TENANT, &[ana]).await.unwrap(), [(ana, None)]);
    let step = keyring(&other).step_epoch().await.unwrap();
    assert_eq!((step.before, step.after, step.keys_forgotten, step.places, step.needed), (1, 2, 2, (3, 3), 2));
    assert_eq!(keyring(&app).forgotten_among(TENANT, &[ana]).await.unwrap(), [(ana, Some(2))]);
    assert_eq!((bodies(&app).await, bodies(&other).await), (left.to_vec(), left.to_vec()));
    // Somebody else in the meantime, below the new keys.
    app.webhook(webhook::text("4915199900003", "wamid.3", "drei")).await;
    assert_eq!(bodies(&other).await.last().unwrap().as_deref(), Some("drei"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_bucket_key_keeps_nobody_from_being_forgotten() {
    let places = Places::new("damaged-bucket");
    let app = places.app().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let (ana, database) = (contact(&app, ANA).await, app.database.clone());
    // One that does not unwrap; then one that an earlier step could not take along.
    keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    for (spoil, epoch) in
        [("wrapped = set_byte(wrapped, 5, get_byte(wrapped, 5) # 1)", 2), ("kek_id = gen_random_uuid()", 3)]
    {
        let touch = "INSERT INTO waxseal_keys.touched_bucket (tenant_id, bucket, keys, since)
            SELECT tenant_id, bucket, 1, now() FROM waxseal_keys.forgotten_subject ON CONFLICT DO NOTHING";
        let spoil = format!(
            "{touch}; UPDATE waxseal_keys.bucket_key SET {spoil} WHERE bucket = (SELECT bucket FROM waxseal_keys.forgotten_subject)"
        );
        database::sabotage(&database, &spoil).await;
        assert_eq!(keyring(&app).step_epoch().await.unwrap().after, epoch);
        let waiting = "SELECT count(*) FROM waxseal_keys.touched_bucket";
        assert_eq!(database::count(&database, waiting).await, 0);
    }
    assert_eq!(keyring(&app).forgotten_among(TENANT, &[ana]).await.unwrap(), [(ana, Some(2))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn months_that_are_over_are_forgotten_but_for_those_who_are_excepted() {
    let app = TestApp::spawn().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    app.webhook(webhook::text(BOB, "wamid.2", "zwei")).await;
    let (bob, today) = (contact(&app, BOB).await, SystemClock.now().date());
    assert_eq!(keyring(&app).forget_months(TENANT, today, &[]).await.unwrap(), 0, "this month is not over");
    let later = today + Duration::days(40);
    // Of Ana alone: there is no event about nobody.
    assert_eq!(keyring(&app).forget_months(TENANT, later, &[bob]).await.unwrap(), 1);
    assert_eq!(bodies(&app).await, [None, Some("zwei".to_owned())]);
    let step = keyring(&app).step_epoch().await.unwrap();
    assert_eq!((step.keys_forgotten, step.places), (1, (0, 0)), "without a cell, which it says");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_older_copy_of_the_key_tables_opens_what_was_forgotten() {
    let places = Places::new("copies");
    let app = places.app().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let (ana, database) = (contact(&app, ANA).await, app.database.clone());
    let forgotten = dek(&database, ana).await;
    back_up(&database, "older").await;
    let old_cell = places.bytes();
    keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    keyring(&app).step_epoch().await.unwrap();
    back_up(&database, "newer").await;

    // The row of the key alone, brought back: recognised, told of, not used.
    let graft = format!("INSERT INTO waxseal_keys.dek SELECT * FROM older.dek WHERE subject_id = '{ana}'");
    database::sabotage(&database, &graft).await;
    assert!(keyring(&app).for_opening(TENANT, [forgotten]).await.unwrap().is_empty());
    until("somebody is told", PATIENCE, async || {
        let told = app.get("/v1/events?type=security.forgotten_key_seen").await;
        told["data"].as_array().unwrap().len() == 1
    })
    .await;
    // With the traces removed and the key of its bucket too, said to be under the KEK of now. Had that been wrapped anew and not
    // replaced, this would open.
    let deeper = "DELETE FROM waxseal_keys.forgotten_key; DELETE FROM waxseal_keys.forgotten_subject;
                  UPDATE waxseal_keys.bucket_key b SET bucket_key_id = o.bucket_key_id, wrapped = o.wrapped
                  FROM older.bucket_key o WHERE o.bucket = b.bucket AND o.bucket_key_id <> b.bucket_key_id";
    database::sabotage(&database, deeper).await;
    let opened = keyring(&app).for_opening(TENANT, [forgotten]).await;
    assert!(matches!(opened, Err(KeyringError::Damaged { level: "bucket" })), "{opened:?}");
    // And the KEK of before beside it: it hangs from a root that is no more.
    let deepest =
        "UPDATE waxseal_keys.bucket_key b SET kek_id = o.kek_id FROM older.bucket_key o WHERE o.bucket = b.bucket;
                   UPDATE waxseal_keys.tenant_kek k SET kek_id = o.kek_id, wrapped = o.wrapped FROM older.tenant_kek o";
    database::sabotage(&database, deepest).await;
    let opened = keyring(&app).for_opening(TENANT, [forgotten]).await;
    assert!(matches!(opened, Err(KeyringError::Damaged { level: "tenant" })), "{opened:?}");

    // The whole copy, with the KMS secret and the cell of now.
    app.gateway.shutdown().await;
    restore(&database, "older").await;
    let refused = open(&app.config).await.unwrap_err();
    assert!(refused.contains("the key tables are of epoch 1 and the epoch cell of 2"), "{refused}");
    // What a copy of the cell would do: this is why it belongs in no backup.
    let copies = Places::new("copies-of-the-cell");
    copies.put(&old_cell);
    private(&copies.files);
    let old = open(&with_places(&database, &copies.setting(), &[])).await.unwrap();
    assert_eq!(old.keyring.for_opening(TENANT, [forgotten]).await.unwrap().len(), 1);
    // And that one of its places alone does nothing.
    let [_, emptied, removed] = copies.files.as_slice() else { panic!("three") };
    std::fs::write(emptied, []).unwrap();
    std::fs::remove_file(removed).unwrap();
    let refused = open(&with_places(&database, &copies.setting(), &[])).await.unwrap_err();
    assert!(refused.contains("1 of the 2 places"), "{refused}");

    restore(&database, "newer").await;
    open(&app.config).await.unwrap();
}

/// As the gateway makes them.
fn private(files: &[PathBuf]) {
    use std::os::unix::fs::PermissionsExt;
    for file in files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A place of which the first slot is of one time and the second of another.
fn assembled(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&first[..SLOT], &second[SLOT..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_cut_off_anywhere_leaves_keys_that_open() {
    let places = Places::new("cut-off");
    let app = places.app().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    app.webhook(webhook::text(BOB, "wamid.2", "zwei")).await;
    let (ana, bob, database) = (contact(&app, ANA).await, contact(&app, BOB).await, app.database.clone());
    let kept = dek(&database, bob).await;
    keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    app.gateway.shutdown().await;
    back_up(&database, "before").await;
    // Epoch 1 lies in the second slot, epoch 2 will lie in the first.
    let before = places.bytes();
    let base = open(&app.config).await.unwrap();
    base.keyring.step_epoch().await.unwrap();
    let after = places.bytes();
    back_up(&database, "after").await;
    let between: Vec<Vec<u8>> = after.iter().zip(&before).map(|(after, before)| assembled(after, before)).collect();

    for (tables, from, to, epoch) in [("before", &before, &between, 1), ("after", &between, &after, 2)] {
        for done in 0..=3 {
            restore(&database, tables).await;
            places.put(&[&to[..done], &from[done..]].concat());
            let base = open(&app.config).await.unwrap_or_else(|error| panic!("{tables}, {done} places: {error}"));
            assert_eq!(base.keyring.epoch(), epoch);
            assert_eq!(base.keyring.for_opening(TENANT, [kept]).await.unwrap().len(), 1);
            // What is left of the other epoch is overwritten at the start.
            let wanted = if epoch == 1 { &before } else { &after };
            assert!(places.bytes() == *wanted, "{tables}, {done} places");
            let step = base.keyring.step_epoch().await.unwrap();
            assert_eq!((step.before, step.after), (epoch, epoch + 1));
            assert_eq!(base.keyring.for_opening(TENANT, [kept]).await.unwrap().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_while_it_steps_costs_nothing() {
    let places = Places::new("killed");
    let app = places.app().await;
    app.webhook(webhook::text(BOB, "wamid.1", "zwei")).await;
    let (bob, database) = (contact(&app, BOB).await, app.database.clone());
    let kept = dek(&database, bob).await;
    let mut environment = variables(&database, "http://127.0.0.1:9");
    environment.push(("WAXSEAL_KEYS__CELL_FILES".to_owned(), places.setting()));
    for round in 0..6 {
        let (epoch, watched) = (keyring(&app).epoch(), places.files[round % 3].clone());
        let before = std::fs::read(&watched).unwrap();
        let mut child = waxseal(&["keys", "rotate", "tenant"], &environment).spawn().unwrap();
        let process = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        // As soon as the place holds anything else: somewhere between the first share and the last commit.
        tokio::task::spawn_blocking(move || {
            while std::fs::read(&watched).is_ok_and(|now| now == before) {
                std::hint::spin_loop();
            }
            kill_process(process, Signal::KILL).unwrap();
        })
        .await
        .unwrap();
        child.wait().await.unwrap();
        let base = open(&app.config).await.unwrap();
        assert!((epoch..=epoch + 1).contains(&base.keyring.epoch()));
        assert_eq!(base.keyring.for_opening(TENANT, [kept]).await.unwrap().len(), 1);
        assert!(base.keyring.inspect_cell().await.unwrap().is_whole());
        assert_eq!(bodies(&app).await, [Some("zwei".to_owned())], "the gateway that went on");
        assert_eq!(keyring(&app).inspect_cell().await.unwrap().whole(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_read_and_write_on_while_a_third_process_replaces_every_key() {
    let places = Places::new("load");
    // Nothing stays in memory for long.
    let short = [("WAXSEAL_KEYS__CACHE_TTL_SECONDS", "1")];
    let one = Arc::new(places.app_on(database::fresh().await, &short).await);
    let two = Arc::new(places.app_on(one.database.clone(), &short).await);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for (worker, app) in [one.clone(), two.clone()].into_iter().enumerate() {
        let stopped = stopped.clone();
        workers.push(tokio::spawn(async move {
            let mut sent = 0;
            while !*stopped.borrow() || sent < 10 {
                // A person each, so that keys are made all the time.
                let phone = format!("4915199{worker}{sent:05}");
                let wamid = format!("wamid.{worker}.{sent}");
                assert_eq!(app.webhook(webhook::text(&phone, &wamid, &wamid)).await.as_u16(), 200);
                assert!(shown(&app).await.iter().all(Option::is_some), "everything is readable");
                sent += 1;
            }
            sent
        }));
    }
    let base = open(&one.config).await.unwrap();
    for _ in 0..2 {
        base.keyring.rotate_buckets(TENANT).await.unwrap();
        base.keyring.replace_tenant_keys().await.unwrap();
        base.keyring.step_epoch().await.unwrap();
    }
    stop.send(true).unwrap();
    let mut sent = 0;
    for worker in workers {
        sent += worker.await.unwrap();
    }
    let stored = database::count(&one.database, "SELECT count(*) FROM event WHERE type = 'message.received'").await;
    assert_eq!(stored, sent);
    // With nothing in memory, every key is found below the new ones.
    let fresh = open(&one.config).await.unwrap();
    assert_eq!(fresh.keyring.epoch(), 7);
    let all = "SELECT string_agg(dek_id::text, ' ') FROM waxseal_keys.dek";
    let ids: Vec<Uuid> = database::text(&one.database, all).await.split(' ').map(|id| id.parse().unwrap()).collect();
    assert_eq!(fresh.keyring.for_opening(TENANT, ids.iter().copied()).await.unwrap().len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_below_one_that_was_just_replaced_nor_for_somebody_who_is_being_forgotten() {
    let app = TestApp::spawn().await;
    let other = open(&app.config).await.unwrap();
    let (made, steps) = (keyring(&app).clone(), other.keyring.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stepping = tokio::spawn(async move {
        let mut rounds = 0;
        while !*stopped.borrow() {
            steps.rotate_buckets(TENANT).await.unwrap();
            rounds += 1;
        }
        rounds
    });
    let month = SystemClock.now().date();
    let mut ids = Vec::new();
    for _ in 0..30 {
        let contacts: Vec<ContactId> = (0..3).map(|_| ContactId::new(SystemClock.now())).collect();
        let names = contacts.iter().map(|one| DekName::month(TENANT, Some(*one), month));
        ids.extend(made.for_sealing(TENANT, names).await.unwrap().values().map(|dek| dek.dek.id()));
    }
    stop.send(true).unwrap();
    assert!(stepping.await.unwrap() > 0);
    let fresh = open(&app.config).await.unwrap();
    assert_eq!(fresh.keyring.for_opening(TENANT, ids.iter().copied()).await.unwrap().len(), ids.len());

    for _ in 0..20 {
        let contact = ContactId::new(SystemClock.now());
        let name = DekName::month(TENANT, Some(contact), month);
        let (sealing, forgetting) =
            tokio::join!(made.one_for_sealing(TENANT, name), other.keyring.forget_contact(TENANT, contact));
        forgetting.unwrap();
        assert!(sealing.is_ok() || matches!(sealing, Err(KeyringError::Forgotten)), "{sealing:?}");
        let known = fresh.keyring.existing(TENANT, [name]).await.unwrap();
        assert!(known.is_empty());
        assert!(matches!(fresh.keyring.one_for_sealing(TENANT, name).await, Err(KeyringError::Forgotten)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_place_is_told_of_and_mended_by_the_next_step_and_too_many_are_not_lost_by_it() {
    let places = Places::new("lost");
    let app = places.app().await;
    let warnings = async || {
        let url = format!("http://{}/readyz", app.at.admin);
        let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(answer["ready"], true);
        answer["warnings"].as_array().unwrap().len()
    };
    assert_eq!(warnings().await, 0);
    std::fs::remove_file(&places.files[1]).unwrap();
    let state = keyring(&app).inspect_cell().await.unwrap();
    assert_eq!((state.whole(), state.needed, warnings().await), (2, 2, 1));
    until("somebody is told", PATIENCE, async || {
        let told = app.get("/v1/events?type=security.cell_place_lost").await;
        told["data"].as_array().unwrap().first().is_some_and(|one| one["data"]["item"]["places_whole"] == 2)
    })
    .await;
    assert_eq!(keyring(&app).step_epoch().await.unwrap().places, (3, 3), "its folder is there");
    assert_eq!(warnings().await, 0);

    // A disk that is gone: with two of three written, one more loss would be the end.
    let folder = places.files[2].parent().unwrap().to_owned();
    let away = folder.with_extension("away");
    std::fs::rename(&folder, &away).unwrap();
    let refused = keyring(&app).step_epoch().await.unwrap_err();
    assert!(matches!(refused, KeyringError::TooFewWritten { written: 2, least: 3 }), "{refused:?}");
    assert_eq!((keyring(&app).epoch(), keyring(&app).inspect_cell().await.unwrap().whole()), (2, 2));
    assert!(open(&app.config).await.is_ok(), "two of three open it");
    std::fs::remove_file(&places.files[0]).unwrap();
    let refused = open(&app.config).await.unwrap_err();
    assert!(refused.contains("1 of the 2 places"), "{refused}");
    // Who runs has the root in memory, and mends what can be written.
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(keyring(&app).step_epoch().await.unwrap().places, (3, 3));
    assert!(open(&app.config).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_of_another_installation_is_left_alone_and_one_of_an_earlier_release_is_taken_over() {
    let places = Places::new("foreign");
    let app = places.app().await;
    let held = places.bytes();
    let other = with_places(&database::fresh().await, &places.setting(), &[]);
    let refused = open(&other).await.unwrap_err();
    assert!(refused.contains("0 places of the epoch cell could be written"), "{refused}");
    assert!(places.bytes() == held, "untouched");
    drop(app);

    let plain = Places::new("plain");
    std::fs::write(&plain.files[0], format!("{}\n", "5f1d".repeat(16))).unwrap();
    private(&plain.files[..1]);
    let database = database::fresh().await;
    let base = open(&with_places(&database, &plain.setting(), &[])).await.unwrap();
    assert_eq!((base.keyring.epoch(), base.keyring.cell().whole()), (1, 3));
    assert!(!plain.bytes()[0].starts_with(b"5f1d"), "overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_a_cell_gets_one_by_naming_its_places() {
    let app = TestApp::spawn().await;
    app.webhook(webhook::text(BOB, "wamid.1", "zwei")).await;
    let (bob, database) = (contact(&app, BOB).await, app.database.clone());
    let kept = dek(&database, bob).await;
    assert_eq!(keyring(&app).epoch(), 0);
    let places = Places::new("later");
    // It would shut out a process that knows none of them: not before that is gone, whatever is stepped.
    let named = with_places(&database, &places.setting(), &[]);
    let base = open(&named).await.unwrap();
    assert_eq!((base.keyring.epoch(), base.keyring.cell().whole()), (0, 0));
    assert_eq!(base.keyring.step_epoch().await.unwrap().places, (0, 0));
    assert_eq!(keyring(&app).for_opening(TENANT, [kept]).await.unwrap().len(), 1);
    app.gateway.shutdown().await;
    let base = open(&named).await.unwrap();
    assert_eq!((base.keyring.epoch(), base.keyring.cell().whole()), (2, 3));
    assert_eq!(base.keyring.for_opening(TENANT, [kept]).await.unwrap().len(), 1);
    let refused = open(&app.config).await.unwrap_err();
    assert!(refused.contains("keys.cell_files must name its places"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_waits_for_a_day_at_most_and_the_audit_log_has_the_step() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let ana = contact(&app, ANA).await;
    keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    assert!(keyring(&app).step_when_due(std::time::Duration::from_hours(24)).await.unwrap().is_none());
    clock.advance(Duration::hours(24));
    until("the gateway has stepped", PATIENCE, async || keyring(&app).epoch() == 1).await;
    let mut entry = Value::Null;
    until("the log has it", PATIENCE, async || {
        let entries = app.get("/v1/audit?action=keys.stepped").await;
        entry = entries["data"][0].clone();
        entry.is_object()
    })
    .await;
    let said = &entry["said"];
    assert_eq!((&said["details"], &said["count"]), (&json!(["epoch=0..1", "places=0/0"]), &json!(2)));
}

fn secret(path: &Path, digits: &str) {
    std::fs::write(path, digits).unwrap();
    private(&[path.to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_tree_rotates_every_level_and_changes_the_kms_secret() {
    let places = Places::new("operator");
    let simulator = simulator(Arc::new(SystemClock)).await;
    let app = places.app().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let ana = contact(&app, ANA).await;
    keyring(&app).forget_contact(TENANT, ana).await.unwrap();
    let mut environment = variables(&app.database, simulator.base_url());
    environment.push(("WAXSEAL_KEYS__CELL_FILES".to_owned(), places.setting()));

    let (_, text) = said(&["keys", "status"], &environment).await;
    assert!(text.contains("1 to be replaced") && text.contains("1 contacts forgotten"), "{text}");
    assert!(text.contains("waits for a step") && text.matches("whole").count() == 3, "{text}");
    let (_, text) = said(&["keys", "step"], &environment).await;
    assert!(text.contains("epoch 1 to 2: 2 forgotten keys, 1 tenants"), "{text}");
    assert!(text.contains("3 of 3 places"), "{text}");
    for (level, epochs) in [("root", "epoch 2 to 3"), ("tenant", "epoch 3 to 4"), ("bucket", "epoch 4 to 5")] {
        let (done, text) = said(&["keys", "rotate", level], &environment).await;
        assert!(done && text.contains(epochs), "{text}");
    }
    let entries = app.get("/v1/audit?action=keys.rotated").await;
    assert_eq!(entries["data"].as_array().unwrap().len(), 3);

    // A process that knows the secret of before alone would be waited for (key_readers.rs).
    app.gateway.shutdown().await;
    let old = places.files[0].with_file_name("old-secret");
    let before = environment.iter().find(|(name, _)| name == "WAXSEAL_KEYS__SECRET").unwrap().1.clone();
    secret(&old, &before);
    let mut renewed = environment.clone();
    renewed.retain(|(name, _)| name != "WAXSEAL_KEYS__SECRET");
    renewed.push((
        "WAXSEAL_KEYS__SECRET".to_owned(),
        "9b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e91f".to_owned(),
    ));
    assert!(!said(&["keys", "status"], &renewed).await.0, "not its secret");
    let both =
        [renewed.clone(), vec![("WAXSEAL_KEYS__PREVIOUS_SECRET_FILE".to_owned(), old.display().to_string())]].concat();
    assert!(said(&["keys", "status"], &both).await.0);
    let (done, text) = said(&["keys", "rewrap"], &both).await;
    assert!(done && text.contains("may go"), "{text}");
    assert!(said(&["keys", "status"], &renewed).await.0);
    assert!(!said(&["keys", "status"], &environment).await.0, "the old secret opens nothing any more");
    assert!(said(&["keys", "rewrap"], &renewed).await.1.contains("already"));
}

/// One answer of the implementation that was written from the specification.
fn python(verb: &str, request: &Value) -> Value {
    use std::io::Write;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_implementation.py");
    let mut command = std::process::Command::new("python3");
    let pipe = std::process::Stdio::piped;
    let mut child = command.args([script, verb]).stdin(pipe()).stdout(pipe()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{request}\n").as_bytes()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_implementation_opens_the_tree_with_two_places_of_the_cell_and_the_secret() {
    let places = Places::new("second");
    let app = places.app().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let (ana, database) = (contact(&app, ANA).await, app.database.clone());
    let key = keyring(&app).one_for_sealing(TENANT, DekName::profile(TENANT, ana)).await.unwrap();
    keyring(&app).replace_tenant_keys().await.unwrap();

    let text = async |statement: String| database::text(&database, &statement).await;
    let hex =
        async |column: &str, rest: &str| text(format!("SELECT encode({column}, 'hex') FROM waxseal_keys.{rest}")).await;
    let nil = Uuid::nil();
    let unwrap = |key: &str, level: &str, id: &str, name: &str, wrapped: &str| {
        let tenant = if level == "share" { nil } else { TENANT.uuid() };
        let request =
            json!({ "key": key, "level": level, "tenant": tenant, "id": id, "name": name, "wrapped": wrapped });
        python("unwrap", &request)["content"].as_str().expect(level).to_owned()
    };
    let installation = text("SELECT installation_id::text FROM waxseal_keys.installation".to_owned()).await;
    let environment = variables(&database, "http://127.0.0.1:9");
    let secret = &environment.iter().find(|(name, _)| name == "WAXSEAL_KEYS__SECRET").unwrap().1;
    let share = unwrap(secret, "share", &installation, "", &hex("root_share", "installation").await);
    let bytes = places.bytes();
    let two: Vec<String> = bytes[1..].iter().map(|place| data_encoding::HEXLOWER.encode(place)).collect();
    let cells = python("cell", &json!({ "places": two, "installation": installation, "epoch": 2 }));
    let root = json!({ "share": share, "cell": cells["cells"][0], "installation": installation, "epoch": 2 });
    let root = python("root", &root)["content"].as_str().unwrap().to_owned();
    let kek_id = text("SELECT kek_id::text FROM waxseal_keys.tenant_kek".to_owned()).await;
    let kek = unwrap(&root, "tenant", &kek_id, "", &hex("wrapped", "tenant_kek").await);
    let row = format!("dek WHERE scope = 1 AND subject_id = '{ana}'");
    let number: i16 = text(format!("SELECT bucket::text FROM waxseal_keys.{row}")).await.parse().unwrap();
    let of_bucket = format!("bucket_key WHERE bucket = {number}");
    let bucket_id = text(format!("SELECT bucket_key_id::text FROM waxseal_keys.{of_bucket}")).await;
    let bucket = unwrap(&kek, "bucket", &bucket_id, &format!("{number:04x}"), &hex("wrapped", &of_bucket).await);
    // Scope 1, the contact, 1970-01-01 as a Julian day.
    let name = format!("0001{}{:08x}", ana.uuid().simple(), 2_440_588);
    let dek = unwrap(&bucket, "dek", &key.dek.id().to_string(), &name, &hex("wrapped", &row).await);
    assert_eq!(dek, data_encoding::HEXLOWER.encode(key.dek.to_bytes().as_slice()));
}
