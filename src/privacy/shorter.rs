//! What single numbers keep for a shorter time than all: its keys are destroyed on the day after their last, or when every endpoint has
//! what they open, so that it is gone from backups too.

use std::collections::{HashMap, HashSet};

use time::{Date, Duration};
use uuid::Uuid;

use super::marks::Marker;
use super::{Privacy, PrivacyError};
use crate::domain::keeping::{ContentClass, Keep, RuleSource};
use crate::ids::{ChannelId, ContactId, TenantId};

/// Whoever seals around midnight takes the key of the day before.
const SEALING: Duration = Duration::days(1);
/// Events that one statement looks at, and statements of one sweep.
const AT_ONCE: i64 = 1_000;
const BATCHES: usize = 20;

/// How far the look for what was acknowledged has come: it goes round and round.
#[derive(Debug, Default)]
pub struct PassingCursor(HashMap<TenantId, Uuid>);

/// The rule of a number for a class, and since when it lets something be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRule {
    /// The number.
    pub channel: ChannelId,
    /// What it is about.
    pub class: ContentClass,
    /// For how long.
    pub keep: Keep,
    /// Whose rule it is.
    pub source: RuleSource,
    /// Nothing of a day before can be opened; `None`: it goes by what endpoints acknowledge.
    pub kept_since: Option<Date>,
}

impl Privacy {
    /// Removes content that every endpoint has acknowledged, a bounded number of events at a time.
    pub async fn remove_passed(&self, cursor: &mut PassingCursor) -> Result<(), PrivacyError> {
        let snapshot = self.directory.snapshot();
        for tenant in self.directory.tenants() {
            if self.store.oldest_passing(tenant).await?.is_none() {
                continue;
            }
            let mut staying: Vec<Uuid> = self.held_of(tenant).await?.into_iter().map(ContactId::uuid).collect();
            staying.extend(snapshot.restricted_of(tenant));
            let seal = Marker::of(&self.keyring, tenant).await?;
            let after = cursor.0.entry(tenant).or_default();
            for _ in 0..BATCHES {
                let passed = self.store.remove_passed(tenant, *after, &staying, (AT_ONCE, &seal)).await?;
                *after = passed.next.unwrap_or_default();
                if passed.next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Destroys the keys whose day has come, but those of people whose data are held or who have still to be sent something.
    pub(super) async fn forget_short_lived(&self, tenant: TenantId, today: Date) -> Result<(), PrivacyError> {
        let passed = today.saturating_sub(SEALING);
        let mut keys = self.keyring.short_lived(tenant, today, passed).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let held: HashSet<Uuid> = self.held_of(tenant).await?.into_iter().map(ContactId::uuid).collect();
        let horizon = self.retention.content.map(|days| today.saturating_sub(Duration::days(days.into())));
        if let Some(end) = horizon {
            let held: Vec<Uuid> = held.iter().copied().collect();
            self.store.sweep_passing(tenant, end, &held).await?;
        }
        let passing: HashSet<(Uuid, Date)> = self.store.still_passing(tenant, passed).await?.into_iter().collect();
        for (_, keys) in &mut keys {
            let subjects: Vec<Uuid> = keys.iter().map(|key| key.1).collect();
            let waiting = self.store.waiting_among(tenant, &subjects).await?;
            keys.retain(|(scope, subject, day)| {
                let must_stay =
                    if *scope < 6 { waiting.contains(subject) } else { passing.contains(&(*subject, *day)) };
                !must_stay && !held.contains(subject)
            });
        }
        let forgotten = self.keyring.forget_short_lived(tenant, &keys).await?;
        if forgotten > 0 {
            tracing::info!(keys = forgotten, "the keys of what numbers keep for a shorter time were destroyed");
        }
        Ok(())
    }

    /// The last day of the oldest key whose day is over and that nothing makes stay.
    pub(super) async fn overdue_key(
        &self,
        tenant: TenantId,
        today: Date,
        held: &[Uuid],
    ) -> Result<Option<Date>, PrivacyError> {
        let keys = self.keyring.short_lived(tenant, today, today.saturating_sub(SEALING)).await?;
        let keys: Vec<_> = keys.into_iter().flat_map(|(_, keys)| keys).filter(|key| key.0 < 6).collect();
        let subjects: Vec<Uuid> = keys.iter().map(|key| key.1).collect();
        let waiting = self.store.waiting_among(tenant, &subjects).await?;
        let has_reason = |subject: &Uuid| held.contains(subject) || waiting.contains(subject);
        let gone_on = keys.iter().filter(|key| !has_reason(&key.1)).map(|key| key.2).min();
        Ok(gone_on.and_then(Date::previous_day))
    }

    /// Removes the files that numbers keep for a shorter time.
    pub(super) async fn remove_files_of_channels(&self, tenant: TenantId, today: Date) -> Result<(), PrivacyError> {
        for rule in self.rules(tenant, today).iter().filter(|rule| rule.class == ContentClass::Files) {
            let Some(end) = rule.kept_since else { continue };
            self.remove_files(tenant, Some(rule.channel), end.midnight().assume_utc()).await?;
        }
        Ok(())
    }

    /// The rules in force for all numbers of a tenant.
    #[must_use]
    pub fn rules(&self, tenant: TenantId, today: Date) -> Vec<ChannelRule> {
        let snapshot = self.directory.snapshot();
        let mut rules = Vec::new();
        for channel in snapshot.channels_of(tenant) {
            let in_force =
                |class| snapshot.house.in_force(&channel.retention, class).map(|(keep, source)| (class, keep, source));
            for (class, keep, source) in ContentClass::ALL.into_iter().filter_map(in_force) {
                let kept_since = match keep {
                    Keep::Days(days) => Some(today.saturating_sub(Duration::days(days.into()))),
                    Keep::Delivered => None,
                };
                rules.push(ChannelRule { channel: channel.id, class, keep, source, kept_since });
            }
        }
        rules
    }
}
