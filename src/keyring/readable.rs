//! What a process can read is said before another writes it: in words beside its lease. The suites of envelopes; whether it knows places of
//! the epoch cell; the keys of identifiers that it has; and a root share that was proposed, once it has unwrapped it. So nobody is left with
//! keys that do not open.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::installation::{KeyringError, Top};
use super::{Inner, Keyring};
use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError};
use crate::store::StoreError;
use crate::store::key_readers::Reader;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Envelopes that this release opens (`docs/envelope.md`). A release that opens another says so for one release before any writes it.
const SUITES: [&str; 5] = ["suite/1", SUITE_2, "suite/3", VERSIONS, GENERATIONS];
/// Said by who opens ChaCha20-Poly1305.
pub(super) const SUITE_2: &str = "suite/2";
/// Said by who opens content in versions (ADR 20).
const VERSIONS: &str = "versions/1";
/// Said by who knows that there may be several data keys of one name (ADR 22).
pub(super) const GENERATIONS: &str = "deks/1";
/// Said by who knows places of the epoch cell.
const CELL: &str = "cell";

/// How far a move of the root under another KMS has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrap {
    /// It was there already.
    Already,
    /// It is there.
    Done,
    /// Nothing was changed yet: these processes cannot unwrap it there.
    Waits(Vec<Reader>),
}

/// Names a wrapped share without telling anything of it.
fn share_word(wrapped: &[u8]) -> String {
    let digest = Sha256::digest(wrapped);
    format!("share/{}", HEXLOWER.encode(digest.first_chunk::<8>().unwrap_or(&[0; 8])))
}

impl Top {
    /// The share in these bytes, and whoever wraps it: the KMS of the configuration, or the one of before.
    pub(super) async fn unwrap(
        &self,
        installation: Uuid,
        wrapped: &[u8],
    ) -> Result<(KeyBytes, &Arc<dyn Kms>), KmsError> {
        match (self.kms.unwrap(installation, wrapped).await, &self.previous) {
            // A KMS elsewhere may say of another's ciphertext that we may not use its key.
            (Err(KmsError::Refused | KmsError::Denied), Some(previous)) => {
                Ok((previous.unwrap(installation, wrapped).await?, previous))
            }
            (result, _) => Ok((result?, &self.kms)),
        }
    }
}

impl Keyring {
    /// What this process can read. To be said again every few seconds.
    pub async fn readable(&self) -> Result<Vec<String>, KeyringError> {
        let inner = &self.inner;
        let mut words: Vec<String> = SUITES.map(str::to_owned).to_vec();
        if inner.top.cell.places() > 0 {
            words.push(CELL.to_owned());
        }
        words.extend(self.index_words().await?);
        if let Some((present, Some(next))) = inner.store.shares().await?
            && inner.is_same_share(&present, &next).await
        {
            words.push(share_word(&next));
        }
        Ok(words)
    }

    /// Wraps the root share under the KMS of the configuration, when it is still under the one of before and everybody can read it there. To
    /// be called again while it waits: what was proposed stays, unless a step replaces the root.
    pub async fn rewrap_share(&self) -> Result<Rewrap, KeyringError> {
        let (store, top) = (&self.inner.store, &self.inner.top);
        let (id, shares) = (self.inner.root().installation, store.shares().await?);
        let (present, proposed) = shares.ok_or(StoreError::Unavailable)?;
        if top.kms.unwrap(id, &present).await.is_ok() {
            return Ok(Rewrap::Already);
        }
        let (share, _) = top.unwrap(id, &present).await?;
        let next = match proposed {
            Some(next) if top.kms.unwrap(id, &next).await.is_ok_and(|one| is_same(&one, &share)) => next,
            _ => {
                let next = top.kms.wrap(id, &share).await?;
                if !store.propose_share(&present, &next).await? {
                    return Err(StoreError::BrokenOff.into());
                }
                next
            }
        };
        let waits = store.workers_without(&share_word(&next)).await?;
        if !waits.is_empty() {
            return Ok(Rewrap::Waits(waits));
        }
        if store.promote_share(&present, &next).await? { Ok(Rewrap::Done) } else { Err(StoreError::BrokenOff.into()) }
    }

    /// Steps the epoch to bring the cell into an installation that has none, where places for it are named, and every process knows some.
    pub async fn bring_cell_when_readable(&self) -> Result<(), KeyringError> {
        let cell = &self.inner.top.cell;
        if cell.places() == 0 || !cell.is_ours() || self.inner.root_in_force().await?.has_cell {
            return Ok(());
        }
        if self.inner.everybody_reads_cells().await? {
            return self.bring_cell().await;
        }
        tracing::info!("no epoch cell is made yet: a process is running that knows no places of it (keys.cell_files)");
        Ok(())
    }
}

fn is_same(one: &KeyBytes, other: &KeyBytes) -> bool {
    one.as_slice().ct_eq(other.as_slice()).into()
}

impl Inner {
    pub(super) async fn everybody_reads_cells(&self) -> Result<bool, KeyringError> {
        Ok(self.store.workers_without(CELL).await?.is_empty())
    }

    /// Whether this process opens both, and finds the same in them. A KMS that is away says nothing.
    async fn is_same_share(&self, present: &[u8], next: &[u8]) -> bool {
        let id = self.root().installation;
        let Ok((next, _)) = self.top.unwrap(id, next).await else { return false };
        self.top.unwrap(id, present).await.is_ok_and(|(present, _)| is_same(&present, &next))
    }
}
