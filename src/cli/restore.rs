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
use crate::backup::{BackupError, Found, Opened, Place, Refilled};
use crate::clock::SystemClock;
use crate::config::{Config, open_key_file};
use crate::crypto::age::Identity;
use crate::ids::TenantId;
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
    if !args.present_keys {
        fits_the_cell(config, &found)?;
    }
    {
        let mut steps = Steps::new();
        found.check(!args.present_keys, &mut |what, done, all| steps.tell(what, done, all)).await?;
    }
    writeln!(out, "\nsigned, and every archive is the one that was signed")?;
    if args.dry_run {
        return Ok(writeln!(out, "nothing was done")?);
    }
    if args.drill {
        return drill(config, &found, identities, out).await;
    }
    let restored = fill(config, &found, identities, !args.present_keys, out).await?;
    let base = base(config).await.context("the rows are there; what follows is done by the next start")?;
    note(&base, Action::BackupRestored, &restored).await?;
    let waiting = base.privacy(config)?.forget_restored().await?;
    if restored.forgotten > 0 {
        writeln!(out, "people who were forgotten since, and are again: {}", restored.forgotten)?;
    }
    if waiting > 0 {
        writeln!(out, "of these, wait because somebody holds their data: {waiting}")?;
    }
    files(config, &base, &found, args.identities()?, out).await?;
    writeln!(out, "restored: start the gateway")?;
    base.store.close().await;
    Ok(())
}

/// An older copy of the keys opens nothing, and a start would be refused: better now than then.
fn fits_the_cell(config: &Config, found: &Found) -> anyhow::Result<()> {
    let epoch = found.keys.key_epoch;
    match app::epoch_of_cell(config, found.keys.installation) {
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
    keys: bool,
    out: Out<'_>,
) -> anyhow::Result<Refilled> {
    let restoring = app::restoring(config, identities, Arc::new(SystemClock))?;
    let filled = {
        let mut steps = Steps::new();
        restoring.fill(found, keys, &mut |what, done, all| steps.tell(what, done, all)).await
    };
    restoring.store.close().await;
    let filled = filled?;
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
    let restored = fill(&there, found, identities, true, out).await?;
    let tried = base(&there).await.context("the keys of this backup do not open here")?;
    let checked = tried.audit.check(TENANT).await?;
    writeln!(out, "the audit log is whole: {} entries, {} checkpoints", checked.size, checked.checkpoints)?;
    // Where the installation is away, as on the day it is needed, the drill is told here alone.
    match base(config).await {
        Ok(base) => note(&base, Action::BackupDrilled, &restored).await?,
        Err(_) => writeln!(out, "the installation does not answer: its audit log has no entry of this drill")?,
    }
    let opened = Opened::of(&tried.store, &tried.keyring).await?;
    writeln!(
        out,
        "of the newest contents {} open, {} are forgotten, {} are damaged",
        opened.opened, opened.forgotten, opened.damaged
    )?;
    writeln!(out, "people who were forgotten since, and would be again: {}", restored.forgotten)?;
    tried.store.close().await;
    server.stop().await;
    ensure!(opened.damaged == 0, "there is content that does not open though its key is there");
    Ok(writeln!(out, "this backup can be restored")?)
}
