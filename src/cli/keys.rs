//! `waxseal key`: keys of calling applications.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::settings::{base, given};
use super::table::Table;
use crate::access::api_key::{self, Grant, NewKey, Powers};
use crate::access::permissions::{ADMIN, Permission, Permissions};
use crate::access::{FieldClass, Role, Sight};
use crate::audit::Action;
use crate::config::Config;
use crate::directory::{ApiKey, Directory};
use crate::ids::{ApiKeyId, ChannelId, TenantId};

const TENANT: TenantId = TenantId::DEFAULT;

/// `waxseal key …`
#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make an API key. It is printed once, on the last line.
    Create(NewKeyArgs),
    /// List API keys.
    List,
    /// Make a key in the place of another, which stays valid for a while. It is printed once, on the last line.
    Rotate {
        /// Id of the key.
        id: ApiKeyId,
        /// Hours for which the old key stays valid (0 to 168).
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(..=168))]
        grace_hours: u16,
    },
    /// Unlock a key that was locked because it was about to be shown more contacts than it may.
    Unlock {
        /// Id of the key.
        id: ApiKeyId,
    },
    /// Take an API key back.
    Revoke {
        /// Id of the key.
        id: ApiKeyId,
    },
}

/// A new key: --role, or --scope.
#[derive(Debug, Args)]
pub(super) struct NewKeyArgs {
    /// A name for people.
    #[arg(long)]
    name: String,
    /// What it may do, by one word: owner, admin, agent, auditor, `privacy_officer` or service.
    #[arg(long, value_parser = role_of, required_unless_present = "scopes", conflicts_with = "scopes")]
    role: Option<Role>,
    /// What it may do, such as `events:read`; `admin` for everything. May be repeated.
    #[arg(long = "scope")]
    scopes: Vec<String>,
    /// The highest class of fields it sees: public, internal, personal or sensitive. Without it: as much as its role allows.
    #[arg(long, value_parser = class_of)]
    field_class: Option<FieldClass>,
    /// Show it names and numbers in clear, and not masked.
    #[arg(long)]
    unmasked: bool,
    /// Confine it to a channel. May be repeated.
    #[arg(long = "channel")]
    channels: Vec<ChannelId>,
    /// Confine it to a network such as `10.1.0.0/16`, or to an address. May be repeated.
    #[arg(long = "cidr", value_parser = network_of)]
    cidrs: Vec<IpNet>,
    /// How many different contacts it may be shown within an hour; more lock it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    contacts_per_hour: Option<u32>,
    /// Days after which it ends by itself (1 to 365).
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=365))]
    days: u16,
}

fn role_of(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    Role::parse(text).ok_or_else(|| format!("there are {}", known()))
}

fn class_of(text: &str) -> Result<FieldClass, String> {
    let known = || FieldClass::ALL.map(FieldClass::as_str).join(", ");
    FieldClass::parse(text).ok_or_else(|| format!("there are {}", known()))
}

fn network_of(text: &str) -> Result<IpNet, String> {
    api_key::network(text).ok_or_else(|| "a network such as 10.1.0.0/16, or an address".to_owned())
}

pub(super) async fn run(config: &Config, verb: KeyVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = base(config).await?;
    let (now, directory) = (base.clock.now(), &base.directory);
    match verb {
        KeyVerb::Create(new) => {
            let members = new.members();
            let made = api_key::generate(new.grant(now)?, now);
            base.note(Action::KeyCreated, "key", made.record.id.uuid(), &members).await?;
            directory.save_api_key(made.record.clone()).await?;
            print(&made, out)?;
        }
        KeyVerb::Rotate { id, grace_hours } => {
            let made = api_key::generate(Grant::instead_of(&find(directory, id)?, now), now);
            base.note(Action::KeyRotated, "key", id.uuid(), &["grace_hours"]).await?;
            let old_ends = now + Duration::hours(grace_hours.into());
            let rotated = directory.rotate_api_key(made.record.clone(), old_ends).await;
            rotated.context("the key is no longer valid, or was rotated already")?;
            print(&made, out)?;
        }
        KeyVerb::List => {
            let uses = base.store.uses_of_api_keys(TENANT).await?.into_iter().collect();
            list(directory, &uses, now, out)?;
        }
        KeyVerb::Unlock { id } => {
            base.note(Action::KeyUnlocked, "key", id.uuid(), &[]).await?;
            ensure!(directory.unlock_api_key(TENANT, id).await?, "no such locked key");
        }
        KeyVerb::Revoke { id } => {
            base.note(Action::KeyRevoked, "key", id.uuid(), &[]).await?;
            ensure!(directory.revoke_api_key(TENANT, id).await?, "no such valid key");
        }
    }
    Ok(())
}

fn print(made: &NewKey, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    writeln!(out, "key {}; its secret is shown this once:", made.record.id)?;
    Ok(writeln!(out, "{}", made.shown.expose())?)
}

fn find(directory: &Directory, id: ApiKeyId) -> anyhow::Result<ApiKey> {
    Ok(directory.snapshot().api_key_by_id(TENANT, id).context("no such key")?.as_ref().clone())
}

fn list(
    directory: &Directory,
    uses: &HashMap<Uuid, Date>,
    now: OffsetDateTime,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut table = Table::new(["id", "name", "may", "sees", "ends", "last used", "state"]);
    for key in directory.snapshot().api_keys_of(TENANT) {
        let sight = api_key::sight(key);
        let clear = if sight.unmasked { ", in clear" } else { "" };
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.role.clone().unwrap_or_else(|| key.scopes.join(" ")),
            format!("{}{clear}", sight.class.as_str()),
            key.expires_at.date().to_string(),
            uses.get(&key.id.uuid()).map_or_else(|| "-".to_owned(), ToString::to_string),
            state(key, now).to_owned(),
        ]);
    }
    Ok(table.write(out)?)
}

fn state(key: &ApiKey, now: OffsetDateTime) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if !api_key::is_in_force(key, now) {
        "ended"
    } else if key.locked_at.is_some() {
        "locked"
    } else {
        "valid"
    }
}

impl NewKeyArgs {
    fn members(&self) -> Vec<&'static str> {
        given([
            ("channel_ids", !self.channels.is_empty()),
            ("cidrs", !self.cidrs.is_empty()),
            ("contacts_per_hour", self.contacts_per_hour.is_some()),
            ("expires_at", true),
            ("field_class", self.field_class.is_some()),
            ("name", true),
            ("permissions", !self.scopes.is_empty()),
            ("role", self.role.is_some()),
            ("unmasked", self.unmasked),
        ])
    }

    fn grant(self, now: OffsetDateTime) -> anyhow::Result<Grant> {
        let powers = match self.role {
            Some(role) => Powers::Role(role),
            None => Powers::Scopes(permissions(&self.scopes)?),
        };
        let class = self.field_class.unwrap_or(powers.sight().class);
        let sight = Sight { class, unmasked: self.unmasked };
        ensure!(powers.sight().covers(sight), "the role may not see this much (docs/access.md)");
        Ok(Grant {
            sight,
            channels: self.channels,
            cidrs: self.cidrs,
            budget: self.contacts_per_hour,
            expires_at: Some(now + Duration::days(self.days.into())),
            ..Grant::new(TENANT, self.name, powers)
        })
    }
}

/// Every unknown scope is listed at once, and so are the known ones.
fn permissions(scopes: &[String]) -> anyhow::Result<Permissions> {
    if scopes.iter().any(|scope| scope == ADMIN) {
        return Ok(Permissions::admin());
    }
    let unknown: Vec<&str> =
        scopes.iter().map(String::as_str).filter(|scope| Permission::parse(scope).is_none()).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = Permission::ALL.iter().map(|one| one.as_str()).collect();
        bail!("unknown scope {}; there are {ADMIN}, {}", unknown.join(", "), known.join(", "));
    }
    Ok(Permissions::of_scopes(scopes.iter().map(String::as_str)))
}
