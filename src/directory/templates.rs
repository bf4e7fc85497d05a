//! Templates with their content opened, and what Meta says of a number. Neither is about a person.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Directory, LoadError, SaveError};
use crate::crypto::envelope;
use crate::ids::{ChannelId, TenantId, WabaId};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::templates::{TemplateFilter, TemplateRow};

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Meta's id.
    pub id: String,
    /// Of which account.
    pub account: WabaId,
    /// Its name; several languages share it.
    pub name: String,
    /// Its language.
    pub language: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    pub category: String,
    /// `APPROVED`, `PAUSED`, …
    pub status: String,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
    /// Whether its places have names.
    pub named: bool,
    /// Meta's `components`.
    pub components: Value,
    /// When Meta said so.
    pub synced_at: OffsetDateTime,
}

/// What Meta said last of a number.
#[derive(Debug, Clone)]
pub struct ChannelState {
    /// Facts by their names.
    pub facts: Value,
    /// When Meta was asked.
    pub asked_at: OffsetDateTime,
    /// When it last said something new.
    pub changed_at: OffsetDateTime,
}

impl Directory {
    /// Seals what Meta said of a template.
    pub async fn seal_template(&self, tenant: TenantId, template: Template) -> Result<TemplateRow, KeyringError> {
        let key = self.keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
        let content = json!({ "named": template.named, "components": template.components }).to_string();
        let sealed = envelope::seal(&key.dek, &places::template(tenant, &template.id), content.as_bytes());
        Ok(TemplateRow {
            template_id: template.id,
            waba_id: template.account.as_str().to_owned(),
            name: template.name,
            language: template.language,
            category: template.category,
            status: template.status,
            quality: template.quality,
            content: sealed.into_bytes(),
            synced_at: template.synced_at,
        })
    }

    async fn open_template(&self, tenant: TenantId, row: TemplateRow) -> Result<Template, LoadError> {
        let text = self.open_text(places::template(tenant, &row.template_id), &row.content).await?;
        let mut content: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Template {
            named: content.get("named") == Some(&Value::Bool(true)),
            components: content.get_mut("components").map(Value::take).unwrap_or_default(),
            id: row.template_id,
            account: WabaId::new(row.waba_id),
            name: row.name,
            language: row.language,
            category: row.category,
            status: row.status,
            quality: row.quality,
            synced_at: row.synced_at,
        })
    }

    /// The templates of an account.
    pub async fn templates_of(&self, tenant: TenantId, account: &WabaId) -> Result<Vec<Template>, LoadError> {
        let rows = self.store.templates_of(tenant, account).await?;
        self.open_templates(tenant, rows).await
    }

    /// Templates behind `after`, in the order of their ids.
    pub async fn page_of_templates(
        &self,
        tenant: TenantId,
        filter: &TemplateFilter<'_>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Template>, LoadError> {
        let rows = self.store.page_of_templates(tenant, filter, after, limit).await?;
        self.open_templates(tenant, rows).await
    }

    async fn open_templates(&self, tenant: TenantId, rows: Vec<TemplateRow>) -> Result<Vec<Template>, LoadError> {
        let mut opened = Vec::with_capacity(rows.len());
        for row in rows {
            opened.push(self.open_template(tenant, row).await?);
        }
        Ok(opened)
    }

    /// Seals what Meta says of a number.
    pub async fn seal_channel_state(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        facts: &Value,
    ) -> Result<Vec<u8>, SaveError> {
        self.seal_text(tenant, "channel_state", "facts", channel.uuid(), &facts.to_string()).await
    }

    /// What Meta said last of a number. `None`: it was not asked yet.
    pub async fn channel_state(&self, tenant: TenantId, channel: ChannelId) -> Result<Option<ChannelState>, LoadError> {
        let Some(row) = self.store.channel_state(tenant, channel).await? else { return Ok(None) };
        let place = places::setting(tenant.uuid(), "channel_state", "facts", channel.uuid());
        let text = self.open_text(place, &row.facts).await?;
        let facts = serde_json::from_str(&text).unwrap_or_default();
        Ok(Some(ChannelState { facts, asked_at: row.asked_at, changed_at: row.changed_at }))
    }
}
