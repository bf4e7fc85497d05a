//! Promise: whatever happens, no message, name, number, token or key is readable in the database, its files, its write-ahead
//! log, our log, our metrics or a refusal. Unique texts are sent down every path; then everything is searched for them.

mod files;
mod paths;
mod requests;

use data_encoding::BASE64;
use reqwest::Method;

use self::paths::Scene;
use self::requests::Asking;
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
    ];
    let more = more.iter().map(|text| ("generated secret", text.as_str()));
    let wamids = ["IN", "OUT", "SYS", "BAD"].map(|tail| wamid(NUMBER, tail));
    let wamids = wamids.iter().map(|text| ("wamid", text.trim_start_matches("wamid.")));
    known.into_iter().chain(more).chain(wamids).map(|(name, text)| Needle::in_every_form(name, text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_of_any_path_is_readable_anywhere() {
    let (server, database) = database::own_server().await;
    let mut scene = Scene::begin(database.clone()).await;
    let working = Receiver::start().await;
    working.then_answer(500, &[]);
    let mut generated = scene.endpoints(&working).await;
    generated.push(scene.gateway.key.clone());
    let asking = Asking::begin(&scene).await;
    generated.extend(asking.secrets.iter().cloned());
    scene.inbound().await;
    let ids = scene.outbound().await;
    generated.push(scene.files().await);
    working.wait_for(8).await;
    for id in &ids {
        scene.get(&format!("/v1/messages/{id}")).await;
    }
    database::settled(&database).await;
    let events = scene.get("/v1/events?limit=200").await.to_string();
    assert!(events.contains(BODY) && events.contains(DETAILS), "the canaries went this way");
    let contacts = scene.get("/v1/contacts").await;
    assert!(contacts.to_string().contains(NAME));
    let conversation = format!("/v1/contacts/{}/messages", contacts["data"][0]["id"].as_str().unwrap());
    let said = scene.get(&conversation).await.to_string();
    assert!(said.contains(REPLY), "{contacts} {said}");
    asking.once_more(&mut scene).await;
    generated.extend(scene.keys(contacts["data"][0]["id"].as_str().unwrap()).await);
    scene.mistakes().await;
    asking.mistakes(&mut scene).await;

    let mut shown = scene.answers.clone();
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = scene.gateway.request(Method::GET, &format!("{}{path}", scene.gateway.admin)).send().await;
        shown += &answer.unwrap().text().await.unwrap();
    }
    let limits = scene.gateway.limits();
    let cores: Vec<&str> = limits.lines().filter(|line| line.starts_with("Max core file size")).collect();
    assert!(cores.iter().all(|line| line.split_whitespace().filter(|word| *word == "0").count() == 2), "{cores:?}");
    let needles = needles(&generated);
    let mut found = sweep::in_bytes(&needles, "what was answered", shown.as_bytes());
    found.extend(sweep::in_database(&needles, &database, server.dir()).await);
    let (in_files, read) = sweep::in_files(&needles, scene.folder.path());
    assert!(read > 0, "there are files");
    found.extend(in_files);
    let log = scene.gateway.stop().await;
    assert!(log.lines().count() > 100, "a log of {} lines at the most talkative level", log.lines().count());
    found.extend(
        log.lines().flat_map(|line| sweep::in_bytes(&needles, &format!("the log: {line:.160}"), line.as_bytes())),
    );
    found.extend(sweep::in_database(&needles, &database, server.dir()).await);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_what_was_planted_in_every_form() {
    let (server, database) = database::own_server().await;
    let planted = "qcanaryPlanted8Zx4";
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
