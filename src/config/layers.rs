//! The layers of the configuration: default < file < environment. Here alone is the environment read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ::config::{Config as Merged, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::fault::ConfigError;

/// The manual of every key, which is also the lowest layer.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Names that begin like ours and belong to somebody else: the command line, and what `waxseal dev` writes to `dev.env`.
const NOT_KEYS: &[&str] = &[
    "WAXSEAL_CONFIG",
    "WAXSEAL_PUBLIC_URL",
    "WAXSEAL_API_URL",
    "WAXSEAL_ADMIN_URL",
    "WAXSEAL_GRAPH_URL",
    "WAXSEAL_API_KEY",
    "WAXSEAL_APP_SECRET",
    "WAXSEAL_VERIFY_TOKEN",
    "WAXSEAL_PHONE_NUMBER_ID",
    "WAXSEAL_WABA_ID",
    "WAXSEAL_SIMULATOR_URL",
];

/// The process environment. Variables that are not Unicode are left out; they are none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The merged layers, and which keys each of the upper two sets.
pub(super) struct Layers {
    pub(super) merged: Merged,
    pub(super) in_file: BTreeSet<String>,
    pub(super) in_environment: BTreeSet<String>,
}

impl Layers {
    pub(super) fn stack(file: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let text = file.map(read).transpose()?.unwrap_or_default();
        let file_layer = File::from_str(&text, FileFormat::Toml);
        let file_map = file_layer.collect().map_err(|fault| syntax(file, &fault))?;
        let env_layer =
            Environment::with_prefix("WAXSEAL").prefix_separator("_").separator("__").source(Some(ours(env)));
        let env_map = env_layer.collect().map_err(|_| ConfigError::Layers)?;
        let merged = Merged::builder()
            .add_source(File::from_str(DEFAULT_TOML, FileFormat::Toml))
            .add_source(file_layer)
            .add_source(env_layer)
            .build()
            .map_err(|_| ConfigError::Layers)?;
        Ok(Self { merged, in_file: keys(&file_map), in_environment: keys(&env_map) })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn syntax(path: Option<&Path>, fault: &::config::ConfigError) -> ConfigError {
    // The parser quotes the faulty line below its first; that line may hold a secret.
    let place = match fault {
        ::config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let place = place.lines().next().unwrap_or_default().to_owned();
    ConfigError::Syntax { path: path.unwrap_or(Path::new("")).to_owned(), place }
}

/// Our variables, the customary `DATABASE_URL` translated to ours.
fn ours(env: &BTreeMap<String, String>) -> Map<String, String> {
    let mut ours: Map<String, String> = env
        .iter()
        .filter(|(name, _)| name.starts_with("WAXSEAL_") && !NOT_KEYS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let forms = ["WAXSEAL_DATABASE__URL", "WAXSEAL_DATABASE__URL_FILE"];
    if forms.iter().all(|form| ours.get(*form).is_none_or(String::is_empty)) {
        for (form, customary) in forms.iter().zip(["DATABASE_URL", "DATABASE_URL_FILE"]) {
            ours.extend(env.get(customary).map(|value| ((*form).to_owned(), value.clone())));
        }
    }
    ours
}

/// The dotted names of all plain values in a layer.
pub(super) fn keys(layer: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in layer {
        match &value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                found.extend(keys(inner).into_iter().map(|key| format!("{name}.{key}")));
            }
            _ => {
                found.insert(name.clone());
            }
        }
    }
    found
}
