//! `waxseal restore`, its drill, and `waxseal verify backup`.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use zeroize::Zeroizing;

use super::backup::listed;
use super::moment::shown;
use super::postgres::PrivatePostgres;
use super::progress::Steps;
use super::settings::base;
use crate::app::{self, Base};
use crate::audit::{Act, Action, Actor, Object};
use crate::backup::{BackupError, Found, Opened, Place, Refill, Refilled};
use crate::clock::SystemClock;
use crate::config::{Config, open_key_file};
use crate::crypto::age::Identity;
use crate::ids::TenantId;
use crate::store::restoring::RefillError;
use crate::tlog::note::VerifierKey;

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// A file of identities is not longer.
const LONGEST: u64 = 64 * 1024;

/// Which backup.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Folder of the backup.
    folder: PathBuf,
    /// Folder with the keys: of the same backup, or better of a later one.
    #[arg(long, value_name = "DIR")]
    keys_from: Option<PathBuf>,
    /// The key of the audit log that it must be signed with (`waxseal audit key`, or what `waxseal backup` printed).
    #[arg(long, value_name = "KEY")]
    key: String,
}

impl Which {
    fn open(&self) -> anyhow::Result<Result<Found, BackupError>> {
        let key = VerifierKey::parse(&self.key).context("--key")?;
        Ok(Place { folder: self.folder.clone(), keys: self.keys_from.clone(), key }.open())
    }
}

/// `waxseal verify backup …`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
}

/// `waxseal restore …`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    which: Which,
    /// File with a secret key of age (`AGE-SECRET-KEY-1…`), its owner's alone. May be repeated.
    #[arg(long = "identity", value_name = "FILE", required = true)]
    identities: Vec<PathBuf>,
    /// Leave the keys that the database has: they are of this installation and newer than any backup.
    #[arg(long, conflicts_with = "keys_from")]
    present_keys: bool,
    /// Restore into a Postgres that is thrown away, see whether it can be read, and change nothing.
    #[arg(long, conflicts_with = "present_keys")]
    drill: bool,
    /// Check the backup, say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Go on where a restore of this backup was broken off behind the rows: forget again who was forgotten since, and put the files back.
    #[arg(long, conflicts_with_all = ["present_keys", "drill", "revoke_keys"])]
    files_only: bool,
    /// Revoke every API key: those that were revoked since the backup would be valid again.
    #[arg(long, conflicts_with = "drill")]
    revoke_keys: bool,
}

impl RestoreArgs {
    fn identities(&self) -> anyhow::Result<Vec<Identity>> {
        let mut all = Vec::new();
        for path in &self.identities {
            all.extend(identities(path).with_context(|| path.display().to_string())?);
        }
        Ok(all)
    }
}

fn identities(path: &Path) -> anyhow::Result<Vec<Identity>> {
    let file = open_key_file(path, false)?;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(Identity::parse_file(&text)?)
}

/// What is right with a backup, or what is not.
pub(super) async fn verify(args: VerifyArgs) -> anyhow::Result<Result<String, String>> {
    let checked = async {
        let found = args.which.open()??;
        let mut steps = Steps::new();
        found.check(true, &mut |what, done, all| steps.tell(what, done, all)).await?;
        Ok::<_, anyhow::Error>(found)
    };
    match checked.await {
        Ok(found) => {
            let manifest = &found.manifest;
            Ok(Ok(format!(
                "{} of {}, epoch {}: {} rows and {} files",
                manifest.name,
                shown(manifest.made_at),
                manifest.key_epoch,
                manifest.rows(),
                manifest.files()
            )))
        }
        Err(error) => match error.downcast_ref::<BackupError>() {
            Some(BackupError::Damaged { .. } | BackupError::Mismatch(_)) => Ok(Err(error.to_string())),
            _ => Err(error),
        },
    }
}

pub(super) async fn run(config: &Config, args: RestoreArgs, out: Out<'_>) -> anyhow::Result<()> {
    let (found, identities) = (args.which.open()??, args.identities()?);
    let manifest = &found.manifest;
    writeln!(out, "{} of {}, epoch {}", manifest.name, shown(manifest.made_at), manifest.key_epoch)?;
    listed(manifest, out)?;
    if !Arc::ptr_eq(manifest, &found.keys) {
        writeln!(out, "\nwith the keys of {}, epoch {}", shown(found.keys.made_at), found.keys.key_epoch)?;
    }
    ensure!(found.has_data(), "there are no data in this backup, but keys alone");
    let wants_keys = !args.present_keys && !args.files_only;
    if wants_keys {
        fits_the_cell(config, &found)?;
    }
    {
        let mut steps = Steps::new();
        found.check(wants_keys, &mut |what, done, all| steps.tell(what, done, all)).await?;
    }
    writeln!(out, "\nsigned, and every archive is the one that was signed")?;
    if args.dry_run {
        return Ok(writeln!(out, "nothing was done")?);
    }
    if args.drill {
        return drill(config, &found, identities, out).await;
    }
    let restored = if args.files_only {
        is_there(config, &found).await?;
        None
    } else {
        let refill = Refill { keys: wants_keys, counts_up: true, revokes: args.revoke_keys };
        Some(fill(config, &found, identities, refill, out).await?)
    };
    let base = base(config).await.context("the rows are there; go on with --files-only")?;
    if let Some(restored) = &restored {
        note(&base, Action::BackupRestored, restored).await?;
    }
    let waiting = base.privacy(config)?.forget_restored().await?;
    if let Some(Refilled { forgotten: forgotten @ 1.., .. }) = restored {
        writeln!(out, "people who were forgotten since, and are again: {forgotten}")?;
    }
    if waiting > 0 {
        writeln!(out, "of these, wait because somebody holds their data: {waiting}")?;
    }
    let put = files(config, &base, &found, args.identities()?, out).await;
    put.context("the rows are there, and not all files: go on with --files-only")?;
    if let Some(restored) = &restored {
        as_of_then(&found, restored, out)?;
    }
    writeln!(out, "restored: start the gateway")?;
    base.store.close().await;
    Ok(())
}

/// Whether the database is that of the backup's installation. What is put into it is what its rows name.
async fn is_there(config: &Config, found: &Found) -> anyhow::Result<()> {
    let store = app::restoring(config, Vec::new(), Arc::new(SystemClock))?.store;
    let there = async { store.present_keys().await?.installation().await.map_err(RefillError::from) }.await;
    store.close().await;
    let there = there.context("--files-only goes on with a restore whose rows are there")?;
    ensure!(
        there.is_some_and(|(installation, _)| installation == found.manifest.installation),
        "what is in this database is of another installation than the backup"
    );
    Ok(())
}

/// What was decided after the backup is not known to it, and is not in force.
fn as_of_then(found: &Found, restored: &Refilled, out: Out<'_>) -> anyhow::Result<()> {
    writeln!(
        out,
        "opt-outs, restrictions, holds and settings are as they were at {}: enter anew what was decided since",
        shown(found.manifest.made_at)
    )?;
    match restored.keys {
        (0, 0) => Ok(()),
        (valid, 0) => Ok(writeln!(
            out,
            "API keys that are valid, also those that were revoked since: {valid} (`waxseal key list`; --revoke-keys revokes all)"
        )?),
        (_, revoked) => {
            Ok(writeln!(out, "API keys that were revoked: {revoked}. Make new ones with `waxseal key create`")?)
        }
    }
}

/// Where a restore was broken off there is something in one of the databases, and it can be gone on with.
fn goes_on(error: BackupError) -> anyhow::Error {
    let BackupError::Refill(RefillError::NotEmpty(table)) = &error else { return error.into() };
    let how = if table.starts_with("waxseal_keys.") {
        "if a restore was broken off behind the keys, or they are newer than the backup's, go on with --present-keys"
    } else {
        "if a restore of this backup was broken off behind the rows, go on with --files-only"
    };
    anyhow::anyhow!("{error}; {how}")
}

/// An older copy of the keys opens nothing, and a start would be refused: better now than then.
fn fits_the_cell(config: &Config, found: &Found) -> anyhow::Result<()> {
    let epoch = found.keys.key_epoch;
    match app::other_epoch_of_cell(config, found.keys.installation, epoch) {
        Some(cell) if cell > epoch => bail!(
            "the keys of this backup are of epoch {epoch} and the epoch cell of {cell}: nothing in them can be opened any more. Name a \
             later backup of the keys with --keys-from"
        ),
        _ => Ok(()),
    }
}

async fn fill(
    config: &Config,
    found: &Found,
    identities: Vec<Identity>,
    refill: Refill,
    out: Out<'_>,
) -> anyhow::Result<Refilled> {
    let restoring = app::restoring(config, identities, Arc::new(SystemClock))?;
    let filled = {
        let mut steps = Steps::new();
        restoring.fill(found, refill, &mut |what, done, all| steps.tell(what, done, all)).await
    };
    restoring.store.close().await;
    let filled = filled.map_err(goes_on)?;
    writeln!(out, "{} rows are there", filled.rows)?;
    Ok(filled)
}

async fn note(base: &Base, action: Action, restored: &Refilled) -> anyhow::Result<()> {
    let act = Act::new(TENANT, Actor::OPERATOR, action, Object::several("backup")).times(restored.forgotten);
    base.audit.record(act).await?;
    Ok(())
}

async fn files(
    config: &Config,
    base: &Base,
    found: &Found,
    identities: Vec<Identity>,
    out: Out<'_>,
) -> anyhow::Result<()> {
    if !found.has_files() {
        return Ok(());
    }
    let Some(shelf) = base.shelf(config)? else {
        return Ok(writeln!(out, "there are files in it, and media.url names no place for them: they are left out")?);
    };
    let mut restoring = app::restoring(config, identities, base.clock.clone())?;
    restoring.store = base.store.clone();
    let put = {
        let mut steps = Steps::new();
        restoring.files(found, &shelf, &mut |what, done, all| steps.tell(what, done, all)).await?
    };
    Ok(writeln!(out, "{put} files are there")?)
}

/// Restores into a server of our own, looks whether it is of use, and throws it away.
async fn drill(config: &Config, found: &Found, identities: Vec<Identity>, out: Out<'_>) -> anyhow::Result<()> {
    let server = PrivatePostgres::throwaway().await?;
    let there = app::elsewhere(config, server.dsn());
    // Nobody goes on with what is there: it does not matter what the server has counted.
    let refill = Refill { keys: true, counts_up: false, revokes: false };
    let restored = fill(&there, found, identities, refill, out).await?;
    let tried = base(&there).await.context("the keys of this backup do not open here")?;
    let checked = tried.audit.check(TENANT).await?;
    writeln!(out, "the audit log is whole: {} entries, {} checkpoints", checked.size, checked.checkpoints)?;
    let stored = tried.privacy(&there)?.check_rows(TENANT, tried.clock.now().date()).await?;
    for fault in &stored.faults {
        writeln!(out, "not what was stored: {fault}")?;
    }
    writeln!(out, "rows that are as the log said: {}", stored.rows)?;
    let opened = Opened::of(&tried.store, &tried.keyring).await?;
    writeln!(
        out,
        "of the newest contents {} open, {} are forgotten, {} are damaged",
        opened.opened, opened.forgotten, opened.damaged
    )?;
    writeln!(out, "people who were forgotten since, and would be again: {}", restored.forgotten)?;
    tried.store.close().await;
    server.stop().await;
    ensure!(stored.faults.is_empty(), "there are rows that the log does not tell of, or it tells of others");
    ensure!(opened.damaged == 0, "there is content that does not open though its key is there");
    // Where the installation is away, as on the day it is needed, the drill is told here alone.
    match base(config).await {
        Ok(base) => note(&base, Action::BackupDrilled, &restored).await?,
        Err(_) => writeln!(out, "the installation does not answer: its audit log has no entry of this drill")?,
    }
    Ok(writeln!(out, "this backup can be restored")?)
}
