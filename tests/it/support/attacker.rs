//! Somebody who has everything: the KMS secret, the epoch cell as it is, the key tables and the data of now and of whenever they were copied,
//! and the files. Opens whatever can be opened with all keys that can be had from it, whichever copy the parts are from.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;
use waxseal::crypto::cell::Slot;
use waxseal::crypto::chunks;
use waxseal::crypto::context::Context;
use waxseal::crypto::envelope::{self, Sealed};
use waxseal::crypto::keys::{Dek, KeyBytes, WrappingKey};
use waxseal::crypto::kms;
use waxseal::crypto::wrap::{self, WrapContext};

/// A sealed value, and the place that it was found in.
struct Value {
    context: Context,
    bytes: Vec<u8>,
}

/// Every place of the table in `docs/envelope.md` that has anything of people, as an expression for its row and its contact.
const PLACES: [(&str, &str, &str, &str); 15] = [
    ("contact", "profile", "contact_id", "contact_id"),
    ("event_payload", "payload", "event_id", "(SELECT contact_id FROM event e WHERE e.event_id = t.event_id)"),
    ("message", "request", "message_id", "contact_id"),
    ("message", "fallback", "message_id", "contact_id"),
    ("message", "answer", "message_id", "contact_id"),
    ("idempotency", "answer", "message_id", "NULL"),
    ("media", "details", "media_id", "contact_id"),
    ("consent", "wording", "consent_id", "contact_id"),
    ("erasure", "identity_note", "erasure_id", "NULL"),
    ("erasure", "reference", "erasure_id", "NULL"),
    ("hold", "reason", "hold_id", "NULL"),
    ("privacy_request", "reference", "request_id", "NULL"),
    ("privacy_request", "reason", "request_id", "NULL"),
    ("restriction", "reason", "contact_id", "NULL"),
    ("export", "recipient", "export_id", "NULL"),
];

/// A wrapped key: its parent, its own id, its tenant and its name.
type Wrapped = (Uuid, Uuid, Uuid, Vec<u8>, Vec<u8>);

/// Everything that was copied.
#[derive(Default)]
pub struct Attacker {
    values: Vec<Value>,
    /// Id, tenant and contact of each file.
    files: BTreeSet<(Uuid, Uuid, Uuid)>,
    installations: Vec<(Uuid, i64, Vec<u8>, Vec<u8>)>,
    keks: Vec<Wrapped>,
    buckets: Vec<Wrapped>,
    deks: Vec<Wrapped>,
}

/// What was opened.
pub struct Spoils {
    /// Place and content of each.
    pub opened: Vec<(String, Vec<u8>)>,
    /// Ids of the keys that could be had.
    pub keys: BTreeSet<Uuid>,
}

impl Spoils {
    /// The places in whose content one of these words stands.
    pub fn with(&self, words: &[&str]) -> BTreeSet<String> {
        let has = |content: &[u8]| words.iter().any(|word| memchr::memmem::find(content, word.as_bytes()).is_some());
        self.opened.iter().filter(|(_, content)| has(content)).map(|(place, _)| place.clone()).collect()
    }
}

impl Attacker {
    /// Copies data and keys as they are.
    pub async fn copy(&mut self, database: &str) {
        self.copy_data(database).await;
        self.copy_keys(database).await;
    }

    /// Copies the data.
    pub async fn copy_data(&mut self, database: &str) {
        let mut connection = PgConnection::connect(database).await.unwrap();
        for (table, column, row, contact) in PLACES {
            let statement = format!(
                "SELECT tenant_id, {row} AS row, COALESCE(({contact})::uuid, '{nil}') AS contact, {column}::bytea AS value
                 FROM {table} t WHERE {column} IS NOT NULL",
                nil = Uuid::nil()
            );
            for found in sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap() {
                let context = Context {
                    tenant: found.get(0),
                    table,
                    column,
                    row: found.get("row"),
                    contact: found.get("contact"),
                };
                self.values.push(Value { context, bytes: found.get("value") });
            }
        }
        let files = "SELECT media_id, tenant_id, contact_id FROM media UNION ALL SELECT export_id, tenant_id, contact_id FROM export";
        for found in sqlx::query(files).fetch_all(&mut connection).await.unwrap() {
            let contact: Option<Uuid> = found.get(2);
            self.files.insert((found.get(0), found.get(1), contact.unwrap_or_default()));
        }
    }

    /// Copies the keys.
    pub async fn copy_keys(&mut self, database: &str) {
        let mut connection = PgConnection::connect(database).await.unwrap();
        let installation = "SELECT installation_id, epoch, root_share, root_check FROM waxseal_keys.installation";
        for found in sqlx::query(installation).fetch_all(&mut connection).await.unwrap() {
            self.installations.push((found.get(0), found.get(1), found.get(2), found.get(3)));
        }
        let keys = async |connection: &mut PgConnection, statement: &'static str| -> Vec<Wrapped> {
            let found = sqlx::query(statement).fetch_all(connection).await.unwrap();
            found.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
        };
        let kek = "SELECT tenant_id, kek_id, tenant_id, ''::bytea, wrapped FROM waxseal_keys.tenant_kek";
        self.keks.extend(keys(&mut connection, kek).await);
        let bucket = "SELECT kek_id, bucket_key_id, tenant_id, int2send(bucket), wrapped FROM waxseal_keys.bucket_key";
        self.buckets.extend(keys(&mut connection, bucket).await);
        let dek = "SELECT bucket_key_id, dek_id, tenant_id,
                          int2send(scope) || uuid_send(subject_id) || int4send(month - date '2000-01-01' + 2451545), wrapped
                   FROM waxseal_keys.dek";
        self.deks.extend(keys(&mut connection, dek).await);
    }

    /// Opens what can be opened with the KMS secret and the cell as they are now. `files`: where the object store is.
    pub fn open(&self, secret: &KeyBytes, cell: &Path, files: &Path) -> Spoils {
        let roots = self.roots(secret, &std::fs::read(cell).unwrap_or_default());
        // Every key under every key, whatever the rows say of their parents.
        let keks = under(&roots, "tenant", &self.keks);
        let keks: Vec<WrappingKey> = keks.values().map(WrappingKey::new).collect();
        let buckets = under(&keks, "bucket", &self.buckets);
        let buckets: Vec<WrappingKey> = buckets.values().map(WrappingKey::new).collect();
        let deks = under(&buckets, "dek", &self.deks);
        let deks: HashMap<Uuid, Dek> = deks.into_iter().map(|(id, key)| (id, Dek::new(id, &key))).collect();
        let mut opened = Vec::new();
        for Value { context, bytes } in &self.values {
            let sealed = Sealed::from_stored(bytes.clone());
            let Some(dek) = sealed.dek_id().and_then(|id| deks.get(&id)) else { continue };
            if let Ok(content) = envelope::open(dek, context, &sealed) {
                opened.push((format!("{}.{}", context.table, context.column), content.to_vec()));
            }
        }
        opened.extend(self.opened_files(&deks, files));
        Spoils { opened, keys: deks.into_keys().collect() }
    }

    fn roots(&self, secret: &KeyBytes, cell: &[u8]) -> Vec<WrappingKey> {
        let kms = WrappingKey::new(secret);
        let slots: Vec<Slot> = [0, 4096].iter().filter_map(|at| Slot::decode(cell.get(*at..)?)).collect();
        let mut roots = Vec::new();
        for (installation, epoch, share, check) in &self.installations {
            let at = |level| WrapContext { level, tenant: Uuid::nil(), key: *installation, name: &[] };
            let Ok(share) = wrap::unwrap(&kms, &at("share"), share) else { continue };
            for cell in slots.iter().map(|slot| Some(&slot.share.0)).chain([None]) {
                let root = kms::root(&share, cell, *installation, *epoch);
                if wrap::unwrap(&root, &at("check"), check).is_ok() {
                    roots.push(root);
                }
            }
        }
        roots
    }

    fn opened_files(&self, deks: &HashMap<Uuid, Dek>, folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut opened = Vec::new();
        for file in below(folder) {
            let bytes = std::fs::read(&file).unwrap();
            let Some(header) = bytes.get(..chunks::HEADER) else { continue };
            let Some(dek) = chunks::dek_id(header).and_then(|id| deks.get(&id)) else { continue };
            for (media, tenant, contact) in &self.files {
                let context =
                    Context { tenant: *tenant, table: "media", column: "object", row: *media, contact: *contact };
                let Ok(opener) = chunks::Opener::new(dek, &context, header, bytes.len() as u64) else { continue };
                let Some(first) = bytes.get(76..(76 + opener.stored_length(0)).min(bytes.len())) else { continue };
                if let Ok(content) = opener.open(0, first.to_vec()) {
                    opened.push(("media.object".to_owned(), content));
                }
            }
        }
        opened
    }

    /// The ids of the keys of all envelopes that lie in these bytes.
    pub fn keys_in(bytes: &[u8]) -> BTreeSet<Uuid> {
        let headers = memchr::memmem::find_iter(bytes, b"\x57\x01\x01\x01");
        headers.filter_map(|at| Uuid::from_slice(bytes.get(at + 4..at + 20)?).ok()).collect()
    }

    /// The ids of the keys of a person in the copies.
    pub fn ids_of_keys(&self, subject: Uuid) -> BTreeSet<Uuid> {
        let of = |key: &&Wrapped| key.3.get(2..18) == Some(subject.as_bytes().as_slice());
        self.deks.iter().filter(of).map(|key| key.1).collect()
    }
}

fn under(parents: &[WrappingKey], level: &'static str, keys: &[Wrapped]) -> HashMap<Uuid, KeyBytes> {
    let unwrapped = |(_, id, tenant, name, wrapped): &Wrapped| {
        let context = WrapContext { level, tenant: *tenant, key: *id, name };
        parents.iter().find_map(|parent| wrap::unwrap(parent, &context, wrapped).ok()).map(|key| (*id, key))
    };
    keys.iter().filter_map(unwrapped).collect()
}

/// Every file below a folder.
pub fn below(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
