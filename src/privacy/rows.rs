//! Whether what is stored is what was stored: once a day rows are counted and summed, and an entry of the audit log, whose tree is signed
//! and witnessed, commits to it (docs/adr/0021-rows-that-nobody-puts-back.md). Rows that are gone without a removal of ours, or there
//! again after one, are told with their table and day.

use std::collections::{BTreeMap, BTreeSet};

use time::{Date, Duration};
use uuid::Uuid;

use super::anchor::{Anchor, Statement};
use super::astray::{Astray, RowFault, RowsFound};
use super::marked_settings::{self, ACTIONS, StatedSettings, Told};
use super::marks::{Marker, Tally, Totals};
use super::{Privacy, PrivacyError};
use crate::ids::{AuditEntryId, TenantId};
use crate::store::audit_reads::AuditFilter;
use crate::store::marked_settings::{NOTED, settings};
use crate::store::row_marks::{self, Behind, Counted, NO_DAY};
use crate::store::{Store, partitions};
use crate::telemetry;

/// What is younger is not counted yet: it may still be on its way into the database, and clocks differ.
const YOUNG: Duration = Duration::hours(1);
/// Days that still get rows, and are looked at each time; of older ones every [`WEEKLY`]th, so that each has its turn in about a week.
const OPEN: Duration = Duration::days(partitions::DAYS_BACK + 1);
const WEEKLY: i32 = 8;
/// Days ahead under which something may be filed (ADR 2).
const AHEAD: Duration = Duration::days(partitions::DAYS_AHEAD + 1);
/// Entries that are read at a time.
const PAGE: i64 = 500;
/// How often a look is tried that another process gets in the way of.
const TRIES: usize = 5;

/// What is done with what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nothing.
    Look,
    /// What is right is kept in mind.
    Keep,
    /// Everything is taken for right.
    Accept,
}

/// One look at the rows of a tenant.
struct Round<'a> {
    by: &'a Marker,
    tenant: TenantId,
    today: Date,
    /// Up to where everything was counted when the log last said what is there.
    since: Uuid,
    /// Up to where is counted now.
    below: Uuid,
    how: How,
    found: RowsFound,
}

impl Round<'_> {
    /// Up to where a day was counted: of one that gets no more rows, as far as all.
    fn counted_below(&self, day: Date, known: Option<&Totals>) -> Uuid {
        // What is not cut by day has a mark from the first look at it: it is new to the release.
        let unknown = if day == NO_DAY { Uuid::nil() } else { self.since };
        let below = known.map_or(unknown, |totals| totals.below);
        let is_open = day == NO_DAY || day >= self.today - OPEN;
        if is_open { below } else { below.max(self.since) }
    }
}

impl Privacy {
    /// Compares everything with what the log says of it, and changes nothing. Reads the key of every row.
    pub async fn check_rows(&self, tenant: TenantId, today: Date) -> Result<RowsFound, PrivacyError> {
        let by = &Marker::of(&self.keyring, tenant).await?;
        let anchor = self.anchor(by, tenant).await?;
        let since = anchor.since();
        let mut round = Round { by, tenant, today, since, below: since, how: How::Look, found: anchor.found() };
        round.found.faults.clone_from(&anchor.faults);
        if anchor.said.is_none() && anchor.faults.is_empty() {
            return Ok(round.found);
        }
        for place in self.places(&anchor, today).await? {
            self.settle(&mut round, place).await?;
        }
        self.compare_settings(&mut round, anchor.settings.as_ref()).await?;
        Ok(round.found)
    }

    /// Compares, and has the log say anew what is there: once a day. What is not as it was is told, and what was known of it stays, so that
    /// it is told until it is put right. `accept`: an operator takes everything for right. Killed in it, what was said before counts.
    pub async fn attest_rows(&self, tenant: TenantId, today: Date, accept: bool) -> Result<RowsFound, PrivacyError> {
        let how = if accept { How::Accept } else { How::Keep };
        let by = &Marker::of(&self.keyring, tenant).await?;
        let mut anchor = self.anchor(by, tenant).await?;
        let (since, mut found) = (anchor.since(), anchor.found());
        if accept {
            anchor.settings = None;
        } else if !anchor.faults.is_empty() {
            found.faults = anchor.faults;
            return Ok(found);
        }
        // At first everything is looked at, and taken as it is.
        let looks_at_all = anchor.settings.is_none();
        let below = row_marks::lowest_of(self.clock.now() - YOUNG).max(since);
        let mut round = Round { by, tenant, today, since, below, how, found };
        for place in self.places(&anchor, today).await? {
            let is_open = place.1 == NO_DAY || place.1 >= today - OPEN;
            let has_turn = (place.1.to_julian_day() + today.to_julian_day()) % WEEKLY == 0;
            if looks_at_all || is_open || has_turn {
                self.settle(&mut round, place).await?;
            }
        }
        let (settings, noted) = self.compare_settings(&mut round, anchor.settings.as_ref()).await?;
        let mut transaction = self.store.begin().await?;
        // In the order in which everybody locks them.
        row_marks::marks(&mut transaction, tenant, true).await?;
        for counted in Counted::ALL {
            if let Some(first) = self.retention.horizon(counted.table(), today) {
                row_marks::drop_before(&mut transaction, tenant, counted.table(), first).await?;
            }
        }
        for (table, ids) in &noted {
            row_marks::drop_removals(&mut transaction, tenant, (table, NO_DAY), ids).await?;
        }
        let found = round.found;
        let words = vec![
            format!("rows={}", found.rows),
            format!("places={}", found.places),
            format!("astray={}", found.faults.len()),
        ];
        self.state(transaction, (by, tenant), Statement { below, settings, words }).await?;
        Ok(found)
    }

    /// The same for the daily cleaning: what is found is said where somebody looks. What fails is done the next day.
    pub(super) async fn watch_rows(&self, tenant: TenantId, today: Date) {
        for tries in 1..=TRIES {
            match self.attest_rows(tenant, today, false).await {
                Ok(found) => {
                    metrics::gauge!(telemetry::ROWS_ASTRAY).set(found.faults.len() as f64);
                    for fault in &found.faults {
                        tracing::error!(%fault, "what is stored is not what was stored: somebody else has changed the database");
                    }
                    return;
                }
                // Another process looks at the same, or removes somebody.
                Err(error) if error.is_retryable() && tries < TRIES => {}
                Err(error) => {
                    tracing::warn!(%error, "whether what is stored is what was stored is looked at another day");
                    return;
                }
            }
        }
    }

    /// Every table and day that is still kept and may hold something, or did.
    async fn places(&self, anchor: &Anchor, today: Date) -> Result<Vec<(Counted, Date)>, PrivacyError> {
        let mut places = Vec::new();
        for counted in Counted::ALL {
            let mut days: BTreeSet<Date> = self.store.counted_days(counted, today + AHEAD).await?.into_iter().collect();
            days.extend(anchor.places.iter().filter(|(table, _)| table == counted.table()).map(|(_, day)| *day));
            // What is older than is kept goes, or is held (ADR 14).
            let first = self.retention.horizon(counted.table(), today);
            let is_kept = |day: &Date| *day == NO_DAY || first.is_none_or(|first| *day >= first);
            places.extend(days.into_iter().filter(is_kept).map(|day| (counted, day)));
        }
        Ok(places)
    }

    /// Counts the rows of a table and day at one moment, and compares. With `How::Keep`, what came since and is not young is counted from now on.
    async fn settle(&self, round: &mut Round<'_>, (counted, day): (Counted, Date)) -> Result<(), PrivacyError> {
        let (by, tenant, table) = (round.by, round.tenant, counted.table());
        let mut moment = match round.how {
            How::Look => self.store.begin_snapshot().await?,
            How::Keep | How::Accept => self.store.begin_moment().await?,
        };
        let mark = row_marks::mark(&mut moment, tenant, table, day).await?;
        let known: Option<Totals> = mark.as_ref().and_then(|mark| by.open_mark(table, day, mark));
        let mut is_damaged = mark.is_some() != known.is_some();
        let counted_below = round.counted_below(day, known.as_ref());
        let below = round.below.max(counted_below);
        let removals = row_marks::removals(&mut moment, tenant, table, day).await?;
        let mut wanted = known.map_or_else(Tally::default, |totals| totals.tally);
        for (id, sealed) in &removals {
            let rows = by.open_removal(*id, sealed);
            is_damaged |= rows.is_none();
            rows.iter().flatten().filter(|(id, _)| *id < counted_below).for_each(|(_, hash)| wanted.remove(hash));
        }
        let (mut old, mut new, mut behind) = (Tally::default(), Tally::default(), Behind::default());
        loop {
            let rows = row_marks::page(&mut moment, tenant, (counted, day), &mut behind).await?;
            for row in rows.iter().filter(|row| row.id < below) {
                let tally = if row.id < counted_below { &mut old } else { &mut new };
                tally.add(&by.hash(table, row.id, &row.facts));
            }
            if rows.is_empty() {
                break;
            }
        }
        round.found.rows += old.rows;
        round.found.places += u64::from(old.rows > 0);
        let astray = if is_damaged { Some(Astray::Damaged) } else { differs(wanted, old) };
        if round.how != How::Accept
            && let Some(what) = astray
        {
            let day = (day != NO_DAY).then_some(day);
            round.found.faults.push(RowFault { table: table.to_owned(), day, id: None, what });
            return Ok(());
        }
        let after = Totals { stated: known.and_then(|totals| totals.stated), tally: old.and(new), below };
        if round.how == How::Look || (mark.is_none() && removals.is_empty() && after.tally.rows == 0 && day != NO_DAY) {
            return Ok(());
        }
        row_marks::save_mark(&mut moment, tenant, &by.seal_mark(table, day, &after)).await?;
        let ids: Vec<Uuid> = removals.iter().map(|(id, _)| *id).collect();
        row_marks::drop_removals(&mut moment, tenant, (table, day), &ids).await?;
        Ok(Store::commit(moment).await?)
    }

    /// What is to be stated of the settings, and the removals that are in it then.
    async fn compare_settings(
        &self,
        round: &mut Round<'_>,
        stated: Option<&StatedSettings>,
    ) -> Result<(BTreeMap<String, String>, Vec<(&'static str, Vec<Uuid>)>), PrivacyError> {
        let (by, tenant) = (round.by, round.tenant);
        // Of one moment, and before the entries: whoever changes a setting leaves its entry first.
        let mut moment = self.store.begin_snapshot().await?;
        let rows = settings(&mut moment, tenant).await?;
        let (mut told, mut noted) = (Told::default(), Vec::new());
        for table in NOTED {
            let mut right = Vec::new();
            for (id, sealed) in row_marks::removals(&mut moment, tenant, table, NO_DAY).await? {
                let Some(removed) = by.open_removal(id, &sealed) else {
                    let what = Astray::Damaged;
                    round.found.faults.push(RowFault { table: table.to_owned(), day: None, id: None, what });
                    continue;
                };
                for (row, hash) in &removed {
                    told.noted.take(table, *row, hash);
                }
                right.push((id, removed));
            }
            noted.push((table, right));
        }
        drop(moment);
        if let Some(stated) = stated {
            self.read_entries(tenant, stated, &mut told).await?;
        }
        let (next, faults) = marked_settings::compare(by, stated, &rows, &told);
        // A removal of what is there again stays, and it is told until it is put right.
        let is_told = |(row, _): &(Uuid, _)| faults.iter().any(|fault| fault.id == Some(*row));
        let settled = |(table, all): (&'static str, Vec<(Uuid, Vec<_>)>)| {
            let settled = all.into_iter().filter(|(_, rows)| round.how == How::Accept || !rows.iter().any(is_told));
            (table, settled.map(|(id, _)| id).collect())
        };
        let noted = noted.into_iter().map(settled).collect();
        round.found.faults.extend(faults);
        Ok((next, noted))
    }

    /// What the log tells of settings since they were stated.
    async fn read_entries(
        &self,
        tenant: TenantId,
        stated: &StatedSettings,
        told: &mut Told,
    ) -> Result<(), PrivacyError> {
        let since = AuditEntryId::from_uuid(stated.entry).made_at() - YOUNG;
        let filter = AuditFilter {
            actions: Some(ACTIONS.iter().map(|action| action.as_str().to_owned()).collect()),
            from: Some(AuditEntryId::lowest_of(since).uuid()),
            ..AuditFilter::default()
        };
        let (mut before, now) = (None, self.clock.now());
        loop {
            let page = self.audit.entries(tenant, before, &filter, PAGE).await?;
            page.iter().filter_map(|one| one.entry.as_ref()).for_each(|entry| told.take(entry, now));
            let Some(last) = page.last() else { return Ok(()) };
            before = Some(last.id.uuid());
        }
    }
}

fn differs(wanted: Tally, there: Tally) -> Option<Astray> {
    if wanted == there {
        return None;
    }
    let more = there.rows.wrapping_sub(wanted.rows).cast_signed();
    Some(match more {
        0 => Astray::Others,
        1.. => Astray::TooMany(more.unsigned_abs()),
        _ => Astray::Missing(more.unsigned_abs()),
    })
}
