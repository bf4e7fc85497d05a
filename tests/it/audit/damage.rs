//! `waxseal audit check`: a thousand changes to the rows of a stored log, each undone, are all found.

use sqlx::AssertSqlSafe;
use waxseal::app::Base;
use waxseal::audit::{CheckError, Checked};
use waxseal::clock::SystemClock;
use waxseal::ids::TenantId;
use waxseal::store::Connection;
use waxseal::tlog::note::VerifierKey;

use super::scene;
use super::verify::{PENDING, random};
use crate::support::process::waxseal;
use crate::support::{app, database};

/// How much the log holds that is changed.
struct Size {
    leaves: usize,
    checkpoints: usize,
    tiles: usize,
    bundles: usize,
}

/// Chooses what is changed: the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        random(&mut self.0) % end
    }

    fn bit(&mut self) -> usize {
        1 << self.below(8)
    }
}

const ROWS: &str = "(SELECT entry_id FROM audit_leaf WHERE leaf_index = ";

/// Changes entries, and which of them stands where.
fn of_entries(kind: usize, dice: &mut Dice, size: &Size) -> String {
    let (one, other) = (dice.below(size.leaves - 1), dice.below(size.leaves - 1));
    let other = if one == other { size.leaves - 1 } else { other };
    let row = format!("entry_id = {ROWS}{one})");
    match kind {
        0 => {
            let (at, bit) = (dice.below(134), dice.bit());
            format!("UPDATE audit_entry SET entry = set_byte(entry, {at}, get_byte(entry, {at}) # {bit}) WHERE {row}")
        }
        1 => {
            let (at, bit) = (dice.below(32), dice.bit());
            format!("UPDATE audit_entry SET salt = set_byte(salt, {at}, get_byte(salt, {at}) # {bit}) WHERE {row}")
        }
        2 => format!("DELETE FROM audit_entry WHERE {row}"),
        3 => format!(
            "UPDATE audit_entry e SET entry = o.entry, salt = o.salt FROM audit_entry o
             WHERE e.entry_id = {ROWS}{one}) AND o.entry_id = {ROWS}{other})"
        ),
        4 => format!("UPDATE audit_entry SET action = action || 's' WHERE {row}"),
        5 => format!("UPDATE audit_entry SET actor_id = gen_random_uuid() WHERE {row}"),
        6 => format!("UPDATE audit_entry SET xid = '1' WHERE entry_id = {ROWS}{})", one.max(1)),
        7 => format!("UPDATE audit_entry SET entry_id = gen_random_uuid() WHERE {row}"),
        8 => format!(
            "INSERT INTO audit_entry SELECT tenant_id, part_day, gen_random_uuid(), actor_id, action, entry, salt, '3'
             FROM audit_entry WHERE {row}"
        ),
        9 => format!("DELETE FROM audit_leaf WHERE leaf_index = {one}"),
        10 => format!("UPDATE audit_leaf SET entry_id = gen_random_uuid() WHERE leaf_index = {one}"),
        11 => format!("INSERT INTO audit_leaf SELECT tenant_id, {}, gen_random_uuid() FROM audit_log", size.leaves),
        12 => format!(
            "WITH gone AS (DELETE FROM audit_leaf WHERE leaf_index IN ({one}, {other}) RETURNING *)
             INSERT INTO audit_leaf SELECT tenant_id, leaf_index + 1000000, entry_id FROM gone"
        ),
        _ => format!("UPDATE audit_leaf SET leaf_index = leaf_index + 1 WHERE leaf_index = {}", size.leaves - 1),
    }
}

/// Changes tiles and bundles, which are alike.
fn of_hashes(kind: usize, dice: &mut Dice, size: &Size) -> String {
    let is_tile = dice.below(2) == 0;
    let (table, column, key, count) = if is_tile {
        ("audit_tile", "hashes", "level, tile_index", size.tiles)
    } else {
        ("audit_bundle", "commitments", "bundle_index", size.bundles)
    };
    let chosen = |at: usize| format!("(SELECT ctid FROM {table} ORDER BY {key} OFFSET {at} LIMIT 1)");
    let one = dice.below(count);
    let (row, other) = (chosen(one), chosen((one + 1) % count));
    match kind {
        0 | 1 => {
            let (at, bit) = (dice.below(8192), dice.bit());
            let at = format!("{at} % octet_length({column})");
            format!(
                "UPDATE {table} SET {column} = set_byte({column}, {at}, get_byte({column}, {at}) # {bit}) WHERE ctid = {row}"
            )
        }
        2 => format!("DELETE FROM {table} WHERE ctid = {row}"),
        3 => format!(
            "UPDATE {table} SET {column} = o.{column} FROM {table} o WHERE {table}.ctid = {row} AND o.ctid = {other}"
        ),
        // The first hash stands in the place of the last as well, or, where there is but one, behind itself.
        4 => format!(
            "UPDATE {table} SET {column} = overlay({column} placing substr({column}, 1, 32)
                 from greatest(octet_length({column}) - 31, 33)) WHERE ctid = {row}"
        ),
        5 => format!(
            "UPDATE {table} SET {column} = CASE octet_length({column}) WHEN 32 THEN {column} || {column}
                 ELSE substr({column}, 1, octet_length({column}) - 32) END WHERE ctid = {row}"
        ),
        _ if is_tile => format!(
            "INSERT INTO audit_tile SELECT tenant_id, level, tile_index + {}, hashes FROM audit_tile WHERE ctid = {row}",
            2 + dice.below(1000)
        ),
        _ => format!(
            "INSERT INTO audit_bundle SELECT tenant_id, bundle_index + {}, commitments FROM audit_bundle WHERE ctid = {row}",
            2 + dice.below(1000)
        ),
    }
}

/// Changes checkpoints, and the log's own row.
fn of_checkpoints(kind: usize, dice: &mut Dice, size: &Size) -> String {
    let chosen = |at: usize| format!("(SELECT ctid FROM audit_checkpoint ORDER BY size OFFSET {at} LIMIT 1)");
    let one = dice.below(size.checkpoints);
    let (row, other) = (chosen(one), chosen((one + 1) % size.checkpoints));
    match kind {
        0..=2 => {
            let at = format!("(1 + {} % length(note))", dice.below(100_000));
            let letter = format!("CASE substr(note, {at}, 1) WHEN 'A' THEN 'B' ELSE 'A' END");
            format!("UPDATE audit_checkpoint SET note = overlay(note placing {letter} from {at}) WHERE ctid = {row}")
        }
        3 => format!("UPDATE audit_checkpoint SET note = left(note, -{}) WHERE ctid = {row}", 1 + dice.below(100)),
        4 => format!(
            "UPDATE audit_checkpoint c SET note = o.note FROM audit_checkpoint o WHERE c.ctid = {row} AND o.ctid = {other}"
        ),
        5 => format!("UPDATE audit_checkpoint SET size = {} WHERE ctid = {row}", size.leaves + 1 + dice.below(100)),
        6 => "DELETE FROM audit_checkpoint WHERE size = (SELECT max(size) FROM audit_checkpoint)".to_owned(),
        7 => format!(
            "INSERT INTO audit_checkpoint SELECT tenant_id, {}, note, true, made_at FROM audit_checkpoint WHERE ctid = {row}",
            size.leaves + 1
        ),
        8 => format!("UPDATE audit_log SET size = size - {}", 1 + dice.below(100)),
        9 => format!("UPDATE audit_log SET at_entry = {ROWS}{})", dice.below(size.leaves - 1)),
        10 => "UPDATE audit_log SET at_xid = (at_xid::text::bigint + 1)::text::xid8".to_owned(),
        _ => format!("UPDATE audit_log SET pruned = {}, pruned_by = at_entry", 1 + dice.below(1000)),
    }
}

async fn execute(connection: &mut Connection, statement: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_to_the_stored_log_are_all_found() {
    let app = scene().await;
    futures_util::future::join_all((0..258).map(|_| async { app.get("/v1/contacts").await })).await;
    database::until(&app.database, PENDING, 0).await;
    let (config, database) = (app.config.clone(), app.database.clone());
    // What is checked stands still.
    app.gateway.shutdown().await;
    let base = Box::pin(Base::open(&config, std::sync::Arc::new(SystemClock))).await.unwrap();
    let count = async |table: &str| {
        database::count(&database, &format!("SELECT count(*) FROM {table}")).await.unsigned_abs() as usize
    };
    let size = Size {
        leaves: count("audit_leaf").await,
        checkpoints: count("audit_checkpoint").await,
        tiles: count("audit_tile").await,
        bundles: count("audit_bundle").await,
    };
    assert!(size.leaves > 256 && size.checkpoints > 1 && size.tiles == 3 && size.bundles == 2);
    let whole = base.audit.check(TenantId::DEFAULT).await.unwrap();
    let (leaves, checkpoints) = (size.leaves as u64, size.checkpoints as u64);
    assert_eq!(whole, Checked { size: leaves, kept: leaves, checkpoints });

    let key = VerifierKey::parse(&base.audit.verifier_key(TenantId::DEFAULT).await.unwrap()).unwrap();
    // The roles of the gateway may not change entries; whoever owns the database may.
    let owner = database::store(&database);
    let (mut dice, mut transaction) = (Dice(11), owner.begin().await.unwrap());
    for number in 0..1000 {
        let change = match number % 10 {
            0..=3 => of_entries(number / 10 % 14, &mut dice, &size),
            4..=6 => of_hashes(number / 10 % 7, &mut dice, &size),
            _ => of_checkpoints(number / 10 % 12, &mut dice, &size),
        };
        execute(&mut transaction, "SAVEPOINT before").await;
        assert!(execute(&mut transaction, &change).await > 0, "nothing was changed: {change}");
        let found = base.audit.check_in(&mut transaction, TenantId::DEFAULT, &key).await;
        assert!(matches!(found, Err(CheckError::Damaged(_))), "{found:?} after {change}");
        execute(&mut transaction, "ROLLBACK TO before").await;
    }
    let found = base.audit.check_in(&mut transaction, TenantId::DEFAULT, &key).await.unwrap();
    assert_eq!(found, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_was_changed_and_believes_no_key_but_the_sealed_one() {
    let app = scene().await;
    app.get("/v1/contacts").await;
    database::until(&app.database, PENDING, 0).await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let check = async || {
        let output = waxseal(&["audit", "check"], &environment).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = check().await;
    assert!(code == 0 && said.starts_with("ok: "), "{said}");
    database::sabotage(&app.database, "UPDATE audit_entry SET salt = set_byte(salt, 0, get_byte(salt, 0) # 1)").await;
    assert_eq!(check().await, (4, "diverged: entry 0 was changed\n".to_owned()));
    database::sabotage(&app.database, "UPDATE audit_entry SET salt = set_byte(salt, 0, get_byte(salt, 0) # 1)").await;
    let (code, said) = check().await;
    assert!(code == 0 && said.starts_with("ok: "), "{said}");
    let other = "UPDATE audit_log SET verifier_key = 'waxseal/x+00000000+AQAA'";
    database::sabotage(&app.database, other).await;
    assert_eq!(check().await.0, 1, "a key that the sealed one does not give is no key");
}
