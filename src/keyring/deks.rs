//! Data keys: found or made by what they are for, found by the id in an envelope.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use time::Date;
use time::macros::date;
use uuid::Uuid;

use super::Keyring;
use super::installation::KeyringError;
use crate::crypto::keys::Dek;
use crate::domain::keeping::Keep;
use crate::ids::{ContactId, TenantId};
use crate::store::StoreError;
use crate::store::keys::DekRow;

/// What a data key is for. Everything under one name is forgotten together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DekName {
    tenant: TenantId,
    scope: i16,
    subject: Uuid,
    month: Date,
}

/// The month of keys that have none.
const NO_MONTH: Date = date!(1970 - 01 - 01);

/// Keys that lie in one bucket are wrapped by one bucket key, so that erasure replaces few keys.
pub(super) const BUCKETS: u16 = 4096;

impl DekName {
    /// Tokens, secrets and URLs of the tenant.
    #[must_use]
    pub const fn system(tenant: TenantId) -> Self {
        Self { tenant, scope: 0, subject: tenant.uuid(), month: NO_MONTH }
    }

    /// A contact's profile.
    #[must_use]
    pub const fn profile(tenant: TenantId, contact: ContactId) -> Self {
        Self { tenant, scope: 1, subject: contact.uuid(), month: NO_MONTH }
    }

    /// What was said with a contact in the month of `day`; with nobody, when there is no contact.
    #[must_use]
    pub fn month(tenant: TenantId, contact: Option<ContactId>, day: Date) -> Self {
        let month = day.replace_day(1).unwrap_or(day);
        match contact {
            Some(contact) => Self { tenant, scope: 2, subject: contact.uuid(), month },
            None => Self { tenant, scope: 3, subject: tenant.uuid(), month },
        }
    }

    /// As [`Self::month`], where a number has a rule of its own: what comes `today` goes after its days, or when every endpoint has it.
    #[must_use]
    pub fn kept(tenant: TenantId, contact: Option<ContactId>, rule: Option<Keep>, day: Date, today: Date) -> Self {
        let (of_contact, of_tenant, on) = match rule {
            None => return Self::month(tenant, contact, day),
            Some(Keep::Days(days)) => (4, 5, day.max(today).saturating_add(time::Duration::days(i64::from(days) + 1))),
            Some(Keep::Delivered) => (6, 7, today),
        };
        match contact {
            Some(contact) => Self { tenant, scope: of_contact, subject: contact.uuid(), month: on },
            None => Self { tenant, scope: of_tenant, subject: tenant.uuid(), month: on },
        }
    }

    /// What the first key of this name gave for keyed hashes, when that was replaced; none: no such key is ever replaced.
    pub(super) const fn hashes(&self) -> Option<Self> {
        match self.scope {
            0 => Some(Self { scope: 9, ..*self }),
            1 => Some(Self { scope: 8, ..*self }),
            _ => None,
        }
    }

    /// The name as the row has it: of keys that are rotated, with a day for each rotation.
    pub(super) const fn of_row(tenant: TenantId, row: &DekRow) -> Self {
        Self { tenant, scope: row.scope, subject: row.subject, month: row.month }
    }

    /// The name by which it is asked for, whatever rotations there were.
    pub(super) const fn asked(self) -> Self {
        if self.scope < 2 { Self { month: NO_MONTH, ..self } } else { self }
    }

    /// Whether keys of this name are rotated.
    pub(super) const fn is_rotated(&self) -> bool {
        self.scope < 2
    }

    /// The name of the key that takes the place of this one.
    pub(super) fn next(self) -> Option<Self> {
        self.month.next_day().map(|month| Self { month, ..self })
    }

    /// Scope, subject and month, as the columns have them.
    pub(super) const fn columns(&self) -> (i16, Uuid, Date) {
        (self.scope, self.subject, self.month)
    }

    /// What the wrapped key is bound to besides its id: scope (2 bytes) ‖ subject (16) ‖ Julian day of the month's first (4).
    pub(super) fn encode(&self) -> [u8; 22] {
        let mut name = [0; 22];
        let parts = [&self.scope.to_be_bytes()[..], self.subject.as_bytes(), &self.month.to_julian_day().to_be_bytes()];
        name.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        name
    }

    /// Spread by the random end of the id, which a UUIDv7 has.
    pub(super) fn bucket(&self) -> i16 {
        let [.., high, low] = *self.subject.as_bytes();
        i16::try_from(u16::from_be_bytes([high, low]) % BUCKETS).unwrap_or(0)
    }
}

/// A data key and whose it is.
#[derive(Debug)]
pub struct OwnedDek {
    /// The key.
    pub dek: Dek,
    /// The contact it belongs to; nil for the tenant's own.
    pub contact: Uuid,
    /// The day on which it is destroyed, where it is named after that.
    pub dies_on: Option<Date>,
    /// Whether no rotation came before it: keyed hashes are made by what this one gives.
    pub(super) is_first: bool,
}

impl OwnedDek {
    pub(super) fn new(dek: Dek, row: &DekRow) -> Arc<Self> {
        let contact = if matches!(row.scope, 1 | 2 | 4 | 6 | 8) { row.subject } else { Uuid::nil() };
        let dies_on = matches!(row.scope, 4 | 5).then_some(row.month);
        Arc::new(Self { dek, contact, dies_on, is_first: row.month == NO_MONTH })
    }
}

/// How often a key is looked for that somebody else makes, or whose parents somebody replaces, at the same moment.
const TRIES: usize = 8;

impl Keyring {
    /// The keys for sealing under `names`, all of `tenant`; those that do not exist are made.
    pub async fn for_sealing(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = DekName>,
    ) -> Result<HashMap<DekName, Arc<OwnedDek>>, KeyringError> {
        let (mut found, mut missing) = self.cached(names);
        let (now, cache) = (self.inner.clock.now(), &self.inner.cache);
        for tries in 0..TRIES {
            if missing.is_empty() {
                return Ok(found);
            }
            let before = cache.forgettings();
            for (name, dek) in self.inner.opened_by_name(tenant, &missing).await? {
                cache.keep_by_name(name, &dek, now, before);
                // What is sealed now is delivered next.
                cache.keep_by_id(tenant, &dek, now, before);
                found.insert(name, dek);
            }
            missing.retain(|name| !found.contains_key(name));
            if missing.is_empty() {
                return Ok(found);
            }
            // No key is made for some: is that why?
            let subjects: Vec<Uuid> = missing.iter().map(|name| name.subject).collect();
            if tries > 0 && !self.inner.store.forgotten_among(tenant, &subjects).await?.is_empty() {
                return Err(KeyringError::Forgotten);
            }
            // Read again afterwards: another process may make some of them first, and theirs are the ones that count.
            self.inner.make(tenant, &missing, now, tries > 0).await?;
        }
        Err(KeyringError::Store(StoreError::BrokenOff))
    }

    /// The key for sealing under one name.
    pub async fn one_for_sealing(&self, tenant: TenantId, name: DekName) -> Result<Arc<OwnedDek>, KeyringError> {
        self.for_sealing(tenant, [name]).await?.remove(&name).ok_or(KeyringError::Gone)
    }

    /// The keys under `names`, all of `tenant`, as far as there are any: none is made. A damaged one is left out.
    pub async fn existing(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = DekName>,
    ) -> Result<HashMap<DekName, Arc<OwnedDek>>, KeyringError> {
        let (mut found, missing) = self.cached(names);
        if missing.is_empty() {
            return Ok(found);
        }
        let (now, before) = (self.inner.clock.now(), self.inner.cache.forgettings());
        let opened = match self.inner.opened_by_name(tenant, &missing).await {
            Err(error) if !error.is_retryable() => {
                let mut whatever = Vec::new();
                for name in &missing {
                    match self.inner.opened_by_name(tenant, &[*name]).await {
                        Ok(one) => whatever.extend(one),
                        Err(error) if error.is_retryable() => return Err(error),
                        Err(error) => tracing::error!(%error, "a data key does not open"),
                    }
                }
                whatever
            }
            result => result?,
        };
        for (name, dek) in opened {
            self.inner.cache.keep_by_name(name, &dek, now, before);
            found.insert(name, dek);
        }
        Ok(found)
    }

    /// As [`Self::for_opening`], where a damaged key must not hold back its neighbours: what does not unwrap is left out like
    /// what is gone.
    pub async fn whatever_opens(
        &self,
        tenant: TenantId,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Arc<OwnedDek>>, KeyringError> {
        let ids: HashSet<Uuid> = ids.into_iter().collect();
        match self.for_opening(tenant, ids.iter().copied()).await {
            Err(error) if !error.is_retryable() => {}
            result => return result,
        }
        let mut found = HashMap::new();
        for id in ids {
            match self.for_opening(tenant, [id]).await {
                Ok(one) => found.extend(one),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(dek = %id, error = %error, "a data key does not open"),
            }
        }
        Ok(found)
    }

    /// The keys with these ids, as far as they still exist. Refused while the KMS has been silent for too long (`kms_watch.rs`).
    pub async fn for_opening(
        &self,
        tenant: TenantId,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Arc<OwnedDek>>, KeyringError> {
        self.allow_opening().await?;
        let (now, cache) = (self.inner.clock.now(), &self.inner.cache);
        let (mut found, mut missing) = (HashMap::new(), HashSet::new());
        for id in ids {
            match cache.by_id(tenant, id, now) {
                Some(dek) => drop(found.insert(id, dek)),
                None => drop(missing.insert(id)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let (missing, before): (Vec<Uuid>, u64) = (missing.into_iter().collect(), cache.forgettings());
        for (_, dek) in self.inner.opened_by_id(tenant, &missing).await? {
            cache.keep_by_id(tenant, &dek, now, before);
            found.insert(dek.dek.id(), dek);
        }
        Ok(found)
    }

    /// What is in memory, and what is not.
    fn cached(&self, names: impl IntoIterator<Item = DekName>) -> (HashMap<DekName, Arc<OwnedDek>>, Vec<DekName>) {
        let now = self.inner.clock.now();
        let (mut found, mut missing) = (HashMap::new(), HashSet::new());
        for name in names {
            match self.inner.cache.by_name(&name, now) {
                Some(dek) => drop(found.insert(name, dek)),
                None => drop(missing.insert(name)),
            }
        }
        (found, missing.into_iter().collect())
    }
}
