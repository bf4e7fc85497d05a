//! What the configuration says, as far as it is judged and told of: taken out of it once, without a secret and without a way in.

use std::net::SocketAddr;
use std::path::PathBuf;

use time::Duration;

use crate::config::{
    BackupConfig, Config, ConsentCheck, KmsSource, ListenerTls, LocalSecret, MediaPlace, PrivacyConfig,
    RetentionConfig, WindowCheck,
};

/// Where somebody may connect.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) name: &'static str,
    pub(super) at: SocketAddr,
    pub(super) tls: bool,
    /// Whether nobody connects without a certificate.
    pub(super) mutual: bool,
}

impl Listener {
    /// Whether what passes can be read by others on the network.
    pub(super) const fn is_clear(&self) -> bool {
        !self.tls && !self.at.ip().is_loopback()
    }
}

/// The KMS.
#[derive(Debug, Clone)]
pub(super) struct Kms {
    /// Its name in the configuration.
    pub(super) name: &'static str,
    /// Where it is, for the record of processing.
    pub(super) at: String,
    /// The file of its secret, where that is one.
    pub(super) secret: Option<PathBuf>,
}

/// Where files are.
#[derive(Debug, Clone)]
pub(super) struct FilesAt {
    /// Whether there is a place at all.
    pub(super) are_kept: bool,
    /// Where they go, for the record of processing.
    pub(super) at: String,
}

/// What was declared.
#[derive(Debug, Clone)]
pub struct Declared {
    pub(super) listeners: Vec<Listener>,
    /// What cloud services call the region.
    pub(super) clouds: Vec<String>,
    pub(super) consent: bool,
    pub(super) window: bool,
    /// Version of the Graph API.
    pub(super) graph: String,
    /// Host of the Graph API.
    pub(super) graph_host: String,
    pub(super) kms: Kms,
    pub(super) files: FilesAt,
    /// What is forgotten waits so long at most for a step of the epoch.
    pub(super) step_within: Duration,
    /// Hosts of the witnesses.
    pub(super) witnesses: Vec<String>,
    pub(super) quorum: usize,
    pub(super) retention: RetentionConfig,
    /// Days that entries of the audit log are kept.
    pub(super) audit_days: u16,
    pub(super) backup: BackupConfig,
    pub(super) privacy: PrivacyConfig,
}

impl Declared {
    /// Out of the configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let audit = &config.audit;
        Self {
            listeners: listeners(config),
            clouds: config.region.cloud.clone(),
            consent: config.send.check_consent != ConsentCheck::Off,
            window: config.send.check_window != WindowCheck::Off,
            graph: config.meta.graph_version.clone(),
            graph_host: host(&config.meta.graph_url),
            kms: kms(&config.keys.kms),
            files: files(config),
            step_within: config.keys.epoch_step.try_into().unwrap_or(Duration::DAY),
            witnesses: audit.witnesses.iter().map(|one| host(&one.url)).collect(),
            quorum: audit.quorum,
            retention: config.retention,
            audit_days: audit.retention_days,
            backup: config.backup,
            privacy: config.privacy.clone(),
        }
    }
}

fn host(url: &url::Url) -> String {
    url.host_str().unwrap_or("-").to_owned()
}

fn listeners(config: &Config) -> Vec<Listener> {
    let (server, tls) = (&config.server, &config.tls);
    let all = [
        ("public", server.public_listen, &tls.public),
        ("internal", server.internal_listen, &tls.internal),
        ("admin", server.admin_listen, &tls.admin),
    ];
    let listener = |(name, at, tls): (&'static str, SocketAddr, &Option<ListenerTls>)| Listener {
        name,
        at,
        tls: tls.is_some(),
        mutual: tls.as_ref().and_then(|tls| tls.clients.as_ref()).is_some_and(|clients| !clients.optional),
    };
    all.into_iter().map(listener).collect()
}

fn kms(source: &KmsSource) -> Kms {
    let (name, at, secret) = match source {
        KmsSource::Local(LocalSecret::File { path }) => ("file", "on this machine".to_owned(), Some(path.clone())),
        KmsSource::Local(LocalSecret::Env { .. }) => ("env", "on this machine".to_owned(), None),
        KmsSource::OpenBao(bao) => ("openbao", format!("{}; it sees a wrapped key, no data", host(&bao.url)), None),
        KmsSource::Aws(aws) => ("aws", format!("AWS KMS, region {}; it sees a wrapped key, no data", aws.region), None),
        KmsSource::Pkcs11(_) => ("pkcs11", "a hardware token".to_owned(), None),
    };
    Kms { name, at, secret }
}

fn files(config: &Config) -> FilesAt {
    let media = &config.media;
    let (are_kept, at) = match (&media.place, &media.s3_endpoint) {
        (MediaPlace::Nowhere, _) => (false, "not kept".to_owned()),
        (MediaPlace::Directory(_), _) => (true, "on this machine; sealed".to_owned()),
        (MediaPlace::Bucket { name, .. }, None) => {
            (true, format!("bucket {name} at Amazon, region {}; sealed", media.s3_region))
        }
        (MediaPlace::Bucket { name, .. }, Some(at)) => {
            (true, format!("bucket {name} at {}, region {}; sealed", host(at), media.s3_region))
        }
    };
    FilesAt { are_kept, at }
}
