//! Who looked at a person's data, and did what with them: what the audit log ties to them.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Privacy, PrivacyError};
use crate::audit::{Action, ActorKind, Logged};
use crate::ids::{ApiKeyId, TenantId};
use crate::store::exports::ExportRow;

/// Entries that are read at once.
const PAGE: i64 = 500;
/// Nobody learns here who is a decoy.
const SILENT: [Action; 3] = [Action::DecoyOpened, Action::DecoyMarked, Action::DecoyUnmarked];

/// An entry, in the person's terms.
#[derive(Serialize)]
pub(super) struct Looked {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
    pub(super) who: String,
    pub(super) what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
}

/// The entries about a person, oldest first, of one day after the other.
pub(super) struct History<'a> {
    privacy: &'a Privacy,
    tenant: TenantId,
    export: &'a ExportRow,
    days: std::vec::IntoIter<time::Date>,
    at: Option<(time::Date, Uuid)>,
}

impl<'a> History<'a> {
    pub(super) async fn of(
        privacy: &'a Privacy,
        tenant: TenantId,
        export: &'a ExportRow,
    ) -> Result<Self, PrivacyError> {
        let end = privacy.clock.now().date().saturating_add(time::Duration::days(1));
        let mut days = privacy.store.audit_days(end).await?.into_iter();
        let at = days.next().map(|day| (day, Uuid::nil()));
        Ok(Self { privacy, tenant, export, days, at })
    }

    /// The next of them; none: it is over.
    pub(super) async fn next(&mut self) -> Result<Vec<Looked>, PrivacyError> {
        while let Some((day, after)) = self.at {
            let contacts = &self.export.contact_ids;
            let rows = self.privacy.store.audit_entries_about(self.tenant, contacts, (day, after), PAGE).await?;
            let is_last = i64::try_from(rows.len()).unwrap_or(PAGE) < PAGE;
            self.at = match rows.last().filter(|_| !is_last) {
                Some(last) => Some((day, last.entry_id)),
                None => self.days.next().map(|day| (day, Uuid::nil())),
            };
            let looked: Vec<Looked> = rows.into_iter().filter_map(|row| self.shown(row.into())).collect();
            if !looked.is_empty() {
                return Ok(looked);
            }
        }
        Ok(Vec::new())
    }

    fn shown(&self, logged: Logged) -> Option<Looked> {
        let entry = logged.entry?;
        if SILENT.iter().any(|action| action.as_str() == entry.act.action) {
            return None;
        }
        let who = match entry.act.actor.kind {
            ActorKind::Operator => "an operator of the gateway".to_owned(),
            ActorKind::Gateway => "the gateway itself".to_owned(),
            ActorKind::Key => self.key(ApiKeyId::from_uuid(entry.act.actor.id)),
        };
        Some(Looked { at: entry.at, who, what: entry.act.action.into_owned(), reason: entry.act.reason.into_owned() })
    }

    fn key(&self, id: ApiKeyId) -> String {
        let snapshot = self.privacy.directory.snapshot();
        let name = snapshot.api_key_by_id(self.tenant, id).map(|key| key.name.clone());
        name.unwrap_or_else(|| format!("key {id}"))
    }
}
