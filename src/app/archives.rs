//! Links to archives for people who asked for them in the chat: the door, as the room that sends sees it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use super::Base;
use crate::access::{Caller, Door, Errand, Permission};
use crate::config::Config;
use crate::ids::{ExportId, TenantId};
use crate::send::in_chat::{ArchiveLinks, NoLink};
use crate::store::Store;

/// How long a link is good at most.
const LONGEST: time::Duration = time::Duration::days(7);

/// Where links begin. `None`: none are given in the chat.
pub(super) fn links_at(config: &Config) -> Option<&str> {
    config.privacy.in_chat.as_ref()?.links_at.as_deref()
}

/// What makes them.
pub(super) fn links(base: &Base, config: &Config) -> Option<Arc<dyn ArchiveLinks>> {
    let begin = links_at(config)?.to_owned();
    Some(Arc::new(Links { door: base.door(), store: base.store.clone(), begin }))
}

#[derive(Debug)]
struct Links {
    door: Door,
    store: Store,
    begin: String,
}

impl ArchiveLinks for Links {
    fn link(&self, tenant: TenantId, id: ExportId) -> BoxFuture<'_, Result<Option<(String, OffsetDateTime)>, NoLink>> {
        Box::pin(async move {
            let row = self.store.find_export(tenant, id).await.map_err(|_| NoLink)?;
            let ends = row.and_then(|row| Some((row.ready_at?, row.expires_at?)));
            let Some((ready, expires)) = ends else { return Ok(None) };
            // Whole seconds, and the same each time: who is killed on the way says the same again.
            let until = expires.min(ready + LONGEST).replace_nanosecond(0).map_err(|_| NoLink)?;
            let who = Caller::operator(tenant, std::iter::once(Permission::ExportsRead).collect());
            let token = self.door.link_archive(&who, &Errand::operation(), id, until).await;
            match token {
                Ok(token) => {
                    Ok(token.map(|token| (format!("{}/v1/privacy/export-links?token={token}", self.begin), until)))
                }
                Err(error) if error.is_retryable() => Err(NoLink),
                // Held since, or restricted: whoever answers the request decides.
                Err(_) => Ok(None),
            }
        })
    }
}
