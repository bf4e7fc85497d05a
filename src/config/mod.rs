//! The configuration: three layers in, validated domain types out, every fault reported at once.
//!
//! The manual of the keys is `config/default.toml`. Nothing but this room reads the environment.

mod audit;
mod backup;
mod bootstrap;
mod database;
mod deliver;
mod fault;
mod graph;
mod ingest;
mod key_file;
mod keys;
mod kms;
mod kms_aws;
mod layers;
mod log;
mod media;
mod meta;
mod placeholder;
mod privacy;
mod reader;
mod region;
mod retention;
mod roles;
mod send;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod tls_files;

use std::collections::BTreeMap;
use std::path::Path;

pub use audit::{AuditConfig, WitnessAt};
pub use backup::BackupConfig;
pub use bootstrap::Bootstrap;
pub use database::DatabaseConfig;
pub use deliver::DeliverConfig;
pub use fault::{ConfigError, Fault};
pub use graph::{AllowedCall, GraphConfig};
pub use ingest::IngestConfig;
pub use key_file::{KeyFileError, create_key_file, decode, open_key_file, read_key_file};
pub use keys::KeysConfig;
pub use kms::{KmsSecret, KmsSource, LocalSecret, OpenBaoConfig, Pkcs11Config};
pub use kms_aws::AwsConfig;
pub use layers::{DEFAULT_TOML, environment};
pub use log::{LogConfig, LogFormat};
pub use media::{MediaConfig, MediaPlace};
pub use meta::MetaConfig;
pub use placeholder::looks_like_an_example;
pub use privacy::{PrivacyConfig, Processor};
pub use region::{RegionConfig, RegionName};
pub use retention::{KeptFor, RetentionConfig};
pub use roles::{RolePrefix, RoleUse};
pub use send::{ConsentCheck, SendConfig, Throughput, WindowCheck};
pub use server::ServerConfig;
pub use tls::{ListenerTls, TlsClients, TlsConfig};
pub use tls_files::TlsFiles;

use layers::Layers;
use reader::Reader;

/// Everything an operator may decide.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and shutdown.
    pub server: ServerConfig,
    /// TLS of the listeners.
    pub tls: TlsConfig,
    /// The data's Postgres.
    pub database: DatabaseConfig,
    /// The key tree's Postgres, secret and cache.
    pub keys: KeysConfig,
    /// How Meta is reached.
    pub meta: MetaConfig,
    /// The way in.
    pub ingest: IngestConfig,
    /// The way to the apps.
    pub deliver: DeliverConfig,
    /// The way to Meta.
    pub send: SendConfig,
    /// The Graph mirror.
    pub graph: GraphConfig,
    /// Files that people send.
    pub media: MediaConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// What goes with age.
    pub retention: RetentionConfig,
    /// Where everything of the tenant belongs.
    pub region: RegionConfig,
    /// How old backups may be.
    pub backup: BackupConfig,
    /// The record of processing, and what people are told.
    pub privacy: PrivacyConfig,
    /// Logging.
    pub log: LogConfig,
    /// A number set up from the environment.
    pub bootstrap: Option<Bootstrap>,
    effective: String,
}

impl Config {
    /// Merges the compiled-in defaults, `file` and `env` (see [`environment`]), and validates the outcome.
    ///
    /// Reads the files that secrets and certificates were said to be in, but not the one of [`LocalSecret::File`]: that is read when the
    /// key is needed.
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: BTreeMap<String, String> = env.collect();
        let mut reader = Reader::new(Layers::stack(file, &env)?);
        let config = read(&mut reader, &env);
        match config {
            Some(config) if reader.faults.is_empty() => Ok(config),
            _ => Err(ConfigError::Faults { faults: reader.faults }),
        }
    }

    /// The values in force as TOML, each with the layer it came from; of secrets only whether they are set.
    #[must_use]
    pub fn to_redacted_toml(&self) -> String {
        let number = match &self.bootstrap {
            Some(bootstrap) => format!("phone_number_id {}", bootstrap.phone_number_id),
            None => "none".to_owned(),
        };
        format!("{}\n# number set up from the environment: {number}\n", self.effective)
    }
}

/// Reads every section, whatever became of the ones before it.
fn read(reader: &mut Reader, env: &BTreeMap<String, String>) -> Option<Config> {
    let server = ServerConfig::read(reader);
    let tls = TlsConfig::read(reader);
    let database = DatabaseConfig::read(reader);
    let keys = KeysConfig::read(reader);
    let meta = MetaConfig::read(reader);
    let ingest = IngestConfig::read(reader);
    let deliver = DeliverConfig::read(reader);
    let send = SendConfig::read(reader);
    let graph = GraphConfig::read(reader);
    let media = MediaConfig::read(reader);
    let audit = AuditConfig::read(reader);
    let retention = RetentionConfig::read(reader);
    let region = RegionConfig::read(reader);
    if let (Some(region), Some(keys), Some(media)) = (&region, &keys, &media) {
        region.confine(reader, keys, media);
    }
    let backup = BackupConfig::read(reader);
    let privacy = PrivacyConfig::read(reader);
    let log = LogConfig::read(reader);
    let bootstrap = Bootstrap::read(env).map_err(|faults| reader.faults.extend(faults)).ok();
    reader.refuse_unknown();
    Some(Config {
        server: server?,
        tls: tls?,
        database: database?,
        keys: keys?,
        meta: meta?,
        ingest: ingest?,
        deliver: deliver?,
        send: send?,
        graph: graph?,
        media: media?,
        audit: audit?,
        retention: retention?,
        region: region?,
        backup: backup?,
        privacy: privacy?,
        log: log?,
        bootstrap: bootstrap?,
        effective: reader.effective(),
    })
}
