//! What the log says of marks: the newest entry commits to all of them, and they name that entry, so that neither is good without the
//! other.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use time::{Date, Duration};
use uuid::Uuid;

use super::astray::{Astray, RowFault, RowsFound};
use super::marked_settings::{Noted, SETTINGS, StatedSettings};
use super::marks::{Marker, Tally, Totals};
use super::{Privacy, PrivacyError};
use crate::audit::{Act, Action, Actor, Object};
use crate::crypto::envelope::Sealed;
use crate::ids::{AuditEntryId, TenantId};
use crate::store::audit_reads::AuditFilter;
use crate::store::marked_settings::NOTED;
use crate::store::row_marks::{self, MarkRow, NO_DAY};
use crate::store::{Store, StoreError, Transaction, audit_entries};

/// How often is tried to see marks and entry of one moment.
const TRIES: usize = 5;

/// What the log says, and the marks that it commits to.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    pub(super) said: Option<AuditEntryId>,
    pub(super) settings: Option<StatedSettings>,
    pub(super) places: BTreeSet<(String, Date)>,
    pub(super) faults: Vec<RowFault>,
}

fn fault_of_marks(what: Astray) -> RowFault {
    RowFault { table: "row_mark".to_owned(), day: None, id: None, what }
}

/// What the log is to say beside the marks that are stored.
#[derive(Debug)]
pub(super) struct Statement {
    /// Up to where is counted.
    pub(super) below: Uuid,
    /// Hashes of settings.
    pub(super) settings: BTreeMap<String, String>,
    /// Counts for whoever reads the entry.
    pub(super) words: Vec<String>,
}

impl Privacy {
    /// Marks and entry of one moment.
    pub(super) async fn anchor(&self, by: &Marker, tenant: TenantId) -> Result<Anchor, PrivacyError> {
        for _ in 0..TRIES {
            let marks = row_marks::marks(&mut self.store.connection().await?, tenant, false).await?;
            let settings = marks.iter().find(|mark| mark.counted == SETTINGS).map(|mark| &mark.content);
            let said =
                self.newest(tenant, settings.and_then(|mark| by.open_mark(SETTINGS, NO_DAY, mark)).as_ref()).await?;
            let again = row_marks::mark(&mut self.store.connection().await?, tenant, SETTINGS, NO_DAY).await?;
            if settings.map(Sealed::as_bytes) == again.as_ref().map(Sealed::as_bytes) {
                return Ok(Anchor::of(by, said.as_ref(), &marks));
            }
        }
        Err(StoreError::BrokenOff.into())
    }

    /// The newest entry that says what is there, and what it commits to: `since` the one that the marks name, which is of today or
    /// yesterday. An entry that was changed commits to nothing.
    async fn newest(
        &self,
        tenant: TenantId,
        since: Option<&StatedSettings>,
    ) -> Result<Option<(AuditEntryId, String)>, PrivacyError> {
        let filter = AuditFilter {
            actions: Some(vec![Action::RowsAttested.as_str().to_owned()]),
            from: since.map(|since| since.entry),
            ..AuditFilter::default()
        };
        let newest = self.audit.entries(tenant, None, &filter, 1).await?.pop();
        Ok(newest.map(|logged| (logged.id, logged.entry.map_or_else(String::new, |entry| entry.act.details))))
    }

    /// Has the log say what the marks say now: they are locked from here on, so that one says it behind the other, and each entry has a
    /// later id than the one before, whatever the clocks show.
    pub(super) async fn state(
        &self,
        mut transaction: Transaction,
        (by, tenant): (&Marker, TenantId),
        next: Statement,
    ) -> Result<(), PrivacyError> {
        let (mut all, mut at): (Vec<(MarkRow, Totals)>, _) = (Vec::new(), self.clock.now());
        for mark in row_marks::marks(&mut transaction, tenant, true).await? {
            if mark.counted == SETTINGS {
                let before: Option<StatedSettings> = by.open_mark(SETTINGS, mark.day, &mark.content);
                let last = before.map(|before| AuditEntryId::from_uuid(before.entry).made_at());
                at = last.map_or(at, |last| at.max(last + Duration::SECOND));
            } else if let Some(totals) = by.open_mark::<Totals>(&mark.counted, mark.day, &mark.content) {
                all.push((mark, totals));
            }
        }
        for (mark, totals) in &mut all {
            if totals.stated != Some(totals.tally) {
                totals.stated = Some(totals.tally);
                row_marks::save_mark(&mut transaction, tenant, &by.seal_mark(&mark.counted, mark.day, totals)).await?;
            }
        }
        let id = AuditEntryId::new(at);
        let settings = StatedSettings { entry: id.uuid(), below: next.below, rows: next.settings };
        row_marks::save_mark(&mut transaction, tenant, &by.seal_mark(SETTINGS, NO_DAY, &settings)).await?;
        let committed = committed(&settings, all.iter().map(|(mark, totals)| (mark, totals.stated)));
        let words: Vec<&str> = std::iter::once(&committed).chain(&next.words).map(String::as_str).collect();
        let act = Act::new(tenant, Actor::GATEWAY, Action::RowsAttested, Object::several("rows"));
        let entry = self.audit.prepare_as(id, act.times(all.len()).with(&words), Vec::new()).await?;
        self.store.ensure_partitions(id.day()).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        Ok(Store::commit(transaction).await?)
    }

    /// Takes what was removed out of the marks, and has the log say so at once: from here on nobody puts it back and takes the removal away.
    /// Where the marks are not right, nothing is done. Twice is once.
    pub(super) async fn fold_removals(&self, by: &Marker, tenant: TenantId) -> Result<(), PrivacyError> {
        let mut transaction = self.store.begin().await?;
        let marks = row_marks::marks(&mut transaction, tenant, true).await?;
        let settings = marks.iter().find(|mark| mark.counted == SETTINGS);
        let settings: Option<StatedSettings> = settings.and_then(|mark| by.open_mark(SETTINGS, NO_DAY, &mark.content));
        // Nothing was stated yet: the first time takes everything as it is.
        let Some(settings) = settings else { return Ok(()) };
        let anchor = Anchor::of(by, self.newest(tenant, Some(&settings)).await?.as_ref(), &marks);
        let (Some(mut settings), true) = (anchor.settings, anchor.faults.is_empty()) else { return Ok(()) };
        let mut removed: BTreeMap<(String, Date), Vec<(Uuid, Sealed)>> = BTreeMap::new();
        for one in row_marks::all_removals(&mut transaction, tenant).await? {
            removed.entry((one.counted, one.day)).or_default().push((one.id, one.content));
        }
        if removed.is_empty() {
            return Ok(());
        }
        let (mut rows, mut gone) = (0, Vec::new());
        for mark in &marks {
            let Some(removals) = removed.remove(&(mark.counted.clone(), mark.day)) else { continue };
            let Some(mut totals) = by.open_mark::<Totals>(&mark.counted, mark.day, &mark.content) else { continue };
            let told: Option<Vec<_>> = removals.iter().map(|(id, sealed)| by.open_removal(*id, sealed)).collect();
            let Some(told) = told else { continue };
            for (_, hash) in told.iter().flatten().filter(|(id, _)| *id < totals.below) {
                totals.tally.remove(hash);
                rows += 1;
            }
            row_marks::save_mark(&mut transaction, tenant, &by.seal_mark(&mark.counted, mark.day, &totals)).await?;
            let ids: Vec<Uuid> = removals.iter().map(|(id, _)| *id).collect();
            row_marks::drop_removals(&mut transaction, tenant, (&mark.counted, mark.day), &ids).await?;
        }
        for ((table, day), removals) in removed {
            rows += fold_settings(by, &mut settings, &table, &removals, &mut gone);
            row_marks::drop_removals(&mut transaction, tenant, (&table, day), &gone).await?;
            gone.clear();
        }
        let words = vec![format!("removed={rows}")];
        let next = Statement { below: settings.below, settings: settings.rows, words };
        self.state(transaction, (by, tenant), next).await
    }
}

impl Anchor {
    pub(super) fn since(&self) -> Uuid {
        self.settings.as_ref().map_or(Uuid::nil(), |settings| settings.below)
    }

    pub(super) fn found(&self) -> RowsFound {
        RowsFound { said_at: self.said.map(AuditEntryId::made_at), ..RowsFound::default() }
    }

    fn of(by: &Marker, said: Option<&(AuditEntryId, String)>, marks: &[MarkRow]) -> Self {
        let mut anchor = Self { said: said.map(|(id, _)| *id), ..Self::default() };
        let mut all: Vec<(&MarkRow, Option<Tally>)> = Vec::new();
        for mark in marks {
            if mark.counted == SETTINGS {
                anchor.settings = by.open_mark(SETTINGS, mark.day, &mark.content);
                continue;
            }
            anchor.places.insert((mark.counted.clone(), mark.day));
            match by.open_mark::<Totals>(&mark.counted, mark.day, &mark.content) {
                Some(totals) => all.push((mark, totals.stated)),
                None => anchor.faults.push(fault_of_marks(Astray::Damaged)),
            }
        }
        let is_said = match (said, &anchor.settings) {
            (Some((id, words)), Some(settings)) => {
                settings.entry == id.uuid() && words.split(',').next() == Some(&committed(settings, all.into_iter()))
            }
            // Nothing was ever stated.
            (None, None) => all.iter().all(|(_, stated)| stated.is_none()),
            _ => false,
        };
        if !is_said && anchor.faults.is_empty() {
            anchor.faults.push(fault_of_marks(Astray::NotOfLog));
        }
        anchor
    }
}

/// Takes holds and restrictions that were removed as they were stated out of what is stated: how many. `gone`: the removals that are in it
/// then. What was changed since it was stated, or made, stays for the next look.
fn fold_settings(
    by: &Marker,
    settings: &mut StatedSettings,
    table: &str,
    removals: &[(Uuid, Sealed)],
    gone: &mut Vec<Uuid>,
) -> usize {
    let mut folded = 0;
    for (id, sealed) in removals.iter().filter(|_| NOTED.contains(&table)) {
        let Some(rows) = by.open_removal(*id, sealed) else { continue };
        let mut noted = Noted::default();
        for (row, hash) in &rows {
            noted.take(table, *row, hash);
        }
        let before = settings.rows.len();
        settings.rows.retain(|name, hash| !noted.tells_of(name, hash));
        let taken = before - settings.rows.len();
        folded += taken;
        if taken == rows.len() {
            gone.push(*id);
        }
    }
    folded
}

/// What an entry says of the marks, by its own id, in their order. It tells nobody anything who cannot open them.
fn committed<'a>(settings: &StatedSettings, stated: impl Iterator<Item = (&'a MarkRow, Option<Tally>)>) -> String {
    let mut hash = Sha256::new().chain_update(format!("waxseal rows v1\n{}\n{}\n", settings.entry, settings.below));
    for (mark, tally) in stated {
        if let Some(tally) = tally {
            hash.update(format!("{} {} {tally}\n", mark.counted, mark.day));
        }
    }
    for (name, of) in &settings.rows {
        hash.update(format!("{name} {of}\n"));
    }
    format!("sha256={}", data_encoding::HEXLOWER.encode(&hash.finalize()))
}
