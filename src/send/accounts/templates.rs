//! Reads the templates of an account.

use serde_json::Value;
use time::OffsetDateTime;

use super::{Sender, TEMPLATES_EVERY, TurnError};
use crate::directory::Template;
use crate::ids::{TenantId, WabaId};
use crate::store::polls::Turn;

const FIELDS: &str = "id,name,language,status,category,quality_score,parameter_format,components";
/// Longer words are none of Meta's.
const LONGEST_WORD: usize = 512;

impl Sender {
    pub(super) async fn ask_templates(&self, turn: &Turn) -> Result<(), TurnError> {
        let (tenant, account) = (TenantId::from_uuid(turn.tenant_id), WabaId::new(turn.owner.clone()));
        let channel = self.channel_of(tenant, &account).ok_or(TurnError::NoChannel)?;
        let token = channel.token.as_ref().ok_or(TurnError::NoChannel)?;
        let query = [("limit", "100"), ("fields", FIELDS)];
        let listed = self.graph.read_all(&[account.as_str(), "message_templates"], &query, token).await?;
        let now = self.clock.now();
        let mut rows = Vec::with_capacity(listed.len());
        for template in listed.iter().filter_map(|json| template(json, &account, now)) {
            rows.push(self.directory.seal_template(tenant, template).await?);
        }
        rows.sort_unstable_by(|a, b| a.template_id.cmp(&b.template_id));
        rows.dedup_by(|a, b| a.template_id == b.template_id);
        if self.store.replace_templates(turn, &rows, (now + TEMPLATES_EVERY, now)).await? {
            tracing::info!(account = account.as_str(), templates = rows.len(), "the templates were read");
        }
        Ok(())
    }
}

/// `None` for what is no template.
fn template(json: &Value, account: &WabaId, now: OffsetDateTime) -> Option<Template> {
    let word = |key: &str| {
        json.get(key).and_then(Value::as_str).filter(|word| word.len() <= LONGEST_WORD && !word.contains('\0'))
    };
    Some(Template {
        id: word("id")?.to_owned(),
        account: account.clone(),
        name: word("name")?.to_owned(),
        language: word("language")?.to_owned(),
        category: word("category").unwrap_or_default().to_owned(),
        status: word("status").unwrap_or_default().to_owned(),
        quality: json.pointer("/quality_score/score").and_then(Value::as_str).map(str::to_owned),
        named: word("parameter_format") == Some("NAMED"),
        components: json.get("components").cloned().unwrap_or_default(),
        synced_at: now,
    })
}
