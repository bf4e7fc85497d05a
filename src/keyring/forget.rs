//! Forgetting: data keys are destroyed, and with them whatever was sealed under them. What copies of the key tables still hold is
//! made undecipherable by the next step of the epoch (`step.rs`).

use time::Date;
use uuid::Uuid;

use super::deks::DekName;
use super::{Inner, Keyring, KeyringError};
use crate::crypto::keyed_hash::HashKey;
use crate::ids::{ContactId, TenantId};
use crate::store::StoreError;
use crate::store::forgotten::{OldMonths, ShortLived};

/// What is left of a destroyed key: whoever had the key could compute it, and nobody computes the key from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck {
    /// Id of the key, which stands in the envelopes.
    pub dek: Uuid,
    /// `HMAC-SHA-256(HMAC-SHA-256(key, "waxseal/hash/1" ‖ "forgotten"), id)`; zeros when the key no longer unwrapped.
    pub check: [u8; 32],
}

/// What was destroyed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Every key that the contact ever had destroyed, in the order of their ids: also those of calls before.
    pub keys: Vec<KeyCheck>,
}

/// Attempts against others who make keys at the same moment.
const TRIES: u32 = 8;

impl Keyring {
    /// Destroys every key of a contact: its profile and all months. From then on no key is made for it, and asking for one is refused as
    /// [`KeyringError::Forgotten`]; content that was sealed reads as gone. May be called again, and gives the same answer. Other processes
    /// are told, and drop what they have in memory at the latest when it is older than `keys.cache_ttl_seconds`.
    pub async fn forget_contact(&self, tenant: TenantId, contact: ContactId) -> Result<Forgotten, KeyringError> {
        let (inner, subject) = (&self.inner, contact.uuid());
        let bucket = DekName::profile(tenant, contact).bucket();
        for _ in 0..TRIES {
            let checks = inner.checks_of(tenant, subject).await?;
            let now = inner.clock.now();
            if inner.store.forget_subject(tenant, subject, bucket, &checks, now).await? {
                inner.cache.drop_subjects(&[subject]);
                inner.tell(&[subject]).await;
                let left = inner.store.forgotten_keys_of(tenant, subject).await?;
                return Ok(Forgotten { keys: left.into_iter().map(KeyCheck::from).collect() });
            }
        }
        Err(KeyringError::Store(StoreError::BrokenOff))
    }

    /// Destroys the keys of all months that ended before `day`, of events about contacts and about nobody, but for those of `except`.
    /// Bucket by bucket: what was broken off is finished by another call. Returns how many keys there were.
    pub async fn forget_months(
        &self,
        tenant: TenantId,
        day: Date,
        except: &[ContactId],
    ) -> Result<usize, KeyringError> {
        let (inner, before) = (&self.inner, day.replace_day(1).unwrap_or(day));
        let except: Vec<Uuid> = except.iter().map(|contact| contact.uuid()).collect();
        let mut forgotten = 0;
        for bucket in inner.store.buckets_with_old_months(tenant, before).await? {
            let which = OldMonths { bucket, before, except: &except };
            forgotten += inner.store.forget_old_months(tenant, which, inner.clock.now()).await?;
        }
        if forgotten > 0 {
            inner.cache.clear();
            inner.tell(&[]).await;
        }
        Ok(forgotten)
    }

    /// Buckets with keys that live for days and are over by `today`, or of content that came before `passed` and goes when everybody has it.
    pub async fn short_lived(
        &self,
        tenant: TenantId,
        today: Date,
        passed: Date,
    ) -> Result<Vec<(i16, Vec<ShortLived>)>, KeyringError> {
        let mut all = Vec::new();
        for bucket in self.inner.store.buckets_with_short_lived(tenant, today, passed).await? {
            all.push((bucket, self.inner.store.short_lived(tenant, bucket, today, passed).await?));
        }
        Ok(all)
    }

    /// Destroys keys of [`Self::short_lived`]. Returns how many there were.
    pub async fn forget_short_lived(
        &self,
        tenant: TenantId,
        keys: &[(i16, Vec<ShortLived>)],
    ) -> Result<usize, KeyringError> {
        let (inner, mut forgotten) = (&self.inner, 0);
        for (bucket, keys) in keys.iter().filter(|(_, keys)| !keys.is_empty()) {
            forgotten += inner.store.forget_short_lived(tenant, *bucket, keys, inner.clock.now()).await?;
        }
        if forgotten > 0 {
            inner.cache.clear();
            inner.tell(&[]).await;
        }
        Ok(forgotten)
    }

    /// The last day on which the key may be there that goes next, of those that live for days.
    pub async fn soonest_last_day(&self, tenant: TenantId) -> Result<Option<Date>, KeyringError> {
        Ok(self.inner.store.soonest_last_day(tenant).await?.and_then(Date::previous_day))
    }

    /// Which of these contacts are forgotten, each with the epoch from which on no copy of before opens their keys; `None`: a step is due.
    pub async fn forgotten_among(
        &self,
        tenant: TenantId,
        contacts: &[ContactId],
    ) -> Result<Vec<(ContactId, Option<i64>)>, KeyringError> {
        let subjects: Vec<Uuid> = contacts.iter().map(|contact| contact.uuid()).collect();
        let found = self.inner.store.forgotten_among(tenant, &subjects).await?;
        Ok(found.into_iter().map(|(subject, epoch)| (ContactId::from_uuid(subject), epoch)).collect())
    }

    /// Another process has forgotten these contacts; none in particular: anything.
    pub fn heard_of_forgotten(&self, contacts: &[Uuid]) {
        if contacts.is_empty() {
            self.inner.cache.clear();
        } else {
            self.inner.cache.drop_subjects(contacts);
        }
    }
}

impl From<(Uuid, Vec<u8>)> for KeyCheck {
    fn from((dek, bytes): (Uuid, Vec<u8>)) -> Self {
        let mut check = [0; 32];
        check.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self { dek, check }
    }
}

impl Inner {
    /// What will be left of the contact's keys that there are now.
    async fn checks_of(&self, tenant: TenantId, subject: Uuid) -> Result<Vec<(Uuid, Vec<u8>)>, KeyringError> {
        let rows = self.store.deks_of(tenant, subject).await?;
        let ids: Vec<Uuid> = rows.into_iter().map(|(_, _, id)| id).collect();
        let mut checks = Vec::with_capacity(ids.len());
        for id in ids {
            let check = match self.opened_by_id(tenant, &[id]).await {
                Ok(opened) => opened
                    .first()
                    .map_or([0; 32], |(_, dek)| HashKey::of_dek(&dek.dek, "forgotten").hash::<32>(&[id.as_bytes()])),
                Err(error) if error.is_retryable() => return Err(error),
                // It opens nothing any more; that does not keep its row.
                Err(_) => [0; 32],
            };
            checks.push((id, check.to_vec()));
        }
        Ok(checks)
    }

    /// Tells other processes. A hint: their memory forgets by itself a little later.
    async fn tell(&self, subjects: &[Uuid]) {
        if let Err(error) = self.store.call_forgotten(subjects).await {
            tracing::debug!(%error, "other processes could not be told that keys are forgotten");
        }
    }
}
