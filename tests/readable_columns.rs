//! Every column that is not sealed stands in SECURITY.md with the reason why it is readable, and nothing else does. A plain
//! scan of the migrations: a new column is a decision about privacy, and this is where it is asked for.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an unreadable file fails the test as it should"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Column = (String, String);

/// Words that begin a constraint and not a column.
const CONSTRAINTS: [&str; 5] = ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT"];

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All migrations of both schemas in order, without comments, each statement on one line.
fn statements() -> Vec<String> {
    let folders = ["migrations/data", "migrations/keys"].map(|folder| fs::read_dir(place(folder)).unwrap());
    let mut files: Vec<PathBuf> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "sql"));
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let code = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    words.join(" ").split(';').map(|statement| statement.trim().to_owned()).collect()
}

/// The parts of a list that are separated by commas outside of all parentheses.
fn parts(list: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for letter in list.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(letter);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Name and type of a column; `None` for a constraint.
fn column(definition: &str) -> Option<(&str, &str)> {
    let (name, rest) = definition.split_once(' ')?;
    let is_column = !CONSTRAINTS.contains(&name.to_uppercase().as_str());
    is_column.then(|| (name, rest.split([' ', '(']).next().unwrap_or_default()))
}

/// What the migrations leave readable.
fn readable() -> BTreeSet<Column> {
    let mut columns = BTreeSet::new();
    for statement in statements() {
        let words: Vec<&str> = statement.split(' ').collect();
        match words.as_slice() {
            ["CREATE", "TABLE", table, ..] | ["CREATE", "UNLOGGED", "TABLE", table, ..] => {
                let list = statement.split_once('(').unwrap().1;
                let list = [" WITH (", " PARTITION BY", ")"]
                    .iter()
                    .fold(list, |list, end| list.rsplit_once(end).map_or(list, |cut| cut.0));
                let named = parts(list);
                let plain = named.iter().filter_map(|part| column(part)).filter(|(_, kind)| *kind != "sealed");
                columns.extend(plain.map(|(name, _)| ((*table).to_owned(), name.to_owned())));
            }
            ["DROP", "TABLE", .., table] => columns.retain(|(name, _)| name != table),
            ["ALTER", "TABLE", table, ..] => {
                for action in parts(&words[3..].join(" ")) {
                    alter(&mut columns, table, &action);
                }
            }
            _ => {}
        }
    }
    columns
}

fn alter(columns: &mut BTreeSet<Column>, table: &str, action: &str) {
    let column = |name: &str| (table.to_owned(), name.to_owned());
    match action.split(' ').collect::<Vec<_>>().as_slice() {
        ["ADD", "COLUMN", name, kind, ..] if *kind != "sealed" => columns.extend([column(name)]),
        ["DROP", "COLUMN", .., name] => columns.retain(|there| *there != column(name)),
        ["RENAME", "COLUMN", from, "TO", to] if columns.remove(&column(from)) => columns.extend([column(to)]),
        _ => {}
    }
}

/// The rows of SECURITY.md. Every one must give a reason.
fn explained() -> BTreeSet<Column> {
    let text = fs::read_to_string(place("SECURITY.md")).unwrap();
    let rows = text.split("| table | column | why |").nth(1).unwrap().lines().skip(2);
    let mut columns = BTreeSet::new();
    for row in rows.take_while(|row| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [table, name, why] = cells.as_slice() else { panic!("not three cells: {row}") };
        assert!(why.len() > 5, "no reason is given: {row}");
        let column = (table.trim_matches('`').to_owned(), name.trim_matches('`').to_owned());
        assert!(columns.insert(column), "named twice: {row}");
    }
    columns
}

#[test]
fn every_readable_column_is_explained_and_every_explained_column_exists() {
    let (readable, explained) = (readable(), explained());
    assert!(
        readable.len() > 80,
        "only {} columns were found: the scan no longer understands the migrations",
        readable.len()
    );
    let unexplained: Vec<_> = readable.difference(&explained).collect();
    assert!(unexplained.is_empty(), "readable, and no reason in SECURITY.md: {unexplained:?}");
    let vanished: Vec<_> = explained.difference(&readable).collect();
    assert!(vanished.is_empty(), "explained in SECURITY.md, but sealed or gone: {vanished:?}");
}
