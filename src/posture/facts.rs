//! What is measured: from the running configuration, the databases, the files and the KMS.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use time::{Date, Duration, OffsetDateTime};

use super::backups::{self, Backups};
use super::declared::Listener;
use super::samples::{self, Samples};
use super::{Posture, PostureError, TENANT};
use crate::access::Permission;
use crate::access::api_key::{Powers, sight};
use crate::audit::{Action, CheckError, Checked};
use crate::config::Processor;
use crate::directory::{ApiKey, Snapshot};
use crate::domain::endpoint::{Fields, State as EndpointState, is_encrypted};
use crate::domain::field_class::FieldClass;
use crate::ids::AuditEntryId;
use crate::privacy::{Attested, ChannelRule, RowsFound};
use crate::store::migrate::sealed_columns;
use crate::store::posture::{ErasureCounts, HoldCounts, Reached};

/// A month, as the law counts it at the least.
const MONTH: Duration = Duration::days(30);
/// A hold that ends within this wants somebody's decision.
const SOON: Duration = Duration::days(7);

/// An older measurement is not looked for.
const LOOK_BACK: Duration = Duration::days(62);

/// A key that is in force.
#[expect(clippy::struct_excessive_bools, reason = "each is judged for itself")]
#[derive(Debug, Clone, Default)]
pub(super) struct Key {
    pub(super) name: String,
    /// May make keys or settings.
    pub(super) admin: bool,
    /// Is shown names, numbers or content.
    pub(super) personal: bool,
    pub(super) unmasked: bool,
    /// To networks.
    pub(super) confined: bool,
    pub(super) budget: bool,
    pub(super) life: Duration,
    /// Not used for longer than anybody needs a key that is not used.
    pub(super) idle: bool,
}

/// An application that receives events.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub(super) name: String,
    pub(super) encrypted: bool,
    pub(super) fields: &'static str,
    pub(super) full: bool,
}

/// A business number.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) name: String,
    /// As Meta says, when it was asked.
    pub(super) facts: Option<serde_json::Value>,
}

/// The audit log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// What the check of the whole found; the error in words.
    pub(super) checked: Result<(u64, u64), String>,
    /// How long the oldest entry has waited for its place in the tree.
    pub(super) waits: Duration,
    pub(super) newest_checkpoint: Option<OffsetDateTime>,
    pub(super) witnesses: usize,
    pub(super) quorum: usize,
}

/// The top of the key tree.
#[derive(Debug, Clone)]
pub(super) struct Top {
    pub(super) kms: &'static str,
    /// `None`: it answers and opens the root.
    pub(super) kms_fault: Option<String>,
    /// The places of the epoch cell in their order, and what is wrong with each.
    pub(super) places: Vec<Option<String>>,
    pub(super) needed: usize,
    /// Disks that the places of the cell are on, as far as this machine can tell.
    pub(super) disks: usize,
    /// Whether a place of the cell is on the disk of the KMS secret; `None`: this process does not see where that lies.
    pub(super) beside_secret: Option<bool>,
    pub(super) has_leftovers: bool,
    pub(super) epoch: i64,
    pub(super) stepped_at: Option<OffsetDateTime>,
    /// Since when something forgotten waits for a step.
    pub(super) waits_since: Option<OffsetDateTime>,
    pub(super) step_within: Duration,
}

/// Everything that is judged.
#[expect(clippy::struct_excessive_bools, reason = "each is judged for itself")]
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) now: OffsetDateTime,
    pub(super) listeners: Vec<Listener>,
    /// The region that the data are marked with, and what cloud services call it.
    pub(super) region: Option<(String, Vec<String>)>,
    pub(super) data: Reached,
    pub(super) key_store: Reached,
    pub(super) rows_kept: Result<(), &'static str>,
    pub(super) keys: Vec<Key>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) numbers: Vec<Number>,
    /// Numbers that send, and those of them whose PIN is kept here.
    pub(super) pins: (i64, i64),
    pub(super) apps: usize,
    /// Apps of which an old secret is still accepted, and since when.
    pub(super) old_secrets: Vec<(String, OffsetDateTime)>,
    pub(super) samples: Samples,
    pub(super) refuses_plaintext: bool,
    /// Columns that should hold envelopes alone and may hold something else.
    pub(super) open_columns: Vec<String>,
    pub(super) sealed_columns: usize,
    pub(super) top: Top,
    pub(super) log: Log,
    pub(super) content_days: Option<u16>,
    /// What single numbers keep for a shorter time.
    pub(super) rules: Vec<ChannelRule>,
    pub(super) backup_days: u16,
    pub(super) backups: Backups,
    /// When it was measured before, by whomever.
    pub(super) measured_before: Option<OffsetDateTime>,
    /// Who else processes the data, as the operator said.
    pub(super) processors: Vec<Processor>,
    pub(super) oldest: Vec<Attested>,
    /// What is older than is kept, and neither held nor waits to be sent.
    pub(super) overdue: Vec<Attested>,
    pub(super) attested_on: Option<Date>,
    /// What a look at every row found.
    pub(super) stored: RowsFound,
    pub(super) founded_on: Date,
    pub(super) erasures: ErasureCounts,
    pub(super) holds: HoldCounts,
    /// Requests of people that are open, of these those that are due soon, and those that are overdue.
    pub(super) requests: (i64, i64, i64),
    pub(super) consent: bool,
    pub(super) window: bool,
    pub(super) decoys: bool,
    pub(super) alarm_receivers: usize,
    /// Each number, and what of people's data is left out before it is stored.
    pub(super) at_the_door: Vec<(String, Option<String>)>,
    pub(super) graph: String,
    /// Whether there is a place for files.
    pub(super) files: bool,
}

/// Measures everything.
pub(super) async fn gather(posture: &Posture) -> Result<Facts, PostureError> {
    let (store, now, snapshot) = (&posture.store, posture.clock.now(), posture.directory.snapshot());
    let [data, key_store] = store.reached().await?;
    let region = store.region(TENANT).await?.map(|name| (name, posture.declared.clouds.clone()));
    let used = store.uses_of_api_keys(TENANT).await?.into_iter().collect();
    let (pins, senders) = store.count_pins(TENANT).await?;
    let sealed = store.sealed_columns().await?;
    let columns = sealed_columns();
    let (founded, newest_checkpoint) = store.audit_times(TENANT).await?.unwrap_or((now, None));
    let today = now.date();
    let (privacy, declared) = (&posture.privacy, &posture.declared);
    Ok(Facts {
        now,
        listeners: declared.listeners.clone(),
        data,
        key_store,
        region,
        rows_kept: posture.rows_kept,
        keys: keys(&snapshot, &used, now),
        receivers: receivers(&snapshot),
        numbers: numbers(posture, &snapshot).await?,
        pins: (senders, pins),
        apps: snapshot.apps.iter().filter(|app| app.tenant == TENANT).count(),
        old_secrets: old_secrets(&snapshot),
        samples: samples::draw(posture, today - MONTH * 3, now).await?,
        refuses_plaintext: store.refuses_plaintext().await?,
        open_columns: columns.iter().filter(|column| !sealed.contains(column)).cloned().collect(),
        sealed_columns: sealed.len(),
        top: top(posture).await?,
        log: log(posture, newest_checkpoint).await?,
        content_days: declared.retention.content_days,
        rules: privacy.rules(TENANT, today),
        backup_days: declared.retention.backup_days,
        backups: Backups::of(posture).await?,
        measured_before: backups::newest(posture, Action::PostureFound, LOOK_BACK, 1).await?.first().map(|one| one.at),
        processors: declared.privacy.processors.clone(),
        oldest: privacy.oldest(TENANT, today).await?,
        overdue: privacy.overdue(TENANT, today).await?,
        attested_on: store.last_attestation(TENANT, today - SOON).await?,
        stored: Box::pin(privacy.check_rows(TENANT, today)).await?,
        founded_on: founded.date(),
        erasures: store.count_erasures(TENANT, now - MONTH).await?,
        holds: store.count_holds(TENANT, now, (now + SOON, now - SOON)).await?,
        requests: store.count_privacy_requests(now, now + SOON).await?,
        consent: declared.consent,
        window: declared.window,
        decoys: snapshot.has_decoys(TENANT),
        alarm_receivers: alarm_receivers(&snapshot),
        at_the_door: at_the_door(&snapshot),
        graph: declared.graph.clone(),
        files: declared.files.are_kept,
    })
}

fn keys(snapshot: &Snapshot, used: &std::collections::HashMap<uuid::Uuid, Date>, now: OffsetDateTime) -> Vec<Key> {
    let in_force = |key: &&std::sync::Arc<ApiKey>| key.revoked_at.is_none() && key.expires_at > now;
    let key = |key: &std::sync::Arc<ApiKey>| {
        let (permissions, sight) = (Powers::of(key).permissions(), sight(key));
        let last = used.get(&key.id.uuid()).copied().unwrap_or_else(|| key.created_at.date());
        let reads = [Permission::EventsRead, Permission::ContactsRead, Permission::MessagesRead, Permission::MediaRead];
        Key {
            name: key.name.clone(),
            admin: [Permission::KeysManage, Permission::EndpointsManage, Permission::AppsManage]
                .into_iter()
                .any(|one| permissions.contains(one)),
            personal: sight.class >= FieldClass::Personal && reads.into_iter().any(|one| permissions.contains(one)),
            unmasked: sight.unmasked,
            confined: !key.cidrs.is_empty(),
            budget: key.budget.is_some(),
            life: key.expires_at - key.created_at,
            idle: last < now.date() - MONTH * 3,
        }
    };
    snapshot.api_keys_of(TENANT).into_iter().filter(in_force).map(key).collect()
}

fn receivers(snapshot: &Snapshot) -> Vec<Receiver> {
    let endpoints = snapshot.endpoints_of(TENANT).into_iter().filter(|one| one.state != EndpointState::Disabled);
    let receiver = |one: &std::sync::Arc<crate::domain::endpoint::Endpoint>| Receiver {
        name: one.name.clone(),
        encrypted: is_encrypted(one.url.expose()) || is_here(one.url.expose()),
        fields: one.fields.as_str(),
        full: one.fields == Fields::Full,
    };
    endpoints.map(receiver).collect()
}

/// Whether a URL leads to this machine.
fn is_here(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

async fn numbers(posture: &Posture, snapshot: &Snapshot) -> Result<Vec<Number>, PostureError> {
    let mut numbers = Vec::new();
    for channel in snapshot.channels_of(TENANT).into_iter().filter(|channel| channel.token.is_some()) {
        let state = posture.directory.channel_state(TENANT, channel.id).await?;
        numbers.push(Number { name: channel.name.clone(), facts: state.map(|state| state.facts) });
    }
    Ok(numbers)
}

fn old_secrets(snapshot: &Snapshot) -> Vec<(String, OffsetDateTime)> {
    let rotated = snapshot.apps.iter().filter(|app| app.tenant == TENANT && app.previous_secret.is_some());
    rotated.map(|app| (app.name.clone(), app.changed_at.unwrap_or(app.created_at))).collect()
}

fn alarm_receivers(snapshot: &Snapshot) -> usize {
    use crate::domain::event::EventType;
    snapshot.owed_to(TENANT, EventType::DecoyOpened, None).len()
}

async fn log(posture: &Posture, newest: Option<OffsetDateTime>) -> Result<Log, PostureError> {
    let checked = match posture.audit.check(TENANT).await {
        Ok(Checked { size, checkpoints, .. }) => Ok((size, checkpoints)),
        Err(CheckError::Damaged(damage)) => Err(damage.to_string()),
        Err(error) => return Err(error.into()),
    };
    let waiting = posture.store.audit_backlog().await?.map(|id| AuditEntryId::from_uuid(id).made_at());
    // The entry of this command waits for the next step of the sequencer, which no gateway may be there to take.
    let waits = waiting.map_or(Duration::ZERO, |since| (posture.clock.now() - since).max(Duration::ZERO));
    let (witnesses, quorum) = (posture.declared.witnesses.len(), posture.declared.quorum);
    Ok(Log { checked, waits, newest_checkpoint: newest, witnesses, quorum })
}

async fn top(posture: &Posture) -> Result<Top, PostureError> {
    let cell = posture.keyring.inspect_cell().await?;
    let installation = posture.store.find_installation().await?;
    let kms = &posture.declared.kms;
    let disk = |path: &Path| std::fs::metadata(path).ok().map(|file| file.dev());
    let mut disks: Vec<u64> = cell.places.iter().filter_map(|(path, _)| disk(path)).collect();
    let beside_secret = match kms.secret.as_deref() {
        Some(secret) => disk(secret).map(|secret| disks.contains(&secret)),
        None => Some(false),
    };
    disks.sort_unstable();
    disks.dedup();
    let places = cell.places.iter().map(|(_, fault)| fault.clone()).collect();
    Ok(Top {
        kms: kms.name,
        kms_fault: posture.keyring.ask_kms().await.err().map(|error| error.to_string()),
        places,
        needed: cell.needed,
        disks: disks.len(),
        beside_secret,
        has_leftovers: cell.has_leftovers(),
        epoch: posture.keyring.epoch(),
        stepped_at: installation.and_then(|row| row.stepped_at),
        waits_since: posture.keyring.waits_for_step_since().await?,
        step_within: posture.declared.step_within,
    })
}

fn at_the_door(snapshot: &Snapshot) -> Vec<(String, Option<String>)> {
    let told = |channel: &std::sync::Arc<crate::domain::channel::Channel>| (channel.name.clone(), channel.door.told());
    snapshot.channels_of(TENANT).into_iter().map(told).collect()
}
