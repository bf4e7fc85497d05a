//! The key tree: opened with what the configuration names.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::SharedClock;
#[cfg(feature = "kms-aws")]
use crate::config::AwsConfig;
use crate::config::{Config, KmsSource, LocalSecret, OpenBaoConfig};
use crate::crypto::kms::{Kms, LocalKms};
use crate::keyring::{CacheLimits, Cell, Keyring, Top};
use crate::kms::Bounded;
use crate::kms::openbao::{OpenBao, OpenBaoSettings};
use crate::store::Store;

/// Opens the key tree, or founds one.
pub(super) async fn open(store: &Store, config: &Config, clock: &SharedClock) -> anyhow::Result<Keyring> {
    let keys = &config.keys;
    let previous = keys.previous.as_deref().map(kms).transpose();
    let top = Top {
        kms: kms(&keys.kms)?,
        previous: previous.context("the KMS of before (keys.previous_…) cannot be used")?,
        cell: Cell::new(keys.cell_files.clone(), keys.cell_needed).of_another(keys.cell_is_foreign),
    };
    if keys.cell_files.len() == 1 {
        tracing::warn!("the epoch cell has one place alone: when that file is lost, everything is (keys.cell_files)");
    }
    let limits = CacheLimits { entries: keys.cache_entries, ttl: keys.cache_ttl };
    Keyring::open((store.clone(), clock.clone()), top, limits, keys.suite)
        .await
        .context("the key tree cannot be opened")
}

fn kms(source: &KmsSource) -> anyhow::Result<Arc<dyn Kms>> {
    Ok(Arc::new(Bounded::new(provider(source)?)))
}

fn provider(source: &KmsSource) -> anyhow::Result<Arc<dyn Kms>> {
    Ok(match source {
        KmsSource::Local(local) => {
            let name = match local {
                LocalSecret::File { .. } => "file",
                LocalSecret::Env { .. } => "env",
            };
            let secret = local.read().context("the key of this installation cannot be used")?;
            Arc::new(LocalKms::new(name, &secret))
        }
        KmsSource::OpenBao(settings) => Arc::new(OpenBao::new(openbao(settings)?)?),
        #[cfg(feature = "kms-aws")]
        KmsSource::Aws(settings) => {
            use crate::kms::aws::{AwsKms, AwsKmsSettings};
            let AwsConfig { url, region, key, credentials } = settings.clone();
            Arc::new(AwsKms::new(AwsKmsSettings { url, region, key, credentials })?)
        }
        #[cfg(not(feature = "kms-aws"))]
        KmsSource::Aws(_) => anyhow::bail!("keys.kms = \"aws\" needs a build with the feature kms-aws"),
        #[cfg(feature = "kms-pkcs11")]
        KmsSource::Pkcs11(settings) => {
            use crate::kms::pkcs11::{Pkcs11Kms, Pkcs11Settings};
            let settings = settings.clone();
            let (module, token, key, pin) = (settings.module, settings.token, settings.key, settings.pin);
            Arc::new(Pkcs11Kms::new(Pkcs11Settings { module, token, key, pin })?)
        }
        #[cfg(not(feature = "kms-pkcs11"))]
        KmsSource::Pkcs11(_) => anyhow::bail!("keys.kms = \"pkcs11\" needs a build with the feature kms-pkcs11"),
    })
}

fn openbao(config: &OpenBaoConfig) -> anyhow::Result<OpenBaoSettings> {
    let authorities = match &config.authorities {
        Some(path) => std::fs::read_to_string(path).context("keys.openbao_ca_file cannot be read")?,
        None => String::new(),
    };
    let OpenBaoConfig { url, mount, key, namespace, token, .. } = config.clone();
    Ok(OpenBaoSettings { url, mount, key, namespace, token, authorities })
}
