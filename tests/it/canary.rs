//! Promise: whatever happens, no message, name, number, token or key is readable in the database, its files, its write-ahead log, what
//! it is told, the object store, temporary files, backups (opened, too), archives, our log, our metrics or a refusal, and a crash leaves
//! no core. Unique texts are sent down every path; then everything is searched for them. A gate of every release.

mod crash;
mod evidence;
mod files;
mod paths;
mod privacy;
mod requests;
mod store;

use data_encoding::BASE64;

use self::evidence::Evidence;
use self::paths::Scene;
use self::requests::Asking;
use self::store::Store;
use crate::backup::Safe;
use crate::support::sweep::{self, Needle};
use crate::support::{Receiver, database, receiver};

const APP_SECRET: &str = "9e41c7b02d5f4a6883ab17f0c2d96e35";
const ACCESS_TOKEN: &str = "EAAqcanaryTk7Wm2Xv9Rb4Nz8Ls";
const META_VERIFY_TOKEN: &str = "qcanaryVt5Hk8Jp3Yd6";
const KMS_SECRET: &str = "c35a09f7e1d84b62903fae5d7c18b4603fd92ab6e70c5184fb3d6928a1e7c04d";
const BODY: &str = "qcanaryBody Treffpunkt 14 Uhr am Kanal";
const REPLY: &str = "qcanaryReply kommen Sie bitte vorbei";
const NAME: &str = "Qcanaria Geheimzeile";
const NUMBER: &str = "4915737194682";
const OTHER_NUMBER: &str = "4915768203159";
const BSUID: &str = "DE.77130948652201377";
const USERNAME: &str = "qcanary.handle.of.ana";
const URL_TOKEN: &str = "qcanaryUrl2Fj7Gs9Kd4";
const HUB_SECRET: &str = "qcanaryHub6Pz1Ct8Mx3";
const HEADER: &str = "qcanaryHeader7Rt2Kx5Wd";
const USER: &str = "qcanaryUser4Ln8Vb1Sc";
const PASSWORD: &str = "qcanaryPassword9Yg3Hm6";
const BEARER: &str = "qcanaryBearer2Qf7Zj5Tn";
const CLIENT: &str = "qcanaryClient8Dk4Pw1Gx";
const CLIENT_SECRET: &str = "qcanaryClientSecret6Mb3Rv";
const SCOPE: &str = "qcanaryScope5Hs9Cz2Lf";
const PREDICATE: &str = "qcanaryPredicate1Nx6Jt8Kp";
const IDEMPOTENCY: &str = "qcanaryIdempotency3Wr7Bg";
const TYPED: &str = "qcanaryTyped3Bv6Nm9Qw2";
const FILE: &str = "qcanaryFile7Lm3 Grundriss der Wohnung";
const FILE_NAME: &str = "qcanaryFilename5Tz.txt";
const DETAILS: &str = "qcanaryDetails of the person in question";
const PRIVATE: &str = "4915729384756";
const FORGOTTEN: &str = "4915733918274";
const ASKS_IN_CHAT: &str = "4915746291830";
const CRIED: &str = "qcanaryCried Was wisst ihr ueber mich";
const WORDING: &str = "qcanaryWording Ja, ich will Neuigkeiten";
const CORRECTED: &str = "Qcanaria Berichtigt";
const REFERENCE: &str = "qcanaryReference Brief vom Montag";
const LATE: &str = "qcanaryLate viele Akten";
const REFUSED: &str = "qcanaryRefused sie war es nicht";
const HELD_FOR: &str = "qcanaryHeld Streit um eine Lieferung";
const RESTRICTED_FOR: &str = "qcanaryRestricted sie bestreitet es";
const CASE: &str = "qcanaryCase Aktenzeichen 17";
const NOTICE: &str = "qcanaryNotice Was mit Ihren Daten geschieht";
/// Found wherever it is put.
const PLANTED: &str = "qcanaryPlanted8Zx4";

/// A wamid as Meta makes them: base64 of bytes in which the number stands.
fn wamid(number: &str, tail: &str) -> String {
    let bytes = [&b"\x1c\x1d\x0d"[..], number.as_bytes(), b"\x15\x02\x00\x12\x18\x14", tail.as_bytes()].concat();
    format!("wamid.{}", BASE64.encode(&bytes))
}

fn needles(more: &[String]) -> Vec<Needle> {
    let known = [
        ("app secret", APP_SECRET),
        ("access token", ACCESS_TOKEN),
        ("verify token", META_VERIFY_TOKEN),
        ("endpoint's verify token", receiver::VERIFY_TOKEN),
        ("KMS secret", KMS_SECRET),
        ("body", BODY),
        ("reply", REPLY),
        ("name", NAME),
        ("number", NUMBER),
        ("other number", OTHER_NUMBER),
        ("BSUID", BSUID),
        ("username", USERNAME),
        ("token in a URL", URL_TOKEN),
        ("endpoint's secret", HUB_SECRET),
        ("header line", HEADER),
        ("user", USER),
        ("password", PASSWORD),
        ("bearer token", BEARER),
        ("client id", CLIENT),
        ("client secret", CLIENT_SECRET),
        ("scope", SCOPE),
        ("predicate", PREDICATE),
        ("idempotency key", IDEMPOTENCY),
        ("what a stranger typed", TYPED),
        ("details of an error", DETAILS),
        ("a file", FILE),
        ("name of a file", FILE_NAME),
        ("number of one who asks", PRIVATE),
        ("number of one who is forgotten", FORGOTTEN),
        ("number of one who asks in the chat", ASKS_IN_CHAT),
        ("a question", CRIED),
        ("wording of a consent", WORDING),
        ("a name that was put right", CORRECTED),
        ("reference of a request", REFERENCE),
        ("why a request takes longer", LATE),
        ("why a request is refused", REFUSED),
        ("reason of a hold", HELD_FOR),
        ("reason of a restriction", RESTRICTED_FOR),
        ("reference of an erasure", CASE),
        ("a notice", NOTICE),
    ];
    let more = more.iter().map(|text| ("generated secret", text.as_str()));
    let wamids = ["IN", "OUT", "SYS", "BAD"].map(|tail| wamid(NUMBER, tail));
    let wamids = wamids.iter().map(|text| ("wamid", text.trim_start_matches("wamid.")));
    known.into_iter().chain(more).chain(wamids).map(|(name, text)| Needle::in_every_form(name, text)).collect()
}

/// Has Postgres write down all that it is told from now on, with every value: what is in none of it cannot be in a temporary file of the
/// server, nor in its memory.
async fn listens(database: &str) {
    let name = url::Url::parse(database).unwrap().path().trim_start_matches('/').to_owned();
    for (setting, value) in [("log_statement", "all"), ("log_error_verbosity", "default")] {
        database::sabotage(database, &format!("ALTER DATABASE {name} SET {setting} = '{value}'")).await;
    }
}

/// Sends canaries down every path. Returns those that were made on the way.
async fn everywhere(scene: &mut Scene) -> Vec<String> {
    let working = Receiver::start().await;
    working.then_answer(500, &[]);
    let mut generated = scene.endpoints(&working).await;
    generated.push(scene.gateway.key.clone());
    let asking = Asking::begin(scene).await;
    generated.extend(asking.secrets.iter().cloned());
    scene.inbound().await;
    let ids = scene.outbound().await;
    generated.push(scene.files().await);
    working.wait_for(8).await;
    for id in &ids {
        scene.get(&format!("/v1/messages/{id}")).await;
    }
    database::settled(&scene.database).await;
    let events = scene.get("/v1/events?limit=200").await.to_string();
    assert!(events.contains(BODY) && events.contains(DETAILS), "the canaries went this way");
    let contacts = scene.get("/v1/contacts").await;
    assert!(contacts.to_string().contains(NAME));
    let answered = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == NUMBER);
    let answered = answered.unwrap_or_else(|| panic!("{contacts}"))["id"].as_str().unwrap();
    let conversation = format!("/v1/contacts/{answered}/messages");
    let said = scene.get(&conversation).await.to_string();
    assert!(said.contains(REPLY), "{contacts} {said}");
    asking.once_more(scene).await;
    generated.extend(scene.keys(answered).await);
    generated.push(scene.privacy().await);
    scene.mistakes().await;
    asking.mistakes(scene).await;
    generated
}

async fn nothing_is_readable(store: Store) {
    let (server, database) = database::own_server().await;
    listens(&database).await;
    let mut scene = Scene::begin(database.clone(), store).await;
    let needles = needles(&everywhere(&mut scene).await);
    let limits = scene.gateway.limits();
    let cores: Vec<&str> = limits.lines().filter(|line| line.starts_with("Max core file size")).collect();
    assert!(cores.iter().all(|line| line.split_whitespace().filter(|word| *word == "0").count() == 2), "{cores:?}");
    let safe = Safe::new("canary");
    let evidence = Evidence::of(scene, &safe, server.dir()).await;
    for (place, least) in
        [("/metrics", 1000), ("the log", 20_000), ("the backup of data", 10_000), ("the object store", 100)]
    {
        assert!(evidence.bytes_of(place) > least, "{place}: {} bytes", evidence.bytes_of(place));
    }
    let said = std::fs::read_to_string(server.dir().join("postgres.log")).unwrap();
    assert!(said.contains("event_payload") && said.contains("$1 = '"), "all that Postgres was told, with its values");
    let found = evidence.search(&needles).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_of_any_path_is_readable_anywhere() {
    Box::pin(nothing_is_readable(Store::directory())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_of_any_path_is_readable_anywhere_where_files_lie_in_a_bucket() {
    Box::pin(nothing_is_readable(Store::bucket().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_a_canary_in_every_place_where_it_looks() {
    let needles = [Needle::in_every_form("planted", PLANTED)];
    for store in [Store::directory(), Store::bucket().await] {
        let (server, database) = database::own_server().await;
        listens(&database).await;
        let mut scene = Scene::begin(database.clone(), store).await;
        scene.inbound().await;
        scene.files().await;
        scene.answers.push_str(PLANTED);
        scene.store.plant(PLANTED).await;
        scene.temporary.put("deep/planted", PLANTED.as_bytes());
        database::sabotage(&database, &format!("UPDATE channel SET name = '{PLANTED}'")).await;
        let safe = Safe::new("planted");
        let mut evidence = Evidence::of(scene, &safe, server.dir()).await;
        std::fs::write(evidence.folders[0].join("planted"), BASE64.encode(PLANTED.as_bytes())).unwrap();
        for place in ["/metrics", "/readyz", "the log: ", "the backup of keys", "the backup of files"] {
            let text = evidence.texts.iter_mut().find(|(name, _)| name.starts_with(place)).unwrap();
            text.1.extend_from_slice(format!("\n{PLANTED}\n").as_bytes());
        }
        let found = evidence.search(&needles).await;
        let temporary = "deep/planted";
        for wanted in [
            "what was answered",
            "/metrics",
            "/readyz",
            "the log: ",
            "the object store, ",
            "the backup of data, opened",
            "the backup of keys",
            "the backup of files",
            "backups/",
            temporary,
            "the dump",
            "/pg_wal/",
            "/base/",
            "postgres.log",
        ] {
            assert!(found.iter().any(|one| one.contains(wanted)), "{wanted} in {found:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_what_was_planted_in_every_form() {
    let (server, database) = database::own_server().await;
    let planted = PLANTED;
    let needles = vec![Needle::in_every_form("planted", planted), Needle::in_every_form("number", NUMBER)];
    assert!(sweep::in_database(&needles, &database, server.dir()).await.is_empty());
    let statement = format!("CREATE TABLE scratch AS SELECT '{planted}'::bytea AS planted, {NUMBER}::bigint AS number");
    database::sabotage(&database, &statement).await;
    let found = sweep::in_database(&needles, &database, server.dir()).await;
    for wanted in
        ["planted (plain) in /", "planted (hex) in the dump", "number (plain) in the dump", "/pg_wal/", "/base/"]
    {
        assert!(found.iter().any(|one| one.contains(wanted)), "{wanted} in {found:#?}");
    }
    assert!(found.iter().any(|one| one.contains("number (little-endian number)")), "{found:#?}");
    for begin in 0..3 {
        let text = BASE64.encode(&[&b"abc"[..begin], planted.as_bytes(), b"tail"].concat());
        assert_eq!(sweep::in_bytes(&needles, "base64", text.as_bytes()).len(), 1, "{begin}");
    }
    let printed = format!("{:?} {}", planted.as_bytes(), planted.bytes().rev().map(char::from).collect::<String>());
    assert_eq!(sweep::in_bytes(&needles, "a printed list", printed.as_bytes()).len(), 1);
}
