//! Finds the programs of a Postgres server on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;
use crate::config::environment;

/// Folders that hold one folder per version: the prefix of its name, and where the programs are below it.
const SHELVES: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// The folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    /// The programs of major version `wanted`, or else the first on `PATH`, or else the newest.
    pub(super) fn find(wanted: Option<&str>) -> Result<Self, PostgresError> {
        let mut found = candidates().filter(|folder| is_server(folder)).peekable();
        if found.peek().is_none() {
            return Err(PostgresError::NotInstalled);
        }
        let folder = match wanted {
            Some(major) => found
                .find(|folder| major_version(folder).as_deref() == Some(major))
                .ok_or_else(|| PostgresError::OtherVersion { wanted: major.to_owned() })?,
            None => found.next().ok_or(PostgresError::NotInstalled)?,
        };
        Ok(Self(folder))
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let path = environment().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let on_shelves = SHELVES.iter().flat_map(|(shelf, prefix, inner)| on_shelf(Path::new(shelf), prefix, inner));
    on_path.into_iter().chain(on_shelves).chain(std::iter::once_with(told_by_pg_config).flatten())
}

/// The version folders of one shelf, the newest first.
fn on_shelf(shelf: &Path, prefix: &str, inner: &str) -> Vec<PathBuf> {
    let names =
        fs::read_dir(shelf).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut versions: Vec<(u32, String)> = names
        .filter_map(|name| {
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            let number = version.split('.').next()?.parse().ok();
            // Homebrew's plain "postgresql" has no number; a folder without prefix needs one.
            number.or((version.is_empty() && !prefix.is_empty()).then_some(0)).map(|number| (number, name))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, name)| shelf.join(name).join(inner)).collect()
}

fn told_by_pg_config() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim()))
}

fn is_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file())
}

/// Such as `15`, from "postgres (PostgreSQL) 15.14".
fn major_version(folder: &Path) -> Option<String> {
    let answer = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.chars().take_while(char::is_ascii_digit).collect())
}
