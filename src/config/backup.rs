//! `[backup]`: how old the newest backup may be, and the last drill, before `waxseal posture` turns red. Nothing is backed up by itself.

use super::reader::Reader;

/// A drill is looked for among entries of the audit log, of which half a year is kept at least.
const MOST_DAYS: u64 = 180;

/// What an operator promised about backups.
#[derive(Debug, Clone, Copy)]
pub struct BackupConfig {
    /// Days that the newest backup of data, and that of keys, may be old; `None`: backups are made by other means and not measured.
    pub max_age_days: Option<u16>,
    /// Days after which a restore is to be tried again; `None`: not measured.
    pub drill_days: Option<u16>,
}

impl BackupConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let mut days = |key| reader.number(key, 0..=MOST_DAYS).map(|days: u16| (days > 0).then_some(days));
        let (max_age_days, drill_days) = (days("backup.max_age_days"), days("backup.drill_days"));
        Some(Self { max_age_days: max_age_days?, drill_days: drill_days? })
    }
}
