//! Whether keys, apps, channels and endpoints are as the log tells: each that differs from what was last stated has an entry of its
//! own since, and none is in force that was taken back. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::astray::{Astray, RowFault};
use super::marks::Marker;
use crate::audit::{Action, Entry};
use crate::store::row_marks::SettingRow;

/// The mark of the settings.
pub(super) const SETTINGS: &str = "settings";

/// Entries that tell of a change to a setting.
pub(super) const ACTIONS: [Action; 18] = [
    Action::KeyCreated,
    Action::KeyRotated,
    Action::KeyLocked,
    Action::KeyUnlocked,
    Action::KeyRevoked,
    Action::KeyReported,
    Action::AppCreated,
    Action::AppChanged,
    Action::AppRemoved,
    Action::ChannelCreated,
    Action::ChannelChanged,
    Action::ChannelRemoved,
    Action::EndpointCreated,
    Action::EndpointChanged,
    Action::SecretRotated,
    Action::EndpointRemoved,
    Action::BackupRestored,
    Action::KeysRotated,
];
const REMOVALS: [Action; 3] = [Action::AppRemoved, Action::ChannelRemoved, Action::EndpointRemoved];
const REVOCATIONS: [Action; 2] = [Action::KeyRevoked, Action::KeyReported];

/// An entry comes before its change: for so long, it may still be on its way.
const UNDER_WAY: Duration = Duration::minutes(1);

/// What was stated of the settings, and of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StatedSettings {
    /// The entry that states it.
    pub(super) entry: Uuid,
    /// Rows of the other tables with this id or a later one were not counted then.
    pub(super) below: Uuid,
    /// Hashes, by table and id.
    pub(super) rows: BTreeMap<String, String>,
}

/// What the log tells of settings since they were stated.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Of which there is an entry.
    changed: HashSet<Uuid>,
    /// A restore changes everything.
    everything: bool,
    /// Keys that were taken back: for good.
    revoked: HashSet<Uuid>,
    /// Whether the newest entry of a thing is its removal.
    removed: HashMap<Uuid, bool>,
}

impl Told {
    /// Takes in entries, the newest first.
    pub(super) fn take(&mut self, entry: &Entry, now: OffsetDateTime) {
        let (id, is) = (entry.act.object.id, |actions: &[Action]| {
            actions.iter().any(|action| action.as_str() == entry.act.action)
        });
        self.everything |= is(&[Action::BackupRestored]);
        self.changed.insert(id);
        let is_over = now - entry.at > UNDER_WAY;
        if is(&REVOCATIONS) && is_over {
            self.revoked.insert(id);
        }
        self.removed.entry(id).or_insert(is(&REMOVALS) && is_over);
    }

    fn explains(&self, id: Uuid, instead_of: Option<Uuid>) -> bool {
        self.everything || self.changed.contains(&id) || instead_of.is_some_and(|old| self.changed.contains(&old))
    }

    /// What a row says that the log has said is over.
    fn contradicts(&self, row: &SettingRow) -> Option<Astray> {
        if self.everything {
            None
        } else if self.revoked.contains(&row.id) && !row.is_revoked {
            Some(Astray::InForce)
        } else {
            self.removed.get(&row.id).copied().unwrap_or(false).then_some(Astray::Back)
        }
    }
}

/// Compares. What is to be stated next, and what is not as the log tells: of that, what was stated before stays.
pub(super) fn compare(
    by: &Marker,
    stated: Option<&StatedSettings>,
    rows: &[SettingRow],
    told: &Told,
) -> (BTreeMap<String, String>, Vec<RowFault>) {
    let (mut next, mut faults) = (BTreeMap::new(), Vec::new());
    let empty = BTreeMap::new();
    let before = stated.map_or(&empty, |stated| &stated.rows);
    for row in rows {
        let name = format!("{} {}", row.table, row.id);
        let hash: String = data_encoding::HEXLOWER.encode(&by.hash(&row.table, row.id, &row.facts));
        let known = before.get(&name);
        let astray = if stated.is_some() && known != Some(&hash) && !told.explains(row.id, row.instead_of) {
            Some(if known.is_some() { Astray::Changed } else { Astray::Appeared })
        } else {
            told.contradicts(row)
        };
        match astray {
            None => {
                next.insert(name, hash);
            }
            Some(what) => {
                next.extend(known.map(|known| (name, known.clone())));
                faults.push(RowFault { table: row.table.clone(), day: None, id: Some(row.id), what });
            }
        }
    }
    let there: HashSet<String> = rows.iter().map(|row| format!("{} {}", row.table, row.id)).collect();
    for (name, hash) in before.iter().filter(|(name, _)| !there.contains(*name)) {
        let (table, id) = name.split_once(' ').unwrap_or((name, ""));
        let id = id.parse().unwrap_or(Uuid::nil());
        if !told.explains(id, None) {
            next.insert(name.clone(), hash.clone());
            faults.push(RowFault { table: table.to_owned(), day: None, id: Some(id), what: Astray::Gone });
        }
    }
    (next, faults)
}
