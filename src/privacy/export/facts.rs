//! What an export says beside the conversation: who the person is here, what for, who receives it, how long it is kept, what they agreed
//! to (GDPR Art. 15(1), 20).

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Privacy, PrivacyError};
use super::gather::Keys;
use crate::crypto::envelope::Sealed;
use crate::directory::profile::Profile;
use crate::domain::endpoint::{Endpoint, State};
use crate::domain::keeping::{ContentClass, Keep};
use crate::ids::{ChannelId, ConsentId, ContactId, ExportId, TenantId};
use crate::keyring::places;
use crate::store::exports::ExportRow;

/// Version of the form.
const VERSION: u8 = 1;
/// Entries of the ledger of consent, the newest: more than anybody makes.
const MOST_CONSENTS: i64 = 10_000;
/// Where the data come from.
const SOURCE: &str = "You, by what you wrote and sent to us over WhatsApp; Meta, which runs WhatsApp and tells us your name, number and ids; \
    and what we wrote to you.";

/// Everything but what was said and who looked.
#[derive(Serialize)]
pub(super) struct Facts {
    waxseal_export: u8,
    pub(super) export_id: ExportId,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) made_at: OffsetDateTime,
    pub(super) controller: String,
    pub(super) purposes: Vec<String>,
    pub(super) source: &'static str,
    pub(super) person: Vec<Known>,
    pub(super) recipients: Vec<Recipient>,
    pub(super) retention: Vec<Kept>,
    pub(super) consent: Vec<Consent>,
    pub(super) notices: Vec<Told>,
}

/// A version of the notice that the person was told.
#[derive(Serialize)]
pub(super) struct Told {
    pub(super) version: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) told_at: OffsetDateTime,
}

/// A contact of the person: somebody may have been known by several before they turned out to be one.
#[derive(Serialize)]
pub(super) struct Known {
    pub(super) contact_id: ContactId,
    pub(super) profile: Option<Profile>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) known_since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) changed_at: OffsetDateTime,
}

/// Who is told of what the person says.
#[derive(Serialize)]
pub(super) struct Recipient {
    pub(super) name: String,
    pub(super) receives: String,
}

/// How long something is kept.
#[derive(Serialize)]
pub(super) struct Kept {
    pub(super) what: String,
    /// Absent: as `until` says, or until somebody removes it.
    pub(super) days: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<&'static str>,
}

impl Kept {
    fn days(what: &str, days: Option<u16>) -> Self {
        Self { what: what.to_owned(), days, until: None }
    }
}

/// What the person allowed or forbade.
#[derive(Serialize)]
pub(super) struct Consent {
    pub(super) purpose: String,
    pub(super) state: String,
    pub(super) source: String,
    pub(super) channel_id: Option<ChannelId>,
    pub(super) wording: Option<String>,
    pub(super) wording_version: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) occurred_at: OffsetDateTime,
}

impl Privacy {
    pub(super) async fn facts(&self, tenant: TenantId, export: &ExportRow) -> Result<Facts, PrivacyError> {
        Ok(Facts {
            waxseal_export: VERSION,
            export_id: ExportId::from_uuid(export.export_id),
            made_at: self.clock.now(),
            controller: self.exports.controller.clone(),
            purposes: self.exports.purposes.clone(),
            source: SOURCE,
            person: self.profiles_of(tenant, &export.contact_ids).await?,
            recipients: self.recipients(tenant),
            retention: self.kept(tenant),
            consent: self.consents_for(tenant, &export.contact_ids).await?,
            notices: self.notices_for(tenant, &export.contact_ids).await?,
        })
    }

    async fn profiles_of(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Known>, PrivacyError> {
        let mut known = Vec::with_capacity(contacts.len());
        for contact in contacts {
            let Some(mut row) = self.store.find_contact(tenant, ContactId::from_uuid(*contact)).await? else {
                continue;
            };
            let sealed = Sealed::from_stored(std::mem::take(&mut row.profile));
            let keys = Keys::fetch(&self.keyring, tenant, Keys::ids([&sealed])).await?;
            known.push(Known {
                contact_id: ContactId::from_uuid(row.contact_id),
                profile: keys.key(&sealed).and_then(|key| Profile::open(key, tenant, row.contact_id, &sealed)),
                known_since: row.created_at,
                changed_at: row.updated_at,
            });
        }
        Ok(known)
    }

    async fn notices_for(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Told>, PrivacyError> {
        let told = self.store.notices_of(tenant, contacts).await?.into_iter();
        Ok(told.map(|(version, told_at)| Told { version, told_at }).collect())
    }

    /// Whoever is told now, or was before they were turned off; and Meta.
    fn recipients(&self, tenant: TenantId) -> Vec<Recipient> {
        let meta = Recipient {
            name: "Meta Platforms (WhatsApp)".to_owned(),
            receives: "every message, both ways: it carries them".to_owned(),
        };
        let told = |one: &Endpoint| {
            let ended = if one.state == State::Disabled { "; until it was turned off" } else { "" };
            Recipient { name: one.name.clone(), receives: format!("{}{ended}", received(one)) }
        };
        let snapshot = self.directory.snapshot();
        let endpoints = snapshot.endpoints_of(tenant).into_iter();
        std::iter::once(meta).chain(endpoints.map(|one| told(one))).collect()
    }

    fn kept(&self, tenant: TenantId) -> Vec<Kept> {
        let (terms, snapshot) = (self.retention, self.directory.snapshot());
        let mut kept = vec![Kept::days("what you wrote and were sent, and files", terms.content)];
        for rule in self.rules(tenant, self.clock.now().date()) {
            let what = match rule.class {
                ContentClass::Received => "what you wrote",
                ContentClass::Statuses => "what became of what you were sent",
                ContentClass::Sent => "what you were sent",
                ContentClass::Files => "files that you sent",
                ContentClass::Names => "what you call yourself, in what you wrote",
                ContentClass::Locations => "places that you shared",
                ContentClass::Contacts => "cards of others that you shared",
                ContentClass::Referrals => "the advertisement that you came from",
            };
            let channel = snapshot.channel(tenant, rule.channel).map_or_else(String::new, |one| one.name.clone());
            let what = format!("of this, {what} through \u{201c}{channel}\u{201d}");
            kept.push(match rule.keep {
                Keep::Days(days) => Kept { what, days: Some(days), until: None },
                Keep::Delivered => {
                    Kept { what, days: None, until: Some("until every application that receives it has it") }
                }
            });
        }
        kept.extend([
            Kept::days("that something happened, without what was said", terms.metadata),
            Kept::days("failed attempts to pass something on", terms.attempts),
            Kept::days("who looked at your data", Some(self.exports.audit_days)),
            Kept::days("your name and number, and what you agreed to", None),
            Kept::days("this archive, at our place", Some(self.exports.days)),
        ]);
        kept
    }

    async fn consents_for(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Consent>, PrivacyError> {
        let rows = self.store.consents_of(tenant, contacts, None, MOST_CONSENTS).await?;
        let sealed: Vec<Option<Sealed>> = rows.iter().map(|row| row.wording.clone().map(Sealed::from_stored)).collect();
        let keys = Keys::fetch(&self.keyring, tenant, Keys::ids(sealed.iter().flatten())).await?;
        let shown = rows.into_iter().zip(sealed).map(|(row, sealed)| {
            let (id, contact) = (ConsentId::from_uuid(row.consent_id), ContactId::from_uuid(row.contact_id));
            let place = places::consent_wording(tenant, id, contact);
            let wording = sealed.and_then(|sealed| keys.open(&place, &sealed));
            Consent {
                purpose: row.purpose,
                state: row.state,
                source: row.source,
                channel_id: row.channel_id.map(ChannelId::from_uuid),
                wording_version: row.wording_version,
                wording: wording.and_then(|text| String::from_utf8(text.to_vec()).ok()),
                occurred_at: row.occurred_at,
            }
        });
        Ok(shown.collect())
    }
}

/// What an endpoint is shown, in words.
fn received(endpoint: &Endpoint) -> String {
    use crate::domain::endpoint::Fields;
    let what = match endpoint.fields {
        Fields::Ids => "that something happened, and when",
        Fields::Metadata => "that something happened, of which kind, and when",
        Fields::Masked => "what is said, with names and numbers masked",
        Fields::Full => "what is said, with names and numbers",
    };
    if endpoint.pseudonymous { format!("{what}, under a pseudonym") } else { what.to_owned() }
}
