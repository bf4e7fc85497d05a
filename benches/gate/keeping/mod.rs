//! Privacy at the size of a company: a million people and ten million messages. Erasure of one person, a step of the key epoch, an
//! export, how far a breach went, and what webhooks lose while every data key is wrapped anew and while a backup is made:
//! `make bench ARGS="-- privacy"`, for other sizes `… privacy contacts=20000 messages=200000`.

mod beside;
mod fill;
pub(crate) mod report;
mod rights;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use waxseal::app::Base;
use waxseal::clock::SystemClock;
use waxseal::config::Config;
use waxseal::crypto::age::Identity;

use super::bench::{Bench, Site};
use super::database::Database;
use super::gateway::{Batching, Gateway};
use super::progress;
use super::server::Server;
use beside::Beside;

/// Messages of the one person whose data are exported.
const MESSAGES_OF_ONE: u64 = 10_000;

/// How much is made before anything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    /// People, each with keys for a profile and for two months.
    pub(crate) contacts: u64,
    /// Their messages, over the last days. Each was read once, fifty at a time.
    pub(crate) messages: u64,
}

/// Everything that was found out.
pub(crate) struct Findings {
    amounts: Amounts,
    made_in: Duration,
    /// From the request for one erasure until the last row is gone; the middle one.
    erasure: Duration,
    dry_run: Duration,
    export: Duration,
    exported_bytes: u64,
    /// `waxseal keys step`, with so many keys forgotten.
    step: Duration,
    forgotten: usize,
    /// `waxseal breach` over everything.
    breach: Duration,
    /// `waxseal keys rotate bucket`.
    rewrap: Beside,
    /// `waxseal backup`.
    backup: Beside,
    /// What Postgres holds, without indexes, and what the archives have.
    stored_bytes: u64,
    archived_bytes: u64,
    lost: u64,
}

/// `name=number` on the command line.
fn size(name: &str) -> Option<u64> {
    std::env::args().find_map(|one| one.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Makes everything, and measures one after the other.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let usual = bench.sizes.kept;
    let amounts = Amounts {
        contacts: size("contacts").unwrap_or(usual.contacts),
        messages: size("messages").unwrap_or(usual.messages),
    };
    let folder = Folder::make()?;
    let site = site(bench, server, &folder).await?;
    let config = Config::load(None, site.gateway.settings.iter().cloned())?;
    let base = Base::open(&config, Arc::new(SystemClock)).await?;
    let made_in = fill::fill(bench, &site, &base, amounts).await?;
    progress::say("export, erasure, step, breach: ");
    let (export, exported_bytes) = rights::export(bench, &site.gateway, MESSAGES_OF_ONE).await?;
    let (erasure, dry_run) = rights::erase(&site.gateway).await?;
    let forgotten = rights::forget(&base).await?;
    base.store.close().await;
    let step = rights::timed(&site.gateway, &["keys", "step"]).await?;
    let breach = rights::timed(&site.gateway, &["breach", "--from", "720h"]).await?;
    let [export_took, erasure_took, step_took, breach_took] =
        [export, erasure, step, breach].map(|took| took.as_secs_f64());
    progress::say(&format!(
        "export {export_took:.1} s, erasure {erasure_took:.2} s, step {step_took:.1} s, breach {breach_took:.1} s; \
         keys and backup beside webhooks: "
    ));
    let before = site.database.stored_lately().await?;
    let mut acknowledged = 0;
    let rewrap = beside::in_turns(bench, &site, &mut acknowledged, &["keys", "rotate", "bucket"]).await?;
    let to = folder.of("backup")?;
    let recipients = [Identity::generate().recipient()?.to_string(), Identity::generate().recipient()?.to_string()];
    let command = ["backup", "--to", &to, "--recipient", &recipients[0], "--recipient", &recipients[1]];
    let backup = beside::throughout(bench, &site, &mut acknowledged, &command).await?;
    let lost = (before + acknowledged).saturating_sub(site.database.stored_lately().await?);
    Ok(Findings {
        amounts,
        made_in,
        erasure,
        dry_run,
        export,
        exported_bytes,
        step,
        forgotten,
        breach,
        rewrap,
        stored_bytes: rights::stored(&site.database).await?,
        archived_bytes: weight(to.into())?,
        backup,
        lost,
    })
}

/// A gateway that keeps files, and an epoch cell in three places.
async fn site(bench: &Bench, server: &Server, folder: &Folder) -> anyhow::Result<Site> {
    let database = Database::make(server, "bench_privacy").await?;
    let files = format!("file://{}", folder.of("files")?);
    let cells = [folder.of("cell1")?, folder.of("cell2")?, folder.of("cell3")?].map(|place| format!("{place}/cell"));
    let cells = cells.join(",");
    let more = [("WAXSEAL_KEYS__CELL_FILES", cells.as_str()), ("WAXSEAL_MEDIA__URL", files.as_str())];
    let gateway = Gateway::start_with(&database, bench.business(), Batching::Grouped, &more).await?;
    Ok(Site { database, gateway })
}

/// Bytes of the files in a folder and those below.
fn weight(folder: PathBuf) -> std::io::Result<u64> {
    let (mut sum, mut folders) = (0, vec![folder]);
    while let Some(folder) = folders.pop() {
        for one in std::fs::read_dir(folder)? {
            let one = one?;
            if one.file_type()?.is_dir() {
                folders.push(one.path());
            } else {
                sum += one.metadata()?.len();
            }
        }
    }
    Ok(sum)
}

/// Removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("waxseal-bench-kept-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// A folder in it.
    fn of(&self, name: &str) -> std::io::Result<String> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a killed run leaves is the system's to clear up.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
