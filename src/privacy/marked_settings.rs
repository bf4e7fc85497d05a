//! Whether keys, apps, channels, PINs, endpoints, holds and restrictions are as the log tells: each that differs from what was last
//! stated has an entry of its own since, and none is in force that was taken back. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::astray::{Astray, RowFault};
use super::marks::{Marker, RowHash};
use crate::audit::{Action, Entry};
use crate::store::marked_settings::SettingRow;

/// The mark of the settings.
pub(super) const SETTINGS: &str = "settings";

/// Entries that tell of a change to a setting.
pub(super) const ACTIONS: [Action; 24] = [
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
    Action::GraphChanged,
    Action::HoldRequested,
    Action::HoldApproved,
    Action::HoldReleased,
    Action::ContactRestricted,
    Action::RestrictionLifted,
    Action::BackupRestored,
    Action::KeysRotated,
];
const REMOVALS: [Action; 4] =
    [Action::AppRemoved, Action::ChannelRemoved, Action::EndpointRemoved, Action::RestrictionLifted];
/// What a hold is after each of its entries, in the one order in which they come: clocks of processes differ.
const HOLD_STATES: [(Action, &str); 3] =
    [(Action::HoldRequested, "requested"), (Action::HoldApproved, "active"), (Action::HoldReleased, "released")];
/// Compared since a later release than the rest: what was stated says from when on, so that none appears that was always there.
const LATER: [&str; 3] = ["hold", "pin", "restriction"];
/// Begins the name under which it says so.
const COVERS: &str = "covers";
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

/// What a row comes to: of its plain part, and of the sealed one where that is apart.
fn hash(by: &Marker, row: &SettingRow) -> String {
    let hex = |facts: &str| data_encoding::HEXLOWER.encode(&by.hash(&row.table, row.id, facts));
    format!("{}{}", hex(&row.facts), row.sealed.as_deref().map(hex).unwrap_or_default())
}

fn is(entry: &Entry, actions: &[Action]) -> bool {
    actions.iter().any(|action| action.as_str() == entry.act.action)
}

/// Rows that were removed since, with a note: what their plain part came to.
#[derive(Debug, Default)]
pub(super) struct Noted(HashMap<String, Vec<String>>);

impl Noted {
    /// Takes in a row.
    pub(super) fn take(&mut self, table: &str, id: Uuid, hash: &RowHash) {
        self.0.entry(format!("{table} {id}")).or_default().push(data_encoding::HEXLOWER.encode(hash));
    }

    /// Whether the row that came to this was removed.
    pub(super) fn tells_of(&self, name: &str, hash: &str) -> bool {
        self.0.get(name).is_some_and(|all| all.iter().any(|noted| hash.starts_with(noted.as_str())))
    }
}

/// What the log tells of settings since they were stated.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Of which there is an entry.
    changed: HashSet<Uuid>,
    /// Of which there is an entry that something was changed at Meta.
    at_meta: HashSet<Uuid>,
    /// A restore changes everything.
    everything: bool,
    /// Keys that were taken back: for good.
    revoked: HashSet<Uuid>,
    /// Whether the newest entry of a thing is its removal, and whether that is over.
    removed: HashMap<Uuid, (bool, bool)>,
    /// When a restriction was last lifted.
    lifted: HashMap<Uuid, OffsetDateTime>,
    /// How far a hold has come, as a place in [`HOLD_STATES`], and whether all of it is over.
    holds: HashMap<Uuid, (usize, bool)>,
    /// Which rows were removed with a note.
    pub(super) noted: Noted,
}

impl Told {
    /// Takes in entries, the newest first.
    pub(super) fn take(&mut self, entry: &Entry, now: OffsetDateTime) {
        let id = entry.act.object.id;
        if is(entry, &[Action::GraphChanged]) {
            self.at_meta.insert(id);
            return;
        }
        if is(entry, &[Action::KeysRotated]) {
            // What is sealed in it was sealed anew, PINs too.
            self.at_meta.insert(id);
            self.changed.insert(id);
            return;
        }
        self.everything |= is(entry, &[Action::BackupRestored]);
        self.changed.insert(id);
        let is_over = now - entry.at > UNDER_WAY;
        if is(entry, &REVOCATIONS) && is_over {
            self.revoked.insert(id);
        }
        self.removed.entry(id).or_insert((is(entry, &REMOVALS), is_over));
        if is(entry, &[Action::RestrictionLifted]) {
            self.lifted.entry(id).or_insert(entry.at);
        }
        let lifted = self.lifted.get(&id).copied();
        if is(entry, &[Action::ContactRestricted])
            && lifted.is_some_and(|lifted| lifted - entry.at < UNDER_WAY)
            && let Some((_, is_over)) = self.removed.get_mut(&id)
        {
            // By clocks that differ, nobody can say which of both was last.
            *is_over = false;
        }
        if let Some(place) = HOLD_STATES.iter().position(|(action, _)| is(entry, &[*action])) {
            let (furthest, all_over) = self.holds.entry(id).or_insert((place, true));
            *furthest = (*furthest).max(place);
            *all_over &= is_over;
        }
    }

    /// Whether a row may be another than was stated, or be there at all.
    fn explains(&self, row: &SettingRow, is_known: bool) -> bool {
        let changed = |id: &Uuid| self.changed.contains(id);
        // A change to a channel changes no PIN.
        let by_entry = if row.table == "pin" && is_known { self.at_meta.contains(&row.id) } else { changed(&row.id) };
        self.everything || by_entry || row.instead_of.as_ref().is_some_and(changed)
    }

    /// Whether a row that came to this may be gone.
    fn explains_absence(&self, name: &str, (table, id): (&str, Uuid), hash: &str) -> bool {
        let is_removed = self.removed.get(&id).is_some_and(|(is_removed, _)| *is_removed);
        self.everything
            || match table {
                // What was changed since and then removed came to something else.
                "hold" | "restriction" => {
                    (table == "restriction" && is_removed)
                        || self.noted.tells_of(name, hash)
                        || (self.changed.contains(&id) && self.noted.0.contains_key(name))
                }
                _ => self.changed.contains(&id),
            }
    }

    /// What a row says that the log has said is over.
    fn contradicts(&self, row: &SettingRow) -> Option<Astray> {
        if self.everything {
            None
        } else if self.revoked.contains(&row.id) && !row.is_revoked {
            Some(Astray::InForce)
        } else if self.removed.get(&row.id) == Some(&(true, true)) {
            Some(Astray::Back)
        } else {
            let said = self.holds.get(&row.id).filter(|(_, all_over)| *all_over);
            let said = said.and_then(|(furthest, _)| HOLD_STATES.get(*furthest));
            said.is_some_and(|(_, state)| row.state.as_deref() != Some(*state)).then_some(Astray::Undone)
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
        let hash = hash(by, row);
        let known = before.get(&name);
        let is_new_sort =
            LATER.contains(&row.table.as_str()) && !before.contains_key(&format!("{COVERS} {}", row.table));
        let is_compared = stated.is_some() && !is_new_sort;
        let astray = if !told.everything && told.noted.tells_of(&name, &hash) {
            Some(Astray::Back)
        } else if is_compared && known != Some(&hash) && !told.explains(row, known.is_some()) {
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
        if table != COVERS && !told.explains_absence(name, (table, id), hash) {
            next.insert(name.clone(), hash.clone());
            faults.push(RowFault { table: table.to_owned(), day: None, id: Some(id), what: Astray::Gone });
        }
    }
    next.extend(LATER.map(|table| (format!("{COVERS} {table}"), String::new())));
    (next, faults)
}
