//! Takes typed values out of the merged layers. It never stops at a fault, so that all are reported at once, and it
//! remembers what it handed out, without secrets, so that the effective configuration can be printed.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::fault::Fault;
use super::layers::Layers;
use super::placeholder::looks_like_an_example;

/// More than any secret needs; stops a path such as `/dev/zero`.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// Every accessor returns `None` after it has noted a fault, or where it says so, for a key left empty.
pub(super) struct Reader {
    layers: Layers,
    asked: BTreeSet<String>,
    shown: Vec<(String, String)>,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self { layers, asked: BTreeSet::new(), shown: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(Fault { key: key.to_owned(), problem: problem.into() });
    }

    /// A whole number of anything.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<T> {
        let text = self.text(key)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        let Some(number) = number else {
            self.fault(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
            return None;
        };
        self.show(key, number);
        T::try_from(number).ok()
    }

    pub(super) fn seconds(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_secs)
    }

    pub(super) fn millis(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_millis)
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.parsed_text(key, "true or false")?;
        self.show(key, flag);
        Some(flag)
    }

    /// Anything written as text; `expected` completes the sentence "must be …".
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let parsed = self.parsed_text(key, expected)?;
        let text = self.text(key)?;
        self.show(key, quoted(&text));
        Some(parsed)
    }

    /// A path, or `None` without a fault when the key is empty.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        self.show(key, quoted(&text));
        Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty())
    }

    /// An array in a file, comma-separated text in the environment.
    pub(super) fn list<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<Vec<T>> {
        let items = match self.value(key)?.kind {
            ValueKind::Array(items) => items.into_iter().map(scalar).collect::<Option<Vec<_>>>(),
            ValueKind::String(text) => {
                Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
            }
            _ => None,
        };
        let parsed = items.as_ref().and_then(|items| items.iter().map(|item| item.parse().ok()).collect());
        let (Some(items), Some(parsed)) = (items, parsed) else {
            self.fault(key, format!("must be a list of {expected}"));
            return None;
        };
        self.show(key, format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")));
        Some(parsed)
    }

    /// A secret in either form, `key` or `key_file`; `None` without a fault when neither is set.
    pub(super) fn secret(&mut self, key: &str) -> Option<String> {
        let file_key = format!("{key}_file");
        let value = self.shown_secret(key);
        let file = self.path(&file_key);
        let read = match (value, file) {
            (Some(_), Some(_)) => Err((key, format!("is set, and so is {file_key}; keep one"))),
            (Some(value), None) => proper(value).map_err(|problem| (key, problem)),
            (None, Some(path)) => {
                read_secret_file(&path).and_then(proper).map_err(|problem| (file_key.as_str(), problem))
            }
            (None, None) => return None,
        };
        read.map_err(|(key, problem)| self.fault(key, problem)).ok()
    }

    /// The value form of a secret, unchecked, and shown as no more than set or not; `None` when it is empty.
    pub(super) fn shown_secret(&mut self, key: &str) -> Option<String> {
        let value = self.text(key).filter(|text| !text.is_empty());
        self.show(key, quoted(if value.is_some() { "(set)" } else { "" }));
        value
    }

    /// As [`Reader::secret`], but being set nowhere is a fault; `purpose` completes "required: …".
    pub(super) fn required_secret(&mut self, key: &str, purpose: &str) -> Option<String> {
        let before = self.faults.len();
        let secret = self.secret(key);
        if secret.is_none() && self.faults.len() == before {
            self.fault(key, format!("required: {purpose} (or {key}_file with the path of a file)"));
        }
        secret
    }

    /// Notes a fault for every key of the upper layers that nobody asked for. To be called after everyone has asked.
    pub(super) fn refuse_unknown(&mut self) {
        // A section without keys is no fault: all its lines may be commented out.
        let is_section = |name: &str| self.asked.iter().any(|key| key.split_once('.').is_some_and(|(s, _)| s == name));
        let unknown = |keys: &BTreeSet<String>| {
            keys.difference(&self.asked).filter(|key| !is_section(key)).cloned().collect::<Vec<_>>()
        };
        let (in_file, in_environment) = (unknown(&self.layers.in_file), unknown(&self.layers.in_environment));
        for key in in_file {
            self.fault(&key, "is not a key (see config/default.toml)");
        }
        for key in in_environment {
            self.fault(&variable(&key), "names no key; it would be WAXSEAL_SECTION__KEY");
        }
    }

    /// The effective values as TOML, each with the layer it came from.
    pub(super) fn effective(&self) -> String {
        let mut lines = Vec::new();
        let mut current = "";
        for (key, value) in &self.shown {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            if section != current {
                lines.push(format!("\n[{section}]"));
                current = section;
            }
            lines.push(format!("{name} = {value} # {}", self.origin(key)));
        }
        lines.join("\n").trim_start().to_owned() + "\n"
    }

    fn origin(&self, key: &str) -> &'static str {
        match key {
            key if self.layers.in_environment.contains(key) => "environment",
            key if self.layers.in_file.contains(key) => "file",
            _ => "default",
        }
    }

    fn show(&mut self, key: &str, value: impl Display) {
        self.shown.push((key.to_owned(), value.to_string()));
    }

    fn parsed_text<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let parsed = self.text(key)?.parse().ok();
        if parsed.is_none() {
            self.fault(key, format!("must be {expected}"));
        }
        parsed
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let text = scalar(self.value(key)?);
        if text.is_none() {
            self.fault(key, "must be a single value");
        }
        text
    }

    fn value(&mut self, key: &str) -> Option<Value> {
        self.asked.insert(key.to_owned());
        let value = self.layers.merged.get(key).ok();
        if value.is_none() {
            self.fault(key, "must be a value of its section");
        }
        value
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }
}

/// The environment variable of a dotted key.
pub(super) fn variable(key: &str) -> String {
    format!("WAXSEAL_{}", key.replace('.', "__").to_uppercase())
}

/// Reads a secret kept in a file, without its trailing line break. The error is a sentence that names the path.
pub(super) fn read_secret_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE).read_to_string(&mut text))
        .map_err(|fault| format!("{} cannot be read: {}", path.display(), fault.kind()))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Refuses what no secret may be. The error is a sentence.
pub(super) fn proper(secret: String) -> Result<String, String> {
    if secret.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if looks_like_an_example(&secret) {
        return Err("is an example; give it a secret of your own".to_owned());
    }
    Ok(secret)
}

fn scalar(value: Value) -> Option<String> {
    match value.kind {
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => None,
        _ => value.into_string().ok(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
