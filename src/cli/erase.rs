//! `waxseal erase`, `waxseal erasures`: people who are forgotten, and the proof of it.

use std::io::{BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::moment::shown;
use super::settings::base;
use super::table::Table;
use crate::app::Base;
use crate::audit::{Act, Action, Actor, Object, Which};
use crate::config::Config;
use crate::ids::{AuditEntryId, ContactId, ErasureId, PrivacyRequestId, TenantId};
use crate::privacy::{Asked, Basis, Identity, IdentityMethod, Named, Next, Privacy, Progress};

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// Erasures that are listed.
const LISTED: i64 = 50;
/// What waits is looked at again after this.
const LOOK: Duration = Duration::from_millis(500);

/// A person, by one of their names.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Person {
    /// By our own id.
    #[arg(long, value_name = "ID")]
    contact_id: Option<ContactId>,
    /// By a phone number with its country code.
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// By Meta's business-scoped user id.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// By Meta's public handle.
    #[arg(long, value_name = "HANDLE")]
    username: Option<String>,
}

impl Person {
    /// Whether somebody was named.
    pub(super) const fn is_given(&self) -> bool {
        self.contact_id.is_some() || self.phone.is_some() || self.user_id.is_some() || self.username.is_some()
    }

    /// The same, or whoever asked for something, when nobody was named.
    pub(super) async fn or_asker(&self, privacy: &Privacy, request: Option<PrivacyRequestId>) -> anyhow::Result<Named> {
        match request {
            Some(request) if !self.is_given() => {
                privacy.asker(TENANT, request).await.context("that request says of nobody that they are known here")
            }
            _ => self.named(),
        }
    }

    pub(super) fn named(&self) -> anyhow::Result<Named> {
        let read = |text: &Option<String>, read: fn(&str) -> Option<Named>| text.as_deref().map(read);
        ensure!(self.is_given(), "say who: --contact-id, --phone, --user-id or --username");
        let by_id = self.contact_id.map(|id| Some(Named::Contact(id)));
        let others = [
            read(&self.phone, Named::phone),
            read(&self.user_id, Named::user_id),
            read(&self.username, Named::username),
        ];
        by_id.into_iter().chain(others.into_iter().flatten()).next().flatten().context("this is no name of a person")
    }
}

/// Why.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum BasisArg {
    Request,
    ConsentWithdrawn,
    Objection,
    NotNeeded,
    Unlawful,
    LegalDuty,
}

impl From<BasisArg> for Basis {
    fn from(basis: BasisArg) -> Self {
        match basis {
            BasisArg::Request => Self::Request,
            BasisArg::ConsentWithdrawn => Self::ConsentWithdrawn,
            BasisArg::Objection => Self::Objection,
            BasisArg::NotNeeded => Self::NotNeeded,
            BasisArg::Unlawful => Self::Unlawful,
            BasisArg::LegalDuty => Self::LegalDuty,
        }
    }
}

/// `waxseal erase …`
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    person: Person,
    /// Why.
    #[arg(long, value_enum, default_value = "request")]
    basis: BasisArg,
    /// Of the case; stored sealed, in no certificate.
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    /// The request that it is made for (`waxseal request`): it ends with the certificate.
    #[arg(long, value_name = "ID")]
    request: Option<PrivacyRequestId>,
    /// How you know that they are who they say: method and day stand in the certificate.
    #[arg(long, value_name = "METHOD", value_parser = identity)]
    identity: Option<IdentityMethod>,
    /// What that rests on; stored sealed, in no certificate, and gone with it.
    #[arg(long, value_name = "TEXT", requires = "identity")]
    identity_note: Option<String>,
    /// Leave the step of the epoch, which takes the worth from copies of the keys, to the next of every day.
    #[arg(long)]
    next_step: bool,
    /// Count, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

fn identity(text: &str) -> Result<IdentityMethod, String> {
    let known = || IdentityMethod::ALL.map(IdentityMethod::as_str).join(", ");
    IdentityMethod::parse(text).ok_or_else(|| format!("there are {}", known()))
}

/// `waxseal erasures …`
#[derive(Debug, Args)]
pub(super) struct ErasuresArgs {
    /// Show this one.
    id: Option<ErasureId>,
    /// Write its certificate to this file.
    #[arg(long, value_name = "FILE", requires = "id")]
    certificate: Option<PathBuf>,
}

pub(super) async fn erase(config: &Config, args: EraseArgs, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    let named = args.person.named()?;
    let act = Act::new(TENANT, Actor::OPERATOR, Action::ErasurePreviewed, Object::several("contact"));
    let (found, _) = privacy.dry_run(&named, act).await?;
    counted(&found.counts, "rows", out)?;
    if found.held {
        writeln!(out, "somebody holds these data: an erasure waits until nobody does")?;
    }
    if args.dry_run {
        return Ok(writeln!(out, "nothing was done")?);
    }
    if !args.yes {
        ask(out)?;
    }
    let id = privacy.new_erasure();
    let asked = Asked {
        named: &named,
        basis: args.basis.into(),
        reference: args.reference.as_deref(),
        step_now: !args.next_step,
        request: args.request,
        identity: args.identity.map(|method| Identity { method, note: args.identity_note.as_deref() }),
    };
    let act = Act::new(TENANT, Actor::OPERATOR, Action::ErasureRequested, Object::one("erasure", id.uuid()));
    let (salt, _) = privacy.erase(id, &asked, act).await?;
    writeln!(out, "erasure       {id}")?;
    writeln!(out, "subject salt  {salt}")?;
    writeln!(out, "keep the salt: it alone can show whom the certificate is about, and is stored nowhere")?;
    watch(&privacy, id, out).await
}

/// Does the steps itself, beside whatever gateway runs: each is done once. Leaves when it has to wait for others.
async fn watch(privacy: &Privacy, id: ErasureId, out: Out<'_>) -> anyhow::Result<()> {
    let mut state = String::new();
    loop {
        let next = privacy.step(TENANT, id).await;
        let progress = privacy.erasure(TENANT, id).await?.context("the erasure is gone")?;
        if progress.row.state != state {
            state = progress.row.state.clone();
            writeln!(out, "{state}")?;
            out.flush()?;
        }
        match next {
            Ok(Next::Go) => {}
            Ok(Next::Done) => return show(&progress, out),
            Ok(Next::Wait) => {
                writeln!(out, "the rest is done by running gateways: waxseal erasures {id}")?;
                return show(&progress, out);
            }
            Err(error) if error.is_retryable() => tokio::time::sleep(LOOK).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn ask(out: Out<'_>) -> anyhow::Result<()> {
    ensure!(std::io::stdin().is_terminal(), "this cannot be undone: say --yes where nobody can be asked");
    write!(out, "this cannot be undone. Type \"erase\" to go on: ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != "erase" {
        bail!("nothing was done");
    }
    Ok(())
}

fn counted(counts: &[(String, i64)], heading: &'static str, out: Out<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(["table", heading]);
    for (name, rows) in counts {
        table.row([name.clone(), rows.to_string()]);
    }
    Ok(table.write(out)?)
}

fn show(progress: &Progress, out: Out<'_>) -> anyhow::Result<()> {
    counted(&progress.counts, "removed", out)?;
    writeln!(out, "{} keys were destroyed", progress.row.key_checks.len() / 32)?;
    if !progress.receipts.is_empty() {
        let mut table = Table::new(["endpoint", "told"]);
        for one in &progress.receipts {
            table.row([one.endpoint_id.to_string(), one.state.clone()]);
        }
        table.write(out)?;
    }
    Ok(())
}

pub(super) async fn erasures(config: &Config, args: ErasuresArgs, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let privacy = base.privacy(config)?;
    let Some(id) = args.id else {
        let mut table = Table::new(["erasure", "state", "named by", "basis", "asked for"]);
        for row in privacy.erasures(TENANT, None, LISTED).await? {
            let id = ErasureId::from_uuid(row.erasure_id).to_string();
            table.row([id, row.state, row.asked_by, row.basis, shown(row.created_at)]);
        }
        return Ok(table.write(out)?);
    };
    let progress = privacy.erasure(TENANT, id).await?.context("no such erasure")?;
    let Some(file) = args.certificate else {
        writeln!(out, "{}", progress.row.state)?;
        match privacy.identity_of(TENANT, id, false).await?.map(|one| one.row) {
            Some(row) => writeln!(out, "identity checked: {}, {}", row.method, shown(row.checked_at))?,
            None => writeln!(out, "nobody said how the identity was checked")?,
        }
        return show(&progress, out);
    };
    let text = certificate(&base, &progress).await?;
    std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(writeln!(out, "wrote {}", file.display())?)
}

async fn certificate(base: &Base, progress: &Progress) -> anyhow::Result<String> {
    let (text, entry) =
        progress.row.certificate.as_ref().zip(progress.row.entry_id).context("it is not certified yet")?;
    let proof = base.audit.proof(TENANT, Which::Id(AuditEntryId::from_uuid(entry))).await?;
    let document: Value = serde_json::from_str(text)?;
    Ok(serde_json::to_string_pretty(&json!({ "certificate": document, "proof": proof.to_string() }))? + "\n")
}
