//! `waxseal template`: the templates of Meta's accounts, as they were listed last.

use std::io::Write;

use anyhow::ensure;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::moment::shown;
use super::settings::base;
use super::table::Table;
use crate::audit::Action;
use crate::config::Config;
use crate::directory::Template;
use crate::ids::TenantId;
use crate::store::polls::Kind;
use crate::store::templates::TemplateFilter;

const TENANT: TenantId = TenantId::DEFAULT;

/// `waxseal template …`
#[derive(Debug, Subcommand)]
pub(super) enum TemplateVerb {
    /// List templates.
    List(Which),
    /// Show the texts of a template, in all its languages.
    Show {
        /// Its name.
        name: String,
    },
    /// Have the templates read anew; a running gateway does it within seconds.
    Sync,
}

/// A filter of templates.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this account.
    #[arg(long)]
    waba_id: Option<String>,
    /// In this language, such as `en_US`.
    #[arg(long)]
    language: Option<String>,
    /// In this state, in Meta's word.
    #[arg(long)]
    status: Option<String>,
    /// Of this category, in Meta's word.
    #[arg(long)]
    category: Option<String>,
}

pub(super) async fn run(config: &Config, verb: TemplateVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = base(config).await?;
    match verb {
        TemplateVerb::List(which) => {
            let accounts = which.waba_id.map(|one| vec![one]);
            let (status, category) =
                (which.status.map(|word| word.to_uppercase()), which.category.map(|word| word.to_uppercase()));
            let filter = TemplateFilter {
                accounts: accounts.as_deref(),
                name: None,
                language: which.language.as_deref(),
                status: status.as_deref(),
                category: category.as_deref(),
            };
            let mut table = Table::new(["name", "language", "category", "status", "quality", "account", "read"]);
            for one in base.directory.page_of_templates(TENANT, &filter, "", i64::MAX).await? {
                let Template { name, language, category, status, quality, account, synced_at, .. } = one;
                let quality = quality.unwrap_or_default();
                table.row([name, language, category, status, quality, account.as_str().to_owned(), shown(synced_at)]);
            }
            table.write(out)?;
        }
        TemplateVerb::Show { name } => {
            let filter = TemplateFilter { name: Some(&name), ..TemplateFilter::default() };
            let found = base.directory.page_of_templates(TENANT, &filter, "", i64::MAX).await?;
            ensure!(!found.is_empty(), "no template of this name is known");
            for template in found {
                let Template { id, language, category, status, .. } = &template;
                writeln!(out, "{name}  {language}  {category}  {status}  id {id}")?;
                writeln!(out, "{}", serde_json::to_string_pretty(&template.components)?)?;
            }
        }
        TemplateVerb::Sync => {
            base.note(Action::TemplatesSynced, "template", Uuid::nil(), &[]).await?;
            let snapshot = base.directory.snapshot();
            let accounts = snapshot.channels_of(TENANT).into_iter().map(|one| one.waba_id.as_str().to_owned());
            let now = base.clock.now();
            base.store.hasten_polls(TENANT, Kind::Templates, &accounts.collect::<Vec<_>>(), (now, now)).await?;
            writeln!(out, "a running gateway reads them within seconds")?;
        }
    }
    Ok(())
}
