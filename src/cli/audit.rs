//! `waxseal audit`: the log at the command line.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Subcommand;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::moment::{Moment, shown};
use super::table::Table;
use super::verify::DIVERGED;
use crate::app::{self, Base};
use crate::audit::{Act, Action, Actor, CheckError, Checked, Object, Which};
use crate::config::Config;
use crate::ids::{ApiKeyId, AuditEntryId, ContactId, TenantId};
use crate::store::audit_reads::AuditFilter;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::Note;
use crate::tlog::tile::{Tile, WIDTH, bundle_path};

const TENANT: TenantId = TenantId::DEFAULT;
/// Entries read at a time by an export.
const PAGE: u64 = 1000;

type Out<'a> = &'a mut (dyn Write + Send);

/// One line of an export's `entries.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Canonical bytes in Base64.
    pub entry: String,
    /// Id.
    pub id: AuditEntryId,
    /// Place in the tree.
    pub index: u64,
    /// In Base64.
    pub salt: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// `waxseal audit …`
#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// List entries, newest first.
    List {
        /// Of this API key.
        #[arg(long)]
        key: Option<ApiKeyId>,
        /// Of this action, such as `contacts.read`. May be repeated.
        #[arg(long = "action", value_parser = action)]
        actions: Vec<String>,
        /// About this person.
        #[arg(long)]
        contact: Option<ContactId>,
        /// At this time or later; also `36h` for 36 hours ago.
        #[arg(long, value_name = "TIME")]
        since: Option<Moment>,
        /// Before this time.
        #[arg(long, value_name = "TIME")]
        until: Option<Moment>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Print the newest signed checkpoint.
    Checkpoint,
    /// Print the key that verifies this log, to be kept elsewhere.
    Key,
    /// Print the policy of those who verify this log: its key, the configured witnesses and their quorum (C2SP tlog-policy).
    Policy,
    /// Check that everything stored is of the tree that the newest checkpoint signs. Exits with 4 when it is not.
    Check,
    /// Check that rows and settings are those that the log says were there. Exits with 4 when they are not.
    Rows {
        /// Take what is stored for right from now on, whatever the log said of it before.
        #[arg(long)]
        accept: bool,
    },
    /// Print the proof of an entry.
    Proof {
        /// Its place in the tree, or its id.
        entry: String,
    },
    /// Print what a witness is to be asked (C2SP tlog-witness): to be posted to its `/add-checkpoint`.
    WitnessRequest {
        /// The size that the witness signed last; 0: it never signed.
        #[arg(long, default_value_t = 0)]
        old: u64,
    },
    /// Write checkpoint, tiles and entries into a folder, to be verified elsewhere.
    Export {
        /// A folder that does not exist yet.
        folder: PathBuf,
    },
}

fn action(text: &str) -> Result<String, String> {
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(format!("there are {}", names.join(", "))) }
}

pub(super) async fn run(config: &Config, verb: AuditVerb, out: Out<'_>) -> anyhow::Result<ExitCode> {
    let base = super::settings::base(config).await?;
    match verb {
        AuditVerb::List { key, actions, contact, since, until, limit } => {
            let now = base.clock.now();
            let contacts = match contact {
                Some(contact) => Some(base.audit.same_person(TENANT, contact).await?),
                None => None,
            };
            let lowest = |moment: Moment| AuditEntryId::lowest_of(moment.when(now)).uuid();
            let filter = AuditFilter {
                actor: key.map(ApiKeyId::uuid),
                actions: Some(actions).filter(|actions| !actions.is_empty()),
                contacts,
                from: since.map(lowest),
            };
            list(&base, &filter, until.map(lowest), limit, out).await?;
        }
        AuditVerb::Checkpoint => write!(out, "{}", newest(&base).await?)?,
        AuditVerb::Key => writeln!(out, "{}", base.audit.verifier_key(TENANT).await?)?,
        AuditVerb::Policy => {
            write!(out, "{}", app::witnesses(config)?.policy(&base.audit.verifier_key(TENANT).await?))?;
        }
        AuditVerb::Check => return check(&base, out).await,
        AuditVerb::Rows { accept } => return rows(&base, config, accept, out).await,
        AuditVerb::Proof { entry } => {
            let by_id = || entry.parse().ok().map(Which::Id);
            let which = entry.parse().ok().map(Which::Index).or_else(by_id).context("not an index, and not an id")?;
            write!(out, "{}", base.audit.proof(TENANT, which).await?)?;
        }
        AuditVerb::WitnessRequest { old } => write!(out, "{}", base.audit.witness_request(TENANT, old).await?)?,
        AuditVerb::Export { folder } => export(&base, &folder, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(base: &Base, out: Out<'_>) -> anyhow::Result<ExitCode> {
    match base.audit.check(TENANT).await {
        Ok(Checked { size, kept, checkpoints }) => {
            writeln!(
                out,
                "ok: {size} entries and {checkpoints} checkpoints are of one tree; {kept} of the entries are here"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(CheckError::Damaged(damage)) => {
            writeln!(out, "diverged: {damage}")?;
            Ok(ExitCode::from(DIVERGED))
        }
        Err(error) => Err(error.into()),
    }
}

async fn rows(base: &Base, config: &Config, accept: bool, out: Out<'_>) -> anyhow::Result<ExitCode> {
    let (privacy, today) = (base.privacy(config)?, base.clock.now().date());
    if accept {
        let act = Act::new(TENANT, Actor::OPERATOR, Action::RowsAccepted, Object::several("rows"));
        base.audit.record(act).await?;
        privacy.attest_rows(TENANT, today, true).await?;
    }
    let found = privacy.check_rows(TENANT, today).await?;
    for fault in &found.faults {
        writeln!(out, "diverged: {fault}")?;
    }
    if !found.faults.is_empty() {
        return Ok(ExitCode::from(DIVERGED));
    }
    match found.said_at {
        Some(at) => writeln!(out, "ok: {} rows and all settings are as the log said at {}", found.rows, shown(at))?,
        None => writeln!(out, "the log has not said yet what is stored: it does so once a day")?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn newest(base: &Base) -> anyhow::Result<String> {
    base.audit.checkpoint(TENANT).await?.context("nothing was logged yet, or no gateway runs that would build the tree")
}

async fn list(base: &Base, filter: &AuditFilter, before: Option<Uuid>, limit: u16, out: Out<'_>) -> anyhow::Result<()> {
    let found = base.audit.entries(TENANT, before, filter, limit.into()).await?;
    let act = Act::new(TENANT, Actor::OPERATOR, Action::AuditRead, Object::several("audit_entry"));
    base.audit.record(act.times(found.len())).await?;
    let mut table = Table::new(["index", "at", "actor", "action", "decision", "count", "object", "entry"]);
    for one in found {
        let index = one.index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        let Some(entry) = one.entry else {
            table.row([
                index,
                "-".into(),
                "-".into(),
                "(damaged)".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                one.id.to_string(),
            ]);
            continue;
        };
        let act = entry.act;
        let actor = if act.actor.id.is_nil() { act.actor.kind.as_str().to_owned() } else { act.actor.id.to_string() };
        let object = if act.object.id.is_nil() { String::new() } else { format!(" {}", act.object.id) };
        let object = format!("{}{object}", act.object.class);
        let (decision, count) = (act.decision.as_str().to_owned(), act.count.to_string());
        table.row([
            index,
            shown(entry.at),
            actor,
            act.action.into_owned(),
            decision,
            count,
            object,
            one.id.to_string(),
        ]);
    }
    Ok(table.write(out)?)
}

async fn export(base: &Base, folder: &Path, out: Out<'_>) -> anyhow::Result<()> {
    ensure!(!folder.exists(), "the folder exists already");
    let act = Act::new(TENANT, Actor::OPERATOR, Action::AuditRead, Object::several("audit_log"));
    base.audit.record(act.with(&["export"])).await?;
    let note = newest(base).await?;
    let parsed = Note::parse(&note).context("the stored checkpoint is damaged")?;
    let size = Checkpoint::parse(parsed.text()).context("the stored checkpoint is damaged")?.head.size;
    fs::create_dir_all(folder).context("the folder cannot be made")?;
    fs::write(folder.join("checkpoint"), &note)?;
    fs::write(folder.join("key"), format!("{}\n", base.audit.verifier_key(TENANT).await?))?;
    for path in paths(size) {
        let bytes = base.audit.tile(TENANT, &path).await?.with_context(|| format!("tile/{path} is missing"))?;
        let place = folder.join("tile").join(&path);
        fs::create_dir_all(place.parent().unwrap_or(folder))?;
        fs::write(place, bytes)?;
    }
    let count = entries(base, folder, size).await?;
    writeln!(out, "{size} entries are in the tree, and {count} of them in the folder;")?;
    match base.audit.pruned(TENANT).await? {
        0 => {}
        pruned => writeln!(out, "those below {pruned} may have been dropped with age;")?,
    }
    writeln!(out, "to be verified with")?;
    writeln!(out, "  waxseal verify bundle {} --key '{}'", folder.display(), base.audit.verifier_key(TENANT).await?)?;
    Ok(())
}

/// Every tile and bundle of a tree of this size.
fn paths(size: u64) -> Vec<String> {
    let level = |level: u32| (0..).map_while(move |index| Tile::of(level, index, size)).map(|tile| tile.path());
    let bundles = (0..size.div_ceil(WIDTH))
        .map(|index| format!("entries/{}", bundle_path(index, (size - index * WIDTH).min(WIDTH))));
    (0..8).flat_map(level).chain(bundles).collect()
}

async fn entries(base: &Base, folder: &Path, size: u64) -> anyhow::Result<u64> {
    let mut file = std::io::BufWriter::new(fs::File::create(folder.join("entries.jsonl"))?);
    let (mut from, mut count) = (0, 0);
    while from < size {
        let end = (from + PAGE).min(size);
        for one in base.audit.entries_between(TENANT, from, end).await? {
            let (entry, salt) = (BASE64.encode(&one.bytes), BASE64.encode(&one.salt));
            let index = one.index.context("an entry of the tree has no place in it")?;
            writeln!(file, "{}", Line { entry, id: one.id, index, salt })?;
            count += 1;
        }
        from = end;
    }
    file.flush()?;
    Ok(count)
}
