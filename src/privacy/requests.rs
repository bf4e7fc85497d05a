//! Requests of people about their data: by when the law wants them answered, and whether they were. The clocks are engineering, not legal
//! advice: a month is one of the calendar, days are days, and holidays are not looked at.

use time::{Date, Duration, OffsetDateTime, Time};
use uuid::Uuid;

use super::{Named, Privacy, PrivacyError, Shown, cut, one_more};
use crate::audit::{Act, Action, Actor, Object};
use crate::crypto::envelope;
use crate::ids::{AuditEntryId, ContactId, ExportId, PrivacyRequestId, TenantId};
use crate::keyring::places;
use crate::store::privacy_deeds::{Deed, DeedRow};
use crate::store::privacy_requests::{PrivacyRequestRow, RequestChange};

/// What falls due within this wants somebody's eye.
pub const DUE_SOON: Duration = Duration::days(7);

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const NAMES: &[&str] = &[$($text),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// From the stable name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    )+};
}

words! {
    /// What somebody asks for.
    RequestKind {
        /// A copy of their data.
        Access = "access",
        /// The same for another controller.
        Portability = "portability",
        /// To be forgotten.
        Erasure = "erasure",
        /// That something be put right.
        Rectification = "rectification",
        /// That their data be held and not used.
        Restriction = "restriction",
        /// That something be done no more.
        Objection = "objection",
        /// That their data be not sold or shared.
        OptOut = "opt_out",
        /// What is done with their data.
        Information = "information",
    }
    /// By which law.
    Law {
        /// GDPR, Art. 12(3): one month, two more where it is complex.
        Gdpr = "gdpr",
        /// CCPA, § 1798.130: 45 days, 45 more.
        Ccpa = "ccpa",
        /// LGPD, Art. 19: 15 days.
        Lgpd = "lgpd",
    }
    /// How a request ended.
    Outcome {
        /// It was answered.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }
}

impl Law {
    /// By when a request is to be answered that came at this time.
    #[must_use]
    pub fn due(self, received: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::Gdpr => months_later(received, 1),
            Self::Ccpa => received.saturating_add(Duration::days(45)),
            Self::Lgpd => received.saturating_add(Duration::days(15)),
        }
    }

    /// By when at last, where it takes longer for a reason that the person is told. `None`: the law knows no such thing.
    #[must_use]
    pub fn extended(self, received: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Self::Gdpr => Some(months_later(received, 3)),
            Self::Ccpa => Some(received.saturating_add(Duration::days(90))),
            Self::Lgpd => None,
        }
    }
}

/// The same day of a later month, or the last where it has no such day; the whole of it (Regulation 1182/71, Art. 3).
fn months_later(from: OffsetDateTime, months: u8) -> OffsetDateTime {
    let date = from.to_offset(time::UtcOffset::UTC).date();
    let month = (0..months).fold(date.month(), |month, _| month.next());
    let year = date.year() + i32::from(u8::from(month) < u8::from(date.month()));
    let day = date.day().min(month.length(year));
    let end = Date::from_calendar_date(year, month, day).unwrap_or(date);
    end.with_time(Time::from_hms(23, 59, 59).unwrap_or(Time::MIDNIGHT)).assume_utc()
}

/// What is entered.
#[derive(Debug)]
pub struct NewRequest<'a> {
    /// What is asked for.
    pub kind: RequestKind,
    /// By which law.
    pub law: Law,
    /// Whom it is about, where they are known here.
    pub named: Option<&'a Named>,
    /// Of the case. Sealed.
    pub reference: Option<&'a str>,
    /// When it came.
    pub received_at: OffsetDateTime,
}

/// A request, with what was sealed of it.
#[derive(Debug)]
pub struct RequestView {
    /// The row.
    pub row: PrivacyRequestRow,
    /// Of the case.
    pub reference: Option<String>,
    /// Why it takes longer, or was refused.
    pub reason: Option<String>,
    /// Whether it is open and should have been answered.
    pub overdue: bool,
    /// What was done for it beside an erasure, the oldest first.
    pub deeds: Vec<DeedRow>,
}

impl Privacy {
    /// An id for what will be entered, so that the entry in the audit log can name it.
    #[must_use]
    pub fn new_request_id(&self) -> PrivacyRequestId {
        PrivacyRequestId::new(self.clock.now())
    }

    /// Enters a request; says by when it is to be answered.
    pub async fn enter_request(
        &self,
        id: PrivacyRequestId,
        new: &NewRequest<'_>,
        act: Act,
    ) -> Result<(OffsetDateTime, AuditEntryId), PrivacyError> {
        let (tenant, actor_id) = (act.tenant, act.actor.id);
        let received_at = new.received_at.replace_nanosecond(0).unwrap_or(new.received_at);
        let due_at = new.law.due(received_at);
        let contact = match new.named {
            Some(named) => Some(self.find(tenant, named).await?),
            None => None,
        };
        let row = PrivacyRequestRow {
            request_id: id.uuid(),
            kind: new.kind.as_str().to_owned(),
            law: new.law.as_str().to_owned(),
            state: "open".to_owned(),
            contact_id: contact.map(ContactId::uuid),
            reference: self
                .seal_of_request(tenant, id, ("reference", contact.map(ContactId::uuid)), new.reference)
                .await?,
            reason: None,
            actor_id,
            erasure_id: None,
            received_at,
            due_at,
            extended_at: None,
            closed_at: None,
        };
        let entry = self.audit.prepare(act, row.contact_id.into_iter().collect()).await?;
        let receipt = entry.id;
        self.store.insert_privacy_request(tenant, &row, entry).await?;
        Ok((due_at, receipt))
    }

    /// Gives a request the time that its law allows at last. Refused where it allows none, or it was given before, or is over.
    pub async fn extend_request(
        &self,
        id: PrivacyRequestId,
        reason: &str,
        act: Act,
    ) -> Result<AuditEntryId, PrivacyError> {
        let tenant = act.tenant;
        let row = self.store.find_privacy_request(tenant, id).await?.ok_or(PrivacyError::Unknown)?;
        let until = Law::parse(&row.law).and_then(|law| law.extended(row.received_at));
        let until = until.ok_or(PrivacyError::RequestNotChanged)?;
        let sealed =
            self.seal_of_request(tenant, id, ("reason", row.contact_id), Some(reason)).await?.unwrap_or_default();
        self.change_request(id, &RequestChange::Extend(until, &sealed), act).await
    }

    /// Ends a request.
    pub async fn close_request(
        &self,
        id: PrivacyRequestId,
        outcome: Outcome,
        reason: Option<&str>,
        act: Act,
    ) -> Result<AuditEntryId, PrivacyError> {
        let row = self.store.find_privacy_request(act.tenant, id).await?.ok_or(PrivacyError::Unknown)?;
        let sealed = self.seal_of_request(act.tenant, id, ("reason", row.contact_id), reason).await?;
        self.change_request(id, &RequestChange::Close(outcome.as_str(), sealed.as_deref()), act).await
    }

    async fn change_request(
        &self,
        id: PrivacyRequestId,
        change: &RequestChange<'_>,
        act: Act,
    ) -> Result<AuditEntryId, PrivacyError> {
        let tenant = act.tenant;
        self.store.find_privacy_request(tenant, id).await?.ok_or(PrivacyError::Unknown)?;
        let entry = self.audit.prepare(act, Vec::new()).await?;
        let receipt = entry.id;
        let changed = self.store.change_privacy_request(tenant, id, change, entry, self.clock.now()).await?;
        if changed { Ok(receipt) } else { Err(PrivacyError::RequestNotChanged) }
    }

    /// Whom a request is about. Which requests there are, and which of them are about nobody, is not told.
    pub async fn asker(&self, tenant: TenantId, id: PrivacyRequestId) -> Result<Named, PrivacyError> {
        let contact = self.store.find_privacy_request(tenant, id).await?.and_then(|row| row.contact_id);
        contact.map(ContactId::from_uuid).map(Named::Contact).ok_or(PrivacyError::RequestNotChanged)
    }

    /// Refuses what cannot be done for a request, before anything is recorded of it: one that is not open, asks for something else, or is
    /// about somebody else.
    pub async fn may_be_for(
        &self,
        tenant: TenantId,
        id: PrivacyRequestId,
        deed: Deed,
        people: &[Uuid],
    ) -> Result<(), PrivacyError> {
        let row = self.store.find_privacy_request(tenant, id).await?;
        let fits = row.is_some_and(|row| {
            let is_theirs = row.contact_id.is_none_or(|contact| people.contains(&contact));
            row.state == "open" && deed.answers().contains(&row.kind.as_str()) && is_theirs
        });
        if fits { Ok(()) } else { Err(PrivacyError::RequestNotChanged) }
    }

    /// Whoever was given a link to their archive has fetched it to its end: the request for a copy that it was made for is answered.
    pub async fn fetched(&self, tenant: TenantId, export: ExportId) -> Result<(), PrivacyError> {
        let Some(id) = self.store.request_of_export(tenant, export).await? else { return Ok(()) };
        let object = Object::one("privacy_request", id.uuid());
        let act = Act::new(tenant, Actor::GATEWAY, Action::PrivacyRequestClosed, object).with(&["done", "export"]);
        match self.change_request(id, &RequestChange::Close(Outcome::Done.as_str(), None), act).await {
            // Somebody ended it meanwhile.
            Err(PrivacyError::RequestNotChanged) => Ok(()),
            result => result.map(drop),
        }
    }

    /// One request. That somebody reads it is recorded.
    pub async fn request(&self, id: PrivacyRequestId, act: Act) -> Result<(RequestView, AuditEntryId), PrivacyError> {
        let tenant = act.tenant;
        let row = self.store.find_privacy_request(tenant, id).await?.ok_or(PrivacyError::Unknown)?;
        let receipt = self.audit.record_about(act, row.contact_id.into_iter().collect()).await?;
        let deeds = self.store.deeds_for(tenant, &[row.request_id]).await?;
        Ok((self.view_of_request(tenant, row, deeds).await?, receipt))
    }

    /// Requests, newest first, entered before `before`. What is about to be shown is recorded.
    pub async fn requests(
        &self,
        act: Act,
        before: Option<Uuid>,
        state: Option<&str>,
        limit: usize,
    ) -> Result<Shown<RequestView>, PrivacyError> {
        let (tenant, before) = (act.tenant, before.unwrap_or(Uuid::max()));
        let rows = self.store.page_of_privacy_requests(tenant, before, state, one_more(limit)).await?;
        let (rows, has_more) = cut(rows, limit);
        if rows.is_empty() {
            return Ok(Shown::NOTHING);
        }
        let people = rows.iter().filter_map(|row| row.contact_id).collect();
        let receipt = self.audit.record_about(act.times(rows.len()), people).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.request_id).collect();
        let mut deeds = self.store.deeds_for(tenant, &ids).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let done = deeds.extract_if(.., |deed| deed.request_id == row.request_id).collect();
            views.push(self.view_of_request(tenant, row, done).await?);
        }
        Ok(Shown { views, has_more, receipt: Some(receipt) })
    }

    async fn view_of_request(
        &self,
        tenant: TenantId,
        row: PrivacyRequestRow,
        deeds: Vec<DeedRow>,
    ) -> Result<RequestView, PrivacyError> {
        let place = |column| places::setting(tenant.uuid(), "privacy_request", column, row.request_id);
        let reference = match &row.reference {
            Some(sealed) => self.open_text(tenant, &place("reference"), sealed).await?,
            None => None,
        };
        let reason = match &row.reason {
            Some(sealed) => self.open_text(tenant, &place("reason"), sealed).await?,
            None => None,
        };
        let overdue = row.state == "open" && row.due_at < self.clock.now();
        Ok(RequestView { row, reference, reason, overdue, deeds })
    }

    async fn seal_of_request(
        &self,
        tenant: TenantId,
        id: PrivacyRequestId,
        (column, contact): (&'static str, Option<Uuid>),
        text: Option<&str>,
    ) -> Result<Option<Vec<u8>>, PrivacyError> {
        let Some(text) = text else { return Ok(None) };
        let key = self.key_about(tenant, contact).await?;
        let place = places::setting(tenant.uuid(), "privacy_request", column, id.uuid());
        Ok(Some(envelope::seal(&key.dek, &place, text.as_bytes()).into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn each_law_has_its_clock() {
        let received = datetime!(2027-01-31 10:00 UTC);
        assert_eq!(Law::Gdpr.due(received), datetime!(2027-02-28 23:59:59 UTC));
        assert_eq!(Law::Gdpr.extended(received), Some(datetime!(2027-04-30 23:59:59 UTC)));
        assert_eq!(Law::Ccpa.due(received), datetime!(2027-03-17 10:00 UTC));
        assert_eq!(Law::Ccpa.extended(received), Some(datetime!(2027-05-01 10:00 UTC)));
        assert_eq!(Law::Lgpd.due(received), datetime!(2027-02-15 10:00 UTC));
        assert_eq!(Law::Lgpd.extended(received), None);
    }

    #[test]
    fn a_month_goes_over_the_end_of_the_year_and_knows_leap_years() {
        assert_eq!(Law::Gdpr.due(datetime!(2026-12-15 00:00 UTC)), datetime!(2027-01-15 23:59:59 UTC));
        assert_eq!(Law::Gdpr.extended(datetime!(2026-11-30 00:00 UTC)), Some(datetime!(2027-02-28 23:59:59 UTC)));
        assert_eq!(Law::Gdpr.due(datetime!(2028-01-31 00:00 UTC)), datetime!(2028-02-29 23:59:59 UTC));
    }
}
