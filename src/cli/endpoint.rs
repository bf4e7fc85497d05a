//! `waxseal endpoint`: applications that receive events. A URL may hold a token, so it can be read from a file too.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use time::OffsetDateTime;
use url::Url;

use super::moment::shown;
use super::table::Table;
use crate::app::Base;
use crate::audit::Action;
use crate::config::Config;
use crate::deliver::Deliveries;
use crate::domain::endpoint::{Credentials, Endpoint, EndpointUrl, Fields, Filter, Format, Pace, State};
use crate::egress::client::EgressClient;
use crate::egress::sign;
use crate::ids::{ChannelId, EndpointId, TenantId};
use crate::secret::{SigningSecret, VerifyToken};

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// How long an endpoint has to repeat the challenge.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest file that a secret or a URL is read from.
const LONGEST: u64 = 64 * 1024;

/// `waxseal endpoint …`
#[derive(Debug, Subcommand)]
pub(super) enum EndpointVerb {
    /// List endpoints.
    List,
    /// Show one endpoint. Secrets and the path of its URL are not shown.
    Show {
        /// Id of the endpoint.
        id: EndpointId,
    },
    /// Add an endpoint. Its signing secret is printed once, on the last line.
    Add(NewEndpoint),
    /// Hold back what an endpoint is owed.
    Pause {
        /// Id of the endpoint.
        id: EndpointId,
    },
    /// Deliver to an endpoint that is paused or disabled.
    Resume {
        /// Id of the endpoint.
        id: EndpointId,
    },
    /// Remove an endpoint, with everything that it is owed.
    Remove {
        /// Id of the endpoint.
        id: EndpointId,
    },
    /// Give an endpoint a new signing secret. It is printed once, on the last line.
    RotateSecret {
        /// Id of the endpoint.
        id: EndpointId,
        /// Hours for which the old secret signs too.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=168))]
        grace_hours: u16,
        /// Format meta alone: file that holds the new secret; `-`: standard input. Without it one is made.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Send a made-up event to an endpoint and say how that went.
    Test {
        /// Id of the endpoint.
        id: EndpointId,
    },
}

/// A new endpoint.
#[derive(Debug, Args)]
pub(super) struct NewEndpoint {
    /// A name for people.
    #[arg(long)]
    name: String,
    /// Where it listens.
    #[arg(long, required_unless_present = "url_file")]
    url: Option<Url>,
    /// File that holds the URL, when it has a token in it; `-`: standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    url_file: Option<PathBuf>,
    /// standard, meta or cloudevents.
    #[arg(long, default_value = "standard", value_parser = format_of)]
    format: Format,
    /// Events of this type, or prefix such as `message.*`. May be repeated; without it: all.
    #[arg(long = "type", value_parser = event_type_of)]
    event_types: Vec<String>,
    /// Events of this channel. May be repeated; without it: all.
    #[arg(long = "channel")]
    channels: Vec<ChannelId>,
    /// Format meta alone: file that holds what the endpoint expects as verify token.
    #[arg(long, value_name = "FILE")]
    verify_token_file: Option<PathBuf>,
    /// Do not deliver yet.
    #[arg(long)]
    paused: bool,
}

fn format_of(text: &str) -> Result<Format, &'static str> {
    Format::parse(text).ok_or("standard, meta or cloudevents")
}

/// An event type, or a prefix of some.
pub(super) fn event_type_of(text: &str) -> Result<String, &'static str> {
    if Filter::is_known(text) { Ok(text.to_owned()) } else { Err("not an event type, nor a prefix such as message.*") }
}

pub(super) async fn run(config: &Config, verb: EndpointVerb, out: Out<'_>) -> anyhow::Result<ExitCode> {
    let base = super::settings::base(config).await?;
    match verb {
        EndpointVerb::List => list(&base, out)?,
        EndpointVerb::Show { id } => show(&find(&base, id)?, out)?,
        EndpointVerb::Add(new) => add(&base, config, new, out).await?,
        EndpointVerb::Pause { id } => set_state(&base, id, State::Paused).await?,
        EndpointVerb::Resume { id } => set_state(&base, id, State::Active).await?,
        EndpointVerb::Remove { id } => {
            base.note(Action::EndpointRemoved, "endpoint", id.uuid(), &[]).await?;
            ensure!(base.directory.remove_endpoint(TENANT, id).await?, "no such endpoint");
        }
        EndpointVerb::RotateSecret { id, grace_hours, secret_file } => {
            rotate(&base, find(&base, id)?, grace_hours, secret_file, out).await?;
        }
        EndpointVerb::Test { id } => {
            let endpoint = find(&base, id)?;
            base.note(Action::EndpointTested, "endpoint", id.uuid(), &[]).await?;
            let attempt = Deliveries::new(base.deliverer(config)?).test(&endpoint).await?;
            let status =
                attempt.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
            writeln!(out, "{}, {status}, {} ms", attempt.class.as_str(), attempt.elapsed.as_millis())?;
            if !attempt.class.is_final_success() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An endpoint of the tenant.
pub(super) fn find(base: &Base, id: EndpointId) -> anyhow::Result<Endpoint> {
    let snapshot = base.directory.snapshot();
    snapshot.endpoint(TENANT, id).map(|endpoint| endpoint.as_ref().clone()).context("no such endpoint")
}

fn list(base: &Base, out: Out<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(["id", "name", "host", "format", "events", "state"]);
    for endpoint in base.directory.snapshot().endpoints_of(TENANT) {
        table.row([
            endpoint.id.to_string(),
            endpoint.name.clone(),
            endpoint.url.host(),
            endpoint.format.as_str().to_owned(),
            or_all(&endpoint.filter.event_types),
            state(endpoint),
        ]);
    }
    Ok(table.write(out)?)
}

fn or_all(words: &[String]) -> String {
    if words.is_empty() { "all".to_owned() } else { words.join(" ") }
}

fn state(endpoint: &Endpoint) -> String {
    match endpoint.disabled_reason {
        Some(reason) => format!("{} ({})", endpoint.state.as_str(), reason.as_str()),
        None => endpoint.state.as_str().to_owned(),
    }
}

fn show(endpoint: &Endpoint, out: Out<'_>) -> anyhow::Result<()> {
    let (filter, pace) = (&endpoint.filter, &endpoint.pace);
    let channels: Vec<String> = filter.channels.iter().map(ToString::to_string).collect();
    let default = || "default".to_owned();
    let secrets = match &endpoint.previous_secret {
        Some((_, until)) => format!("current, and the one before until {}", shown(*until)),
        None => "current".to_owned(),
    };
    let order = pace.order.after().map_or_else(String::new, |after| format!(" after {after} attempts"));
    for (name, value) in [
        ("id", endpoint.id.to_string()),
        ("name", endpoint.name.clone()),
        ("host", endpoint.url.host()),
        ("format", endpoint.format.as_str().to_owned()),
        ("state", state(endpoint)),
        ("events", or_all(&filter.event_types)),
        ("channels", or_all(&channels)),
        ("direction", filter.direction.map_or("both", |direction| direction.as_str()).to_owned()),
        ("predicate", if filter.predicate.is_some() { "yes" } else { "no" }.to_owned()),
        ("fields", endpoint.fields.as_str().to_owned()),
        ("pseudonyms", if endpoint.pseudonymous { "yes" } else { "no" }.to_owned()),
        ("order", pace.order.as_str().to_owned() + &order),
        ("per second", pace.max_per_second.map_or_else(|| "no limit".to_owned(), |most| most.to_string())),
        ("in flight", pace.max_in_flight.map_or_else(default, |most| most.to_string())),
        ("timeout", pace.timeout.map_or_else(default, |timeout| format!("{} ms", timeout.as_millis()))),
        ("secrets", secrets),
    ] {
        writeln!(out, "{name:10}  {value}")?;
    }
    Ok(())
}

async fn add(base: &Base, config: &Config, new: NewEndpoint, out: Out<'_>) -> anyhow::Result<()> {
    let url = match (new.url, new.url_file) {
        (Some(url), _) => url,
        (None, Some(path)) => Url::parse(&read(&path, "the URL")?).context("the file holds no URL")?,
        (None, None) => bail!("give --url or --url-file"),
    };
    let snapshot = base.directory.snapshot();
    for channel in &new.channels {
        ensure!(snapshot.channel(TENANT, *channel).is_some(), "no such channel: {channel}");
    }
    let client = base.deliverer(config)?.client;
    // The reason names no part of the URL.
    client.vet(&url).await.context("the URL is refused")?;
    verify(&client, &url, new.format, new.verify_token_file).await?;
    let endpoint = Endpoint {
        tenant: TENANT,
        id: EndpointId::new(base.clock.now()),
        name: new.name,
        url: EndpointUrl::new(url),
        format: new.format,
        filter: Filter { event_types: new.event_types, channels: new.channels, ..Filter::default() },
        fields: Fields::Full,
        pseudonymous: false,
        pace: Pace::default(),
        secret: sign::generate_secret(),
        previous_secret: None,
        credentials: Credentials::default(),
        state: if new.paused { State::Paused } else { State::Active },
        disabled_reason: None,
        changed_at: None,
    };
    base.note(
        Action::EndpointCreated,
        "endpoint",
        endpoint.id.uuid(),
        &["channel_ids", "event_types", "format", "name", "state", "url"],
    )
    .await?;
    base.directory.save_endpoint(&endpoint).await?;
    writeln!(out, "endpoint {}; its secret is shown this once:", endpoint.id)?;
    writeln!(out, "{}", endpoint.secret.expose())?;
    Ok(())
}

async fn verify(client: &EgressClient, url: &Url, format: Format, token: Option<PathBuf>) -> anyhow::Result<()> {
    match (format, token) {
        (Format::Meta, Some(path)) => {
            let token = VerifyToken::new(read(&path, "the verify token")?);
            let passed = client.get_challenge(url, &token, PATIENCE).await.passed;
            ensure!(passed, "the endpoint did not repeat the challenge");
        }
        (Format::Meta, None) => bail!("format meta needs --verify-token-file"),
        (_, Some(_)) => bail!("--verify-token-file is for format meta alone"),
        (_, None) => {}
    }
    Ok(())
}

async fn set_state(base: &Base, id: EndpointId, state: State) -> anyhow::Result<()> {
    let endpoint = Endpoint { state, disabled_reason: None, ..find(base, id)? };
    base.note(Action::EndpointChanged, "endpoint", id.uuid(), &["state"]).await?;
    Ok(base.directory.save_endpoint(&endpoint).await?)
}

async fn rotate(
    base: &Base,
    mut endpoint: Endpoint,
    grace_hours: u16,
    secret_file: Option<PathBuf>,
    out: Out<'_>,
) -> anyhow::Result<()> {
    ensure!(endpoint.format == Format::Meta || secret_file.is_none(), "--secret-file is for format meta alone");
    let secret = match secret_file {
        Some(path) => SigningSecret::new(read(&path, "the secret")?),
        None => sign::generate_secret(),
    };
    let until: OffsetDateTime = base.clock.now() + time::Duration::hours(grace_hours.into());
    let previous = std::mem::replace(&mut endpoint.secret, secret);
    endpoint.previous_secret = (grace_hours > 0).then_some((previous, until));
    base.note(Action::SecretRotated, "endpoint", endpoint.id.uuid(), &["grace_seconds"]).await?;
    base.directory.save_endpoint(&endpoint).await?;
    match grace_hours {
        0 => writeln!(out, "the old secret signs no longer; the new one is shown this once:")?,
        _ => writeln!(out, "the old secret signs too until {}; the new one is shown this once:", shown(until))?,
    }
    writeln!(out, "{}", endpoint.secret.expose())?;
    Ok(())
}

/// The text of a file, or of standard input.
fn read(path: &std::path::Path, what: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("{what} cannot be read"))?)
    };
    source.take(LONGEST).read_to_string(&mut text).with_context(|| format!("{what} cannot be read"))?;
    ensure!(!text.trim().is_empty(), "{what} is empty");
    Ok(text.trim().to_owned())
}
