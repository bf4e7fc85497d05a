//! An installation in which all is well, and each control turned off in it.

use time::Duration;
use time::macros::datetime;

use super::backups::{Backup, Backups};
use super::declared::Listener;
use super::facts::{Facts, Key, Log, Number, Receiver, Top};
use super::samples::Samples;
use super::{State, judge, stores};
use crate::config::BackupConfig;
use crate::domain::keeping::{ContentClass, Keep, RuleSource};
use crate::ids::ChannelId;
use crate::privacy::{Astray, Attested, ChannelRule, RowFault, RowsFound};
use crate::store::posture::{ErasureCounts, HoldCounts, Reached};

fn good_key() -> Key {
    Key {
        name: "crm".into(),
        admin: true,
        personal: true,
        unmasked: true,
        confined: true,
        budget: true,
        life: Duration::days(365),
        idle: false,
    }
}

/// An installation in which everything is as it should be.
fn good() -> Facts {
    let now = datetime!(2026-11-24 12:00 UTC);
    let reached =
        |server| Reached { encrypted: true, address: Some("10.0.0.5".into()), database: "waxseal".into(), server };
    let listener = |name, at: &str, tls| Listener { name, at: at.parse().unwrap(), tls, mutual: false };
    Facts {
        now,
        listeners: vec![
            listener("public", "0.0.0.0:8080", true),
            listener("internal", "127.0.0.1:8081", false),
            listener("admin", "127.0.0.1:8082", false),
        ],
        region: Some(("eu".into(), vec!["eu-central-1".into()])),
        data: reached(1),
        key_store: reached(2),
        rows_kept: Ok(()),
        keys: vec![good_key()],
        receivers: vec![Receiver { name: "crm".into(), encrypted: true, fields: "masked", full: false }],
        numbers: vec![Number {
            name: "shop".into(),
            facts: Some(serde_json::json!({
                "is_official_business_account": true, "name_status": "APPROVED", "token_valid": true
            })),
        }],
        pins: (1, 1),
        apps: 1,
        old_secrets: Vec::new(),
        samples: Samples { columns: vec!["contact.profile"], rows: 3, opened: 3, ..Samples::default() },
        refuses_plaintext: true,
        open_columns: Vec::new(),
        sealed_columns: 20,
        top: Top {
            kms: "openbao",
            kms_fault: None,
            places: vec![None; 3],
            needed: 2,
            disks: 3,
            beside_secret: Some(false),
            has_leftovers: false,
            epoch: 7,
            stepped_at: Some(now - Duration::DAY),
            waits_since: None,
            step_within: Duration::DAY,
        },
        log: Log { checked: Ok((10, 2)), waits: Duration::ZERO, newest_checkpoint: Some(now), witnesses: 2, quorum: 1 },
        content_days: Some(90),
        rules: Vec::new(),
        backup_days: 30,
        backups: Backups {
            terms: BackupConfig { max_age_days: Some(2), drill_days: Some(92) },
            made: vec![(now - Duration::DAY, Backup { data: true, keys: true, apart: true, recipients: 2 })],
            drilled_at: Some(now - Duration::days(80)),
        },
        measured_before: Some(now - Duration::DAY),
        processors: vec!["Meta | WhatsApp Cloud API | 2026-11-01".parse().unwrap()],
        oldest: vec![Attested {
            class: "event".into(),
            oldest: now.date() - Duration::days(20),
            horizon: Some(now.date() - Duration::days(90)),
        }],
        overdue: Vec::new(),
        attested_on: Some(now.date()),
        stored: RowsFound { said_at: Some(now), rows: 7, places: 2, faults: Vec::new() },
        founded_on: now.date() - Duration::days(100),
        erasures: ErasureCounts::default(),
        holds: HoldCounts::default(),
        requests: (1, 1, 0),
        consent: true,
        window: true,
        decoys: true,
        alarm_receivers: 1,
        at_the_door: vec![("shop".into(), Some("drops locations".into()))],
        graph: "v25.0".into(),
        files: true,
    }
}

fn red(facts: &Facts) -> Vec<&'static str> {
    judge::all(facts).into_iter().filter(|one| one.state == State::Red).map(|one| one.name).collect()
}

#[test]
fn nothing_is_red_where_everything_is_as_it_should_be() {
    assert_eq!(red(&good()), Vec::<&str>::new());
    assert!(judge::all(&good()).iter().all(|one| !one.evidence.is_empty()));
}

type TurnOff = fn(&mut Facts);

/// Each control that can be red, and what turns it off.
const OFF: &[(&str, TurnOff)] = &[
    ("content-sealed", |facts| facts.samples.faults.push(("contact.profile", uuid::Uuid::nil()))),
    ("no-plaintext", |facts| facts.refuses_plaintext = false),
    ("no-plaintext", |facts| facts.open_columns.push("message.request".into())),
    ("two-step", |facts| facts.pins = (2, 1)),
    ("verified-profile", |facts| facts.numbers[0].facts = Some(serde_json::json!({ "name_status": "DECLINED" }))),
    ("endpoints", |facts| facts.receivers[0].encrypted = false),
    ("tokens", |facts| facts.numbers[0].facts = Some(serde_json::json!({ "token_valid": false }))),
    ("processors", |facts| facts.processors.clear()),
    ("processors", |facts| facts.processors[0].name = "Example Hosting".into()),
    ("processors", |facts| facts.processors[0].reviewed -= Duration::days(366)),
    ("processors", |facts| facts.processors[0].reviewed += Duration::days(30)),
    ("audits", |facts| facts.measured_before = Some(facts.now - Duration::days(32))),
    ("audits", |facts| facts.measured_before = None),
    ("erasures", |facts| facts.erasures.overdue = 1),
    ("requests", |facts| facts.requests = (1, 0, 1)),
    ("holds", |facts| facts.holds.ending = 1),
    ("holds", |facts| facts.holds.unapproved = 1),
    ("consent", |facts| facts.consent = false),
    ("public-listener", |facts| facts.listeners[0].tls = false),
    ("internal-listener", |facts| facts.listeners[1].at = "0.0.0.0:8081".parse().unwrap()),
    ("admin-listener", |facts| facts.listeners[2].at = "10.0.0.1:8082".parse().unwrap()),
    ("webhook-signature", |facts| facts.apps = 0),
    ("webhook-signature", |facts| facts.old_secrets.push(("app".into(), facts.now - Duration::days(31)))),
    ("database-transport", |facts| facts.data.encrypted = false),
    ("database-transport", |facts| facts.key_store.encrypted = false),
    ("tenant-rows", |facts| facts.rows_kept = Err("off")),
    ("key-expiry", |facts| facts.keys[0].life = Duration::days(400)),
    ("idle-keys", |facts| facts.keys[0].idle = true),
    ("admin-keys", |facts| facts.keys.push(Key { admin: true, ..Key::default() })),
    ("second-factor", |facts| facts.keys.push(Key { personal: true, budget: true, ..Key::default() })),
    ("read-budgets", |facts| facts.keys[0].budget = false),
    ("backups", |facts| facts.backups.made.clear()),
    ("backups", |facts| facts.backups.made[0].0 -= Duration::days(2)),
    ("backups", |facts| facts.backups.made[0].1.keys = false),
    ("backups", |facts| facts.backups.made[0].1.data = false),
    ("backups", |facts| facts.backups.made[0].1.apart = false),
    ("backups", |facts| facts.backups.made[0].1.recipients = 1),
    ("backups", |facts| facts.backups.drilled_at = Some(facts.now - Duration::days(93))),
    ("backups", |facts| facts.backups.drilled_at = None),
    ("kms", |facts| facts.top.kms_fault = Some("sealed".into())),
    ("epoch-cell", |facts| facts.top.places[1] = Some("it cannot be read".into())),
    ("epoch-cell", |facts| facts.top.has_leftovers = true),
    ("epoch-step", |facts| facts.top.waits_since = Some(facts.now - Duration::days(3))),
    ("audit-log", |facts| facts.log.checked = Err("entry 4 was changed".into())),
    ("audit-tree", |facts| facts.log.waits = Duration::HOUR),
    ("witnesses", |facts| facts.log.quorum = 0),
    ("alarms", |facts| facts.decoys = false),
    ("alarms", |facts| facts.alarm_receivers = 0),
    ("content-age", |facts| facts.content_days = None),
    ("content-age", |facts| facts.content_days = Some(365)),
    ("content-age", |facts| {
        let (channel, class) = (ChannelId::new(facts.now), ContentClass::Received);
        facts.rules.push(ChannelRule {
            channel,
            class,
            keep: Keep::Days(90),
            source: RuleSource::ContentDays,
            kept_since: None,
        });
    }),
    ("retention", |facts| facts.overdue = facts.oldest.clone()),
    ("retention", |facts| (facts.holds.in_force, facts.overdue) = (1, facts.oldest.clone())),
    ("attestation", |facts| facts.attested_on = None),
    ("rows", |facts| facts.stored.said_at = Some(facts.now - Duration::days(3))),
    ("rows", |facts| facts.stored.said_at = None),
    ("rows", |facts| {
        let fault = RowFault { table: "event".into(), day: None, id: None, what: Astray::Missing(1) };
        facts.stored.faults.push(fault);
    }),
    ("separate-stores", |facts| facts.key_store.server = 1),
    ("separate-stores", |facts| facts.top.beside_secret = Some(true)),
];

#[test]
fn each_control_turns_red_alone_when_what_it_rests_on_is_off() {
    for (name, off) in OFF {
        let mut facts = good();
        off(&mut facts);
        assert_eq!(red(&facts), [*name], "{name}");
    }
    let mut facts = good();
    facts.keys[0] = Key { personal: true, unmasked: true, ..Key::default() };
    assert_eq!(red(&facts), ["masking", "second-factor", "read-budgets"]);
}

#[test]
fn every_control_can_be_red_or_is_left_to_people() {
    let left = ["end-to-end", "updates", "phishing", "training", "masking", "models", "minimisation", "region"];
    for name in judge::NAMES {
        assert!(OFF.iter().any(|(off, _)| off == name) || left.contains(name), "{name}");
    }
}

#[test]
fn a_young_installation_need_not_have_been_measured_before() {
    let mut facts = good();
    (facts.measured_before, facts.founded_on) = (None, facts.now.date() - Duration::days(31));
    assert_eq!(red(&facts), [""; 0]);
}

#[test]
fn no_evidence_names_a_path_an_address_or_a_database() {
    let mut facts = good();
    facts.top.places[1] = Some("it cannot be read".into());
    facts.data.encrypted = false;
    let evidence: Vec<String> = judge::all(&facts).into_iter().map(|one| one.evidence).collect();
    for word in ["10.0.0.5", "0.0.0.0", "127.0.0.1", "waxseal\"", "in waxseal", "/a"] {
        assert!(evidence.iter().all(|one| !one.contains(word)), "{word}: {evidence:?}");
    }
    assert!(evidence.iter().any(|one| one.contains("place 2: it cannot be read")), "{evidence:?}");
}

#[test]
fn a_disk_that_is_not_seen_makes_nothing_green() {
    let mut facts = good();
    facts.top.beside_secret = None;
    let told = judge::all(&facts);
    let control = told.iter().find(|one| one.name == "separate-stores").unwrap();
    assert_eq!(control.state, State::Yours);
    assert!(control.evidence.contains("not seen from here"), "{}", control.evidence);
}

#[test]
fn the_stores_say_what_opens_only_together() {
    let told = stores::reveals(&good());
    let of = |stolen: &str| told.iter().find(|one| one.stolen == stolen).unwrap().reveals.clone();
    assert!(of("keys + KMS secret").contains("nothing opens"));
    assert!(of("files").contains("sealed") && of("witnesses").contains("2 know"));
    let mut bare = good();
    bare.top.places.clear();
    (bare.files, bare.log.witnesses) = (false, 0);
    let told = stores::reveals(&bare);
    assert!(told.iter().any(|one| one.stolen == "keys + KMS secret" && one.reveals.contains("the keys open")));
    assert!(told.iter().any(|one| one.stolen == "files" && one.reveals == "files are not kept"));
    assert!(told.iter().any(|one| one.stolen == "witnesses" && one.reveals == "there are none"));
}
