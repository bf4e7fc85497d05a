//! House rules, held by a plain scan of the text. A rule is a row in one of the tables below; changing one is a design
//! decision and wants a record in `docs/adr/`.

#![expect(clippy::unwrap_used, reason = "an unreadable source tree fails the test as it should")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The house from the roof down. A room imports from the rings below its own, never from its neighbours.
const RINGS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["backup", "http", "worker"],
    &["posture"],
    &["access", "deliver", "ingest", "media", "privacy", "send"],
    &["audit", "directory"],
    &["keyring"],
    &["egress", "kms", "meta", "store"],
    &["crypto", "domain", "tlog"],
    &["clock", "config", "ids", "secret", "telemetry"],
];

/// Rooms beside the rings: all that they import, and all that import them.
const ANNEXES: &[(&str, &[&str], &[&str])] =
    &[("simulator", &["clock", "crypto", "domain", "ids", "meta", "secret"], &["cli"])];

/// Named exceptions: a room, and the path that it imports against the rule.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("ids", "crypto::random"),             // an id is half randomness
    ("config", "secret"),                  // what an operator writes down is in part secret from the moment it is read
    ("config", "crypto::envelope::Suite"), // a suite has one list of names
];

/// One home per technology.
const HOMES: &[(&str, &[&str])] = &[
    ("axum::", &["http", "simulator", "cli"]),
    ("sqlx::", &["store", "app", "cli"]),
    ("reqwest::", &["meta", "egress", "kms", "simulator", "cli"]),
    ("cryptoki::", &["kms"]),
    ("async_nats::", &["egress"]),
    ("lapin::", &["egress"]),
    ("krafka::", &["egress"]),
    ("object_store::", &["media", "kms"]),
    ("std::env", &["config", "main", "cli"]),
];

/// Files of `store` that may use the pool that owns the tables.
const OWNERS: &[&str] = &["dumping.rs", "migrate.rs", "partitions.rs", "pools.rs", "restoring.rs", "row_security.rs"];

const LINES_PER_FILE: usize = 400;

/// Tables about no tenant.
const TENANTLESS: &[&str] = &["settings_version", "worker", "waxseal_keys.installation", "waxseal_keys.epoch_step"];
const FORBIDDEN_SQL: &[&str] = &["TRIGGER", "FUNCTION", "PROCEDURE", "DO $"];

/// The files below `folder` with this ending, and their text; none when the folder does not exist.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else { return Vec::new() };
    let below = |entry: fs::DirEntry| {
        let (path, name) = (entry.path(), format!("{folder}/{}", entry.file_name().to_string_lossy()));
        match path.is_dir() {
            true => files(&name, ending),
            false if name.ends_with(ending) => vec![(PathBuf::from(name), fs::read_to_string(path).unwrap())],
            false => Vec::new(),
        }
    };
    entries.map(Result::unwrap).flat_map(below).collect()
}

/// `src/egress/sign.rs` is in the room `egress`, `src/ids.rs` in `ids`.
fn room(file: &Path) -> String {
    Path::new(file.iter().nth(1).unwrap()).file_stem().unwrap().to_string_lossy().into_owned()
}

/// The code of a file without comments and without the tests at its end.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Every path that begins at the crate, by whichever word, with groups of imports opened one level deep.
fn imports(file: &Path, text: &str) -> Vec<String> {
    let depth = file.iter().count() - 1 - usize::from(file.ends_with("mod.rs"));
    let root = if room(file) == "main" { "waxseal::".to_owned() } else { "super::".repeat(depth) };
    let code = code(text).replace(&root, "crate::");
    let paths = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split(';').next().unwrap_or_default().split(',').collect(),
        None => vec![rest],
    });
    let ends_path = |letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':');
    paths.map(|path| path.trim().split(ends_path).next().unwrap_or_default().to_owned()).collect()
}

fn may_import(from: &str, path: &str) -> bool {
    let to = path.split("::").next().unwrap_or_default();
    let ring = |room: &str| RINGS.iter().position(|ring| ring.contains(&room));
    let annex = |room: &str| ANNEXES.iter().find(|(annex, _, _)| *annex == room);
    let by_rule = match (annex(from), annex(to)) {
        (Some(annex), _) => annex.1.contains(&to),
        (_, Some(annex)) => annex.2.contains(&from),
        _ => ring(to).is_none_or(|below| ring(from).is_some_and(|above| above < below)),
    };
    by_rule || from == to || EXCEPTIONS.iter().any(|(room, excepted)| *room == from && path.starts_with(excepted))
}

#[test]
fn arrows_point_down_only() {
    for (file, text) in files("src", ".rs").iter().filter(|(file, _)| !file.ends_with("tests.rs")) {
        let against = imports(file, text).into_iter().find(|path| !may_import(&room(file), path));
        assert_eq!(against, None, "{} may not import it, or stands in no ring", file.display());
    }
}

#[test]
fn each_technology_has_one_home() {
    for (file, text) in files("src", ".rs") {
        for (technology, homes) in HOMES.iter().filter(|(technology, _)| code(&text).contains(technology)) {
            assert!(homes.contains(&room(&file).as_str()), "{} uses {technology}", file.display());
        }
    }
}

#[test]
fn the_pool_that_owns_the_tables_does_ddl_alone() {
    for (file, text) in files("src/store", ".rs") {
        let owns = code(&text).contains("self.owner") || code(&text).contains("self.key_owner");
        let may = OWNERS.iter().any(|name| file.ends_with(name));
        assert!(may || !owns, "{} works as the owner, whom no policy binds", file.display());
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    for (file, text) in files("src", ".rs") {
        assert!(text.starts_with("//! "), "{} does not say what it is for", file.display());
        assert!(text.lines().count() <= LINES_PER_FILE, "{} is too long", file.display());
        let is_vague = ["mod util", "mod helper"].iter().any(|vague| code(&text).contains(vague));
        assert!(!is_vague, "{} opens a room without a purpose", file.display());
    }
}

#[test]
fn decisions_are_numbered_once() {
    let mut numbers = HashSet::new();
    for (file, _) in files("docs/adr", ".md").iter().filter(|(file, _)| !file.ends_with("README.md")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let number = name.split('-').next().filter(|number| number.len() == 4 && number.parse::<u16>().is_ok());
        assert!(number.is_some_and(|number| numbers.insert(number.to_owned())), "{name}: number");
    }
}

#[test]
fn every_migration_explains_itself_every_key_begins_with_the_tenant_and_the_database_runs_no_code() {
    for (file, text) in files("migrations", ".sql") {
        assert!(text.starts_with("--"), "{} does not say which query it serves", file.display());
        let sql: String = text.lines().flat_map(|line| [line.split("--").next().unwrap_or_default(), " "]).collect();
        let code = FORBIDDEN_SQL.iter().find(|word| sql.to_uppercase().contains(**word));
        assert_eq!(code, None, "{} brings code", file.display());
        for table in sql.split(';').filter(|table| !TENANTLESS.iter().any(|name| table.contains(&format!(" {name} ("))))
        {
            for key in ["PRIMARY KEY", "UNIQUE"].iter().flat_map(|word| table.split(word).skip(1)) {
                let columns = key.split_once('(').map_or("", |(_, columns)| columns);
                assert!(columns.starts_with("tenant_id"), "{}: {}", file.display(), table.trim());
            }
        }
    }
}
