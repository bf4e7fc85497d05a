//! `waxseal contact`: what an operator may do with contacts at a terminal. Shows nothing of them.

use std::io::Write;

use anyhow::ensure;
use clap::Subcommand;

use super::settings::base;
use crate::access::{Caller, Errand, Permission};
use crate::config::Config;
use crate::ids::{ContactId, TenantId};

/// `waxseal contact …`
#[derive(Debug, Subcommand)]
pub(super) enum ContactVerb {
    /// Make a contact a decoy: whoever opens it raises an alarm.
    Decoy {
        /// Id of the contact.
        id: ContactId,
        /// Make it an ordinary contact again.
        #[arg(long)]
        off: bool,
    },
}

pub(super) async fn run(config: &Config, verb: ContactVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = base(config).await?;
    let ContactVerb::Decoy { id, off } = verb;
    let operator = Caller::operator(TenantId::DEFAULT, std::iter::once(Permission::DecoysManage).collect());
    let known = base.door().set_decoy(&operator, &Errand::operation(), id, !off).await?;
    ensure!(known, "no such contact");
    Ok(writeln!(out, "done; no answer and no listing says so")?)
}
