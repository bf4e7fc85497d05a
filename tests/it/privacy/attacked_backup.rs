//! Whoever has a backup of before, what opens it, the KMS secret, the epoch cell and the installation of now finds nothing of a person who was erased
//! since: neither in the data of then nor of now, with the keys of then or of now.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::attacked::{EVERYWHERE, HERS, HIS, Scene};
use super::{ANA, erase, reaches};
use crate::backup::{Safe, environment};
use crate::support::attacker::{Attacker, below};
use crate::support::database;

/// An archive of a backup, opened and unpacked by other people's programs.
fn unpacked(safe: &Safe, backup: &Path, archive: &str) -> PathBuf {
    let to = safe.path(&format!("unpacked-{archive}"));
    std::fs::create_dir_all(&to).unwrap();
    let from = backup.join(format!("{archive}.tar.zst.age"));
    let pipe = format!("age -d -i '{}' '{}' | zstd -d | tar -x -C '{}'", safe.identity(), from.display(), to.display());
    let told = Command::new("bash").args(["-o", "pipefail", "-c", &pipe]).output().unwrap();
    assert!(told.status.success(), "is age there (scripts/ensure-age.sh)? {}", String::from_utf8_lossy(&told.stderr));
    to
}

/// The rows of a backup in a database of the attacker's own. `waxseal restore` would see that she was forgotten; Postgres does not ask.
async fn poured(safe: &Safe, backup: &Path) -> String {
    let there = database::fresh().await;
    let mut connection = PgConnection::connect(&there).await.unwrap();
    let run = async |connection: &mut PgConnection, statement: String| {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.unwrap();
    };
    run(&mut connection, "SET session_replication_role = replica".to_owned()).await;
    let manifest: Value = serde_json::from_slice(&std::fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    let mut emptied = BTreeSet::new();
    for (archive, schema) in [("data", "public"), ("keys", "waxseal_keys")] {
        let folder = unpacked(safe, backup, archive);
        let file = format!("{archive}.tar.zst.age");
        let listed = manifest["archives"].as_array().unwrap().iter().find(|one| one["file"] == file.as_str()).unwrap();
        for table in listed["tables"].as_array().unwrap() {
            let name = table["name"].as_str().unwrap();
            let whole = table["part_of"].as_str();
            let into = format!("{schema}.{}", whole.unwrap_or(name));
            if emptied.insert(into.clone()) {
                if whole.is_some() {
                    run(&mut connection, format!("CREATE TABLE {into}_rest PARTITION OF {into} DEFAULT")).await;
                }
                run(&mut connection, format!("DELETE FROM {into}")).await;
            }
            let mut pieces = below(&folder.join(name));
            pieces.sort();
            let columns: Vec<&str> =
                table["columns"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            let statement = format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", columns.join(", "));
            let mut copy = connection.copy_in_raw(&statement).await.unwrap();
            for piece in pieces {
                copy.send(std::fs::read(piece).unwrap()).await.unwrap();
            }
            assert_eq!(copy.finish().await.unwrap(), table["rows"].as_u64().unwrap(), "{into}");
        }
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_backup_of_before_and_what_opens_it_finds_nothing_of_an_erased_person_with_whichever_keys() {
    let (_server, scene) = Scene::set("attacked-backup").await;
    let (safe, app) = (Safe::new("attacked-safe"), &scene.app);
    let (place, cell) = (scene.files.url(), scene.cell.display().to_string());
    let settings = [("WAXSEAL_MEDIA__URL", place.as_str()), ("WAXSEAL_KEYS__CELL_FILES", cell.as_str())];
    let (backup, _) = safe.back_up(&environment(&app.database, &settings), &[]).await;
    let (old, old_files) = (poured(&safe, &backup).await, unpacked(&safe, &backup, "files"));
    let attackers = async || {
        let mut all = Vec::new();
        for (data, of) in [(&old, "then"), (&app.database, "now")] {
            for (keys, with) in [(&old, "then"), (&app.database, "now")] {
                let mut attacker = Attacker::default();
                attacker.copy_data(data).await;
                attacker.copy_keys(keys).await;
                let files = if of == "then" { &old_files } else { scene.files.path() };
                all.push((of, with, scene.spoils(&attacker, files)));
            }
        }
        all
    };

    let (id, _) = erase(app, json!({ "phone": ANA, "when": "next_step" })).await;
    reaches(app, &id, "rows_removed").await;
    // The sweep finds what there is to find: before the step, the backup opens with its own keys, and with no others.
    for (of, with, spoils) in attackers().await {
        let found = spoils.with(HERS);
        if (of, with) == ("then", "then") {
            let missing: Vec<&&str> =
                EVERYWHERE.iter().filter(|place| !place.starts_with("erasure.") && !found.contains(**place)).collect();
            assert!(missing.is_empty(), "{missing:?} not in {found:?}");
        } else {
            assert_eq!(found, BTreeSet::new(), "data of {of} with keys of {with}");
        }
    }

    app.gateway.base().keyring.step_epoch().await.unwrap();
    reaches(app, &id, "certified").await;
    // An odd step and an even one: each place of the cell was written anew.
    app.gateway.base().keyring.step_epoch().await.unwrap();
    for (of, with, spoils) in attackers().await {
        assert_eq!(spoils.with(HERS), BTreeSet::new(), "data of {of} with keys of {with}");
        let opens = spoils.with(HIS).contains("event_payload.payload");
        assert_eq!(opens, with == "now", "his, with the keys of now: data of {of} with keys of {with}");
    }
}
