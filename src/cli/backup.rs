//! `waxseal backup`: everything that is needed to go on elsewhere, but for the KMS secret and the epoch cell.

use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};

use super::progress::{self, Steps};
use super::settings::base;
use super::table::Table;
use crate::backup::{Manifest, Parts, Wanted};
use crate::config::Config;
use crate::crypto::age::Recipient;
use crate::ids::TenantId;

/// `waxseal backup …`
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder that the backup becomes a folder in.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The same for the archive of the keys, on another disk or machine.
    #[arg(long, value_name = "DIR")]
    keys_to: Option<PathBuf>,
    /// Who can open it: the public key of age (`age1…`). Twice or more.
    #[arg(long = "recipient", value_name = "AGE1…")]
    recipients: Vec<String>,
    /// File with recipients, one a line; lines that begin with `#` say nothing.
    #[arg(long, value_name = "FILE", required_unless_present = "recipients")]
    recipients_file: Option<PathBuf>,
    /// One part alone. The keys alone are small: after each step of the epoch older copies of them are worth nothing.
    #[arg(long)]
    only: Option<Part>,
    /// Leave out the files that people sent or that are to be sent.
    #[arg(long)]
    without_files: bool,
    /// Megabytes of what is stored that are read in a second at most, so that webhooks and messages go on beside it; 0: as fast as it goes.
    #[arg(long, value_name = "MB", default_value_t = 45)]
    rate: u32,
}

/// A part of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The data, and the files.
    Data,
    /// The keys.
    Keys,
}

impl BackupArgs {
    fn recipients(&self) -> anyhow::Result<Vec<Recipient>> {
        let listed = match &self.recipients_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?
            }
            None => String::new(),
        };
        let listed = listed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all = self.recipients.iter().map(String::as_str).chain(listed);
        all.map(|text| Recipient::parse(text).with_context(|| text.to_owned())).collect()
    }
}

pub(super) async fn run(config: &Config, args: BackupArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let recipients = args.recipients()?;
    ensure!(args.keys_to.is_none() || args.only.is_none(), "--keys-to is for a backup of both");
    let parts = Parts { data: args.only != Some(Part::Keys), keys: args.only != Some(Part::Data) };
    let base = base(config).await?;
    let making = base.making(config, !args.without_files && parts.data)?;
    let bytes_per_second = NonZeroU64::new(u64::from(args.rate) * 1_000_000);
    let wanted = Wanted { to: args.to, keys_to: args.keys_to, recipients, parts, bytes_per_second };
    let made = {
        let mut steps = Steps::new();
        making.make(&wanted, &mut |what, done, all| steps.tell(what, done, all)).await?
    };
    listed(&made.manifest, out)?;
    writeln!(out, "\nwrote {}", made.folder.display())?;
    if let Some(folder) = &made.keys_folder {
        writeln!(out, "wrote {}: keep it apart from the data", folder.display())?;
    }
    let key = base.audit.verifier_key(TenantId::DEFAULT).await?;
    Ok(writeln!(out, "it is signed with the key of the audit log, which a restore asks for:\n{key}")?)
}

/// What is in a backup.
pub(super) fn listed(manifest: &Manifest, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut table = Table::new(["archive", "size", "tables", "rows", "files"]);
    for archive in &manifest.archives {
        let rows: u64 = archive.tables.iter().map(|table| table.rows).sum();
        let counts = [archive.tables.len().to_string(), rows.to_string(), archive.files.to_string()];
        let [tables, rows, files] = counts;
        table.row([archive.file.clone(), progress::shown(archive.bytes), tables, rows, files]);
    }
    Ok(table.write(out)?)
}
