//! `waxseal app`, `waxseal channel`: what REST does, for an operator at a terminal. Secrets are read from standard
//! input or a file, never from the command line, where other users of the machine could read them.

use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;

use super::table::Table;
use crate::app::Base;
use crate::audit::Action;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::directory::{App, Snapshot};
use crate::domain::channel::{Channel, FASTEST, MediaMode};
use crate::domain::door::{DoorPolicy, Treatment};
use crate::domain::keeping::{ContentClass, Keep, KeepPolicy, MOST_DAYS, rule_of};
use crate::ids::{AppId, ChannelId, PhoneNumberId, TenantId, WabaId};
use crate::secret::{AccessToken, AppSecret, Pin, VerifyToken};
use crate::send::accounts::is_pin;

type Out<'a> = &'a mut (dyn Write + Send);

/// The members that were given, by the names that the API has for them: what an entry of the audit log says of a verb.
pub(super) fn given<const N: usize>(members: [(&'static str, bool); N]) -> Vec<&'static str> {
    members.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
}

/// A secret from a file, or from standard input.
#[derive(Debug, Args)]
pub(super) struct SecretSource {
    /// File that holds the secret; `-` or nothing: standard input.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretSource {
    fn read(&self, what: &str) -> anyhow::Result<String> {
        let text = match self.secret_file.as_deref().filter(|path| path.as_os_str() != "-") {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("{what} cannot be read"))?,
            None => {
                let mut text = String::new();
                std::io::stdin()
                    .take(64 * 1024)
                    .read_to_string(&mut text)
                    .with_context(|| format!("{what} cannot be read"))?;
                text
            }
        };
        let text = text.trim();
        if text.is_empty() {
            bail!("{what} is empty; give it on standard input or with --secret-file");
        }
        Ok(text.to_owned())
    }
}

/// `waxseal app …`
#[derive(Debug, Subcommand)]
pub(super) enum AppVerb {
    /// Register a Meta app; its secret is read from standard input or --secret-file.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        /// File with the verify token; without one a token is made and printed.
        #[arg(long, value_name = "FILE")]
        verify_token_file: Option<PathBuf>,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// List Meta apps.
    List,
    /// Replace an app's secret; webhooks signed with the old one are still accepted.
    Rotate {
        /// Id of the app.
        id: AppId,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// Remove an app: its webhooks are refused from then on.
    Remove {
        /// Id of the app.
        id: AppId,
    },
}

/// `waxseal channel …`
#[derive(Debug, Subcommand)]
pub(super) enum ChannelVerb {
    /// Add a business number; its access token is read from standard input or --secret-file.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        /// Meta's id of the number.
        #[arg(long)]
        phone_number_id: String,
        /// Meta's id of the account.
        #[arg(long)]
        waba_id: String,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// List channels.
    List,
    /// Show what Meta says of the numbers: quality, limits, health, and what their tokens may do.
    Status,
    /// Change a channel.
    Set {
        /// Id of the channel.
        id: ChannelId,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// What is done with files that people send: `store` (fetched and kept), `proxy` (passed on from Meta to who asks) or `never`.
        #[arg(long, value_parser = media_mode)]
        media: Option<MediaMode>,
        /// What of people's data is left out before it is stored: names, locations, contacts, referrals; between commas.
        #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = door_kind)]
        drop: Vec<&'static str>,
        /// In whose place a keyed hash is stored.
        #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = door_kind)]
        hash: Vec<&'static str>,
        /// What is stored as it comes again.
        #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = door_kind)]
        keep: Vec<&'static str>,
        /// For how long what is said from now on is kept: `received=30,names=7,statuses=delivered,sent=30,files=1`; `=all`: as for all numbers.
        #[arg(long, value_name = "RULES", value_delimiter = ',', value_parser = rule_of)]
        retention: Vec<(ContentClass, Option<Keep>)>,
    },
    /// Replace a channel's access token.
    SetToken {
        /// Id of the channel.
        id: ChannelId,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// Say how many messages leave through a channel in a second, at most; without a number: as for all channels.
    Pace {
        /// Id of the channel.
        id: ChannelId,
        /// Messages a second.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(FASTEST)))]
        messages_per_second: Option<u32>,
    },
    /// Set the PIN of a number's two-step verification at Meta. It is read from standard input or --secret-file, kept sealed, and never
    /// shown.
    Pin {
        /// Id of the channel.
        id: ChannelId,
        /// Make a random one instead.
        #[arg(long, conflicts_with = "secret_file")]
        rotate: bool,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// Register a number with the Cloud API, with the PIN that is kept.
    Register {
        /// Id of the channel.
        id: ChannelId,
        /// File with the PIN that the number has at Meta already; `-`: standard input.
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
    },
    /// Remove a channel.
    Remove {
        /// Id of the channel.
        id: ChannelId,
    },
}

const TENANT: TenantId = TenantId::DEFAULT;

fn door_kind(text: &str) -> Result<&'static str, &'static str> {
    DoorPolicy::KINDS.into_iter().find(|kind| *kind == text).ok_or("names, locations, contacts or referrals")
}

fn media_mode(text: &str) -> Result<MediaMode, &'static str> {
    MediaMode::parse(text).ok_or("store, proxy or never")
}

/// What the verbs of the command line stand on.
pub(super) async fn base(config: &Config) -> anyhow::Result<Base> {
    Base::open(config, Arc::new(SystemClock)).await
}

pub(super) async fn app(config: &Config, verb: AppVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let (snapshot, now) = (base.directory.snapshot(), base.clock.now());
    match verb {
        AppVerb::Create { name, verify_token_file, secret } => {
            let secret = AppSecret::new(secret.read("the app secret")?);
            let made = verify_token_file.is_none();
            let token = match verify_token_file {
                Some(path) => {
                    std::fs::read_to_string(path).context("the verify token cannot be read")?.trim().to_owned()
                }
                None => data_encoding::HEXLOWER.encode(&crate::crypto::random::bytes::<16>()),
            };
            let app = App::new(TENANT, AppId::new(now), name, secret, VerifyToken::new(token.clone()), now);
            base.note(Action::AppCreated, "app", app.id.uuid(), &["app_secret", "name", "verify_token"]).await?;
            base.directory.save_app(&app).await?;
            writeln!(out, "app           {}", app.id)?;
            if made {
                writeln!(out, "verify token  {token}   (enter it beside the webhook URL at Meta)")?;
            }
        }
        AppVerb::List => {
            let mut table = Table::new(["id", "name", "since", "secrets"]);
            for app in snapshot.apps.iter().filter(|app| app.tenant == TENANT) {
                let secrets = if app.previous_secret.is_some() { "current, previous" } else { "current" };
                table.row([app.id.to_string(), app.name.clone(), app.created_at.format(&Rfc3339)?, secrets.to_owned()]);
            }
            table.write(out)?;
        }
        AppVerb::Rotate { id, secret } => {
            let app = snapshot.apps.iter().find(|app| app.tenant == TENANT && app.id == id).context("no such app")?;
            base.note(Action::AppChanged, "app", id.uuid(), &["app_secret"]).await?;
            base.directory.save_app(&app.rotated(AppSecret::new(secret.read("the app secret")?))).await?;
            writeln!(out, "the old secret is still accepted")?;
        }
        AppVerb::Remove { id } => {
            base.note(Action::AppRemoved, "app", id.uuid(), &[]).await?;
            anyhow::ensure!(base.directory.remove_app(TENANT, id).await?, "no such app");
        }
    }
    Ok(())
}

pub(super) async fn channel(config: &Config, verb: ChannelVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    let snapshot = base.directory.snapshot();
    match verb {
        ChannelVerb::Create { name, phone_number_id, waba_id, secret } => {
            let channel = Channel {
                tenant: TENANT,
                id: ChannelId::new(base.clock.now()),
                phone_number_id: PhoneNumberId::new(phone_number_id),
                waba_id: WabaId::new(waba_id),
                name,
                token: Some(AccessToken::new(secret.read("the access token")?)),
                per_second: None,
                media: MediaMode::default(),
                door: DoorPolicy::default(),
                retention: KeepPolicy::default(),
                changed_at: None,
            };
            base.note(
                Action::ChannelCreated,
                "channel",
                channel.id.uuid(),
                &["access_token", "name", "phone_number_id", "waba_id"],
            )
            .await?;
            base.directory.save_channel(&channel).await?;
            writeln!(out, "channel  {}", channel.id)?;
        }
        ChannelVerb::List => list_channels(&snapshot, out)?,
        ChannelVerb::Status => channel_status(&base, out).await?,
        ChannelVerb::Set { id, name, media, drop, hash, keep, retention } => {
            let treated = [(Treatment::Drop, drop), (Treatment::Hash, hash), (Treatment::Keep, keep)];
            let minimise = treated.iter().any(|(_, kinds)| !kinds.is_empty());
            let (named, kept) = (name.is_some(), !retention.is_empty());
            let members =
                given([("media", media.is_some()), ("minimise", minimise), ("name", named), ("retention", kept)]);
            anyhow::ensure!(!members.is_empty(), "say what: --name, --media, --drop, --hash, --keep or --retention");
            let mut channel = Channel::clone(snapshot.channel(TENANT, id).context("no such channel")?);
            set_rules(config, &mut channel, retention)?;
            base.note(Action::ChannelChanged, "channel", id.uuid(), &members).await?;
            channel.name = name.unwrap_or(channel.name);
            channel.media = media.unwrap_or(channel.media);
            for (treatment, kinds) in treated {
                for kind in kinds {
                    channel.door.set(kind, treatment).unwrap_or_default();
                }
            }
            base.directory.save_channel(&channel).await?;
        }
        ChannelVerb::SetToken { id, secret } => {
            let mut channel = Channel::clone(snapshot.channel(TENANT, id).context("no such channel")?);
            channel.token = Some(AccessToken::new(secret.read("the access token")?));
            base.note(Action::ChannelChanged, "channel", id.uuid(), &["access_token"]).await?;
            base.directory.save_channel(&channel).await?;
        }
        ChannelVerb::Pace { id, messages_per_second } => {
            let mut channel = Channel::clone(snapshot.channel(TENANT, id).context("no such channel")?);
            channel.per_second = messages_per_second.and_then(NonZeroU32::new);
            base.note(Action::ChannelChanged, "channel", id.uuid(), &["messages_per_second"]).await?;
            base.directory.save_channel(&channel).await?;
        }
        ChannelVerb::Pin { id, rotate, secret } => {
            let pin = if rotate { None } else { Some(pin(&secret)?) };
            base.note(Action::GraphChanged, "channel", id.uuid(), &["post", "pin"]).await?;
            base.sender(config)?.set_pin(TENANT, id, pin).await?;
            writeln!(out, "Meta has taken it; it is kept sealed")?;
        }
        ChannelVerb::Register { id, pin_file } => {
            let given = pin_file.map(|file| pin(&SecretSource { secret_file: Some(file) })).transpose()?;
            base.note(Action::GraphChanged, "channel", id.uuid(), &["post", "register"]).await?;
            base.sender(config)?.register(TENANT, id, given).await?;
            writeln!(out, "registered")?;
        }
        ChannelVerb::Remove { id } => {
            base.note(Action::ChannelRemoved, "channel", id.uuid(), &[]).await?;
            anyhow::ensure!(base.directory.remove_channel(TENANT, id).await?, "no such channel");
        }
    }
    Ok(())
}

type Rules = Vec<(ContentClass, Option<Keep>)>;

fn set_rules(config: &Config, channel: &mut Channel, rules: Rules) -> anyhow::Result<()> {
    let most = config.retention.content_days.unwrap_or(MOST_DAYS);
    let too_long = rules.iter().any(|(_, rule)| matches!(rule, Some(Keep::Days(days)) if *days > most));
    anyhow::ensure!(!too_long, "nothing is kept for longer than retention.content_days = {most}");
    for (class, rule) in rules {
        channel.retention.set(class, rule);
    }
    Ok(())
}

fn list_channels(snapshot: &Snapshot, out: Out<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(["id", "phone_number_id", "waba_id", "name", "sends", "files", "left out", "kept"]);
    for channel in snapshot.channels_of(TENANT) {
        let sends = if channel.token.is_some() { "yes" } else { "no" };
        table.row([
            channel.id.to_string(),
            channel.phone_number_id.as_str().to_owned(),
            channel.waba_id.as_str().to_owned(),
            channel.name.clone(),
            sends.to_owned(),
            channel.media.as_str().to_owned(),
            channel.door.told().unwrap_or_default(),
            channel.retention.words().join(", "),
        ]);
    }
    Ok(table.write(out)?)
}

fn pin(secret: &SecretSource) -> anyhow::Result<Pin> {
    let pin = secret.read("the PIN")?;
    anyhow::ensure!(is_pin(&pin), "a PIN has six digits");
    Ok(Pin::new(pin))
}

async fn channel_status(base: &Base, out: Out<'_>) -> anyhow::Result<()> {
    let mut table =
        Table::new(["name", "verified name", "status", "quality", "limit", "speed", "health", "token", "asked"]);
    for channel in base.directory.snapshot().channels_of(TENANT) {
        let state = base.directory.channel_state(TENANT, channel.id).await?;
        let word = |fact: &str| {
            let fact = state.as_ref().and_then(|state| state.facts.get(fact)?.as_str());
            fact.unwrap_or("-").to_owned()
        };
        let token = state.as_ref().map_or("-".to_owned(), |state| token_word(&state.facts));
        let asked = state.as_ref().map_or_else(|| "not yet".to_owned(), |state| super::moment::shown(state.asked_at));
        table.row([
            channel.name.clone(),
            word("verified_name"),
            word("status"),
            word("quality_rating"),
            word("messaging_limit"),
            word("throughput"),
            word("health"),
            token,
            asked,
        ]);
    }
    Ok(table.write(out)?)
}

/// What is to be said of a token.
fn token_word(facts: &serde_json::Value) -> String {
    let missing = facts.get("token_missing_scopes").and_then(serde_json::Value::as_array);
    let missing = missing.into_iter().flatten().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(", ");
    let ends = facts.get("token_expires_at").and_then(serde_json::Value::as_str);
    match (facts.get("token_valid").and_then(serde_json::Value::as_bool), ends) {
        (Some(false), _) => "not valid".to_owned(),
        _ if !missing.is_empty() => format!("lacks {missing}"),
        (_, Some(ends)) => format!("until {ends}"),
        (Some(true), None) => "valid".to_owned(),
        (None, None) => "-".to_owned(),
    }
}
