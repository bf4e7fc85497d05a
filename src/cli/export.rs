//! `waxseal export`, `waxseal exports`: what is known of a person, in one archive that is encrypted for them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use zeroize::Zeroizing;

use super::erase::Person;
use super::moment::shown;
use super::progress::{self, Progress};
use super::settings::base;
use super::table::Table;
use crate::access::exports::ArchiveState;
use crate::access::{Caller, Errand, Permission};
use crate::app::Base;
use crate::config::Config;
use crate::crypto::age::Passphrase;
use crate::directory::Bells;
use crate::ids::{ExportId, PrivacyRequestId, TenantId};
use crate::media::{Place, ShelfError};
use crate::privacy::{Privacy, PrivacyError, SealedFor, object_of_export};
use crate::store::exports::ExportRow;
use crate::store::privacy_deeds::Deed;

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// Exports that are listed.
const LISTED: i64 = 50;
/// What is under way is looked at again after this.
const LOOK: Duration = Duration::from_millis(250);
/// A running gateway has begun by then; else it is done here.
const GATEWAYS_BEGIN: Duration = Duration::from_secs(5);

/// `waxseal export …`
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    person: Person,
    /// For whom the archive is encrypted: a public key of age, `age1…`. Without one, for a new key, which is printed.
    #[arg(long, value_name = "KEY")]
    recipient: Option<String>,
    /// For a new passphrase, which is printed.
    #[arg(long, conflicts_with = "recipient")]
    passphrase: bool,
    /// You have made sure who asks, although their number, id or device changed of late.
    #[arg(long)]
    identity_confirmed: bool,
    /// The request that it is made for (`waxseal request`); of whoever asked, when nobody else is named.
    #[arg(long, value_name = "ID")]
    request: Option<PrivacyRequestId>,
    /// Write the archive to this file; without it, `ID.zip.age` here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `waxseal exports …`
#[derive(Debug, Args)]
pub(super) struct ExportsArgs {
    /// Show this one.
    id: Option<ExportId>,
    /// Write its archive to this file.
    #[arg(long, value_name = "FILE", requires = "id")]
    out: Option<PathBuf>,
}

fn operator() -> Caller {
    let may = [Permission::PrivacyExport, Permission::ExportsRead, Permission::HeldRead];
    Caller::operator(TENANT, may.into_iter().collect())
}

pub(super) async fn export(config: &Config, args: ExportArgs, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    let named = args.person.or_asker(&privacy, args.request).await?;
    let (sealed_for, shown_once) = opening(&args).await?;
    let (contact, everyone) = privacy.person(TENANT, &named).await?;
    privacy.may_export(TENANT, &everyone, args.identity_confirmed).await.map_err(|error| match error {
        PrivacyError::IdentityChanged => anyhow!("{error}: make sure who asks, then say --identity-confirmed"),
        PrivacyError::NoPlace => anyhow!("media.url names no place for files"),
        error => error.into(),
    })?;
    if let Some(request) = args.request {
        let fits = privacy.may_be_for(TENANT, request, Deed::Export, &everyone).await;
        fits.context("that request is not open, asks for something else, or is about somebody else")?;
    }
    let (who, id) = (operator(), privacy.new_export());
    base.door().admit_export(&who, &Errand::operation(), id, &everyone).await?;
    privacy.export((TENANT, id, who.key.uuid()), (contact, &everyone), (&sealed_for, args.request)).await?;
    writeln!(out, "export  {id}")?;
    if let Some((what, secret)) = shown_once {
        writeln!(out, "{what}  {}", secret.as_str())?;
        writeln!(out, "it is shown this once and kept nowhere; give it to the person by another way than the archive")?;
    }
    watch(&base, &privacy, id, out).await?;
    let path = args.out.unwrap_or_else(|| format!("{id}.zip.age").into());
    fetch(&base, config, id, &path, out).await
}

/// For whom the archive is encrypted, and what is shown this once.
async fn opening(args: &ExportArgs) -> anyhow::Result<(SealedFor, Option<(&'static str, Zeroizing<String>)>)> {
    if let Some(text) = &args.recipient {
        return Ok((SealedFor::recipient(text).context("--recipient is no public key of age: age1…")?, None));
    }
    if args.passphrase {
        let (sealed_for, made) = SealedFor::passphrase(Passphrase::generate()).await?;
        return Ok((sealed_for, Some(("passphrase", Zeroizing::new(made.show().to_owned())))));
    }
    let (sealed_for, identity) = SealedFor::new_key()?;
    Ok((sealed_for, Some(("key   ", identity))))
}

/// Waits until the archive is there, and makes it where no gateway does.
async fn watch(base: &Base, privacy: &Privacy, id: ExportId, out: Out<'_>) -> anyhow::Result<()> {
    let (began, mut said) = (Instant::now(), String::new());
    loop {
        let row = privacy.find_export(TENANT, id).await?.context("the person was erased meanwhile")?;
        if row.state == "ready" {
            return Ok(writeln!(out, "{}", so_far(&row))?);
        }
        ensure!(row.state != "failed", "the archive cannot be made; the log of the process that tried says why");
        let line = so_far(&row);
        if line != said {
            writeln!(out, "{line}")?;
            out.flush()?;
            said = line;
        }
        let is_idle = row.state == "requested" && began.elapsed() >= GATEWAYS_BEGIN;
        if let Some(lane) = if is_idle { base.store.take_export(TENANT, id).await? } else { None } {
            privacy.build_export(lane).await?;
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn so_far(row: &ExportRow) -> String {
    format!(
        "{:10}  {} of {} messages, {} of {} files",
        row.state, row.messages_done, row.messages, row.files_done, row.files
    )
}

async fn fetch(base: &Base, config: &Config, id: ExportId, path: &Path, out: Out<'_>) -> anyhow::Result<()> {
    let view = base.door().archive(&operator(), &Errand::operation(), id).await?.context("no such export")?;
    let key = match view.state {
        ArchiveState::There(key) => key,
        ArchiveState::Waiting => bail!("the archive is not there yet"),
        ArchiveState::Gone => bail!("the archive is gone"),
    };
    let files = base.files(config, Bells::new().0)?;
    let shelf = files.shelf.as_ref().context("media.url names no place for files")?;
    let place = Place { tenant: TENANT, media: object_of_export(id), contact: Some(view.contact) };
    let reading = shelf.read(place, &key.dek).await;
    ensure!(!reading.as_ref().is_err_and(ShelfError::is_missing), "the archive is gone: archives are in no backup");
    let reading = reading?;
    let bytes = reading.length();
    let mut pieces = reading.stream(0..bytes).await?;
    // Readable for whoever asked, and nobody else; what is there already is not overwritten.
    let opened = File::options().write(true).create_new(true).mode(0o600).open(path).await;
    let mut file = opened.with_context(|| format!("{} cannot be made", path.display()))?;
    let mut progress = Progress::of("reading", bytes);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        file.write_all(&piece).await?;
        progress.add(piece.len());
    }
    file.flush().await?;
    file.sync_all().await?;
    drop(progress);
    writeln!(out, "wrote {} ({})", path.display(), progress::shown(bytes))?;
    let by = if view.by_passphrase { "" } else { " -i key.txt" };
    Ok(writeln!(out, "to open it: age --decrypt{by} -o archive.zip {}", path.display())?)
}

pub(super) async fn exports(config: &Config, args: ExportsArgs, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    let Some(id) = args.id else {
        let mut table = Table::new(["export", "contact", "state", "for", "asked for", "there until"]);
        for row in privacy.exports(TENANT, None, LISTED).await? {
            table.row([
                row.export_id.to_string(),
                row.contact_id.to_string(),
                row.state,
                row.sealed_for,
                shown(row.created_at),
                row.expires_at.map_or_else(|| "-".to_owned(), shown),
            ]);
        }
        return Ok(table.write(out)?);
    };
    let row = privacy.find_export(TENANT, id).await?.context("no such export")?;
    let Some(path) = args.out else { return Ok(writeln!(out, "{}", so_far(&row))?) };
    ensure!(row.state == "ready", "the archive is {}", row.state);
    fetch(&base, config, id, &path, out).await
}
