//! The step of the key epoch: after it, no copy of the key tables from before opens anything that was forgotten. Every key between the
//! forgotten one and the root is replaced by another, and the epoch cell is overwritten.
//!
//! Bucket keys go first, each in a transaction of its own. Then one transaction holds the installation: new KEKs for the tenants
//! of those buckets, the other KEKs wrapped anew, a new root. Within it, the shares of the new cell are written beside those in
//! force; it commits; the shares of before are overwritten. Killed anywhere, what the tables say has its cell.

use std::time::Duration;

use time::OffsetDateTime;

use super::cell::HeldCell;
use super::installation::{KeyringError, NewRoot, Root, waiting};
use super::tenant::{context, index_context, unwrap_kek};
use super::walk::{bucket_context, dek_context};
use super::{CellState, DekName, Inner, Keyring};
use crate::crypto::keys::{KeyBytes, WrappingKey, random_key, random_key_id};
use crate::crypto::wrap;
use crate::ids::TenantId;
use crate::store::bucket_keys::NewBucket;
use crate::store::epoch_steps::{BelowKek, EpochStepRow, IndexKeyAtStep, TenantAtStep};
use crate::store::keys::{DekRow, WrappedKeyRow};
use crate::store::{Store, StoreError, Transaction};

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochStep {
    /// Epoch before.
    pub before: i64,
    /// Epoch after.
    pub after: i64,
    /// Keys that were forgotten since the step before.
    pub keys_forgotten: i64,
    /// Tenants with another KEK.
    pub tenants: i32,
    /// Places of the cell that were written, and that there are; both 0 without a cell, when the KMS secret and an old copy of the key
    /// tables still open what was forgotten.
    pub places: (usize, usize),
    /// Places of which the cell can be read.
    pub needed: u8,
}

/// Whose KEKs are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// Of tenants below whom something was forgotten.
    Touched,
    /// All.
    All,
}

/// Attempts against others who step at the same moment.
const TRIES: usize = 8;

impl Keyring {
    /// Steps the epoch, now. Whatever was forgotten before this was called is covered when it returns: old copies of the key tables do not
    /// open it. Several processes may do so; each step is one of them.
    pub async fn step_epoch(&self) -> Result<EpochStep, KeyringError> {
        self.step_now(Replaced::Touched).await
    }

    /// The same with another KEK for every tenant.
    pub async fn replace_tenant_keys(&self) -> Result<EpochStep, KeyringError> {
        self.step_now(Replaced::All).await
    }

    /// Steps the epoch when something that was forgotten has waited for `wait`.
    pub async fn step_when_due(&self, wait: Duration) -> Result<Option<EpochStep>, KeyringError> {
        // Looked at again where another process was faster.
        while self.inner.waits_for_step().await?.is_some_and(|since| self.inner.clock.now() - since >= wait) {
            if let Some(step) = self.try_step(Replaced::Touched).await? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    /// Since when something that was forgotten waits for a step.
    pub async fn waits_for_step_since(&self) -> Result<Option<OffsetDateTime>, KeyringError> {
        self.inner.waits_for_step().await
    }

    /// Looks at the places of the cell. What a step that was broken off has left there is overwritten.
    pub async fn inspect_cell(&self) -> Result<CellState, KeyringError> {
        let mut state = self.inner.look_at_cell().await?;
        if state.has_leftovers {
            self.inner.finish_step().await?;
            state = self.inner.look_at_cell().await?;
        }
        self.inner.notices.cell_is(state.clone());
        Ok(state)
    }

    /// Brings the cell into an installation that had none, unless another process does so at this moment.
    pub(super) async fn bring_cell(&self) -> Result<(), KeyringError> {
        let step = self.step_now(Replaced::All).await?;
        if step.places.1 > 0 {
            tracing::info!(epoch = step.after, places = step.places.1, "the epoch cell was made");
        }
        Ok(())
    }

    async fn step_now(&self, replaced: Replaced) -> Result<EpochStep, KeyringError> {
        for _ in 0..TRIES {
            if let Some(step) = self.try_step(replaced).await? {
                return Ok(step);
            }
        }
        Err(KeyringError::Store(StoreError::BrokenOff))
    }

    /// `None`: another process was faster, and its root is in memory now.
    async fn try_step(&self, replaced: Replaced) -> Result<Option<EpochStep>, KeyringError> {
        for (tenant, bucket) in self.inner.store.touched_buckets().await? {
            self.inner.replace_bucket(tenant, bucket).await?;
        }
        let Some(step) = self.inner.step(replaced).await? else {
            self.inner.root_in_force().await?;
            return Ok(None);
        };
        tracing::info!(
            before = step.before,
            epoch = step.after,
            keys_forgotten = step.keys_forgotten,
            places_written = step.places.0,
            places = step.places.1,
            "the key epoch was stepped"
        );
        // It is taken; whether the places are well is looked at again anyway.
        if let Err(error) = self.inspect_cell().await {
            tracing::warn!(%error, "the places of the epoch cell could not be looked at");
        }
        Ok(Some(step))
    }
}

/// Data keys, wrapped anew under another bucket key: their ids, and each of them.
fn carried(
    tenant: TenantId,
    (old, new): (&WrappingKey, &WrappingKey),
    rows: &[DekRow],
) -> (Vec<uuid::Uuid>, Vec<Vec<u8>>) {
    let (mut deks, mut wrapped) = (Vec::new(), Vec::new());
    for row in rows {
        let name = DekName::of_row(tenant, row).encode();
        let context = dek_context(tenant, row.key.id, &name);
        let Ok(dek) = wrap::unwrap(old, &context, &row.key.wrapped) else {
            tracing::error!(dek = %row.key.id, "a data key does not open, and is left behind under a bucket key that is no more");
            continue;
        };
        deks.push(row.key.id);
        wrapped.push(wrap::wrap(new, &context, &dek));
    }
    (deks, wrapped)
}

impl Inner {
    async fn waits_for_step(&self) -> Result<Option<OffsetDateTime>, KeyringError> {
        Ok(self.store.waits_for_step_since().await?)
    }

    /// Gives a bucket another key. What does not unwrap stays as it is, and so does not open under the new one either. When the key of
    /// before does not unwrap itself, nothing is below the new one: a damaged bucket keeps nobody from being forgotten.
    pub(super) async fn replace_bucket(&self, tenant: TenantId, number: i16) -> Result<(), KeyringError> {
        for _ in 0..TRIES {
            // In memory before anything is locked.
            let keys = self.fresh_tenant(tenant).await?;
            let Some(locked) = self.store.lock_bucket(tenant, number).await? else { return Ok(()) };
            if keys.kek_id != locked.kek {
                continue;
            }
            // Both were read behind the lock of the KEK: another parent is one of an earlier step, which could not open this key either.
            let place = number.to_be_bytes();
            let context = bucket_context(tenant, locked.key.id, &place);
            let old = wrap::unwrap(&keys.kek, &context, &locked.key.wrapped).ok();
            let old = old.filter(|_| locked.key.parent == locked.kek).map(|bytes| WrappingKey::new(&bytes));
            if old.is_none() {
                tracing::error!(
                    bucket = number,
                    "a bucket key does not open; it is replaced, and its data keys are left behind"
                );
            }
            let (id, bytes) = (random_key_id(), random_key());
            let (deks, wrapped) =
                old.map(|old| carried(tenant, (&old, &WrappingKey::new(&bytes)), &locked.deks)).unwrap_or_default();
            let under_kek = wrap::wrap(&keys.kek, &bucket_context(tenant, id, &place), &bytes);
            let key = WrappedKeyRow { id, parent: keys.kek_id, wrapped: under_kek };
            let new = NewBucket { key, deks, wrapped };
            self.store.replace_bucket(locked.transaction, tenant, number, &new, self.clock.now()).await?;
            self.cache.drop_bucket(tenant, number);
            return Ok(());
        }
        Err(KeyringError::Store(StoreError::BrokenOff))
    }

    /// `None`: the epoch is another than the one in memory.
    async fn step(&self, replaced: Replaced) -> Result<Option<EpochStep>, KeyringError> {
        let (root, share) = (self.root(), random_key());
        // Outside of the transaction: the KMS may be far away. Under the one that wraps it now, which everybody can ask.
        let before = self.store.find_installation().await?.ok_or(StoreError::Unavailable)?;
        let (_, keeper) = self.top.unwrap(root.installation, &before.root_share).await?;
        let under_kms = keeper.wrap(root.installation, &share).await?;
        // The first cell would shut out who knows no places of it.
        let with_cell = self.top.cell.places() > 0 && (root.has_cell || self.everybody_reads_cells().await?);
        let Some((mut transaction, row)) = self.store.begin_epoch_step().await? else { return Ok(None) };
        if row.epoch != root.epoch || row.installation_id != root.installation || row.root_share != before.root_share {
            return Ok(None);
        }
        let (after, now) = (root.epoch + 1, self.clock.now());
        let cell = with_cell.then(random_key);
        let new = NewRoot::make(&share, cell.as_ref(), root.installation, after);
        let (mut keys_forgotten, mut tenants) = (0, 0);
        for at in self.store.tenants_at_step(&mut transaction).await? {
            let is_new = replaced == Replaced::All || at.touched.is_some();
            keys_forgotten += at.touched.unwrap_or(0);
            tenants += i32::from(is_new);
            self.carry_over(&mut transaction, (&root, &new), &at, is_new.then_some(now)).await?;
        }
        let (mut held, written) = self.write_cell(cell, after).await?;
        let places = (written, if with_cell { self.top.cell.places() } else { 0 });
        let step = EpochStepRow {
            epoch: after,
            stepped_at: now,
            keys_forgotten,
            tenants,
            places_written: i16::try_from(places.0).unwrap_or(i16::MAX),
            places: i16::try_from(places.1).unwrap_or(i16::MAX),
        };
        if !self.store.finish_epoch_step(&mut transaction, (&under_kms, &new.check), &step).await? {
            return Ok(None);
        }
        Store::commit(transaction).await?;
        let (before, installation) = (root.epoch, root.installation);
        self.set_root(new.root.into());
        waiting(move || held.scrub(installation, after)).await?;
        let needed = self.top.cell.needed();
        Ok(Some(EpochStep { before, after, keys_forgotten, tenants, places, needed }))
    }

    /// Puts a tenant's KEK below the new root: another KEK, with everything below it wrapped anew, or the same.
    async fn carry_over(
        &self,
        transaction: &mut Transaction,
        (root, new): (&Root, &NewRoot),
        at: &TenantAtStep,
        new_kek: Option<OffsetDateTime>,
    ) -> Result<(), KeyringError> {
        let (tenant, epoch) = (at.tenant, new.root.epoch);
        let old = unwrap_kek(root, tenant, &at.kek)?;
        let Some(now) = new_kek else {
            let same = wrap::unwrap(&root.key, &context("tenant", tenant, at.kek.id), &at.kek.wrapped);
            let same = same.map_err(|_| KeyringError::Damaged { level: "tenant" })?;
            let wrapped = wrap::wrap(&new.root.key, &context("tenant", tenant, at.kek.id), &same);
            return Ok(self.store.rewrap_kek(transaction, tenant, &wrapped, epoch).await?);
        };
        let (id, bytes) = (random_key_id(), random_key());
        let kek = WrappingKey::new(&bytes);
        let mut below = BelowKek::default();
        for (number, row) in self.store.buckets_at_step(transaction, tenant).await? {
            let (name, key) = (number.to_be_bytes(), row.id);
            let context = bucket_context(tenant, key, &name);
            match wrap::unwrap(&old, &context, &row.wrapped) {
                Ok(bucket) => below.buckets.push((number, wrap::wrap(&kek, &context, &bucket))),
                Err(_) => tracing::error!(bucket = number, "a bucket key does not open, and is left behind"),
            }
        }
        for row in self.store.index_keys_at_step(transaction, tenant).await? {
            let context = index_context(tenant, &row.purpose, row.version);
            let key =
                wrap::unwrap(&old, &context, &row.wrapped).map_err(|_| KeyringError::Damaged { level: "index" })?;
            below.index.push(IndexKeyAtStep { wrapped: wrap::wrap(&kek, &context, &key), ..row });
        }
        let wrapped = wrap::wrap(&new.root.key, &context("tenant", tenant, id), &bytes);
        let kek = WrappedKeyRow { id, parent: uuid::Uuid::nil(), wrapped };
        Ok(self.store.replace_kek(transaction, tenant, &kek, &below, (epoch, now)).await?)
    }

    /// Shares the cell of `epoch` out. Refused when too few places take theirs; nothing is left of it then.
    async fn write_cell(&self, bytes: Option<KeyBytes>, epoch: i64) -> Result<(HeldCell, usize), KeyringError> {
        let (cell, installation, least) = (self.top.cell.clone(), self.root().installation, self.top.cell.least());
        waiting(move || {
            let mut held = cell.hold(true);
            let Some(bytes) = bytes else { return Ok((held, 0)) };
            let written = held.write(&bytes, installation, epoch);
            for (place, fault) in held.faults() {
                tracing::error!(place = place + 1, %fault, "a place of the epoch cell could not be written");
            }
            if written < least {
                held.scrub(installation, epoch - 1);
                return Err(KeyringError::TooFewWritten { written, least });
            }
            Ok((held, written))
        })
        .await?
    }

    /// For the epoch in force. Another process may step it meanwhile, and then all places look wrong: once more.
    async fn look_at_cell(&self) -> Result<CellState, KeyringError> {
        loop {
            let (cell, root) = (self.top.cell.clone(), self.root_in_force().await?);
            let epoch = root.epoch;
            let state = waiting(move || cell.inspect(root.installation, root.epoch)).await?;
            if state.is_whole() || self.root_in_force().await?.epoch == epoch {
                return Ok(state);
            }
        }
    }

    /// Overwrites what a step has left that was broken off before or after its commit. Holding the places and the installation, nobody
    /// is between the two.
    async fn finish_step(&self) -> Result<(), KeyringError> {
        // The installation first, as a step has it, so that two of them cannot wait for each other.
        let Some((transaction, row)) = self.store.begin_epoch_step().await? else { return Ok(()) };
        let cell = self.top.cell.clone();
        let mut held = waiting(move || cell.hold(false)).await?;
        let root = self.root();
        if row.epoch == root.epoch && row.installation_id == root.installation {
            waiting(move || held.scrub(root.installation, root.epoch)).await?;
        }
        drop(transaction);
        Ok(())
    }
}
