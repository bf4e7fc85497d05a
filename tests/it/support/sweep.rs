//! Looks for things that must be nowhere: in every file below a folder, in every row of a database, in any text; as they
//! are, and in the forms in which programs print and store bytes.

use std::path::Path;

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use memchr::memmem;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Something that must be nowhere, in all its forms.
pub struct Needle {
    name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Needle {
    /// The bytes as they are, and nothing else.
    pub fn plain(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), forms: vec![("plain", text.as_bytes().to_vec())] }
    }

    /// Plain, hex, base64 wherever it begins, decimal lists of bytes, UTF-16; of digits also the number.
    pub fn in_every_form(name: impl Into<String>, text: &str) -> Self {
        let bytes = text.as_bytes();
        let decimal = |between: &str| {
            let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
            numbers.join(between).into_bytes()
        };
        let mut forms = vec![
            ("plain", bytes.to_vec()),
            ("reversed", bytes.iter().rev().copied().collect()),
            ("hex", HEXLOWER.encode(bytes).into_bytes()),
            ("upper hex", HEXUPPER.encode(bytes).into_bytes()),
            ("decimal list", decimal(", ")),
            ("narrow decimal list", decimal(",")),
            ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("URL", url::form_urlencoded::byte_serialize(bytes).collect::<String>().into_bytes()),
        ];
        for begin in 0..3 {
            forms.push(("base64", inner_base64(&BASE64, bytes, begin)));
            forms.push(("base64url", inner_base64(&BASE64URL, bytes, begin)));
        }
        if let Ok(number) = text.parse::<u64>() {
            forms.push(("little-endian number", number.to_le_bytes().to_vec()));
            forms.push(("big-endian number", number.to_be_bytes().to_vec()));
        }
        if let Ok(decoded) = HEXLOWER.decode(bytes) {
            forms.push(("what the hex stands for", decoded));
        }
        // Short forms are found by chance.
        forms.retain(|(_, form)| form.len() >= 8);
        let mut known = std::collections::BTreeSet::new();
        forms.retain(|(_, form)| known.insert(form.clone()));
        Self { name: name.into(), forms }
    }

    /// The first form that stands in `haystack`.
    fn found_in(&self, haystack: &[u8]) -> Option<&'static str> {
        self.forms.iter().find(|(_, form)| memmem::find(haystack, form).is_some()).map(|(form, _)| *form)
    }
}

/// The characters that base64 has for these bytes wherever they stand `begin` bytes behind a multiple of three.
fn inner_base64(encoding: &data_encoding::Encoding, bytes: &[u8], begin: usize) -> Vec<u8> {
    let shifted = [&vec![0; begin][..], bytes].concat();
    let text = encoding.encode(&shifted).into_bytes();
    // Characters that hold bits of neighbours are left out.
    let (first, last) = ((begin * 8).div_ceil(6), (shifted.len() * 8) / 6);
    text[first..last].to_vec()
}

/// Where needles stand: `name (form) in place`, never the value.
pub fn in_bytes(needles: &[Needle], place: &str, haystack: &[u8]) -> Vec<String> {
    needles
        .iter()
        .filter_map(|needle| Some(format!("{} ({}) in {place}", needle.name, needle.found_in(haystack)?)))
        .collect()
}

/// Searches every file below a folder, the folder's own path excepted. Returns what was found and how many bytes were read.
pub fn in_files(needles: &[Needle], folder: &Path) -> (Vec<String>, usize) {
    let (mut found, mut read, mut folders) = (Vec::new(), 0, vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                // Files of a running server come and go.
                let bytes = std::fs::read(&path).unwrap_or_default();
                read += bytes.len();
                found.extend(in_bytes(needles, &path.display().to_string(), &bytes));
            }
        }
    }
    (found, read)
}

/// Every row of every table of ours as text, as a dump would hold it.
pub async fn dump(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut text = String::new();
    for (table,) in tables {
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for (row,) in rows {
            text.extend([table.as_str(), " ", &row, "\n"]);
        }
    }
    text
}

/// Everything that the server has written, on disk: what waits in memory is written first.
pub async fn in_database(needles: &[Needle], url: &str, folder: &Path) -> Vec<String> {
    super::database::sabotage(url, "CHECKPOINT").await;
    let (mut found, read) = in_files(needles, folder);
    assert!(read > 10_000_000, "a server has more files than {read} bytes");
    found.extend(in_bytes(needles, "the dump", dump(url).await.as_bytes()));
    found
}
