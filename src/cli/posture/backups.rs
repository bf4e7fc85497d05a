//! What the audit log says of backups. Where they lie now, and whether they are still there, nobody measures from here.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::TENANT;
use crate::app::Base;
use crate::audit::{Action, Entry};
use crate::config::{BackupConfig, Config};
use crate::ids::AuditEntryId;
use crate::store::audit_reads::AuditFilter;

/// Backups that are looked at: with one of the keys an hour, those of four days.
const LAST: i64 = 100;
/// Older ones are not looked for.
const LOOK_BACK: Duration = Duration::days(181);

/// A backup that was whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backup {
    pub(super) data: bool,
    pub(super) keys: bool,
    /// Whether its keys did not go to the folder of its data.
    pub(super) apart: bool,
    pub(super) recipients: u32,
}

/// What is known of backups, each with its time, newest first.
#[derive(Debug, Clone)]
pub(super) struct Backups {
    pub(super) terms: BackupConfig,
    pub(super) made: Vec<(OffsetDateTime, Backup)>,
    /// When a restore was last tried with success.
    pub(super) drilled_at: Option<OffsetDateTime>,
}

impl Backups {
    /// Looks them up.
    pub(super) async fn of(base: &Base, config: &Config) -> anyhow::Result<Self> {
        let from = AuditEntryId::lowest_of(base.clock.now() - LOOK_BACK).uuid();
        let newest = async |action: Action, limit| {
            let (actor, actions) = (Some(Uuid::nil()), Some(vec![action.as_str().to_owned()]));
            let filter = AuditFilter { actor, actions, contacts: None, from: Some(from) };
            base.audit.entries(TENANT, None, &filter, limit).await
        };
        let made = newest(Action::BackupFinished, LAST).await?.into_iter().filter_map(|one| one.entry);
        let drilled = newest(Action::BackupDrilled, 1).await?.into_iter().find_map(|one| one.entry);
        Ok(Self {
            terms: config.backup,
            made: made.map(|entry| (entry.at, backup(&entry))).collect(),
            drilled_at: drilled.map(|entry| entry.at),
        })
    }

    /// The newest that has what is asked for.
    pub(super) fn newest(&self, has: impl Fn(&Backup) -> bool) -> Option<(OffsetDateTime, Backup)> {
        self.made.iter().find(|(_, one)| has(one)).copied()
    }
}

fn backup(entry: &Entry) -> Backup {
    let says = |word: &str| entry.act.details.split(',').any(|one| one == word);
    let (data, keys) = (says("data"), says("keys"));
    Backup { data, keys, apart: !data || says("apart"), recipients: entry.act.count }
}
