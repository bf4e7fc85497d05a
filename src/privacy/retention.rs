//! Retention: what is older than is kept goes, once a day, and it is recorded how old the oldest is that is there. Days are dropped
//! whole; months that are past the horizon lose their keys, so that they are gone from backups too.

use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Privacy, PrivacyError};
use crate::audit::{Act, Action, Actor, Object};
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};
use crate::store::retention::{Daily, Oldest};

/// Tenant and contact, and the day of a message that waits to be sent to them.
type Waiting = (Uuid, Uuid, Date);

/// Files that are removed before their rows are.
const AT_ONCE: i64 = 200;

/// How many days each class is kept; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionTerms {
    /// What people said and were told: content of events, messages, files.
    pub content: Option<u16>,
    /// That something happened, and deliveries that were given up.
    pub metadata: Option<u16>,
    /// Failed attempts.
    pub attempts: Option<u16>,
}

/// How old the oldest of a class is, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Name of the class.
    pub class: String,
    /// The day of the oldest that is there.
    pub oldest: Date,
    /// Nothing may be older than this day, but for what is held; `None`: it is kept for ever, or by another setting.
    pub horizon: Option<Date>,
}

impl RetentionTerms {
    /// The first day of a class that is kept.
    pub(super) fn horizon(self, class: &str, today: Date) -> Option<Date> {
        let days = match class {
            "event_payload" | "message" | "media" | "passing" => self.content,
            // The last day of a key that lives for days.
            "short_lived_key" => return Some(today),
            "event" | "delivery_dead" => self.metadata,
            "attempt" => self.attempts,
            _ => None,
        };
        days.map(|days| today.saturating_sub(Duration::days(days.into())))
    }
}

impl Privacy {
    /// Removes what is older than is kept, and records what is there. To be called once a day, and again when it failed. What fails of one
    /// class keeps no other from going; it is recorded when all went well.
    pub async fn enforce_retention(&self, today: Date) -> Result<(), PrivacyError> {
        let waiting = self.waiting(today).await?;
        let tenants = self.store.all_tenants().await?;
        let mut ended = vec![self.remove_old_files(&tenants, today).await];
        for daily in [Daily::Content, Daily::Messages, Daily::Attempts, Daily::Events] {
            ended.push(self.retire_days(daily, &waiting, today).await);
        }
        ended.push(self.forget_old_months(&tenants, &waiting, today).await);
        for tenant in &tenants {
            ended.push(self.forget_short_lived(*tenant, today).await);
        }
        if let Some(end) = self.retention.horizon("delivery_dead", today) {
            ended.push(self.store.sweep_dead(end.midnight().assume_utc()).await.map_err(PrivacyError::from));
        }
        ended.into_iter().collect::<Result<(), PrivacyError>>()?;
        for tenant in tenants {
            if self.store.owes_attestation(tenant, today).await? {
                Box::pin(self.watch_rows(tenant, today)).await;
                self.attest(tenant, today).await?;
            }
        }
        Ok(())
    }

    async fn remove_old_files(&self, tenants: &[TenantId], today: Date) -> Result<(), PrivacyError> {
        for tenant in tenants {
            self.remove_files_of_channels(*tenant, today).await?;
        }
        let Some(end) = self.retention.horizon("media", today) else { return Ok(()) };
        for tenant in tenants {
            self.remove_files(*tenant, None, end.midnight().assume_utc()).await?;
        }
        Ok(())
    }

    /// Whose messages are older than is kept and still wait to be sent. Theirs stay, and everybody else's go.
    async fn waiting(&self, today: Date) -> Result<Vec<Waiting>, PrivacyError> {
        let Some(end) = self.retention.horizon("message", today) else { return Ok(Vec::new()) };
        Ok(self.store.waiting_before(end).await?)
    }

    /// Whom a hold came into force for meanwhile is seen with the next day.
    async fn retire_days(&self, daily: Daily, waiting: &[Waiting], today: Date) -> Result<(), PrivacyError> {
        let Some(end) = self.retention.horizon(daily.table(), today) else { return Ok(()) };
        for day in self.store.days_before(daily, end).await? {
            let held = self.everyone_held().await?;
            let mut stay: Vec<(Uuid, Uuid)> =
                held.iter().map(|(tenant, contact)| (tenant.uuid(), contact.uuid())).collect();
            if daily == Daily::Messages {
                let of_day = waiting.iter().filter(|(_, _, since)| *since == day);
                stay.extend(of_day.map(|(tenant, contact, _)| (*tenant, *contact)));
            }
            if !self.store.retire_day(daily, day, &stay).await? {
                break;
            }
        }
        Ok(())
    }

    async fn forget_old_months(
        &self,
        tenants: &[TenantId],
        waiting: &[Waiting],
        today: Date,
    ) -> Result<(), PrivacyError> {
        let Some(end) = self.retention.horizon("event_payload", today) else { return Ok(()) };
        for tenant in tenants {
            let of_tenant = waiting.iter().filter(|(owner, _, _)| *owner == tenant.uuid());
            let waiting: Vec<ContactId> = of_tenant.map(|(_, contact, _)| ContactId::from_uuid(*contact)).collect();
            self.forget_months(*tenant, &waiting, end).await?;
        }
        Ok(())
    }

    pub(super) async fn held_of(&self, tenant: TenantId) -> Result<Vec<ContactId>, PrivacyError> {
        let held = self.everyone_held().await?.into_iter();
        Ok(held.filter(|(owner, _)| *owner == tenant).map(|(_, contact)| contact).collect())
    }

    /// Whole months whose last day is past the horizon.
    async fn forget_months(&self, tenant: TenantId, waiting: &[ContactId], end: Date) -> Result<(), PrivacyError> {
        let mut except = self.held_of(tenant).await?;
        except.extend(waiting);
        let forgotten = self.keyring.forget_months(tenant, end, &except).await?;
        if forgotten > 0 {
            tracing::info!(keys = forgotten, before = %end, "the keys of months that are older than is kept were destroyed");
        }
        Ok(())
    }

    /// `channel`: of those that came through it alone.
    pub(super) async fn remove_files(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
        end: OffsetDateTime,
    ) -> Result<(), PrivacyError> {
        loop {
            let held: Vec<Uuid> = self.held_of(tenant).await?.into_iter().map(ContactId::uuid).collect();
            let old = self.store.media_before(tenant, (channel, end), &held, AT_ONCE).await?;
            if old.is_empty() {
                return Ok(());
            }
            for (media, contact) in &old {
                let (media, contact) = (MediaId::from_uuid(*media), contact.map(ContactId::from_uuid));
                if !self.files.remove(tenant, media, contact, None).await {
                    return Err(PrivacyError::Files);
                }
            }
            let media: Vec<Uuid> = old.iter().map(|(media, _)| *media).collect();
            self.store.forget_media(tenant, &media).await?;
        }
    }

    /// How old the oldest of each class is.
    pub async fn oldest(&self, tenant: TenantId, today: Date) -> Result<Vec<Attested>, PrivacyError> {
        let mut oldest = self.store.oldest_of(tenant).await?;
        let soonest = self.keyring.soonest_last_day(tenant).await?;
        oldest.extend(soonest.map(|day| Oldest { class: "short_lived_key".to_owned(), day }));
        let passing = self.store.oldest_passing(tenant).await?;
        oldest.extend(passing.map(|day| Oldest { class: "passing".to_owned(), day }));
        let attested = |Oldest { class, day }: Oldest| {
            let horizon = self.retention.horizon(&class, today);
            Attested { class, oldest: day, horizon }
        };
        Ok(oldest.into_iter().map(attested).collect())
    }

    /// What is older than is kept and has no reason to be there: nobody holds it, and it does not wait to be sent.
    pub async fn overdue(&self, tenant: TenantId, today: Date) -> Result<Vec<Attested>, PrivacyError> {
        let is_late = |one: &Attested| one.horizon.is_some_and(|horizon| one.oldest < horizon);
        let late: Vec<Attested> = self.oldest(tenant, today).await?.into_iter().filter(is_late).collect();
        if late.is_empty() {
            return Ok(late);
        }
        let held: Vec<Uuid> = self.held_of(tenant).await?.into_iter().map(ContactId::uuid).collect();
        let mut overdue = Vec::new();
        for one in late {
            let end = one.horizon.unwrap_or(today);
            let oldest = match one.class.as_str() {
                "short_lived_key" => self.overdue_key(tenant, today, &held).await?,
                "message" => {
                    let waiting = self.store.waiting_before(end).await?.into_iter();
                    let of_tenant = waiting.filter(|(owner, _, _)| *owner == tenant.uuid());
                    let staying: Vec<Uuid> = held.iter().copied().chain(of_tenant.map(|(_, whom, _)| whom)).collect();
                    self.store.oldest_of_others(tenant, "message", end, &staying).await?
                }
                // Nobody's data make these stay.
                "attempt" | "delivery_dead" => Some(one.oldest),
                class => self.store.oldest_of_others(tenant, class, end, &held).await?,
            };
            overdue.extend(oldest.map(|oldest| Attested { oldest, ..one }));
        }
        Ok(overdue)
    }

    async fn attest(&self, tenant: TenantId, today: Date) -> Result<(), PrivacyError> {
        let oldest = self.oldest(tenant, today).await?;
        let words: Vec<String> = oldest.iter().map(|one| format!("{}={}", one.class, one.oldest)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let act = Act::new(tenant, Actor::GATEWAY, Action::RetentionAttested, Object::several("retention"));
        self.audit.record(act.times(oldest.len()).with(&words)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn what_is_kept_for_ninety_days_goes_on_the_ninety_first() {
        let terms = RetentionTerms { content: Some(90), metadata: None, attempts: Some(30) };
        assert_eq!(terms.horizon("event_payload", date!(2026 - 12 - 31)), Some(date!(2026 - 10 - 02)));
        assert_eq!(terms.horizon("event", date!(2026 - 12 - 31)), None);
        assert_eq!(terms.horizon("audit_entry", date!(2026 - 12 - 31)), None);
    }
}
