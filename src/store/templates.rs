//! The templates of Meta's accounts, as they were listed last.

use time::OffsetDateTime;

use super::polls::{self, Turn};
use super::{Store, StoreError};
use crate::ids::{TenantId, WabaId};

/// A template.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    /// Meta's id.
    pub template_id: String,
    /// Of which account.
    pub waba_id: String,
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
    /// Sealed.
    pub content: Vec<u8>,
    /// When Meta said so.
    pub synced_at: OffsetDateTime,
}

/// Which templates; absent: any.
#[derive(Debug, Default)]
pub struct TemplateFilter<'a> {
    /// Of these accounts.
    pub accounts: Option<&'a [String]>,
    /// Of this name.
    pub name: Option<&'a str>,
    /// In this language.
    pub language: Option<&'a str>,
    /// In this state.
    pub status: Option<&'a str>,
    /// Of this category.
    pub category: Option<&'a str>,
}

impl Store {
    /// Puts these in the place of an account's templates and ends the turn, in one commit. False: the turn was lost, and nothing
    /// was written.
    pub async fn replace_templates(
        &self,
        turn: &Turn,
        rows: &[TemplateRow],
        (next_at, now): (OffsetDateTime, OffsetDateTime),
    ) -> Result<bool, StoreError> {
        fn column<'a, T>(rows: &'a [TemplateRow], pick: impl Fn(&'a TemplateRow) -> T) -> Vec<T> {
            rows.iter().map(pick).collect()
        }
        let mut transaction = self.data.begin().await?;
        if !polls::finish(&mut transaction, turn, next_at, now).await? {
            return Ok(false);
        }
        let ids = column(rows, |row| row.template_id.as_str());
        sqlx::query!(
            "DELETE FROM template WHERE tenant_id = $1 AND waba_id = $2 AND template_id <> ALL($3)",
            turn.tenant_id,
            turn.owner,
            &ids as _,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO template (tenant_id, template_id, waba_id, name, language, category, status, quality, content, synced_at)
             SELECT $1, t.id, $2, t.name, t.language, t.category, t.status, t.quality, t.content, $3
             FROM UNNEST($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[])
                 AS t (id, name, language, category, status, quality, content)
             ON CONFLICT (tenant_id, template_id) DO UPDATE
             SET waba_id = EXCLUDED.waba_id, name = EXCLUDED.name, language = EXCLUDED.language, category = EXCLUDED.category,
                 status = EXCLUDED.status, quality = EXCLUDED.quality, content = EXCLUDED.content, synced_at = EXCLUDED.synced_at",
            turn.tenant_id,
            turn.owner,
            now,
            &ids as _,
            &column(rows, |row| row.name.as_str()) as _,
            &column(rows, |row| row.language.as_str()) as _,
            &column(rows, |row| row.category.as_str()) as _,
            &column(rows, |row| row.status.as_str()) as _,
            &column(rows, |row| row.quality.as_deref()) as _,
            &column(rows, |row| row.content.as_slice()) as _,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The templates of an account. Read whole: Meta allows some thousands.
    pub async fn templates_of(&self, tenant: TenantId, account: &WabaId) -> Result<Vec<TemplateRow>, StoreError> {
        let accounts = [account.as_str().to_owned()];
        let filter = TemplateFilter { accounts: Some(&accounts), ..TemplateFilter::default() };
        self.page_of_templates(tenant, &filter, "", i64::MAX).await
    }

    /// The templates of a tenant behind `after`, in the order of their ids.
    pub async fn page_of_templates(
        &self,
        tenant: TenantId,
        filter: &TemplateFilter<'_>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TemplateRow>, StoreError> {
        let rows = sqlx::query_as!(
            TemplateRow,
            r#"SELECT template_id, waba_id, name, language, category, status, quality, content::bytea AS "content!", synced_at
               FROM template
               WHERE tenant_id = $1 AND template_id > $2 AND ($3::text[] IS NULL OR waba_id = ANY($3))
                 AND ($4::text IS NULL OR name = $4) AND ($5::text IS NULL OR language = $5)
                 AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR category = $7)
               ORDER BY template_id LIMIT $8"#,
            tenant.uuid(),
            after,
            filter.accounts,
            filter.name,
            filter.language,
            filter.status,
            filter.category,
            limit,
        );
        Ok(rows.fetch_all(&self.data).await?)
    }
}
