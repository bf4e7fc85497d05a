//! What the audit log says of backups. Where they lie now, and whether they are still there, nobody measures from here.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Posture, PostureError, TENANT};
use crate::audit::{Action, Entry};
use crate::config::BackupConfig;
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
    pub(super) async fn of(posture: &Posture) -> Result<Self, PostureError> {
        let made = newest(posture, Action::BackupFinished, LOOK_BACK, LAST).await?;
        let drilled = newest(posture, Action::BackupDrilled, LOOK_BACK, 1).await?;
        Ok(Self {
            terms: posture.declared.backup,
            made: made.iter().map(|entry| (entry.at, backup(entry))).collect(),
            drilled_at: drilled.first().map(|entry| entry.at),
        })
    }

    /// The newest that has what is asked for.
    pub(super) fn newest(&self, has: impl Fn(&Backup) -> bool) -> Option<(OffsetDateTime, Backup)> {
        self.made.iter().find(|(_, one)| has(one)).copied()
    }
}

/// What operators and gateways did, newest first.
pub(super) async fn newest(
    posture: &Posture,
    action: Action,
    look_back: Duration,
    limit: i64,
) -> Result<Vec<Entry>, PostureError> {
    let from = AuditEntryId::lowest_of(posture.clock.now() - look_back).uuid();
    let (actor, actions) = (Some(Uuid::nil()), Some(vec![action.as_str().to_owned()]));
    let filter = AuditFilter { actor, actions, contacts: None, from: Some(from) };
    let logged = posture.audit.entries(TENANT, None, &filter, limit).await?;
    Ok(logged.into_iter().filter_map(|one| one.entry).collect())
}

fn backup(entry: &Entry) -> Backup {
    let says = |word: &str| entry.act.details.split(',').any(|one| one == word);
    let (data, keys) = (says("data"), says("keys"));
    Backup { data, keys, apart: !data || says("apart"), recipients: entry.act.count }
}
