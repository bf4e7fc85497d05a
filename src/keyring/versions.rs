//! Content of which some fields live for a shorter time (ADR 20): sealed in versions, opened as the fullest that there is a key for.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Keyring, KeyringError, OwnedDek};
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::crypto::versions::{pack, unpack};
use crate::ids::TenantId;

/// Where a fuller version belongs: inside of the content of this place.
const fn inside(place: &Context) -> Context {
    Context { column: "payload.fuller", ..*place }
}

/// Seals content for a place: `rest` for as long as `dek` lives, and fuller versions of it, the fullest first, each under its own key.
#[must_use]
pub fn seal_versions(dek: &OwnedDek, fuller: &[(Arc<OwnedDek>, &[u8])], rest: &[u8], place: &Context) -> Sealed {
    if fuller.is_empty() {
        return envelope::seal(&dek.dek, place, rest);
    }
    let within = inside(place);
    let fuller: Vec<Sealed> = fuller.iter().map(|(dek, text)| envelope::seal(&dek.dek, &within, text)).collect();
    envelope::seal(&dek.dek, place, &Zeroizing::new(pack(&fuller, rest)))
}

impl Keyring {
    /// Puts in the place of each opened content the fullest version that opens. Content of one version stays as it is.
    pub async fn fullest<'c>(
        &self,
        tenant: TenantId,
        opened: Vec<(Context, &'c mut Zeroizing<Vec<u8>>)>,
    ) -> Result<(), KeyringError> {
        let several = |(place, content): (Context, &'c mut Zeroizing<Vec<u8>>)| {
            let (fuller, rest) = unpack(content)?;
            let rest = Zeroizing::new(rest.to_vec());
            Some((place, content, fuller, rest))
        };
        let several: Vec<_> = opened.into_iter().filter_map(several).collect();
        if several.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = several.iter().flat_map(|(_, _, fuller, _)| fuller).filter_map(Sealed::dek_id).collect();
        let keys = self.whatever_opens(tenant, ids).await?;
        for (place, content, fuller, rest) in several {
            *content = fuller.iter().find_map(|one| open(&keys, &place, one)).unwrap_or(rest);
        }
        Ok(())
    }
}

fn open(keys: &HashMap<Uuid, Arc<OwnedDek>>, place: &Context, sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
    let key = keys.get(&sealed.dek_id()?)?;
    let opened = envelope::open(&key.dek, &inside(place), sealed);
    if opened.is_err() {
        tracing::error!(table = place.table, row = %place.row, "a fuller version of a content does not open");
    }
    opened.ok()
}
