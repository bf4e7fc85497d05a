//! The steps of an erasure. Each may be done by any process, and twice without harm; who is killed between two of them leaves a state
//! that says what is next.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::certificate::{self, Ends};
use super::cover::Kept;
use super::marks::Marker;
use super::{Privacy, PrivacyError, receipt};
use crate::audit::{Act, Action, Actor, Object};
use crate::ids::{ContactId, ErasureId, MediaId, TenantId};
use crate::keyring::KeyCheck;
use crate::store::Removing;
use crate::store::audit_entries::NewAuditEntry;
use crate::store::erasing::{Fence, FenceEntries, Traces};
use crate::store::erasures::{ErasureRow, Moving};

/// How long requests that may be on the wire are waited for; their answers are of no more use after that.
const ON_THE_WIRE: Duration = Duration::from_mins(1);
/// How often is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);
/// Endpoints that have not taken it so long after they were told are named in the certificate.
const RECEIPTS_WITHIN: time::Duration = time::Duration::days(30);

/// What is to be done after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    Go,
    /// Look again later: somebody holds the data, the epoch is not stepped yet, or endpoints have not been told yet.
    Wait,
    /// It is over, or there is none.
    Done,
}

impl Privacy {
    /// Takes an erasure a step further.
    pub async fn step(&self, tenant: TenantId, id: ErasureId) -> Result<Next, PrivacyError> {
        let Some(row) = self.store.find_erasure(tenant, id).await? else { return Ok(Next::Done) };
        match row.state.as_str() {
            "received" => {
                self.go(tenant, id, Moving { from: "received", to: "identity_checked", ..Moving::default() }).await
            }
            "identity_checked" | "held" => self.fence(tenant, id, &row).await,
            "fenced" => self.destroy_keys(tenant, id, &row).await,
            "keys_destroyed" => self.remove_rows(tenant, id, &row).await,
            "rows_removed" => self.step_epoch(tenant, id, &row).await,
            "epoch_stepped" => self.await_receipts(tenant, id, &row).await,
            "downstream_done" => self.certify(tenant, id, &row).await,
            _ => Ok(Next::Done),
        }
    }

    pub(super) async fn entry(
        &self,
        tenant: TenantId,
        id: ErasureId,
        action: Action,
        word: &str,
    ) -> Result<NewAuditEntry, PrivacyError> {
        let act = Act::new(tenant, Actor::GATEWAY, action, Object::one("erasure", id.uuid())).with(&[word]);
        Ok(self.audit.prepare(act, Vec::new()).await?)
    }

    async fn go(&self, tenant: TenantId, id: ErasureId, moving: Moving<'_>) -> Result<Next, PrivacyError> {
        let entry = self.entry(tenant, id, Action::ErasureMoved, moving.to).await?;
        self.store.move_erasure(tenant, id, moving, entry, self.clock.now()).await?;
        Ok(Next::Go)
    }

    /// From here on nothing is stored about the person, by whichever process.
    async fn fence(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let traces = self.traces(tenant, &row.contact_ids).await?;
        let entries = FenceEntries {
            up: self.entry(tenant, id, Action::ErasureMoved, "fenced").await?,
            held: self.entry(tenant, id, Action::ErasureHeld, "held").await?,
        };
        match self.store.fence_erasure(tenant, id, &traces, entries, self.clock.now()).await? {
            Fence::Held => Ok(Next::Wait),
            Fence::Up | Fence::Elsewhere => Ok(Next::Go),
        }
    }

    pub(super) async fn traces(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Traces, PrivacyError> {
        let keys = self.keyring.tenant(tenant).await?;
        let snapshot = self.directory.snapshot();
        let named = self.store.identifiers_of(tenant, contacts).await?;
        let shown = |contact: &Uuid| {
            let contact = *contact;
            let keys = &keys;
            snapshot.api_keys_of(tenant).into_iter().map(move |key| keys.shown_to(key.id, &contact))
        };
        Ok(Traces {
            decoys: contacts.iter().map(|contact| keys.decoy(ContactId::from_uuid(*contact))).collect(),
            reads: contacts.iter().flat_map(shown).collect(),
            proofs: named.iter().map(|(kind, hash)| keys.consent_proof(*kind, hash)).collect(),
        })
    }

    /// Waits for those who began before the fence was up, then destroys every key of the person.
    async fn destroy_keys(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let contacts: Vec<ContactId> = row.contact_ids.iter().copied().map(ContactId::from_uuid).collect();
        self.contacts.forget_contacts(&contacts);
        self.outlast_writers().await?;
        let began = Instant::now();
        while began.elapsed() < ON_THE_WIRE && self.store.is_sending_to(tenant, &row.contact_ids).await? {
            tokio::time::sleep(LOOK).await;
        }
        let mut checks = self.forget(tenant, &contacts).await?;
        checks.sort_unstable_by_key(|one| one.dek);
        let checks: Vec<u8> = checks.iter().flat_map(|one| one.check).collect();
        let moving = Moving { from: "fenced", to: "keys_destroyed", key_checks: Some(&checks), ..Moving::default() };
        self.go(tenant, id, moving).await
    }

    async fn forget(&self, tenant: TenantId, contacts: &[ContactId]) -> Result<Vec<KeyCheck>, PrivacyError> {
        let mut checks = Vec::new();
        for contact in contacts {
            checks.extend(self.keyring.forget_contact(tenant, *contact).await?.keys);
        }
        Ok(checks)
    }

    /// Whoever stores something begins before the fence and has ended, or begins after it and sees it.
    async fn outlast_writers(&self) -> Result<(), PrivacyError> {
        let mut before = self.store.storing_transactions().await?;
        while !before.is_empty() {
            tokio::time::sleep(LOOK).await;
            let now = self.store.storing_transactions().await?;
            before.retain(|one| now.contains(one));
        }
        Ok(())
    }

    /// Removes files and rows, day by day, and has everybody told who may know the person.
    async fn remove_rows(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let (contacts, now) = (row.contact_ids.as_slice(), self.clock.now());
        let seal = &Marker::of(&self.keyring, tenant).await?;
        let removing = Removing { tenant, erasure: id, seal };
        self.remove_exports_of(tenant, contacts).await?;
        let files = self.store.doom_media_of(tenant, contacts, now).await?;
        self.remove_files_of(tenant, id, &files).await?;
        let files: Vec<Uuid> = files.into_iter().map(|(media, _)| media).collect();
        self.store.remove_media_of(tenant, id, &files).await?;
        for day in self.store.days_of(tenant, contacts).await? {
            // Those that are still to be fetched: something of them may lie there already.
            self.remove_files_of(tenant, id, &self.store.media_of_day(tenant, contacts, day).await?).await?;
            self.store.remove_day_of(removing, contacts, day, now).await?;
        }
        for day in self.store.audit_days(now.date().saturating_add(time::Duration::days(2))).await? {
            self.store.remove_subjects_of(tenant, id, contacts, day).await?;
        }
        self.store.remove_person(removing, contacts).await?;
        Box::pin(self.fold_removals(seal, tenant)).await?;
        let telling = self.telling(tenant, id, row, now).await?;
        let told: Vec<Uuid> = telling.event.owed_to.iter().map(|(endpoint, _)| endpoint.uuid()).collect();
        self.store.ensure_partitions(now.date()).await?;
        let moving = Moving {
            from: "keys_destroyed",
            to: "rows_removed",
            telling: Some(telling.borrowed()),
            ..Moving::default()
        };
        let next = self.go(tenant, id, moving).await?;
        for endpoint in told {
            self.bells.ring(endpoint);
        }
        self.bells.ring_for_events();
        Ok(next)
    }

    async fn remove_files_of(
        &self,
        tenant: TenantId,
        id: ErasureId,
        files: &[(Uuid, Option<Uuid>)],
    ) -> Result<(), PrivacyError> {
        for (media, sender) in files {
            let (media, sender) = (MediaId::from_uuid(*media), sender.map(ContactId::from_uuid));
            if !self.files.remove(tenant, media, sender, Some(id)).await {
                return Err(PrivacyError::Files);
            }
        }
        Ok(())
    }

    /// No copy of the keys that is older than the next step opens anything of the person.
    async fn step_epoch(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let contacts: Vec<ContactId> = row.contact_ids.iter().copied().map(ContactId::from_uuid).collect();
        let after = match self.stepped(tenant, &contacts).await? {
            Some(after) if self.old_shares_are_gone().await? => after,
            None if row.step_now => {
                let step = self.keyring.step_epoch().await?;
                if !self.old_shares_are_gone().await? {
                    return Ok(Next::Wait);
                }
                let places = (count(step.places.0), count(step.places.1));
                let moving = Moving {
                    from: "rows_removed",
                    to: "epoch_stepped",
                    epoch_before: Some(step.before),
                    epoch_after: Some(step.after),
                    places: Some(places),
                    ..Moving::default()
                };
                return self.go(tenant, id, moving).await;
            }
            Some(_) | None => return Ok(Next::Wait),
        };
        let moving = Moving {
            from: "rows_removed",
            to: "epoch_stepped",
            epoch_before: Some(after - 1),
            epoch_after: Some(after),
            places: self.store.places_of_step(after).await?,
            ..Moving::default()
        };
        self.go(tenant, id, moving).await
    }

    /// Whether no place of the cell that can be read holds a share of an epoch that is over: with it, an old copy of the keys would open
    /// what was forgotten.
    async fn old_shares_are_gone(&self) -> Result<bool, PrivacyError> {
        let are_gone = !self.keyring.inspect_cell().await?.has_leftovers();
        if !are_gone {
            tracing::warn!("an erasure waits until the old shares of the epoch cell can be overwritten");
        }
        Ok(are_gone)
    }

    /// The epoch from which on no copy of before opens these people's keys, when it has come for all of them.
    async fn stepped(&self, tenant: TenantId, contacts: &[ContactId]) -> Result<Option<i64>, PrivacyError> {
        let forgotten = self.keyring.forgotten_among(tenant, contacts).await?;
        let epochs: Option<Vec<i64>> = forgotten.into_iter().map(|(_, epoch)| epoch).collect();
        Ok(epochs.and_then(|epochs| epochs.into_iter().max()))
    }

    async fn await_receipts(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let now = self.clock.now();
        let pending = self.store.settle_receipts(tenant, id, now).await?;
        // From when they were told: the erasure may have been held for longer than this before.
        if pending > 0 && now < row.rows_removed_at.unwrap_or(now) + RECEIPTS_WITHIN {
            return Ok(Next::Wait);
        }
        self.go(tenant, id, Moving { from: "epoch_stepped", to: "downstream_done", ..Moving::default() }).await
    }

    /// Writes the certificate. The entry commits to it, and the log to the entry.
    async fn certify(&self, tenant: TenantId, id: ErasureId, row: &ErasureRow) -> Result<Next, PrivacyError> {
        let now = self.clock.now();
        let counts = self.store.counts_of_erasure(tenant, id).await?;
        let receipts = self.store.receipts_of_erasure(tenant, id).await?;
        let identity = self.store.identity_of_erasure(tenant, id).await?;
        if row.reference.is_some() || identity.as_ref().is_some_and(|identity| identity.note.is_some()) {
            // With the key that its reference and note alone have, under an id that nobody else has: they are of use no longer.
            self.keyring.forget_contact(tenant, ContactId::from_uuid(id.uuid())).await?;
        }
        let left_at_meta = self.store.left_at_meta(tenant, id).await?;
        let ends = Ends {
            counts: &counts,
            receipts: &receipts,
            identity: identity.as_ref(),
            left_at_meta,
            left_at_meta_until: row.keys_destroyed_at.unwrap_or(now) + receipt::META_KEEPS,
            kept: Kept { now, fenced_at: row.fenced_at.unwrap_or(now), audit: self.terms.audit },
            residual_until: self.residual(row, now),
        };
        let text = certificate::write(tenant, row, &ends, now);
        let digest = certificate::digest(&text);
        let entry = self.entry(tenant, id, Action::ErasureCertified, &digest).await?;
        let moving = Moving {
            from: "downstream_done",
            to: "certified",
            certificate: Some((&text, entry.id.uuid())),
            ..Moving::default()
        };
        self.store.move_erasure(tenant, id, moving, entry, now).await?;
        tracing::info!(erasure = %id, "an erasure is certified");
        Ok(Next::Done)
    }

    /// Until when something of the person may be left that is not in reach from here.
    fn residual(&self, row: &ErasureRow, now: OffsetDateTime) -> OffsetDateTime {
        let from = row.keys_destroyed_at.unwrap_or(now);
        let caches = from + self.terms.key_cache;
        // Whatever was on the wire when the fence came up had ended before the keys went.
        let meta = from + receipt::META_KEEPS;
        caches.max(meta).max(from + self.terms.backups)
    }
}

fn count(places: usize) -> i16 {
    i16::try_from(places).unwrap_or(i16::MAX)
}
