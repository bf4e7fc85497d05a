//! Rotation of the data keys that no month ends (docs/adr/0022): newer keys are made, what lies under those of before is sealed anew, and
//! when nothing was found under them for days, they are destroyed. How far it has come is in the key tables: whoever goes on with it does
//! the next step, and everything may be done twice.

use std::collections::{HashMap, HashSet};

use time::Duration;
use uuid::Uuid;

use super::PrivacyError;
use crate::audit::{Act, Action, Actor, Audit, Object};
use crate::clock::SharedClock;
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::ids::TenantId;
use crate::keyring::{Keyring, Newer};
use crate::store::Store;
use crate::store::data_rotation::{DataRotation, Onward};
use crate::store::sealed_columns::{ALL, Lying, Reseal as When, Resealed as Value, SealedColumn};

/// A process has an opened key for a day at most (`keys.cache_ttl_seconds`), and what it began with it ends within another.
const REST: Duration = Duration::days(2);
/// After each page it rests for so many times as long as that took.
const RESTS: u32 = 3;

/// Tables of which the log tells each change (`marked_settings.rs`), as it calls them, and their ids.
const SETTINGS: [(&str, &str); 5] = [
    ("meta_app", "app"),
    ("channel", "channel"),
    ("endpoint", "endpoint"),
    ("hold", "hold"),
    ("restriction", "contact"),
];

/// How far a rotation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resealed {
    /// There is none.
    None,
    /// Something is left to do.
    GoOn(DataRotation),
    /// Everything is sealed under the new keys. What processes seal under those of before meanwhile is looked for until this is over.
    Rests(DataRotation),
    /// The keys of before were destroyed: so many; and so many stay, because something under them does not open.
    Over(usize, usize),
}

/// What a page has come to.
#[derive(Debug, Default)]
struct Page {
    /// Values that were sealed anew.
    resealed: u64,
    /// Values that somebody was changing.
    passed_over: u64,
    /// Keys of before under which something still lies that does not open.
    left: HashSet<Uuid>,
}

/// Takes a rotation further.
#[derive(Debug, Clone)]
pub struct Reseal {
    store: Store,
    keyring: Keyring,
    audit: Audit,
    clock: SharedClock,
}

impl Reseal {
    /// For whoever has these.
    #[must_use]
    pub const fn new(store: Store, keyring: Keyring, audit: Audit, clock: SharedClock) -> Self {
        Self { store, keyring, audit, clock }
    }

    /// When the keys of before may be destroyed at the earliest.
    #[must_use]
    pub fn ends(rotation: &DataRotation) -> time::OffsetDateTime {
        rotation.rests_from + REST
    }

    /// The next step: some hundred keys, or some hundred values. To be called until it rests, or there is none.
    pub async fn go_on(&self, tenant: TenantId) -> Result<Resealed, PrivacyError> {
        let Some(walk) = self.store.find_data_rotation(tenant).await? else { return Ok(Resealed::None) };
        match walk.state.as_str() {
            "keys" => {
                if !self.keyring.make_newer(tenant, &walk).await? {
                    self.store.go_on_to_content(tenant, &walk).await?;
                }
            }
            "content" => self.content(tenant, &walk).await?,
            _ => return Ok(Resealed::Rests(walk)),
        }
        Ok(Resealed::GoOn(walk))
    }

    /// Ends a rotation that has rested for long enough, when nothing is found under keys of before; else it rests again. Goes through
    /// everything that is sealed under data keys that are rotated: for once in a while. Killed in it, it rests again.
    pub async fn end_when_due(&self, tenant: TenantId) -> Result<Resealed, PrivacyError> {
        let Some(walk) = self.store.find_data_rotation(tenant).await? else { return Ok(Resealed::None) };
        if walk.state == "over" {
            return self.note(tenant, 0, usize::try_from(walk.kept).unwrap_or_default()).await;
        }
        if walk.state != "rests" || self.clock.now() < Self::ends(&walk) {
            return Ok(Resealed::GoOn(walk));
        }
        // One at a time: what another has just sealed anew is nothing that was not found.
        let Some(claim) = self.store.claim_data_rotation(tenant, walk.rests_from, self.clock.now()).await? else {
            return Ok(Resealed::GoOn(walk));
        };
        let found = self.look_everywhere(tenant).await?;
        let archives = self.store.deks_of_exports(tenant).await?;
        let archives = self.keyring.newer(tenant, &archives).await?;
        if found.resealed + found.passed_over > 0 || !archives.replaced.is_empty() {
            let resealed = i64::try_from(found.resealed).unwrap_or(i64::MAX);
            self.store.rest_data_rotation(tenant, resealed, self.clock.now()).await?;
            return Ok(Resealed::Rests(walk));
        }
        if self.store.find_data_rotation(tenant).await?.is_none_or(|now| now.rests_from != claim) {
            return Ok(Resealed::GoOn(walk));
        }
        let kept: Vec<Uuid> = found.left.into_iter().collect();
        let forgotten = self.keyring.forget_replaced(tenant, &kept).await?;
        self.store.end_data_rotation(tenant, i64::try_from(kept.len()).unwrap_or(i64::MAX)).await?;
        self.note(tenant, forgotten, kept.len()).await
    }

    /// The entry of the end. Two, when it is interrupted.
    async fn note(&self, tenant: TenantId, forgotten: usize, kept: usize) -> Result<Resealed, PrivacyError> {
        let act = Act::new(tenant, Actor::GATEWAY, Action::KeysRotated, Object::several("key_epoch"));
        let kept_word = format!("kept={kept}");
        self.audit.record(act.times(forgotten).with(&["data", "ended", &kept_word])).await?;
        self.store.drop_data_rotation(tenant).await?;
        Ok(Resealed::Over(forgotten, kept))
    }

    /// A page of what is sealed anew with the rotation.
    async fn content(&self, tenant: TenantId, walk: &DataRotation) -> Result<(), PrivacyError> {
        let at = usize::try_from(walk.place).unwrap_or(usize::MAX);
        let Some(column) = ALL.get(at) else {
            // What is in memory of settings was opened before; whoever reads them again finds them under the new key.
            self.store.step_settings_version().await?;
            return Ok(self.store.rest_data_rotation(tenant, 0, self.clock.now()).await?);
        };
        let mut to = Onward { place: walk.place + 1, behind: (Uuid::nil(), Uuid::nil()), resealed: 0 };
        if column.reseal == When::Now {
            let began = tokio::time::Instant::now();
            let values = self.store.lying(tenant, column, (walk.behind, walk.and_behind)).await?;
            if let Some(last) = values.last() {
                (to.place, to.behind) = (walk.place, last.key);
                to.resealed = i64::try_from(self.page(tenant, column, values).await?.resealed).unwrap_or(i64::MAX);
                // Nobody waits for it: webhooks and messages go first.
                tokio::time::sleep(began.elapsed() * RESTS).await;
            }
        }
        Ok(self.store.content_at(tenant, walk, to).await?)
    }

    /// All pages of all columns. A key of before counts as in use when anything names it.
    async fn look_everywhere(&self, tenant: TenantId) -> Result<Page, PrivacyError> {
        let mut all = Page::default();
        for column in ALL.iter().filter(|column| column.reseal != When::Never) {
            let mut behind = (Uuid::nil(), Uuid::nil());
            loop {
                let began = tokio::time::Instant::now();
                let values = self.store.lying(tenant, column, behind).await?;
                let Some(last) = values.last() else { break };
                behind = last.key;
                let page = self.page(tenant, column, values).await?;
                all.resealed += page.resealed;
                all.passed_over += page.passed_over;
                all.left.extend(page.left);
                tokio::time::sleep(began.elapsed() * RESTS).await;
            }
        }
        Ok(all)
    }

    /// Seals anew what lies under keys of before. What does not open is left alone.
    async fn page(&self, tenant: TenantId, column: &SealedColumn, values: Vec<Lying>) -> Result<Page, PrivacyError> {
        let lying: Vec<(Lying, Uuid)> = values
            .into_iter()
            .filter_map(|one| Sealed::from_stored(one.sealed.clone()).dek_id().map(|id| (one, id)))
            .collect();
        let ids: HashSet<Uuid> = lying.iter().map(|(_, id)| *id).collect();
        let newer = self.keyring.newer(tenant, &ids.into_iter().collect::<Vec<_>>()).await?;
        let (mut anew, mut page) = (Vec::new(), Page::default());
        for (one, id) in lying.into_iter().filter(|(_, id)| !newer.in_force.contains(id)) {
            match sealed_anew(tenant, column, &newer, &one, id) {
                Some(becomes) => anew.push((Value { key: one.key, was: one.sealed, becomes }, one.row)),
                None => drop(page.left.insert(id)),
            }
        }
        if anew.is_empty() {
            return Ok(page);
        }
        self.tell_of_settings(tenant, column, &anew).await?;
        let values: Vec<Value> = anew.into_iter().map(|(value, _)| value).collect();
        page.resealed = self.store.put_resealed(tenant, column, &values).await?;
        page.passed_over = (values.len() as u64).saturating_sub(page.resealed);
        Ok(page)
    }

    /// The log has an entry for each setting that changes, before it does.
    async fn tell_of_settings(
        &self,
        tenant: TenantId,
        column: &SealedColumn,
        anew: &[(Value, Uuid)],
    ) -> Result<(), PrivacyError> {
        let called: HashMap<&str, &str> = SETTINGS.into_iter().collect();
        let Some(class) = called.get(column.table) else { return Ok(()) };
        for (_, row) in anew {
            let act = Act::new(tenant, Actor::GATEWAY, Action::KeysRotated, Object::one(class, *row));
            self.audit.record(act.with(&["data"])).await?;
        }
        Ok(())
    }
}

/// The same content under the key in force. `None`: it does not open.
fn sealed_anew(tenant: TenantId, column: &SealedColumn, newer: &Newer, one: &Lying, id: Uuid) -> Option<Vec<u8>> {
    let (old, new) = newer.replaced.get(&id)?;
    let place = Context {
        tenant: tenant.uuid(),
        table: column.table,
        column: column.column,
        row: one.row,
        contact: one.contact,
    };
    let opened = envelope::open(&old.dek, &place, &Sealed::from_stored(one.sealed.clone())).ok()?;
    Some(envelope::seal(&new.dek, &place, &opened).into_bytes())
}
